# heap: 76wk
# When the sampler reads, and how it gets over sensors that fail, vanish or come back, a bus that
# is held, another sensor and other pins.

import firmware.drivers
import harness
from fakes import Random
from fakes_sampler import S2000, WARM, Bench, Bus
from firmware.command_runner import read_now
from firmware.core.errors import SensorError


def ran(ms, interval_s=60):
    b = Bench(interval_s)
    b.run(ms)
    return b


def test_first_reading_at_once_then_every_interval():
    b = ran(150, 60)
    harness.equal(b.out, [(0, 2100, 4500, None)])
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.run(240_000, 50)
    harness.equal(b.times(), [0, 60, 120, 180, 240])
    harness.equal((b.sampler.readings, b.sampler.errors), (5, 0))
    harness.equal(b.opened, 1)


class Turns:
    # Measures in three turns of 50 ms.
    name = "turns"
    MEASURE_MS = 50
    SETTLE_MS, LEAST_S, FROZEN = 16, 1, 0
    values = [2000]
    left = 0

    def start(self):
        self.left = 2

    def finish(self):
        self.left -= 1
        return True if self.left >= 0 else None


def test_a_driver_may_ask_for_one_more_turn():
    b = Bench()
    b.sampler.step()
    b.sampler.driver = Turns()
    b.clock.pass_ms(5)
    b.sampler.step()
    for left in (2, 1, 0):
        harness.equal((b.out, b.sampler.next_due_ms(), b.sampler.driver.left), ([], 50, left))
        b.clock.pass_ms(49)
        b.sampler.step()
        harness.equal(b.sampler.driver.left, left)
        b.clock.pass_ms(1)
        b.sampler.step()
    harness.equal((b.out, b.sampler.readings), ([(0, 2000, None, None)], 1))
    b.run(60_000)
    harness.equal((len(b.out), b.sampler.errors), (2, 0))


def test_a_driver_says_how_long_its_chip_settles():
    b = Bench()
    found = firmware.drivers.find
    try:
        firmware.drivers.find = lambda bus, sensor: (Turns(), "turns@0x38")
        b.sampler.step()
    finally:
        firmware.drivers.find = found
    harness.equal(b.sampler.next_due_ms(), 16)


def test_waits_for_the_conversion_and_says_how_long():
    b = Bench()
    b.sampler.step()
    harness.equal(b.sampler.next_due_ms(), 5)
    b.clock.pass_ms(5)
    b.sampler.step()
    assert b.sampler.busy
    harness.equal(b.sampler.next_due_ms(), 17)
    b.clock.pass_ms(16)
    b.sampler.step()
    harness.equal(b.out, [])
    b.clock.pass_ms(1)
    b.sampler.step()
    harness.equal(len(b.out), 1)
    harness.equal(b.sampler.next_due_ms(), 60_000 - 22)


def test_a_step_with_nothing_due_does_not_allocate():
    b = ran(1000)
    harness.no_heap(b.sampler.step)
    harness.no_heap(b.sampler.next_due_ms)


def test_a_whole_reading_does_not_allocate():
    b = Bench()
    stored = [0]

    def put(record, size):
        stored[0] = size

    b.put = put  # the bench is the outbox of its sampler
    b.run(1000)
    stored[0] = 0
    read_now(b.sampler)
    harness.no_heap(b.sampler.step)  # start()
    harness.equal((b.sampler.busy, stored), (True, [0]))
    b.clock.pass_ms(20)
    harness.no_heap(b.sampler.step)  # finish(), pack() and put()
    harness.equal((b.sampler.readings, stored), (2, [9]))


def test_read_now_is_one_more_and_keeps_the_schedule():
    b = Bench(60)
    b.run(10_000)
    read_now(b.sampler)
    harness.equal(b.sampler.next_due_ms(), 0)
    b.run(60_000, 50)
    harness.equal(b.times(), [0, 10, 60])


def test_being_late_does_not_add_up():
    b = Bench(10)
    random = Random(harness.seed())
    passed_ms = 0
    while passed_ms < 1_800_000:
        step_ms = 1 + random(400)
        b.clock.pass_ms(step_ms)
        passed_ms += step_ms
        b.step()
        b.out.clear()
    b.run(100)
    harness.equal(b.sampler.readings, passed_ms // 10_000 + 1)


def test_missed_turns_are_skipped_and_the_schedule_kept():
    b = ran(100, 10)
    b.clock.pass_ms(46_900)
    b.run(23_100)
    harness.equal(b.times(), [0, 47, 50, 60, 70])


def test_another_interval_counts_from_the_last_turn():
    for interval_s, ran_ms, changes, more_ms, times in (
        (3600, 10_000, ((15, 5_000),), 25_500, [0, 15, 30]),
        (60, 50_000, ((30, 0),), 31_000, [0, 50, 80]),  # it has passed: due now, then in full
        (30, 20_000, ((60, 40_000), (50, 30_000)), 81_000, [0, 50, 100]),
        (30, 0, ((86_400, 0),), 100, [0]),  # before the first turn
    ):
        b = Bench(interval_s)
        if ran_ms:
            b.run(ran_ms, 50)
        for change_s, due_ms in changes:
            b.change(change_s)
            harness.equal((change_s, b.sampler.next_due_ms()), (change_s, due_ms))
        b.run(more_ms, 50)
        harness.equal(b.times(), times)


def test_an_overdue_turn_survives_a_longer_interval():
    b = ran(1000, 30)
    b.clock.pass_ms(30_000)
    b.change(86_400)
    b.run(100)
    harness.equal(b.times(), [0, 31])
    harness.equal(b.sampler.next_due_ms(), 86_400_000 - 100)


def test_a_day_is_a_day_across_the_wrap_of_the_ticks():
    b = Bench(86_400)
    b.run(100)
    for _ in range(24 * 14):
        b.clock.pass_ms(3_599_900)
        b.run(100, 20)
    harness.equal([out[0] for out in b.out], [86_400 * n for n in range(15)])
    harness.equal(S2000 + b.times()[-1], b.clock.offset + b.clock.s)


def test_single_error_is_counted_and_tried_again():
    b = Bench(60)
    b.bus.damaged = True  # the search fails, too: its answers have a CRC
    b.run(100)
    harness.equal(b.sampler.errors, 1)
    b.bus.damaged = False
    b.run(2000)
    b.bus.damaged = True
    read_now(b.sampler)
    b.run(100)
    harness.equal(b.sampler.last_error, "sht3x: crc")
    harness.equal((b.sampler.errors, b.sampler.sensor), (2, "sht3x@0x44"))
    b.bus.damaged = False
    b.bus.reading = WARM
    b.run(1000)
    harness.equal([r[1] for r in b.out], [2100, 3000])
    harness.equal(b.bus.recovered, 1)  # only after the failed search


def test_unplugged_in_mid_measurement_and_plugged_in_again():
    b = Bench(60)
    b.run(60_003)
    assert b.sampler.busy
    b.bus.plugged = False
    b.run(5000, 10)
    harness.equal((b.sampler.busy, b.sampler.sensor), (False, None))
    assert b.sampler.errors >= 4 and b.bus.recovered >= 1
    b.bus.plugged = True
    b.run(10_000, 10)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    harness.equal(len(b.out), 2)
    assert 65 <= b.times()[1] <= 75, b.out


def test_searches_less_and_less_often_and_logs_once():
    b = Bench(60)
    b.bus.plugged = False
    b.run(600_000, 500)
    # 1 + 2 + 4 + 8 + 16 s, then every 30 s
    assert 24 <= b.sampler.errors <= 25, b.sampler.errors
    harness.equal(b.log, ["sensor: no known sensor found; on the bus: nothing"])
    b.bus.plugged = True
    b.run(31_000, 500)
    assert b.out
    assert "reads again; errors in a row: 2" in b.log[-1], b.log


def test_at_debug_each_reading_is_logged():
    b = Bench(10)
    noted = []
    b.sampler.note = noted.append
    b.run(25_000)
    harness.equal(set(noted), {"start"})
    b.settings["log_level"] = "debug"
    b.run(20_000)
    harness.equal(noted.count("reading"), 2)

    def no_memory(what):
        raise MemoryError

    b.sampler.note, b.sampler.started = no_memory, 1
    before = len(b.out)
    b.run(30_000)  # is no reason for a restart, nor for an error
    harness.equal((len(b.out) - before, b.sampler.errors), (3, 0))


def test_read_now_looks_for_the_sensor_at_once():
    b = Bench(60)
    b.bus.plugged = False
    b.run(300_000, 500)
    b.bus.plugged = True
    read_now(b.sampler)
    b.run(50)
    harness.equal((b.sampler.sensor, len(b.out)), ("sht3x@0x44", 1))


def test_stuck_bus_is_clocked_free():
    b = ran(1000, 60)
    b.bus.stuck = 2  # needs two rounds of nine clocks
    read_now(b.sampler)
    b.run(12_000, 10)
    harness.equal((b.bus.recovered, len(b.out)), (2, 2))
    assert "sensor: bus: SDA held low" in b.log, b.log


def test_other_sensor_is_looked_for_at_once():
    b = ran(1000, 60)
    b.settings["sensor"] = "bme280"
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, None)
    harness.equal(b.sampler.last_error, "no bme280 found; on the bus: 0x44")
    b.settings["sensor"] = "sht3x@0x44"
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")
    b.bus = Bus(b.clock)
    b.bus.plugged = False
    b.sampler.apply("sensor")
    b.run(100)
    harness.equal(b.sampler.sensor, None)


def test_it_says_whether_a_sensor_was_found_before():
    # So that a trial of settings can tell whether it has lost one.
    b = Bench(60)
    harness.equal(b.sampler.apply("i2c"), False)
    b.run(1000)
    harness.equal(b.sampler.apply("sensor"), True)
    harness.equal((b.sampler.apply("sensor"), b.sampler.apply("interval_s")), (False, False))


def test_pins_that_do_not_fit_are_named_and_tried_again():
    b = Bench(60)
    text = "bus: i2c settings do not fit this chip: invalid pin"

    def misfit(settings, failures):
        raise SensorError(text)

    good = b.i2c
    b.i2c = misfit
    b.run(5000)
    harness.equal((b.sampler.last_error, b.sampler.errors), (text, 3))
    harness.equal(b.log, ["sensor: " + text])
    b.i2c = good
    b.sampler.apply("i2c")
    b.run(100)
    harness.equal(b.sampler.sensor, "sht3x@0x44")


def test_another_setting_is_no_reason_to_search():
    b = ran(1000, 60)
    for key in ("interval_s", "drain_per_s"):
        b.sampler.apply(key)
        b.run(100)
        harness.equal((b.sampler.sensor, b.opened), ("sht3x@0x44", 1))


def test_an_error_of_the_bus_is_named_by_its_number():
    b = Bench(60)

    def scan():
        raise OSError(116)

    b.bus.scan = scan
    b.run(100)
    harness.equal((b.sampler.last_error, b.sampler.failures), ("bus: errno 116", 1))


def test_a_driver_that_was_let_go_is_found_again_by_the_next_reading():
    b = ran(1000, 60)
    for busy in (False, True):
        if busy:
            read_now(b.sampler)
            b.sampler.step()
        harness.equal(b.sampler.busy, busy)
        b.sampler.release()
        harness.equal((b.sampler.driver, b.sampler.sensor), (None, "sht3x@0x44"))
        b.run(61_000, 10)
        assert b.sampler.driver
    harness.equal((b.times(), b.opened), ([0, 60, 62, 120], 3))
    harness.equal((b.sampler.errors, b.bus.recovered, b.log), (0, 0, ["sensor: sht3x@0x44"]))


def test_let_go_means_nothing_while_no_reading_is_due():
    b = ran(1000, 60)
    b.sampler.release()
    due_ms = b.sampler.next_due_ms()
    assert 58_000 < due_ms < 60_000, due_ms
    harness.no_heap(b.sampler.step)
    harness.equal(b.opened, 1)


def test_let_go_and_no_memory_to_find_it_again():
    b = Bench(60)

    def full(settings, failures):
        raise MemoryError

    good, b.i2c = b.i2c, full
    harness.raises(MemoryError, b.sampler.step)  # at boot: a crash, and a restart
    b.i2c = good
    b.run(1000)
    b.sampler.release()
    b.i2c = full
    b.run(59_100, 10)
    harness.equal((b.sampler.sensor, b.sampler.last_error), ("sht3x@0x44", "no memory"))
    b.i2c = good
    b.run(2000, 10)
    harness.equal((b.sampler.sensor, b.times()), ("sht3x@0x44", [0, 61]))


def test_let_go_and_then_unplugged():
    b = ran(1000, 60)
    b.sampler.release()
    b.bus.plugged = False
    b.run(59_100, 10)
    harness.equal((b.sampler.sensor, b.sampler.errors), ("sht3x@0x44", 1))
    harness.equal(b.sampler.last_error, "no sht3x@0x44 found; on the bus: nothing")
    b.run(3000, 10)
    harness.equal(b.sampler.sensor, None)
    b.bus.plugged = True
    b.run(10_000, 10)
    harness.equal((b.sampler.sensor, len(b.out)), ("sht3x@0x44", 2))


class Chip:
    # A driver whose every reading is one hundredth warmer than the last.
    MEASURE_MS = 1
    SETTLE_MS, LEAST_S, FROZEN = 5, 1, 0

    def __init__(self):
        self.values = [-1, None, 101325]

    def start(self):
        pass

    def finish(self):
        self.values[0] += 1


def bench(interval_s=10, offset=None, full=False):
    b = Bench(interval_s, offset)
    b.run(10)
    b.sampler.probes[0].driver, b.full = Chip(), full
    return b


def run(b, seconds):
    # Two steps a second are a reading, where one is due.
    for _ in range(2 * seconds):
        b.sampler.step()
        b.clock.pass_ms(500)


def readings(b):
    for reading in b.out:
        harness.equal(reading[2:], (None, 101325))
    return [reading[:2] for reading in b.out]


def test_known_time_is_that_of_the_reading():
    b = bench(offset=S2000)
    run(b, 25)
    harness.equal(readings(b), [(0, 0), (10, 1), (20, 2)])
    assert b.sampler.next_due_ms() > 1000


def test_readings_before_the_time_is_known_are_stored_at_once_with_the_uptime():
    b = bench()
    run(b, 25)
    harness.equal((readings(b), b.undated), ([(0, 0), (10, 1), (20, 2)], 3))
    harness.equal((len(b.sampler.kept), b.starts), (0, [None]))
    assert b.sampler.next_due_ms() > 1000
    b.clock.offset = S2000
    b.note("start")  # as the loop does
    run(b, 20)
    harness.equal(readings(b), [(10 * n, n) for n in range(5)])
    harness.equal((b.undated, b.starts), (3, [None, S2000]))


def test_a_boot_that_knows_the_time_says_so_once():
    b = bench(offset=S2000)
    run(b, 25)
    harness.equal((b.starts, b.undated), ([S2000], 0))


def test_no_reading_without_a_time_is_stored_before_its_boot_is():
    # Else it would count for the boot before. What was kept gets its date when it is stored.
    b = bench()
    b.note_fails = True
    run(b, 25)
    harness.equal((b.out, len(b.sampler.kept), b.sampler.started), ([], 3, None))
    b.note_fails = False
    run(b, 10)
    harness.equal((readings(b)[:3], b.undated), ([(0, 0), (10, 1), (20, 2)], 4))
    b = bench()
    b.note_fails = True
    run(b, 25)
    b.clock.offset, b.note_fails = S2000, False
    run(b, 15)
    harness.equal((readings(b), b.undated), ([(10 * n, n) for n in range(4)], 0))


def test_one_is_written_at_a_time_and_the_next_at_once():
    b = bench(offset=S2000, full=True)
    run(b, 25)
    b.clock.pass_ms(10_000)
    b.full = b.sampler.due = False
    b.sampler.turn_s = b.clock.s
    for wanted in (1, 2, 3, 3):
        harness.equal(b.sampler.next_due_ms() == 0, len(b.out) < 3)
        b.sampler.step()
        harness.equal(len(b.out), wanted)


def test_full_file_system_loses_nothing_and_is_not_written_to_at_every_step():
    b = bench(offset=S2000, full=True)
    run(b, 35)
    kept = [line for line in b.log if line == "sensor: reading kept in RAM: errno 28"]
    harness.equal(len(kept), 4)
    b.full = False
    run(b, 15)
    harness.equal(readings(b), [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)])


def test_a_full_file_system_that_stays_so_is_bounded_too():
    b = bench(offset=S2000, full=True)
    run(b, 395)
    harness.equal((b.dropped, len(b.sampler.kept)), (8, 32))
    b.full = False
    run(b, 30)
    harness.equal(readings(b), [(10 * n, n) for n in range(8, 43)])
    harness.equal(len(b.sampler.kept), 0)  # the memory is given back


def test_a_time_that_is_corrected_moves_later_readings_only():
    b = bench(offset=S2000 + 5)
    b.full = True
    run(b, 15)
    b.clock.offset = S2000
    b.full = False
    run(b, 16)
    harness.equal(readings(b), [(5, 0), (10, 1), (20, 2), (30, 3)])


def test_uptime_outlives_the_wrap_of_the_ticks():
    b = bench(86_400)
    for _ in range(20 * 24):  # 20 days; the ticks wrap after 12
        run(b, 1)
        b.clock.pass_ms(3_599_000)
    b.clock.offset = S2000
    run(b, 11)
    harness.equal(readings(b), [(86_400 * n, n) for n in range(21)])
    harness.equal(b.undated, 20)
