# Settings survive any power cut, as they were or as they were to be; a damaged file is said to be.

import os

import harness
from fakes import Log
from firmware.core.errors import StoreError
from firmware.settings import Settings
from flash import Flash
from flash_journal import Journal

_PATH = "data/settings.json"
FLASH = Flash(12)


def fresh():
    FLASH.umount()
    FLASH.format()
    FLASH.mount()


def load():
    return Settings(_PATH, Log())


def write(data):
    with open(_PATH, "wb") as f:
        f.write(data)


def read():
    with open(_PATH, "rb") as f:
        return f.read()


def test_nothing_there():
    fresh()
    settings = load()
    harness.equal((settings.values, settings.state, settings.damaged), ({}, {}, False))


def test_what_was_set_is_there_after_a_restart():
    fresh()
    settings = load()
    settings.set("interval_s", 30)
    settings.set("i2c", {"sda": 4, "scl": 5})
    settings.note("seen", ["a1", "b2"])
    settings.set("sensor", "auto")
    settings.set("sensor", None)
    settings = load()
    harness.equal(settings.values, {"interval_s": 30, "i2c": {"sda": 4, "scl": 5}})
    harness.equal(settings.state, {"seen": ["a1", "b2"]})


def test_no_write_when_nothing_is_new():
    fresh()
    settings = load()
    settings.set("interval_s", 30)
    settings.note("seen", [])
    ops = FLASH.ops
    settings.set("interval_s", 30)
    settings.note("seen", [])
    settings.set("sensor", None)
    harness.equal(FLASH.ops, ops)
    settings.set("interval_s", True)
    assert FLASH.ops > ops


def test_a_list_of_the_caller_stays_the_callers():
    fresh()
    settings = load()
    seen = ["a"]
    settings.note("seen", seen)
    seen.append("b")
    settings.note("seen", seen)
    harness.equal(load().state, {"seen": ["a", "b"]})


def test_the_file_is_json():
    fresh()
    load().set("interval_s", 30)
    import json

    harness.equal(json.loads(read())["data"]["values"], {"interval_s": 30})


def test_a_damaged_file_is_none_and_is_said():
    fresh()
    load().set("interval_s", 30)
    good = read()
    bad = [b"", b"{}", b"null", b"[1, 2]", b"\xff" * 100, good[:-1], good[1:], good + b" "]
    bad += [good.replace(b"30", b"31"), bytes(500)]
    for data in bad:
        write(data)
        log = Log()
        settings = Settings(_PATH, log)
        harness.equal((settings.values, settings.damaged, len(log.lines)), ({}, True, 1))
    settings.set("interval_s", 40)
    harness.equal((load().values, load().damaged), ({"interval_s": 40}, False))


def test_any_damaged_byte_is_noticed():
    fresh()
    load().set("interval_s", 30)
    good = read()
    for i in range(len(good)):
        write(good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :])
        assert load().damaged, good[i:]


def test_too_large_changes_nothing():
    fresh()
    settings = load()
    settings.set("interval_s", 30)
    text = "x" * 800
    error = None
    for n in range(6):
        try:
            settings.set(str(n), text)
        except StoreError as e:  # for want of flash, or on the way there of memory
            error = e
            break
    assert error and 1 <= n < 6, n
    harness.equal(len(settings.values), n + 1)
    settings = None
    settings = load()
    harness.equal((len(settings.values), settings.values["interval_s"]), (n + 1, 30))


def test_flash_that_fails_changes_nothing():
    fresh()
    settings = load()
    settings.set("interval_s", 30)
    FLASH.fuse = 0
    harness.raises(StoreError, settings.set, "interval_s", 40)
    FLASH.fuse = None
    harness.equal(settings.values, {"interval_s": 30})


def test_flash_that_fails_to_take_a_note_stops_nobody():
    # An id that was done, the topics of the session: the board goes on without, and says so.
    fresh()
    log = Log()
    settings = Settings(_PATH, log)
    settings.note("seen", [1])
    FLASH.fuse = 0
    settings.note("seen", [1, 2])
    FLASH.fuse = None
    harness.equal((settings.state, len(log.lines)), ({"seen": [1]}, 1))
    assert log.lines[0].startswith("settings: "), log.lines


def test_old_or_new_after_a_power_cut_at_any_write():
    FLASH.umount()
    journal = Journal(12, 100_000)
    journal.format()
    journal.mount()
    settings = load()
    settings.set("interval_s", 0)
    journal.begin()
    ends = []
    for n in range(1, 60):
        settings.set("interval_s", n)
        ends.append(journal.ops)
    journal.umount()
    cuts = before = 0
    for ops, board in journal.cuts():
        while ends[before] <= ops:
            before += 1
        board.mount()
        found = load()
        board.umount()
        assert found.values.get("interval_s") in (before, before + 1), found.values
        assert not found.damaged
        cuts += 1
    print("cuts tried {}, settings lost 0".format(cuts))
    assert cuts > 200, cuts
    FLASH.mount()


os.chdir("/")
FLASH.format()
FLASH.mount()
harness.run(globals())
