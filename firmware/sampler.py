# Reads the sensors when it is time and hands each reading on; what is due stays due until it has
# been taken. While no time is believed it is stored with the uptime (core/telemetry.py). While the
# file system is full or fails, readings are kept in RAM. What is rare is in sensors.py (search,
# faults) and sampling.py (medians, deadbands, alarms, several sensors), on demand.

from micropython import const

from firmware.core.errors import SensorError
from firmware.core.telemetry import RECORD_BYTES, pack, u32
from firmware.core.timing import Deadline

_RETRY_MS = const(1_000)
_KEPT = const(32)  # readings
_STORE_RETRY_S = const(10)
_LACKS = const(4)
_EXTRA = const("samples deadband alarm_high alarm_low")


class Sampler:
    def __init__(self, settings, clock, outbox, note, log):
        # settings: the dictionary in force. note("start"): sets `started` (upkeep.py).
        self.settings, self.clock, self.outbox, self.log = settings, clock, outbox, log
        self.note = note
        self.started = None  # this boot's start as it is on flash; 0: only a bound
        self.readings = self.errors = 0  # since boot; failed searches are errors too
        self.lacks = 0  # of memory to judge this reading; after _LACKS it is not judged
        self.last_error = None
        self.buf, self.kept = bytearray(RECORD_BYTES), []  # kept: records, oldest first
        self.retry_s = 0  # clock.s before which put() is not tried again
        self.due = True  # a reading is owed
        self.turn_s = self.interval_s = 0  # clock.s of the last turn; the interval by then
        self.wait = Deadline(clock)
        self.divider = None  # config.json's: pin, thousandths; at first also what it was, in mV
        self.extra = False  # what sampling.py keeps; None: not yet; False: nothing is asked of it
        # As one of several sensors (sensors.py), which it is itself where there is only one.
        self.driver = self.sensor = self.fault = None  # fault: what is wrong, or of several: each
        self.failures = self.last = self.same = 0
        self.apply("sensor")

    def apply(self, key):
        # settings[key] has changed. With another sensor, or other pins, all begins anew. True: one
        # was found before.
        found = self.sensor is not None
        if key in ("sensor", "i2c"):
            self.probes, self.wanted = (self,), self.settings["sensor"]
            if isinstance(self.wanted, list):
                from firmware import sensors

                self.probes = sensors.listed(self.wanted)
            self.sensor = self.fault = None  # sensor: "bme280@0x76", those that were found
            self.failures = 0  # in a row, of the worst
            self.wait.start(0)
            self.release()
        if not self.extra:
            self.extra = None if self.divider or len(self.probes) > 1 else False
            for key in _EXTRA.split():
                if key in self.settings:
                    self.extra = None
        return found

    def release(self):
        # The drivers leave the heap. The next reading finds them again, at the same address.
        for one in self.probes:
            one.driver = None
        self.driver = None  # the one loaded last
        self.busy, self.at = False, 0  # a measurement is under way; of which sensor

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
        one = self.probes[self.at]
        try:
            self._go_on(one)
            return
        except (SensorError, OSError) as e:
            error = e
        except MemoryError as e:
            if not one.sensor or (one.driver and self.lacks >= _LACKS):
                raise
            error = e  # to find it again, or to judge it; a session may have it, which can end
        self.busy = False
        self.errors += 1
        try:
            from firmware import sensors

            sensors.failed(self, one, error)
        except MemoryError:
            self.lacks += 1
            self.wait.start(_RETRY_MS)
            self.release()

    def _go_on(self, one):
        driver = one.driver
        if not driver:
            self._find(one)
        elif not self.busy:
            driver.start()
            self.busy = True
            self.wait.start(driver.MEASURE_MS)
        elif driver.finish():  # it has more to measure
            self.wait.start(driver.MEASURE_MS)
        else:
            self.busy, total = False, 0
            for value in driver.values:
                total = (total * 31 + (value or 0)) & 0xFFFFF
            one.same = one.same + 1 if total == one.last else 0
            one.last = total
            least_s = driver.LEAST_S * self.settings.get("samples", 1)
            suspect = self.interval_s < least_s or 0 < driver.FROZEN <= one.same
            anew = one.same and driver.FROZEN and not one.same % driver.FROZEN
            more = self.lacks < _LACKS
            if more and (one.failures or anew or suspect != (one.fault is not None)):
                from firmware import sensors

                sensors.judge(self, one, least_s)
            if more and self.extra is not False:
                from firmware import sampling

                if sampling.again(self, one):
                    return
            values, offsets = one.driver.values, self.settings.get("offset_cdeg")
            if offsets and values[0] is not None:  # here, where it takes no memory
                values[0] += offsets.get(one.driver.name if one is self else one.name, 0)
            if one is self.probes[-1]:
                self.store_reading()
            else:
                self.at += 1

    def _find(self, one):
        from firmware import board, drivers

        bus = board.i2c(self.settings["i2c"], one.failures)
        self.driver, label = drivers.find(bus, one.sensor or one.wanted)
        one.driver = self.driver
        self.wait.start(one.driver.SETTLE_MS)
        if label != one.sensor:
            one.sensor = label
            if one is not self:
                from firmware import sensors

                label = sensors.named(self, one)
            self.log("sensor: " + label)

    def store_reading(self):
        # Once all have measured, or have failed.
        first = self.probes[0].driver
        if self.extra and self.lacks < _LACKS:
            from firmware import sampling

            end = sampling.pack(self)
        else:  # the first one is better than none
            end = first and pack(self.buf, 0, self.clock.s, first.values)
        # sampling.py goes first
        if end and (self.kept or self.extra or not self.store(self.buf, end)):
            self.outbox.dropped += len(self.kept) == _KEPT
            self.kept = self.kept[1 - _KEPT :] + [self.buf[:end]]
        self.at, self.due, self.lacks = 0, False, 0
        self.readings += 1
        if not end:
            return
        try:
            if self.settings["log_level"] != "info":
                self.note("reading")
        except MemoryError:  # no reason to lose the sensor
            pass

    def flush(self):
        # True once the first that is kept is stored.
        if self.store(self.kept[0], len(self.kept[0])):
            self.kept.pop(0)
            return True

    def store(self, record, size):
        # True once it is stored, with its time if that is known by now.
        clock, s2000 = self.clock, u32(record, 0)
        if clock.offset is not None and not s2000 >> 29:
            s2000 += clock.offset
            for i in range(4):
                record[i] = s2000 >> 8 * i & 0xFF
        try:
            if self.started is None or (self.started and clock.offset is None):
                self.note("start")
            self.outbox.put(record, size)
            return True
        except OSError as e:
            self.retry_s = clock.s + _STORE_RETRY_S
            self.log("sensor: reading kept in RAM: errno {}".format(e.args[0]))
