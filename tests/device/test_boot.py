# heap: 128wk
# boot.py alone: for each form of `slot` and each cause of the reset what is chosen, written, and
# started; and what a power cut in the middle of that leaves.

import sys

import harness
from firmware import files
from firmware.updates import manifest, slots
from flash import Flash, Journal, mounted
from update_rig import MACHINE, Machine, Reset, boot, off

FLASH = mounted(Flash(12))
ENOSPC = 28
POWER = Machine.PWRON_RESET, Machine.DEEPSLEEP_RESET
OTHER = Machine.HARD_RESET, Machine.WDT_RESET, Machine.SOFT_RESET, 0, 99
GOOD = "aa", "ba", "ab", "bb"
DAMAGED = (b"", b" ", b"\n", b"b", b"ba aa", b"bb a", b"ba aa 3 4", b"xx", b"BA", b"bac aa 3")
DAMAGED += (b"ba a 3", b"ba zz 3", b"b\xff", b"\xff\xfe\xfd", b"b" * 200, b"ba\0", b"ba\0aa\0003")
# (on trial, to go back to): firmware, certificates, each way.
TRIALS = [
    (name, old) for name in GOOD for old in GOOD if (name[0] != old[0]) + (name[1] != old[1]) == 1
]


def content():
    return (files.read("slot", 300) or b"none").decode()


def chosen(cause):
    # Letter; what is in slot after it; whether the trial is guarded.
    letter = boot(cause)
    # The firmware sees the same: else it would write into the slot that runs.
    if cause is not None:
        harness.equal(sys.path[:2].count("b"), int(letter == "b"))
    off()
    guarded = MACHINE.patience_ms == 120_000
    harness.equal(guarded, MACHINE.day is not None)
    assert guarded or MACHINE.patience_ms is None
    return letter, content(), guarded


def put(text):
    FLASH.fresh()
    if text is not None:
        files.replace("slot", text)


def test_what_is_good_runs_and_nothing_is_written():
    for cause in POWER + OTHER:
        put(None)
        harness.equal(chosen(cause), ("a", "none", False))
        for text in GOOD + (
            "aa ba starts",
            "ba aa starts",
            "aa ba day",
            "aa ab refused",
            "bb ab x",
        ):
            put(text)
            ops = FLASH.ops
            harness.equal(chosen(cause), (text[0], text, False))
            harness.equal(FLASH.ops, ops)
            harness.equal(slots.read()[0], text[:2])


def test_what_is_damaged_is_none():
    for cause in POWER + OTHER:
        for text in DAMAGED:
            put(text)
            ops = FLASH.ops
            harness.equal((text, boot(cause), MACHINE.patience_ms), (text, "a", None))
            harness.equal((text, slots.read()), (text, ("aa", None, None)))
            harness.equal(FLASH.ops, ops)


def test_a_trial_is_counted_but_for_power_and_sleep():
    harness.equal(len(TRIALS), 8)
    for name, old in TRIALS:
        for count in range(4):
            text = "{} {} {}".format(name, old, count)
            for cause in POWER:
                put(text)
                harness.equal(chosen(cause), (name[0], text, True))
            for cause in OTHER:
                put(text)
                if count:
                    wanted = name[0], "{} {} {}".format(name, old, count - 1), True
                else:
                    wanted = old[0], "{} {} starts".format(old, name), False
                harness.equal(chosen(cause), wanted)
                harness.equal(slots.read()[0], wanted[1][:2])


def test_three_starts_and_no_more():
    for name, old in TRIALS:
        put(None)
        files.replace("slot", old)
        slots.trial(name)
        runs = []
        for _ in range(6):
            letter, _, guarded = chosen(Machine.HARD_RESET)
            runs.append((letter, guarded))
        harness.equal(runs, [(name[0], True)] * 3 + [(old[0], False)] * 3)
        harness.equal(content(), "{} {} starts".format(old, name))


def test_a_day():
    for name, old in TRIALS:
        put("{} {} 2".format(name, old))
        boot(Machine.PWRON_RESET)
        harness.raises(Reset, MACHINE.day, None)
        off()
        wanted = "{} {} day".format(old, name)
        harness.equal(content(), wanted)
        harness.equal(chosen(Machine.HARD_RESET), (old[0], wanted, False))


def test_a_day_after_the_trial_has_ended():
    # The timer runs on in a board that does not restart.
    for name, old in TRIALS:
        for text in (name, "{} {} refused".format(old, name), None):
            put("{} {} 2".format(name, old))
            boot(Machine.PWRON_RESET)
            put(text)
            ops = FLASH.ops
            try:
                MACHINE.day(None)
            except OSError:
                harness.equal(text, None)  # `deploy` has taken it away
            off()
            harness.equal((content(), FLASH.ops), (text or "none", ops))


def test_where_nothing_can_be_written_the_old_one_runs():
    for name, old in TRIALS:
        for count in range(4):
            text = "{} {} {}".format(name, old, count)
            put(text)
            FLASH.fuse = 0
            try:
                harness.equal(chosen(Machine.HARD_RESET), (old[0], text, False))
                # A start that is not counted needs no write; a day ends it all the same.
                harness.equal(chosen(Machine.PWRON_RESET), (name[0], text, True))
                harness.raises(Reset, MACHINE.day, None)
                harness.equal(chosen(Machine.HARD_RESET), (old[0], text, False))
            finally:
                FLASH.fuse = None


def test_where_there_is_no_room_a_start_is_counted():
    # LittleFS keeps so small a file in its directory.
    put("ba aa 3")
    number = 0
    try:
        while True:
            files.replace("full{}".format(number), bytes(4096))
            number += 1
    except OSError as e:
        harness.equal((e.errno, number > 5), (ENOSPC, True))
    for wanted in (("b", "ba aa 2", True), ("b", "ba aa 1", True), ("b", "ba aa 0", True)):
        harness.equal(chosen(Machine.HARD_RESET), wanted)
    harness.equal(chosen(Machine.HARD_RESET), ("a", "aa ba starts", False))


def test_a_power_cut_leaves_the_one_or_the_other():
    FLASH.umount()
    tried = 0
    try:
        for name, old in TRIALS:
            for count in range(4):
                tried += cut(name, old, count)
    finally:
        FLASH.mount()
    print(tried, "cuts")
    assert tried > 150, tried


def cut(name, old, count, tried=0):
    before = "{} {} {}".format(name, old, count)
    journal = mounted(Journal(12, 40_000))
    files.replace("slot", before)
    journal.begin()
    chosen(Machine.HARD_RESET)
    after = content()
    journal.umount()
    seen = []
    for _, board in journal.cuts():
        board.mount()
        text = content()
        assert text in (before, after), text
        seen.append(text == after)
        harness.equal(chosen(Machine.PWRON_RESET), (text[0], text, text[-1].isdigit()))
        # And what is left of the last try is in the way of no other one.
        runs = "".join(chosen(Machine.HARD_RESET)[0] for _ in range(count + 1))
        left = count if text == before else count - 1
        wanted = name[0] * max(left, 0) + old[0] * (count + 1 - max(left, 0))
        harness.equal((text, runs), (text, wanted))
        board.umount()
        tried += 1
    harness.equal(seen, sorted(seen))
    return tried


def test_no_release_has_it():
    digits = "0" * 64
    harness.equal(manifest.row("firmware/app.py 1 " + digits), ("firmware/app.py", 1, digits))
    for path in ("boot.py", "main.py", "/boot.py", "../boot.py", "firmware/../boot.py", "slot"):
        harness.raises(ValueError, manifest.row, "{} 1 {}".format(path, digits))
