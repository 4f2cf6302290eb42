# heap: 52wk
# The crash log stays small and keeps the newest; crashes that come thick lead to safe mode.

import os

import harness
from fakes import Log
from firmware import crash, files
from flash import Flash, mounted

FLASH = mounted(Flash(16))
PATH = "data/crash.log"
RUNS = PATH + ".runs"


def fresh():
    FLASH.fresh()
    return Log()


LOG = Log()


def start(cause="hard"):
    # Whether the board starts in safe mode.
    return bool(crash.boot(cause, LOG)[0])


def crashed(uptime_s, text="broken", log=LOG, sampling=False):
    try:
        raise ValueError(text)
    except ValueError as e:
        crash.record(e, uptime_s, "hard", log, sampling)


def run_and_crash(*uptimes_s):
    # Each run ends in a crash; says whether the one after the last starts in safe mode.
    for uptime_s in uptimes_s:
        start()
        crashed(uptime_s)
    return start()


def live(cause, seconds):
    # A run as app.py has it: alive() every minute while crashes are counted. Says whether it began
    # in safe mode.
    safe, counted = crash.boot(cause, LOG)
    for uptime_s in range(60, seconds + 1, 60):
        counted = counted and crash.alive(uptime_s, LOG)
    return safe


def runs():
    with open(RUNS) as f:
        return [int(n) for n in f.read().split()]


def test_between_crashes_in_safe_mode_a_battery_is_spared():
    class Slept(Exception):
        pass

    class Board:
        def deepsleep(self, ms):
            raise Slept(ms)

    fresh()
    board, waited = Board(), []
    board.machine = board
    sleep_ms, crash.chip.sleep_ms = crash.chip.sleep_ms, waited.append
    try:
        for text in ("{}", '{"thing_name":"a"}'):
            files.replace("config.json", text)
            crash.wait(1, board)
        harness.equal(waited, [30_000] * 2)
        files.replace("config.json", '{"thing_name":"a","power":"battery","port":8883}')
        crash.wait(False, board)
        harness.equal(waited[2:], [0])
        harness.equal(harness.raises(Slept, crash.wait, 2, board).args, (1_800_000,))
    finally:
        crash.chip.sleep_ms = sleep_ms


def test_a_healthy_board_writes_nothing():
    fresh()
    for cause in ("pwron", "hard", "soft", "deepsleep", "repl", "memory", "pwron"):
        harness.equal(crash.boot(cause, LOG), (False, False))  # alive() need not be called
    assert "data" not in os.listdir(), os.listdir()
    harness.equal(crash.read(1000), "")


def test_three_crashes_within_ten_minutes():
    for uptimes_s, safe in (
        ((5,), False),
        ((5, 5), False),
        ((5, 5, 5), True),
        ((500, 300, 300), True),
        ((1, 300, 301), False),
        ((900, 0, 0), True),
        ((0, 0, 700), False),
        ((0, 0, 700, 0), False),
        ((0, 0, 700, 0, 0), True),
        ((0, 0, 0, 0), True),
    ):
        fresh()
        harness.equal(run_and_crash(*uptimes_s), safe)


def test_safe_mode_goes_on_sampling_unless_it_was_that():
    for where, wanted in (
        ((False, False, False), 1),
        ((True, True, False), 1),  # the newest counts
        ((False, False, True), 2),
        ((True, True, True), 2),
        ((True, True), False),
    ):
        fresh()
        for sampling in where:
            start()
            crashed(5, sampling=sampling)
        harness.equal(crash.boot("hard", LOG)[0], wanted)
        harness.equal(crash.boot("pwron", LOG)[0], wanted)
        text = crash.read(2000).split("\n")
        harness.equal(text.count("after 5 s, started by hard, sampling or storing"), sum(where))


def test_what_crashes_in_safe_mode_too_is_not_sampled_either():
    # A watchdog reset or a fault in C leaves no trace of where it was.
    for cause in ("wdt", "fault", None):
        fresh()
        seen = []
        for _ in range(6):
            seen.append(crash.boot(cause or "hard", LOG)[0])
            if not cause:
                crashed(5)
        seen = seen[1:] if not cause else seen
        harness.equal(seen, [False, False, 1, 2, 2, 2] if cause else [False, False, 1, 2, 2])
        harness.equal(crash.alive(crash.STABLE_S, LOG), False)
        harness.equal(crash.boot("pwron", LOG), (False, False))


def test_counts_of_older_versions():
    fresh()
    run_and_crash(1)
    with open(RUNS, "w") as f:
        f.write("0 5 5 5")
    harness.equal(crash.boot("pwron", LOG), (1, True))


def test_power_cuts_are_no_crashes():
    fresh()
    assert not run_and_crash(1, 1)
    for _ in range(5):
        assert not live("pwron", 120)
    harness.equal(runs(), [120, 1, 1])


def test_a_stable_run_ends_the_row():
    fresh()
    run_and_crash(1, 1)
    start()
    harness.equal(crash.alive(crash.STABLE_S - 1, LOG), True)
    harness.equal(crash.alive(crash.STABLE_S, LOG), False)
    assert not run_and_crash(1, 1)
    assert run_and_crash(1)


def test_a_crash_has_to_be_counted():
    fresh()
    harness.equal(crash.boot("hard", LOG), (False, False))
    crashed(1)
    harness.equal(crash.boot("hard", LOG), (False, True))


def test_safe_mode_lasts_until_a_run_is_stable():
    fresh()
    assert run_and_crash(1, 1, 1)
    assert start()
    assert start("pwron")
    assert live("pwron", crash.STABLE_S)
    assert not start()


def test_the_watchdog_counts():
    for cause, word in (("wdt", "watchdog"), ("fault", "a fault in C")):
        fresh()
        assert not start(cause)
        assert not start(cause)
        assert start(cause)
        harness.equal(crash.read(1000), (word + ", after 0 s or more\n") * 3)


def test_how_long_the_watchdog_let_it_run():
    fresh()
    start("wdt")
    live("hard", 180)
    start("wdt")
    harness.equal(crash.read(1000).split("\n")[-2], "watchdog, after 180 s or more")
    harness.equal(runs(), [0, 0, 180])


def test_a_watchdog_every_six_minutes_or_few_days_does_not():
    for seconds in (370, crash.STABLE_S + 60):
        fresh()
        for _ in range(6):
            assert not live("wdt", seconds)


def test_a_watchdog_after_the_crash_was_written_down_is_no_second_one():
    fresh()
    start()
    crashed(1)
    start("wdt")
    harness.equal(runs(), [0, 1])
    crashed(1)
    assert not start("wdt")
    harness.equal(runs(), [0, 1, 1])
    assert "watchdog" not in crash.read(1000)


def test_the_log_has_the_traceback():
    fresh()
    start()
    crashed(77, "no such thing")
    text = crash.read(1000)
    assert text.startswith("after 77 s, started by hard\n"), text
    assert "ValueError: no such thing" in text and "test_crash.py" in text, text


def test_the_log_stays_small_and_keeps_the_newest():
    fresh()
    for n in range(40):
        crashed(1000, "number {} {}".format(n, "x" * 50))
    sizes = [os.stat("data/" + name)[6] for name in os.listdir("data")]
    assert 2048 < sum(sizes) < 6000, sizes
    text = crash.read(1000)
    assert "number 39 " in text and "number 37 " in text
    harness.equal(len(text), 1000)
    harness.equal(crash.read(10), text[-10:])


def test_a_long_message_stays_within_the_log():
    # An entry is not cut; two files stay, each of one entry more than 2 KB at most.
    fresh()
    for _ in range(5):
        crashed(1, "y" * 2500)
        crashed(1, "short")
    sizes = [os.stat("data/" + name)[6] for name in os.listdir("data")]
    assert sum(sizes) < 2 * (2048 + 2700), sizes
    assert "short" in crash.read(1000)


def test_bytes_that_are_no_text():
    fresh()
    crashed(1, "\u00e9")
    with open(PATH, "ab") as f:
        f.write(b"\xff\xfe")
    harness.equal(crash.read(3)[1:], "??")


def test_damaged_counts_start_anew():
    # Whatever stands there: no exception, and what can be read of it is what counts.
    for data, safe in (
        (b"", False),
        (b"x", False),
        (b"1 x", False),
        (b"\xff\xff", False),
        (b"1 2 3 4 5 6 7", True),
    ):
        fresh()
        run_and_crash(1)
        with open(RUNS, "wb") as f:
            f.write(data)
        harness.equal(start(), safe)
        with open(RUNS, "wb") as f:
            f.write(data)
        harness.equal(start("wdt"), safe)
        if not safe:
            known = runs()
            assert len(known) == 2 and known[0] == 0, (data, known)  # this run, and the watchdog's
            assert not run_and_crash(0)
        assert run_and_crash(0, 0)


def test_flash_that_fails_is_said_and_no_second_crash():
    for fuse in (0, 1, 2):
        log = fresh()
        start()
        crashed(1)
        before = runs()
        FLASH.fuse = fuse
        crashed(1, log=log)
        FLASH.fuse = 0
        harness.equal(crash.alive(60, log), True)
        harness.equal(crash.alive(crash.STABLE_S, log), False)
        crash.boot("wdt", log)
        FLASH.fuse = None
        harness.equal(log.lines, ["crash: not written down, errno 5"] * 4)
        harness.equal(runs()[1:], before[1:])  # nothing half written
        crashed(1)
        harness.equal(len(runs()), 3)  # and once it works again, it works


def test_no_memory_is_no_second_crash():
    log = fresh()
    start()
    error = ValueError("broken")
    said = []
    hear = said.append
    harness.no_heap(lambda: crash.record(error, 1, "hard", hear))
    harness.equal(said, ["crash: no memory to write it down"])
    crash.record(error, 1, "hard", log)
    harness.equal((log.lines, runs()), ([], [-1, 1]))


def test_an_error_at_any_call_stops_no_start():
    # Reading, renaming, making the folder: whatever is refused, and however it is said.
    class Files:
        def __init__(self, call, error):
            self.call, self.error = call, error

        def __getattr__(self, name):
            def refuse(*args):
                raise self.error

            return refuse if name == self.call else getattr(os, name)

    def refuse(*args):
        raise OSError(5)

    for error in (OSError(5), OSError(84), OSError()):
        for call in ("mkdir", "rename"):
            log = fresh()
            crash.os = files.os = Files(call, error)
            harness.equal(crash.boot("wdt", log)[1], True)
            crashed(1, log=log)
            harness.equal(crash.alive(60, log), True)
            crash.os = files.os = os
            assert call == "mkdir" or log.lines, call
    log = fresh()
    crashed(1)
    crashed(1)
    files.open = crash.open = refuse
    harness.equal((crash.ended("wdt"), crash.ended("hard")), (True, False))
    harness.equal((crash.boot("hard", log), crash.read(300)), ((False, False), ""))
    crashed(1, log=log)
    harness.equal(crash.alive(60, log), True)
    del files.open, crash.open
    assert all([line.startswith("crash: not written down") for line in log.lines]), log.lines
    crashed(0)
    assert crash.boot("hard", log)[0]  # what was counted before is still there


def test_how_the_last_run_ended():
    for causes, ended in ((("wdt", "fault"), True), (("pwron", "hard", "repl", "memory"), False)):
        fresh()
        for cause in causes:
            harness.equal(crash.ended(cause), ended)
    crashed(1)
    for cause in ("hard", "pwron"):  # power may go before the restart
        harness.equal(crash.ended(cause), True)
    crash.boot("hard", LOG)
    harness.equal(crash.ended("hard"), False)
