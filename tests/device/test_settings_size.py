# heap: 43wk
# Settings that would make a file larger than an ESP8266 can take apart are refused.

import os
import sys

import harness
from fakes import Log
from firmware.settings import Settings
from flash import Flash

PATH = "data/settings.json"
FLASH = Flash(12)


def made():
    FLASH.fresh()
    i2c = {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
    one = Settings({"interval_s": 60, "i2c": i2c}, {}, {}, Log())
    one.apply = lambda key: None
    return one


def test_a_note_too_large_is_not_taken():
    one = made()
    one.set("interval_s", 30)
    one.note("trial", None)
    for key in "abc":
        one.note(key, "x" * 1000)
    # In 36 KB of a 32-bit machine there may be no memory on the way there, even for the second.
    for line in one.log.lines:
        assert " not saved, " in line, line
    assert one.log.lines[-1].startswith("settings: c not saved, "), one.log.lines
    harness.equal(sorted(one.state), ["a", "b", "c"])  # until the restart
    kept = 3 - len(one.log.lines)
    assert kept == 2 or (kept == 1 and sys.maxsize < 1 << 32), one.log.lines
    size = os.stat(PATH)[6]
    assert kept * 1000 < size < kept * 1000 + 200, size


def test_a_change_too_large_is_not_done():
    one = made()
    for key in "abcde":
        one.note(key, "x" * 585)
    harness.equal(one.log.lines, [])
    size = os.stat(PATH)[6]
    harness.equal(one.set("i2c", {"sda": 4, "scl": 5}), "not done: settings: too large")
    harness.equal((one.values["i2c"]["sda"], os.stat(PATH)[6]), (21, size))


os.chdir("/")
FLASH.format()
FLASH.mount()
harness.run(globals())
