# heap: 112wk
# The median of several, offsets, deadbands, alarms, the battery, several sensors, and the faults
# that are reported while the readings go on.

import json
import struct
import sys

import firmware
import harness
from fakes_sampler import BOARD, Bench
from firmware import loading, sampling, sensors
from firmware.command_runner import read_now
from firmware.core import schema, several, telemetry
from firmware.core.errors import SensorError

THING = b"shed"


class Chip:
    # A driver that measures what the test has put into `next`, one after the other; the last one
    # again and again. An error is raised.
    MEASURE_MS, SETTLE_MS, LEAST_S, FROZEN = 1, 5, 1, 0

    def __init__(self, name="sht3x", *values):
        self.name, self.next, self.values = name, list(values), [None, None]

    def start(self):
        if isinstance(self.next[0], OSError):
            raise self.next[0]

    def finish(self):
        value = self.next.pop(0) if len(self.next) > 1 else self.next[0]
        if isinstance(value, Exception):
            raise value
        self.values[: len(value)] = value


class Found:
    # In place of firmware/drivers: by name, None for one that is not there.
    def __init__(self):
        self.chips, self.asked = {}, []

    def find(self, bus, wanted):
        self.asked.append(wanted)
        chip = self.chips.get(wanted.split("@")[0])
        if not chip:
            raise SensorError("no {} found; on the bus: nothing".format(wanted))
        return chip, chip.name + "@0x44"


def bench(*chips, **settings):
    # With one sensor, or a list of those given; the payloads of what is stored.
    b = Bench(10)
    b.found = Found()
    b.found.chips = {chip.name: chip for chip in chips}
    b.settings.update(settings)
    if len(chips) > 1:
        b.settings["sensor"] = [{"chip": chip.name, "name": chip.name[:3]} for chip in chips]
    else:
        b.settings["sensor"] = chips[0].name
    b.sampler.apply("sensor")
    b.stored = []
    b.put = lambda record, size: b.stored.append(bytes(record[:size]))
    return b


def run(b, seconds):
    # drivers.find() is the test's, whenever it is loaded.
    drivers = __import__("firmware.drivers", None, None, ("find",))
    for _ in range(2 * seconds):
        for _ in range(12):
            drivers.find = b.found.find
            b.sampler.step()
            b.clock.pass_ms(1)
        b.clock.pass_ms(488)
    return b


loading.keep()


def payloads(b, alarms=False):
    made = []
    for n, record in enumerate(b.stored):
        frame = bytes([len(record)]) + struct.pack("<I", n + 1) + record + b"\xaa\x55"
        buf = bytearray(telemetry.TEXT_BYTES + len(THING))
        end = telemetry.write_json(buf, 0, frame, 0, THING, ())
        if len(record) > telemetry.RECORD_BYTES:
            end = several.add(buf, end, several.text(frame, 0, alarms))
        document = json.loads(bytes(buf[:end]))
        made.append(
            {k: document[k] for k in document if k not in ("device_id", "seq", "timestamp")}
        )
    return made


def temperatures(b):
    return [round(p["temperature"] * 100) for p in payloads(b)]


def test_the_median_of_three():
    chip = Chip("sht3x", [2100, 4000], [9999, 4100], [2110, 4200], [2000, 10], [2000, 30], [1, 20])
    b = run(bench(chip, samples=3), 11)
    harness.equal(payloads(b)[0], {"temperature": 21.1, "humidity": 41.0})
    harness.equal((temperatures(b), b.sampler.readings), ([2110, 2000], 2))


def test_a_sample_that_fails_is_taken_again():
    chip = Chip("sht3x", [2100], SensorError("crc"), [2200], [2300])
    b = run(bench(chip, samples=3), 5)
    harness.equal((temperatures(b), b.sampler.errors), ([2200], 1))


def test_another_count_of_samples_counts_at_once():
    chip = Chip("sht3x", [1], [2], [3], [4])
    b = run(bench(chip), 9)
    harness.equal(b.sampler.extra, False)
    b.settings["samples"] = 3
    b.sampler.apply("samples")
    run(b, 10)
    harness.equal(temperatures(b), [1, 3])


def test_an_offset_by_the_name_of_the_chip():
    b = run(bench(Chip("sht3x", [2100, 5]), offset_cdeg={"sht3x": -250, "bme280": 700}), 1)
    harness.equal(payloads(b), [{"temperature": 18.5, "humidity": 0.05}])


def test_a_deadband_stores_what_has_moved():
    rows = [[2100, 50], [2119, 900], [2120, 50], [2101, 50], [2100, 50], [2100, 50]]
    b = run(bench(Chip("sht3x", *rows), deadband={"temperature": 0.2}), 51)
    harness.equal(temperatures(b), [2100, 2120, 2100])
    harness.equal(b.sampler.readings, 6)
    # At the latest after heartbeat_s; and when somebody asks.
    b.settings["heartbeat_s"] = 60
    run(b, 100)
    harness.equal(len(b.stored), 4)
    read_now(b.sampler)
    run(b, 1)
    harness.equal(len(b.stored), 5)
    b.settings["deadband"] = {"temperature": False}
    run(b, 20)
    harness.equal(len(b.stored), 7)


def test_a_deadband_of_nothing_stores_each_change():
    rows = [[2100, 50], [2101, 50], [2101, 60], [2101, 70], [2400, 70], [2400, 70], [2399, 70]]
    for band in (0, 0.0, 0.004):  # the last is less than a value can move
        for more in ({}, {"humidity": 5}, {"humidity": False}):
            limits = dict(more, temperature=band)
            harness.equal(schema.check("deadband", limits, {}), (limits, None))
            b = run(bench(Chip("sht3x", *rows), deadband=limits), 71)
            harness.equal(temperatures(b), [2100, 2101, 2400, 2399])
    b = run(bench(Chip("sht3x", *rows), deadband={"temperature": False}), 71)
    harness.equal(len(b.stored), 8)  # without any every reading is


def test_a_deadband_of_other_quantities():
    rows = [[0, 5000, 100000, 400], [999, 5199, 100009, 449], [0, 5200, 100000, 400]]
    rows += [[0, 5200, 100010, 400], [0, 5200, 100010, 450], [0, 5200, 100010, None]]
    limits = {"humidity": 2, "pressure": 0.1, "co2": 50}
    chip = Chip("scd41", *rows)
    chip.values = [None] * 4
    found = payloads(run(bench(chip, deadband=limits), 71))
    harness.equal([p["humidity"] for p in found], [50.0, 52.0, 52.0, 52.0, 52.0])
    harness.equal([p["pressure"] for p in found], [1000.0, 1000.0] + [1000.1] * 3)
    harness.equal([p.get("co2") for p in found], [400, 400, 400, 450, None])


def test_alarms_of_other_quantities():
    rows = [[2100, 8999, 100000, 999], [2100, 9000, 97999, 1000], [2100, 8801, 98099, 951]]
    rows += [[2100, 8800, 98100, 950]]
    chip = Chip("scd41", *rows)
    chip.values = [None] * 4
    limits = {"alarm_high": {"humidity": 90, "co2": 1000}, "alarm_low": {"pressure": 980}}
    b = run(bench(chip, **limits), 31)
    begun = {"humidity": "high", "pressure": "low", "co2": "high"}
    ended = {name: "normal" for name in begun}
    harness.equal([p.get("alarms") for p in payloads(b, True)], [None, begun, None, ended])
    assert "sensor: alarm, pressure low: 979.99 hPa" in b.log, b.log


def test_alarms_and_deadbands_of_several_sensors():
    # Alarms are of the first alone; deadbands of each.
    air, soil = Chip("bme280", [2100, 50]), Chip("sht3x", [2100, 50], [9000, 50], [9010, 50])
    limits = {"alarm_high": {"temperature": 30}, "deadband": {"temperature": 1}}
    b = run(bench(air, soil, **limits), 31)
    found = [p["sensors"]["sht"]["temperature"] for p in payloads(b)]
    harness.equal((found, payloads(b, True)[-1].get("alarms")), ([21.0, 90.0], None))


def test_alarms_begin_and_end_with_hysteresis():
    rows = [[2999], [3000], [3100], [2980], [2951], [2950], [3000], [400], [500], [549], [550]]
    limits = {"alarm_high": {"temperature": 30}, "alarm_low": {"temperature": 5}}
    b = run(bench(Chip("sht3x", *rows), hysteresis={"temperature": 0.5}, **limits), 101)
    said = [p.get("alarms", {}).get("temperature") for p in payloads(b, True)]
    harness.equal(
        said, [None, "high", None, None, None, "normal", "high", "low"] + [None] * 2 + ["normal"]
    )
    assert "sensor: alarm, temperature high: 30.00 °C" in b.log, b.log
    assert "sensors" not in payloads(b)[1] and "alarms" not in payloads(b)[1]
    # Without the limit there is no alarm.
    b.settings["alarm_low"] = {"temperature": 20}
    run(b, 10)
    b.settings["alarm_low"] = {}
    run(b, 10)
    said = [p.get("alarms") for p in payloads(b, True)][-2:]
    harness.equal(said, [{"temperature": "low"}, {"temperature": "normal"}])


def test_an_alarm_from_before_a_restart_ends_after_it():
    limits = {"alarm_high": {"temperature": 30}}
    b = run(bench(Chip("sht3x", [2900], [3000]), **limits), 11)
    harness.equal(b.kept.state, {"alarms": [1] + [0] * (len(telemetry.SIZES) - 1)})
    for after, said in ([3010], {}), ([2900], {"alarms": {"temperature": "normal"}}):
        again = bench(Chip("sht3x", after), **limits)
        again.kept.state.update(b.kept.state)
        run(again, 1)
        harness.equal(payloads(again, True), [dict(said, temperature=after[0] / 100)])
    harness.equal(again.kept.state, {"alarms": [0] * len(telemetry.SIZES)})


def test_an_alarm_that_cannot_be_kept_is_sent_all_the_same():
    b = bench(Chip("sht3x", [3000]), alarm_high={"temperature": 30})
    b.note_fails = True
    b.sampler.started = b.clock.offset
    run(b, 1)
    harness.equal(payloads(b, True)[0]["alarms"], {"temperature": "high"})


def test_an_alarm_without_memory_for_its_record_comes_with_the_next():
    b = run(bench(Chip("sht3x", [2900], [3000]), alarm_high={"temperature": 30}), 1)

    def full(*args):
        raise MemoryError

    said, sampling._said = sampling._said, full
    sys.modules["firmware.sampling"] = firmware.sampling = sampling
    try:
        run(b, 14)
    finally:
        sampling._said = said
    run(b, 6)
    found = [p.get("alarms") for p in payloads(b, True)]
    harness.equal(found, [None, None, {"temperature": "high"}])


def test_an_alarm_passes_the_deadband():
    limits = {"deadband": {"temperature": 5}, "alarm_high": {"temperature": 21.1}}
    b = run(bench(Chip("sht3x", [2100], [2109], [2110], [2109]), **limits), 41)
    harness.equal(temperatures(b), [2100, 2110])


def test_the_battery():
    b = bench(Chip("sht3x", [2100, 50]), alarm_low={"battery_v": 3.4})
    volts = [3900, 3399]
    BOARD.battery_mv = lambda pin, thousandths: volts.pop(0) if pin == 34 else 1 / 0
    b.sampler.divider = 34, 2000
    b = run(b, 11)
    first, second = payloads(b)
    harness.equal(first, {"temperature": 21.0, "humidity": 0.5, "battery_v": 3.9})
    harness.equal(payloads(b, True)[1]["alarms"], {"battery_v": "low"})


def test_the_first_reading_has_the_voltage_from_before_the_radio():
    b = bench(Chip("sht3x", [2100, 50]))
    BOARD.battery_mv = lambda pin, thousandths: 3_500
    b.sampler.divider = (34, 2000, 3_900)
    b.sampler.apply("battery")
    run(b, 21)
    harness.equal([p["battery_v"] for p in payloads(b)], [3.9, 3.5, 3.5])


def test_a_battery_beyond_all_belief_does_not_look_like_a_sound_one():
    # Its divider is broken, and the record has two bytes: 70 V would be 4.46.
    b = bench(Chip("sht3x", [2100]))
    BOARD.battery_mv = lambda pin, thousandths: 70_000
    b.sampler.divider = 34, 25_000
    b.sampler.apply("battery")
    harness.equal(payloads(run(b, 1)), [{"temperature": 21.0, "battery_v": 60.0}])


def test_several_sensors():
    air, soil = Chip("bme280", [2100, 50, 101325]), Chip("sht3x", [1500, 99], [1600, 98])
    b = run(bench(air, soil), 11)
    first, second = payloads(b)
    harness.equal((first["temperature"], first["pressure"]), (21.0, 1013.25))
    wanted = {"temperature": 21.0, "humidity": 0.5, "pressure": 1013.25}
    harness.equal(
        second["sensors"], {"bme": wanted, "sht": {"temperature": 16.0, "humidity": 0.98}}
    )
    harness.equal(b.sampler.sensor, "bme280@0x44, sht3x@0x44")
    assert "sensor: sht is sht3x@0x44" in b.log, b.log


def test_of_several_what_works_goes_on():
    air, soil = Chip("bme280", [2100]), Chip("sht3x", [1500])
    b = run(bench(air, soil), 1)
    soil.next = [SensorError("crc")]
    run(b, 20)
    harness.equal(len(b.stored), 3)
    harness.equal(payloads(b)[-1]["sensors"], {"bme": {"temperature": 21.0}})
    harness.equal((b.sampler.fault, b.sampler.sensor), ("crc", "bme280@0x44"))
    row = sensors.report(b.sampler)[0]
    harness.equal((row["sensor"], row["fault"]), ("sht", "crc"))
    assert row["count"] >= 3, row
    # And the other way round: without the first there is no temperature of its own.
    air.next, soil.next = [OSError(19)], [[1700]]
    run(b, 30)
    last = payloads(b)[-1]
    harness.equal(last, {"sensors": {"sht": {"temperature": 17.0}}})
    air.next = [[2200]]
    run(b, 20)
    harness.equal(payloads(b)[-1]["temperature"], 22.0)
    harness.equal(
        (b.sampler.fault, b.sampler.failures, sensors.report(b.sampler)), (None, 0, None)
    )


def test_of_several_none_works():
    b = bench(Chip("bme280", OSError(19)), Chip("sht3x", [1500]))
    b.found.chips["sht3x"] = None
    run(b, 60)
    harness.equal((b.stored, b.sampler.due, b.sampler.sensor), ([], True, None))
    assert b.sampler.errors < 30, b.sampler.errors  # it does not hammer the bus
    b.found.chips["sht3x"] = Chip("sht3x", [1500])
    run(b, 40)
    harness.equal(payloads(b)[-1], {"sensors": {"sht": {"temperature": 15.0}}})


def test_a_frozen_value_is_reported_and_set_up_anew():
    chip = Chip("sht3x", [2100, 50])
    chip.FROZEN = 5
    b = run(bench(chip), 50)
    harness.equal((len(b.stored), b.sampler.fault, len(b.found.asked)), (5, None, 1))
    run(b, 31)
    row = sensors.report(b.sampler)[0]
    harness.equal((row["fault"], row["count"]), ("frozen: the same value again and again", 1))
    harness.equal((len(b.stored), len(b.found.asked)), (9, 2))
    run(b, 20)
    harness.equal((sensors.report(b.sampler)[0]["count"], len(b.found.asked)), (2, 3))
    chip.next = [[2101, 50], [2102, 50]]
    run(b, 10)
    harness.equal((b.sampler.fault, len(b.stored)), (None, 12))


def test_reading_too_often_is_reported():
    chip = Chip("aht20", [2100, 50], [2101, 50], [2102, 50])
    chip.LEAST_S = 20
    b = run(bench(chip), 1)
    row = sensors.report(b.sampler)[0]
    harness.equal(row["fault"], "read more often than every 20 s warms it")
    chip.next = [SensorError("crc"), [2105, 50]]
    run(b, 12)
    harness.equal(
        sensors.report(b.sampler)[0]["fault"], "read more often than every 20 s warms it"
    )
    b.change(20)
    run(b, 40)
    harness.equal((sensors.report(b.sampler), len(b.stored)), (None, 4))


def test_each_sample_warms_it():
    chip = Chip("aht20", [2100, 50], [2101, 50])
    chip.LEAST_S = 2
    b = run(bench(chip, samples=5), 11)
    harness.equal((b.sampler.fault, len(b.stored)), (None, 2))
    b.settings["samples"] = 6
    run(b, 11)
    row = sensors.report(b.sampler)[0]
    harness.equal(row["fault"], "read more often than every 12 s warms it")
    b.change(12)
    run(b, 24)
    harness.equal(sensors.report(b.sampler), None)
    chip.LEAST_S = 0  # one that does not warm itself, however often
    b.change(1)
    run(b, 10)
    harness.equal(sensors.report(b.sampler), None)


class NoMemory:
    # In place of firmware/sampling.py: so many loads in vain.
    def __init__(self, lacks):
        self.lacks = lacks
        sys.modules["firmware.sampling"] = firmware.sampling = self

    def lack(self):
        if self.lacks:
            self.lacks -= 1
            raise MemoryError

    def again(self, *args):
        self.lack()
        return sampling.again(*args)

    def pack(self, *args):
        self.lack()
        return sampling.pack(*args)


def lacking(b, count, seconds=10):
    no = NoMemory(count)
    try:
        run(b, seconds)
    finally:
        sys.modules["firmware.sampling"] = firmware.sampling = sampling
    return no.lacks


def test_no_reading_is_without_its_offset():
    # It needs no memory: not on a reading that could not be judged, and not by itself.
    b = run(bench(Chip("sht3x", [2100, 50]), offset_cdeg={"sht3x": 100}), 1)
    harness.equal((temperatures(b), b.sampler.extra), ([2200], False))
    for more in {"alarm_high": {"humidity": 90}}, {"samples": 3}, {"deadband": {"humidity": 1}}:
        b = bench(Chip("sht3x", [2100, 50]), offset_cdeg={"sht3x": 100}, **more)
        lacking(b, 99)
        harness.equal((temperatures(b), b.sampler.due), ([2200], False))


def test_what_finds_no_memory_is_tried_in_the_next_passes():
    rows = [[2100], [2100], [2110], [2120]]
    for count in range(1, 4):
        b = bench(Chip("sht3x", *rows), alarm_high={"temperature": 21}, samples=2)
        harness.equal(lacking(b, count), 0)
        harness.equal(payloads(b, True)[0]["alarms"], {"temperature": "high"})
        harness.equal((len(b.stored), b.sampler.errors), (1, count))
        harness.equal(b.clock.s - b.sampler.turn_s, 10)  # it shifts nothing


def test_without_memory_for_it_an_alarm_comes_with_the_next_reading():
    b = bench(Chip("sht3x", [2100]), alarm_high={"temperature": 21})
    lacking(b, 99)
    harness.equal(payloads(b, True), [{"temperature": 21.0}])
    assert "sensor: no memory to judge a reading" in b.log, b.log
    run(b, 10)
    harness.equal(payloads(b, True)[1]["alarms"], {"temperature": "high"})


def test_samples_of_a_reading_that_found_no_memory_do_not_count_for_the_next():
    b = bench(Chip("sht3x", [9000], [2100]), samples=3)
    b.sampler.step()
    while not (b.sampler.extra and b.sampler.extra.taken):
        run_once(b)
    lacking(b, 99)
    run(b, 10)
    harness.equal(temperatures(b), [2100, 2100])


def test_a_reading_that_finds_no_memory_to_be_stored_is_taken_once_more():
    b, lacks = bench(Chip("sht3x", [2100])), [2]
    store = b.put

    def put(*args):
        if lacks[0]:
            lacks[0] -= 1
            raise MemoryError
        store(*args)

    b.put = put
    run(b, 8)
    harness.equal((temperatures(b), b.sampler.due), ([2100], False))
    lacks[0] = 99  # for ever: a restart
    harness.raises(MemoryError, run, b, 20)
    harness.equal((lacks, b.sampler.due), ([94], True))


def test_that_a_sensor_reads_again_may_find_no_memory():
    chip = Chip("sht3x", [2100])
    b = run(bench(chip), 1)
    chip.next = [SensorError("crc"), [2200]]
    run(b, 9)
    count = []

    def full(*args):
        count.append(1)
        raise MemoryError

    judge, sensors.judge = sensors.judge, full
    sys.modules["firmware.sensors"] = firmware.sensors = sensors
    try:
        for _ in range(40):
            run_once(b)
            b.clock.pass_ms(250)
            sys.modules["firmware.sensors"] = firmware.sensors = sensors
    finally:
        sensors.judge = judge
    harness.equal((temperatures(b)[:2], b.sampler.fault), ([2100, 2200], "crc"))
    chip.next = [[2300]]
    run(b, 10)
    harness.equal((temperatures(b)[-1], b.sampler.fault), (2300, None))
    assert count


def test_a_plain_sensor_needs_none_of_it():
    b = run(bench(Chip("sht3x", [2100, 50])), 11)
    harness.equal((b.sampler.extra, len(b.stored[0])), (False, 9))


def test_what_one_has_measured_does_not_count_for_the_next():
    # One fails between its samples; the other measures more than that.
    first, other = Chip("tmp117", [5000], OSError(19)), Chip("bme280", [2000, 5000, 100000])
    first.values, other.values = [None], [None] * 3
    for many in (2, 3):
        first.next = [[5000], OSError(19)]
        b = run(bench(first, other, samples=many), 15)
        found = payloads(b)[0]["sensors"]
        harness.equal(found, {"bme": {"temperature": 20.0, "humidity": 50.0, "pressure": 1000.0}})


def test_samples_end_with_the_drivers():
    # Released in the middle, it begins with the first sensor again.
    first, other = Chip("sht3x", [2000]), Chip("bme280", [9000])
    b = bench(first, other, samples=3)
    while len(b.sampler.extra.taken if b.sampler.extra else ()) < 2 or not b.sampler.at:
        run_once(b)
    b.sampler.release()
    while not b.stored:
        run_once(b)
    found = payloads(b)[0]["sensors"]
    harness.equal(found, {"sht": {"temperature": 20.0}, "bme": {"temperature": 90.0}})


def run_once(b):
    drivers = __import__("firmware.drivers", None, None, ("find",))
    drivers.find = b.found.find
    b.sampler.step()
    b.clock.pass_ms(5)


def test_a_stored_record_is_still_read():
    # A first sensor with an alarm, and a second one, as version 0.2.0 has stored them.
    b = bench(Chip("sht3x", [2100, 50, None, None]), Chip("tmp117", [1500]))
    b.settings["alarm_high"] = {"temperature": 20}
    b.sampler.apply("alarm_high")
    run(b, 1)
    stored = b.stored[0][4:]
    known = b"\x34\x08\0\x32\0" + b"\xff" * 10 + b"\0\1" + b"\3sht\0" + b"\3tmp\1\xdc\5\0"
    harness.equal(stored, known)
    wanted = {"temperature": 21.0, "humidity": 0.5}
    harness.equal(payloads(b)[0]["sensors"], {"sht": wanted, "tmp": {"temperature": 15.0}})


def test_what_does_not_fit_a_record_is_left_out_and_said():
    # With another quantity it may be as much; what it has is whole.
    chips = [Chip(name, [1, 2, 3, 4]) for name in ("scd41", "bme280", "bmp280", "sht3x")]
    b = bench(*chips, alarm_high={"temperature": 0, "co2": 0})
    for n, (one, chip) in enumerate(zip(b.sampler.probes, chips)):
        one.name, chip.values = "abcdefghijk{}".format(n), [None] * 4
    run(b, 5)
    sensors = payloads(b)[0]["sensors"]
    harness.equal(sorted(sensors), [one.name for one in b.sampler.probes][:-1])
    assert "sensor: no room in the record for abcdefghijk3" in b.log, b.log


def test_the_longest_record_fits():
    # Four sensors with the longest names, and all that the first measures begins to be an alarm.
    chips = [Chip(name) for name in ("scd41", "bme280", "bmp280", "sht3x")]
    for chip, values in zip(chips, ([2000, 5000, None, 900],) + ([1, 2, 3],) * 3):
        chip.next, chip.values = [values], [None] * 4
    limits = {"temperature": 19, "humidity": 40, "co2": 800, "battery_v": 1}
    b = bench(*chips, alarm_high=limits)
    for n, one in enumerate(b.sampler.probes):
        one.name = "abcdefghijk{}".format(n)
    b.sampler.divider = 34, 2000
    BOARD.battery_mv = lambda *args: 3300
    run(b, 5)
    harness.equal(
        (len(payloads(b, True)[0]["alarms"]), len(b.stored[0])), (4, sampling.MOST_BYTES)
    )
    harness.equal(sorted(payloads(b)[0]["sensors"]), [one.name for one in b.sampler.probes])


def test_blocks_of_a_version_that_knows_more_end_nothing():
    record = bytearray(telemetry.RECORD_BYTES)
    telemetry.pack(record, 0, 1 << 29, [2100])
    for tail in (
        b"\xff",
        b"\x39\x07",
        b"\x00",
        b"\x00\x14",
        b"\x02\xff\xff\x00",
        b"\x01a\x3f\x00",
    ):
        frame = bytes([len(record) + len(tail)]) + bytes(4) + bytes(record) + tail + b"\xaa\x55"
        for alarms in (False, True):
            harness.equal(several.text(frame, 0, alarms)[:1] in ("", ","), True)


def test_a_reading_is_stored_with_the_step_after():
    # Between two steps this code leaves: an ESP32 that sleeps has no room for it and for
    # outbox_files.py, beside power.py.
    b, packed, put = bench(Chip("sht3x", [2100, 50]), alarm_high={"temperature": 30}), [], []
    store, pack, steps = b.put, sampling.pack, [0]
    b.put = lambda record, size: put.append(steps[0]) or store(record, size)
    sampling.pack = lambda s: packed.append(steps[0]) or pack(s)
    try:
        while steps[0] < 400:
            steps[0] += 1
            __import__("firmware.drivers", None, None, ("find",)).find = b.found.find
            b.sampler.step()
            b.clock.pass_ms(50)
    finally:
        sampling.pack = pack
    harness.equal((len(put), temperatures(b)), (2, [2100, 2100]))
    harness.equal(put, [step + 1 for step in packed])
    harness.equal(b.sampler.kept, [])
