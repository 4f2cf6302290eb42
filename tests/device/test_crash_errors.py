# A file system that fails around the crash log, and how the last run ended.

import os

import harness
from fakes import Log
from firmware import crash, files
from flash import Flash

FLASH = Flash(16)
LOG = Log()


def fresh():
    FLASH.fresh()
    return Log()


def crashed(uptime_s, log=LOG):
    crash.record(ValueError("broken"), uptime_s, "hard", log)


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


FLASH.format()
FLASH.mount()
harness.run(globals())
