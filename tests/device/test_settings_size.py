# Settings that would make a file larger than an ESP8266 can take apart are refused.

import gc
import os

import harness
from fakes import Log
from firmware import settings
from flash import Flash

FLASH = Flash(12)


def made():
    FLASH.umount()
    FLASH.format()
    FLASH.mount()
    i2c = {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
    one = settings.Settings({"interval_s": 60, "i2c": i2c}, {}, {}, Log())
    one.apply = lambda key: None
    return one


def test_a_note_too_large_is_not_taken():
    one = made()
    one.set("interval_s", 30)
    for key in "abc":
        one.note(key, "x" * 1000)
    harness.equal(len(one._log.lines), 1)  # too large, or on 32 bits no memory on the way there
    assert one._log.lines[0].startswith("settings: c not saved, "), one._log.lines
    harness.equal(sorted(one.state), ["a", "b", "c"])  # until the restart
    one = None
    gc.collect()
    values, state = settings.load()
    harness.equal((sorted(state), values), (["a", "b"], {"interval_s": 30}))


def test_a_change_too_large_is_not_done():
    one = made()
    for key in "abcde":
        one.note(key, "x" * 585)
    harness.equal(one._log.lines, [])
    harness.equal(one.set("i2c", {"sda": 4, "scl": 5}), "not done: settings: too large")
    harness.equal((one.values["i2c"]["sda"], settings.load()[0]), (21, {}))


os.chdir("/")
FLASH.format()
FLASH.mount()
harness.run(globals())
