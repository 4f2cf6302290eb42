# Reads the sensor when it is time and hands each reading on; what is due stays due until it has
# been taken. While no time is believed it is stored with the uptime (core/telemetry.py). While the
# file system is full or fails, readings are kept in RAM.

from micropython import const

from firmware.core.errors import SensorError
from firmware.core.telemetry import RECORD_BYTES, pack, u32
from firmware.core.timing import Deadline

_TRIES = const(3)  # errors in a row, then the sensor is looked for anew
_RETRY_MS = const(1_000)  # after an error; doubles while no sensor is found
_RETRY_MAX_MS = const(30_000)
_SETTLE_MS = const(5)  # a chip just plugged in, or just stopped, needs 1 to 2 ms
_KEPT = const(32)  # readings
_STORE_RETRY_S = const(10)


class Sampler:
    def __init__(self, settings, clock, outbox, note, log):
        # settings: the dictionary in force. note("start"): sets `started` (upkeep.py).
        self.settings, self.clock, self.outbox, self.log = settings, clock, outbox, log
        self.note = note
        self.started = None  # this boot's start as it is on flash; 0: only a bound
        self.readings = self.errors = 0  # since boot; failed searches are errors too
        self.last_error = None
        self.buf, self.kept = bytearray(RECORD_BYTES), bytearray()  # kept: records, oldest first
        self.retry_s = 0  # clock.s before which put() is not tried again
        self.due = True  # a reading is owed
        self.turn_s = self.interval_s = 0  # clock.s of the last turn; the interval by then
        self.wait = Deadline(clock)
        self.sensor = None  # "bme280@0x76"
        self.apply("sensor")

    def apply(self, key):
        # settings[key] has changed. With another sensor, or other pins, all begins anew. True: one
        # was found before.
        found = self.sensor is not None
        if key in ("sensor", "i2c"):
            self.sensor = None
            self.failures = 0  # in a row
            self.wait.start(0)
            self.release()
        return found

    def release(self):
        # The driver leaves the heap. The next reading finds it again, at the sensor's address.
        self.driver = None
        self.busy = False

    def read_now(self):
        # One extra reading. Whoever asks may just have plugged the sensor in: look at once.
        self.due = True
        if not self.sensor:
            self.wait.start(0)

    def next_due_ms(self):
        clock = self.clock
        if self.kept and clock.s >= self.retry_s:
            return 0
        if self.due or not self.sensor:
            return self.wait.left_ms()
        return clock.left_ms(self.turn_s + self.settings["interval_s"])

    def step(self):
        # At most one transfer's worth of work; never sleeps.
        if self.kept and self.clock.s >= self.retry_s:
            self.flush()
        # A new interval counts from the last turn; what is overdue by it or by the old is due now.
        s, interval_s = self.clock.s, self.settings["interval_s"]
        late_s = s - self.turn_s - min(interval_s, self.interval_s)
        if late_s >= 0:
            self.due = True
            self.turn_s = s - (late_s % interval_s if interval_s == self.interval_s else 0)
        self.interval_s = interval_s
        if (self.sensor and not self.due) or self.wait.left_ms():
            return
        try:
            self._go_on()
            return
        except SensorError as e:
            text = "{}: {}".format(self.driver.name, e) if self.driver else str(e)
        except OSError as e:
            text = "bus: errno {}".format(e.args[0])
        except MemoryError:
            if self.driver or not self.sensor:
                raise
            text = "no memory"  # to find it again; a session may have it, which can end
        self.errors += 1
        self.failures += 1
        if text != self.last_error or self.failures == 1:  # not the same line every minute
            self.log("sensor: " + text)
        self.last_error = text
        self.busy = False
        most_ms = _RETRY_MS if self.sensor else _RETRY_MAX_MS
        self.wait.start(min(_RETRY_MS << min(self.failures - 1, 5), most_ms))
        if self.failures >= _TRIES:
            self.sensor = self.driver = None

    def _go_on(self):
        if not self.driver:
            from firmware import board, drivers

            bus = board.i2c(self.settings["i2c"], self.failures)
            self.driver, sensor = drivers.find(bus, self.sensor or self.settings["sensor"])
            self.wait.start(getattr(self.driver, "SETTLE_MS", _SETTLE_MS))
            if sensor != self.sensor:
                self.sensor = sensor
                self.log("sensor: " + sensor)
        elif not self.busy:
            self.driver.start()
            self.busy = True
            self.wait.start(self.driver.MEASURE_MS)
        elif self.driver.finish():  # it measures in several turns
            self.wait.start(self.driver.MEASURE_MS)
        else:
            self.busy = self.due = False
            self.readings += 1
            if self.failures:
                self.log("sensor: reads again; errors in a row: {}".format(self.failures))
            self.failures = 0
            pack(self.buf, 0, self.clock.s, self.driver.values)
            if self.kept or not self.store(self.buf):
                self.outbox.dropped += len(self.kept) == _KEPT * RECORD_BYTES
                self.kept = (self.kept + self.buf)[-_KEPT * RECORD_BYTES :]
            try:
                if self.settings["log_level"] != "info":
                    self.note("reading")
            except MemoryError:  # no reason to lose the sensor
                pass

    def flush(self):
        # True once the first that is kept is stored. Memory for the rest comes first: without it
        # the same reading would be stored again.
        rest = self.kept[RECORD_BYTES:]
        if self.store(self.kept):
            self.kept = rest
            return True

    def store(self, record):
        # True once it is stored, with its time if that is known by now.
        clock, s2000 = self.clock, u32(record, 0)
        if clock.offset is not None and not s2000 >> 29:
            s2000 += clock.offset
            for i in range(4):
                record[i] = s2000 >> 8 * i & 0xFF
        try:
            if self.started is None or (self.started and clock.offset is None):
                self.note("start")
            self.outbox.put(record, RECORD_BYTES)
            return True
        except OSError as e:
            self.retry_s = clock.s + _STORE_RETRY_S
            self.log("sensor: reading kept in RAM: errno {}".format(e.args[0]))
