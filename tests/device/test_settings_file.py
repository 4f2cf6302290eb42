# heap: 48wk
# The file of the settings survives any power cut, as it was or as it was to be; a damaged one is
# said to be.

import json
import os

import harness
from fakes import Log
from firmware import files
from firmware.core import schema
from firmware.settings import Settings
from flash import Flash
from flash_journal import Journal

_PATH = "data/settings.json"
FLASH = Flash(12)


def fresh():
    FLASH.fresh()


def made():
    # As after a restart.
    saved, state = files.load_settings()
    one = Settings(dict(schema.DEFAULTS), saved, state, Log())
    one.values.update(saved)
    one.apply = lambda key: None
    return one


def set_for_good(one, key, value):
    harness.equal(one.set(key, value), None)
    one.note("trial", None)


def write(data, times=1):
    with open(_PATH, "wb") as f:
        for _ in range(times):
            f.write(data)


def read():
    with open(_PATH, "rb") as f:
        return f.read()


def test_the_file_is_json():
    fresh()
    set_for_good(made(), "interval_s", 30)
    harness.equal(json.loads(read())["data"], {"values": {"interval_s": 30}, "state": {}})


def test_a_file_of_0_1_0_is_read():
    fresh()
    os.mkdir("data")
    write(b'{"crc": "291e", "data": {"values": {"interval_s": 30}, "state": {"seen": ["a"]}}}')
    harness.equal(files.load_settings(), ({"interval_s": 30}, {"seen": ["a"]}))


def test_a_damaged_file_is_none_and_is_said():
    fresh()
    set_for_good(made(), "interval_s", 30)
    good = read()
    bad = [b"", b"{}", b"null", b"[1, 2]", b"\xff" * 100, good[:-1], good[1:], good + b" "]
    bad += [good.replace(b"30", b"31"), bytes(500)]
    for data in bad:
        write(data)
        harness.equal(files.load_settings(), None)
    write(bytes(500), 8)
    harness.equal(files.load_settings(), None)
    one = Settings(dict(schema.DEFAULTS), {}, {}, Log())
    one.apply = lambda key: None
    set_for_good(one, "interval_s", 40)
    harness.equal(files.load_settings(), ({"interval_s": 40}, {}))


def test_any_damaged_byte_is_noticed():
    fresh()
    set_for_good(made(), "interval_s", 30)
    good = read()
    for i in range(len(good)):
        write(good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :])
        assert files.load_settings() is None, good[i:]


def test_old_or_new_after_a_power_cut_at_any_write():
    FLASH.umount()
    journal = Journal(12, 100_000)
    journal.format()
    journal.mount()
    bench = made()
    bench.set("interval_s", 1000)
    journal.begin()
    ends = []
    for n in range(1, 60):
        bench.set("interval_s", 1000 + n)
        ends.append(journal.ops)
    journal.umount()
    cuts = before = 0
    for ops, found in journal.loaded(files.load_settings):
        while ends[before] <= ops:
            before += 1
        assert found and found[0].get("interval_s") in (1000 + before, 1001 + before), found
        cuts += 1
    print("cuts tried {}, settings lost 0".format(cuts))
    assert cuts > 200, cuts
    FLASH.mount()


os.chdir("/")
FLASH.format()
FLASH.mount()
harness.run(globals())
