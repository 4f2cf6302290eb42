# Reads the sensor when it is time and hands each reading on.
#
#   state   leaves on                                 to
#   SEEK    wait over, a known sensor answers         IDLE
#   SEEK    wait over, none does                      SEEK, wait doubled
#   IDLE    a reading is due, start() succeeds        BUSY
#   BUSY    MEASURE_MS over, finish() succeeds        IDLE, reading handed on
#   IDLE    SensorError, not yet _TRIES in a row      IDLE, after _RETRY_MIN_MS
#   BUSY    the same                                  IDLE, after _RETRY_MIN_MS
#   both    SensorError number _TRIES in a row        SEEK
#
# So a sensor may be unplugged, swapped and plugged in at any time. A reading that was due stays
# due until it has been taken; those missed meanwhile are not made up for. The bus is clocked
# free before every SEEK but the first.

from micropython import const

from firmware.core.errors import SensorError
from firmware.core.schedule import Schedule
from firmware.drivers import find
from firmware.sampler_held import Held

SEEK = const(0)
IDLE = const(1)
BUSY = const(2)

_TRIES = const(3)
_RETRY_MIN_MS = const(1_000)
_RETRY_MAX_MS = const(30_000)
_SETTLE_MS = const(5)  # a chip just plugged in, or told to stop, needs 1 to 2 ms


class Sampler:
    def __init__(self, bus, wanted, interval_s, clock, wall, put, log):
        self._bus = bus  # firmware.bus.Bus
        self._wanted = wanted  # "auto", "bme280" or "bme280@0x76"
        self._schedule = Schedule(clock, interval_s)
        self._clock = clock  # now(), diff(a, b): milliseconds, safe across the wrap
        self._held = Held(clock, wall, put, log)
        self._log = log
        self.sensor = None  # "bme280@0x76", None in SEEK
        self.readings = 0  # good ones since boot
        self.errors = 0  # failed searches and failed measurements since boot
        self.last_error = None
        self._due = False  # a reading is owed
        self._restart()

    @property
    def dropped(self):
        # Readings lost while the time was unknown or the file system full.
        return self._held.dropped

    def step(self):
        # At most one transfer's worth of work; never sleeps.
        self._held.step()
        if self._schedule.due():
            self._due = True
        if self._left_ms():
            return
        try:
            if self.state == SEEK:
                self._seek()
            elif self.state == BUSY:
                self._finish()
            elif self._due:
                self._driver.start()
                self.state = BUSY
                self._wait(self._driver.MEASURE_MS)
        except SensorError as e:
            self._failed(str(e))

    def next_due_ms(self):
        # How long the loop may sleep on our account.
        if self._held.ready():
            return 0
        left_ms = self._left_ms()
        if left_ms or self._due or self.state != IDLE:
            return left_ms
        return self._schedule.left_ms()

    def failing(self):
        return self._in_a_row > 0

    def read_now(self):
        # One extra reading; the schedule stays as it is. Whoever asks may just have plugged the
        # sensor in: it is looked for at once.
        self._due = True
        if self.state == SEEK:
            self._wait(0)

    def set_interval(self, interval_s):
        self._schedule.change(interval_s)

    def set_sensor(self, wanted):
        self._wanted = wanted
        self._restart()

    def rebuild(self, bus):
        # The bus has other pins or another speed now.
        self._bus = bus
        self._restart()

    def _restart(self):
        self._forget()
        self._in_a_row = 0  # errors since the last good reading
        self._retry_ms = _RETRY_MIN_MS  # how long the next failed search waits
        self._wait(0)

    def _forget(self):
        self.state = SEEK
        self.sensor = self._driver = None

    def _seek(self):
        if self._in_a_row and not self._bus.recover():
            raise SensorError("bus: SDA held low")
        self._driver, self.sensor = find(self._bus, self._wanted)
        self.state = IDLE
        self._wait(_SETTLE_MS)
        self._log("sensor: " + self.sensor)

    def _finish(self):
        driver = self._driver
        driver.finish()
        self.state = IDLE
        self._due = False
        self.readings += 1
        if self._in_a_row:
            self._log("sensor: reads again; errors in a row: {}".format(self._in_a_row))
        self._in_a_row = 0
        self._retry_ms = _RETRY_MIN_MS
        self._held.add(driver.temperature_cdeg, driver.humidity_cpct, driver.pressure_pa)

    def _failed(self, text):
        self.errors += 1
        self._in_a_row += 1
        if text != self.last_error or self._in_a_row == 1:  # not the same line every minute
            self._log("sensor: " + text)
        self.last_error = text
        if self.state != SEEK and self._in_a_row < _TRIES:
            self.state = IDLE
            self._wait(_RETRY_MIN_MS)
            return
        self._forget()
        self._wait(self._retry_ms)
        self._retry_ms = min(self._retry_ms * 2, _RETRY_MAX_MS)

    def _wait(self, ms):
        self._wait_ms = ms
        self._since = self._clock.now()

    def _left_ms(self):
        # 0 once the wait is over, and for ever after: the mark would wrap.
        if self._wait_ms:
            left_ms = self._wait_ms - self._clock.diff(self._clock.now(), self._since)
            if left_ms > 0:
                return left_ms
            self._wait_ms = 0
        return 0
