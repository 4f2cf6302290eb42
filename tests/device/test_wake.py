# heap: 128wk
# What a board knows from one wake to the next, and what becomes of it when the memory is damaged.

import json
import sys

import firmware
import harness
from fakes_sleep import CHIP, LINES, START, Sampler, Slept
from firmware import wake
from firmware.core.timing import Clock

VALUES = {"interval_s": 600, "batch": 6, "sensor": "auto"}
WIFI = [
    "barn",
    [2, 0, 0, 0, 0, 1],
    11,
    ["192.168.178.23", "255.255.255.0"] + ["192.168.178.1"] * 2,
]


def state(**more):
    made = {
        "fix": START * 1000,
        "ppm": 0,
        "sync": START,
        "slept": 0,
        "left": 6,
        "fails": 0,
        "at": 0,
    }
    made.update({"asked": 0, "next": START + 600, "urgent": False, "read": False, "size": 98304})
    made.update({"values": VALUES, "found": ["sht3x@0x44"], "last": [(1, 2, None, None)]})
    made.update({"error": None, "extra": None, "battery": None, "wifi": WIFI + [START]})
    made.update({"report": (START, "sht3x@0x44", None), "tuned": False})
    made.update(more)
    return made


def stand_in(kept, now_ms):
    clock = wake.aligned(Clock(CHIP.now, lambda a, b: a - b), now_ms)
    clock.offset = now_ms // 1000
    made = Sampler(clock, kept["values"])
    wake.restore(made, kept)
    return made


wake._sampler = stand_in


def asleep(**more):
    # As it falls asleep; then it wakes, and its first wait is over.
    CHIP.fresh(0)
    del Sampler.taken[:]
    del LINES[:]
    Sampler.fails = False
    harness.raises(Slept, wake.sleep, state(**more))
    CHIP.boot()


def test_it_reads_and_sleeps_again():
    asleep()
    harness.raises(Slept, wake.run)
    kept = wake.load()
    harness.equal((kept["left"], kept["next"], kept["read"]), (5, START + 1200, False))
    harness.equal(Sampler.taken, [START + 600])
    assert 599_000 < CHIP.asked[-1] < 600_000, CHIP.asked
    harness.equal((kept["found"], kept["last"]), (["sht3x@0x44"], [[1, 2, None, None]]))
    harness.equal(CHIP.dogs, 1)


def test_it_returns_to_connect_when_the_batch_is_full():
    asleep(left=1)
    wake.run()
    kept = wake.load()
    harness.equal((kept["left"], kept["next"], kept["read"]), (0, START + 1200, True))
    harness.equal(Sampler.taken, [START + 600])


def test_it_returns_without_a_reading_while_it_has_no_time():
    asleep(sync=0)
    wake.run()
    harness.equal((Sampler.taken, wake.load()["read"]), ([], False))


def test_the_readings_do_not_shift_by_the_time_awake():
    asleep(left=500)
    for _ in range(100):
        harness.raises(Slept, wake.run)
        CHIP.boot()
    harness.equal(Sampler.taken, list(range(START + 600, START + 600 + 100 * 600, 600)))


def test_what_was_missed_is_read_once():
    for late_s in (599, 600, 1799):
        asleep()
        CHIP.pass_ms(late_s * 1000)
        harness.raises(Slept, wake.run)
        harness.equal(len(Sampler.taken), 1)
        after = wake.load()["next"]
        assert after > START + 600 + late_s and (after - START) % 600 == 0


def test_an_esp8266_sleeps_in_pieces():
    asleep()
    wake.chip.VERIFIED = False
    CHIP.datetime = lambda when=None: esp8266_datetime(when)
    try:
        due = CHIP.true_ms // 1000 + 4 * 3600
        harness.raises(Slept, wake.sleep, state(at=0, next=due, fix=fix(), wifi=None))
        pieces = [CHIP.asked[-1]]
        for _ in range(4):
            CHIP.boot()
            harness.raises(Slept, wake.run)
            pieces.append(CHIP.asked[-1])
    finally:
        del CHIP.datetime
        wake.chip.VERIFIED = True
    assert max(pieces) <= 3_300_000 < 4_294_967, pieces
    harness.equal(pieces[:4], [3_300_000] * 4)
    assert 1_190_000 < pieces[4] <= 1_200_000
    harness.equal(Sampler.taken, [])


def fix():
    return CHIP.true_ms - CHIP.rtc_ms


def esp8266_datetime(when):
    found = type(CHIP).datetime(CHIP, when)
    return found and found[:7] + (found[7] // 1000,)


def test_every_damaged_byte_is_seen():
    asleep()
    good = CHIP.kept
    for i in range(len(good)):
        for flip in (1, 0x80, 0xFF):
            data = bytearray(good)
            data[i] ^= flip
            CHIP.kept = bytes(data)
            harness.equal(wake.load(), None)
    for size in range(len(good)):
        CHIP.kept = good[:size]
        harness.equal(wake.load(), None)
    for other in (b"", b"run", b"repl", b"guess", b"wdt", b"848000000 memory"):
        CHIP.kept = other
        harness.equal(wake.load(), None)
        wake.run()  # the usual start
        harness.equal((CHIP.kept, Sampler.taken), (other, []))
    assert not good.endswith(b"memory") and not good[:1].isdigit()  # board.py's own marks


def test_without_memory_in_the_rtc_it_is_a_file():
    class Files:
        kept, writes, full = {}, 0, False

        def read(self, path, limit):
            return self.kept.get(path)

        def replace(self, path, text):
            if self.full:
                raise OSError(28)
            self.kept[path], self.writes = bytes(text), self.writes + 1

    from firmware import rtc_file

    files, rtc_file.files = rtc_file.files, Files()
    del type(CHIP.RTC).memory
    try:
        asleep(left=4)
        harness.equal(CHIP.kept, b"")
        for left in (3, 2, 1):
            harness.raises(Slept, wake.run)
            harness.equal(wake.load()["left"], left)
            CHIP.boot()
        harness.equal((list(rtc_file.files.kept), rtc_file.files.writes), (["data/wake"], 4))
        rtc_file.files.kept["data/wake"] = rtc_file.files.kept["data/wake"][:-1]
        harness.equal(wake.load(), None)
        asleep()
        wake.save(None)
        harness.equal(wake.load(), None)
        rtc_file.files.full = True
        asleep()  # it sleeps all the same
    finally:
        rtc_file.files, type(CHIP.RTC).memory = files, True


def test_it_fits_an_esp8266():
    # But for Wi-Fi, which stays None there.
    sensor = {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
    asleep(wifi=None, values=dict(VALUES, i2c=sensor))
    assert len(CHIP.kept) <= 400, len(CHIP.kept)


def test_an_rtc_that_was_set_meanwhile_is_not_believed():
    for moved_ms in (-1_000_000, 5_000_000):
        asleep()
        CHIP.rtc_ms += moved_ms
        wake.run()
        harness.equal((Sampler.taken, wake.load()["sync"]), ([], 0))


def test_a_sleep_that_lasts_longer_than_asked_is_booked():
    asleep(ppm=-20_000, left=500)  # wakes 2 % early
    CHIP.ppm = 20_408
    for _ in range(50):
        harness.raises(Slept, wake.run)
        CHIP.boot()
    shift = [b - a for a, b in zip(Sampler.taken, Sampler.taken[1:])]
    assert 598 <= min(shift[2:]) and max(shift[2:]) <= 602, shift
    now = wake.load()
    assert abs(now["fix"] + CHIP.rtc_ms - CHIP.true_ms) < 30_000


def test_without_its_sensor_it_sleeps_on():
    asleep()
    Sampler.fails = True
    harness.raises(Slept, wake.run)
    Sampler.fails = False
    CHIP.boot()
    harness.raises(Slept, wake.run)
    kept = wake.load()
    harness.equal((Sampler.taken, kept["left"]), ([START + 1200], 4))


def test_samples_of_a_slow_sensor_have_their_time():
    class Slow(Sampler):
        left = 9

        def step(self):
            CHIP.pass_ms(5_500)
            Slow.left -= 1
            if not Slow.left:
                Sampler.step(self)

        def next_due_ms(self):
            return 501

    asleep()
    clock = Clock(CHIP.now, lambda a, b: a - b)
    clock.offset = START
    wake.measure(Slow(clock, dict(VALUES, samples=9)))
    harness.equal((Slow.left, len(Sampler.taken)), (0, 1))
    # It has an end all the same, before the watchdog.
    Slow.left = 1 << 28
    CHIP.boot()
    wake.measure(Slow(Clock(CHIP.now, lambda a, b: a - b), dict(VALUES, samples=9)))
    assert CHIP.now() < 90_000, CHIP.now()


def test_an_alarm_connects_at_once():
    class Alarming(Sampler):
        def step(self):
            Sampler.step(self)
            self.extra.alarms[0] = self.state

    def alarming(kept, now_ms):
        made = Alarming(Clock(CHIP.now, lambda a, b: a - b), kept["values"])
        made.clock.offset = now_ms // 1000
        wake.restore(made, kept)
        return made

    wake._sampler = alarming
    try:
        for before, after, connects in ((0, 0, False), (0, 1, True), (1, 1, False), (1, 0, True)):
            Alarming.state = after
            asleep(extra=[[before, 0, 0, 0, 0], [[2100], [None]], 60])
            if connects:
                wake.run()
            else:
                harness.raises(Slept, wake.run)
            kept = wake.load()
            harness.equal((kept["urgent"], kept["left"]), (connects, 0 if connects else 5))
            harness.equal(kept["extra"][:2], [[after, 0, 0, 0, 0], [[2100], [None]]])
    finally:
        wake._sampler = stand_in


def test_the_time_asleep_counts_for_the_heartbeat():
    asleep(extra=[[0] * 5, [[2100], [None]], 60], left=9)
    ages = []
    for _ in range(3):
        harness.raises(Slept, wake.run)
        ages.append(wake.load()["extra"][2])
        CHIP.boot()
    assert [abs(age_s - wanted_s) <= 5 for age_s, wanted_s in zip(ages, (660, 1260, 1860))] == [
        True
    ] * 3, ages


def test_what_sampling_keeps_comes_back_without_its_code():
    kept = state(extra=[[1, 0, 0, 0, 2], [[2100], [None]], 60])
    made = stand_in(kept, START * 1000)
    assert "firmware.sampling" not in sys.modules
    harness.equal(
        (list(made.extra.alarms), made.extra.stored), ([1, 0, 0, 0, 2], [[2100], [None]])
    )
    harness.equal((made.clock.s - made.extra.stored_s, made.extra.taken), (60, []))
    from firmware import sampling

    harness.equal(len(made.buf), sampling.MOST_BYTES)
    del sys.modules["firmware.sampling"]


def test_long_settings_are_on_flash_written_once():
    written = []
    files, kept = wake.files, {}

    class Files:
        def read(self, path, limit):
            return kept.get(path)

        def replace(self, path, text):
            kept[path] = text.encode()
            written.append(path)

    wake.files = Files()
    try:
        values = dict(VALUES, alarm_high={"temperature": 30}, note="x" * 2000)
        asleep(values=values, left=50)
        for _ in range(3):
            harness.raises(Slept, wake.run)
            CHIP.boot()
        harness.equal(written, ["data/wake.json"])
        found = wake.load()["values"]
        harness.equal([found[key] for key in values], [values[key] for key in values])
        assert len(CHIP.kept) < 500 + len(json.dumps(WIFI))
    finally:
        wake.files = files


def test_a_crash_is_written_down_and_the_usual_start_follows():
    class Crash:
        calls = []

        def record(self, *args):
            self.calls.append(args)

    firmware.crash = sys.modules["firmware.crash"] = Crash()

    def broken(kept, now_ms):
        raise KeyError("a bug")

    wake._sampler = broken
    try:
        asleep()
        wake.run()
    finally:
        wake._sampler = stand_in
        del sys.modules["firmware.crash"]
    harness.equal(CHIP.kept, b"")
    (error, uptime_s, cause, log, sampling) = Crash.calls[0]
    harness.equal((type(error), cause, sampling), (KeyError, "deepsleep", True))
