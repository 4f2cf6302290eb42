# Reads the sensor when it is time and hands each reading on.
#
#   state   leaves on                                 to
#   SEEK    wait over, a known sensor answers         IDLE
#   SEEK    wait over, none does                      SEEK, wait doubled
#   IDLE    a reading is due, start() succeeds        BUSY
#   BUSY    MEASURE_MS over, finish() succeeds        IDLE, reading handed on
#   IDLE    error, not yet _TRIES in a row            IDLE, after _RETRY_MIN_MS
#   BUSY    the same                                  IDLE, after _RETRY_MIN_MS
#   both    error number _TRIES in a row              SEEK
#
# So a sensor may be unplugged, swapped and plugged in at any time. A reading that was due stays
# due until it has been taken; those missed meanwhile are not made up for. The bus is clocked
# free before every SEEK but the first.
#
# While no time is believed, or the file system is full, readings wait in RAM, the oldest making
# room. Normally each passes through the same buffer at once, without allocating.

from micropython import const

from firmware.core import telemetry
from firmware.core.errors import SensorError
from firmware.core.timing import Deadline

_SEEK = const(0)
_IDLE = const(1)
_BUSY = const(2)

_TRIES = const(3)
_RETRY_MIN_MS = const(1_000)
_RETRY_MAX_MS = const(30_000)
_SETTLE_MS = const(5)  # a chip just plugged in, or just stopped, needs 1 to 2 ms
_HELD_MAX = const(32)
_STORE_RETRY_S = const(10)
_BURST = const(4)  # readings passed on in one step(): each is a write to flash


class Sampler:
    def __init__(self, open_bus, recover, settings, clock, put, log):
        self._open_bus = open_bus  # open_bus() -> I2C object
        self._recover = recover  # recover() -> True when SDA is free
        self._settings = settings  # the dictionary in force
        self._clock = clock
        self._put = put  # put(record, size): a buffer, and how many of its bytes are the record
        self._log = log
        self.readings = 0  # good ones since boot
        self.errors = 0  # failed searches and failed measurements since boot
        self.last_error = None
        self.dropped = 0  # readings lost while the time was unknown or the file system full
        self._held = bytearray(telemetry.RECORD_BYTES)  # records, oldest first
        self.waiting = 0  # how many there are in it
        self._store_s = 0  # clock.s before which put() is not tried again
        self._due = True  # a reading is owed
        self._interval_ms = settings["interval_s"] * 1000
        self._turn = Deadline(clock)
        self._turn.start(self._interval_ms)
        self._wait = Deadline(clock)
        self.restart()

    def restart(self):
        # Another sensor is wanted, or the bus has other pins.
        self.state = _SEEK
        self.sensor = self._driver = None  # "bme280@0x76"; None in SEEK
        self._in_a_row = 0  # errors since the last good reading
        self._retry_ms = _RETRY_MIN_MS  # how long the next failed search waits
        self._wait.start(0)

    def changed(self):
        # interval_s: in force at once, counted from the last turn. A reading that is overdue, by
        # the old interval or the new, is due now.
        left_ms = self._turn.left_ms()
        age_ms = self._interval_ms - left_ms
        self._interval_ms = self._settings["interval_s"] * 1000
        if not left_ms or age_ms >= self._interval_ms:
            self._due = True
            age_ms = 0
        self._turn.start(self._interval_ms - age_ms)

    def read_now(self):
        # One extra reading; the schedule stays as it is. Whoever asks may just have plugged the
        # sensor in: it is looked for at once.
        self._due = True
        if self.state == _SEEK:
            self._wait.start(0)

    def failing(self):
        return self._in_a_row > 0

    def next_due_ms(self):
        # How long the loop may sleep on our account.
        clock = self._clock
        if self.waiting and clock.offset is not None and clock.s >= self._store_s:
            return 0
        if self._due or self.state != _IDLE:
            return self._wait.left_ms()
        return self._turn.left_ms()

    def step(self):
        # At most one transfer's worth of work; never sleeps.
        if self.waiting:
            self._pass_on(None)
        if not self._turn.left_ms():
            self._due = True
            self._turn.again(self._interval_ms)
        if (self.state == _IDLE and not self._due) or self._wait.left_ms():
            return
        try:
            if self.state == _SEEK:
                if self._in_a_row and not self._recover():
                    raise SensorError("bus: SDA held low")
                from firmware.drivers import find

                self._driver, self.sensor = find(self._open_bus(), self._settings["sensor"])
                self.state = _IDLE
                self._wait.start(_SETTLE_MS)
                self._log("sensor: " + self.sensor)
            elif self.state == _IDLE:
                self._driver.start()
                self.state = _BUSY
                self._wait.start(self._driver.MEASURE_MS)
            else:
                self._driver.finish()
                self.state = _IDLE
                self._due = False
                self.readings += 1
                if self._in_a_row:
                    self._log("sensor: reads again; errors in a row: {}".format(self._in_a_row))
                self._in_a_row = 0
                self._retry_ms = _RETRY_MIN_MS
                self._pass_on(self._driver.values)
        except SensorError as e:
            self._failed(str(e))
        except OSError as e:
            self._failed("bus: errno {}".format(e.args[0]))

    def _failed(self, text):
        self.errors += 1
        self._in_a_row += 1
        if text != self.last_error or self._in_a_row == 1:  # not the same line every minute
            self._log("sensor: " + text)
        self.last_error = text
        if self.state != _SEEK and self._in_a_row < _TRIES:
            self.state = _IDLE
            self._wait.start(_RETRY_MIN_MS)
            return
        self.state = _SEEK
        self.sensor = self._driver = None
        self._wait.start(self._retry_ms)
        self._retry_ms = min(self._retry_ms * 2, _RETRY_MAX_MS)

    def _pass_on(self, values):
        # values of a new reading, or None. A time below 2^28 is one of clock.s: a board does not
        # run for 8 years, and 2^28 s after 2000 it was 2008. The fourth byte shows which it is.
        clock, held, size = self._clock, self._held, telemetry.RECORD_BYTES
        if values:
            end = self.waiting * size
            if end == len(held):
                held.extend(bytearray(size))
            telemetry.pack(held, end, clock.s, values)
            self.waiting += 1
        burst = _BURST
        while self.waiting and burst:
            burst -= 1
            stored = False
            if clock.offset is not None and clock.s >= self._store_s:
                carry = 0 if held[3] & 0xF0 else clock.offset
                for i in range(4):
                    carry += held[i]
                    held[i] = carry & 0xFF
                    carry >>= 8
                try:
                    self._put(held, size)
                    stored = True
                except OSError as e:
                    self._store_s = clock.s + _STORE_RETRY_S
                    self._log("sensor: reading kept in RAM: errno {}".format(e.args[0]))
            if not stored and self.waiting <= _HELD_MAX:
                return
            self.dropped += not stored
            self.waiting -= 1
            for i in range(self.waiting * size):
                held[i] = held[i + size]
        if not self.waiting and len(held) > size:
            self._held = bytearray(size)
