# heap: 256wk
# Ends of a trial that do not come by themselves in test_update_powercut.py: a crash whose text is
# odd, a flash that cannot be written, a job that was not looked at yet, a cable.

import os

import harness
from firmware import files
from firmware.updates import resumed, slots, trial
from flash import Flash, mounted
from update_rig import MACHINE, NEW, App, Aws, Board, Machine, Reset, boot, off, write

FLASH = mounted(Flash(48))


def fresh(slot, state="trial"):
    FLASH.fresh()
    board = Board(Aws(status="IN_PROGRESS"))
    board.setup(False)
    write("b/", NEW)
    job = {"id": "job-1", "document": board.aws.document, "state": state}
    resumed.save(job)
    files.replace("slot", slot)
    return board


def test_the_text_of_a_crash_is_cut_to_what_aws_takes():
    for text in (
        b"x" * 3000,
        b"Traceback:\n  File 1\r\nImportError: x\n",
        b"\xc3\xa4" * 1500 + b"b",
        b"\xff\xfe\0ImportError",
        b"",
        b"caf\xc3\xa9",
    ):
        board = fresh("aa ba starts")
        files.replace("data/import.log", text)
        board.power_on()
        board.failed("three starts")
        details = board.aws.details
        harness.equal(len(details.get("crash", "")), min(len(text), 700))
        assert all(32 <= ord(char) < 127 for char in details.get("crash", ""))


def test_a_start_that_cannot_be_counted_is_no_circle_of_restarts():
    fresh("ba aa 3")
    FLASH.fuse = 0
    try:
        harness.equal((boot(Machine.HARD_RESET), MACHINE.patience_ms), ("a", None))
    finally:
        FLASH.fuse = None
    app = App("ba")
    app.trial = 1
    for app.clock.s in range(0, 900, 50):
        trial.check(app)
    app.clock.s = 900
    harness.raises(Reset, trial.check, app)
    harness.equal(slots.read(), ("ba", "aa", "3"))  # and it is never taken for good


def test_that_it_has_gone_back_is_said_from_a_flash_that_takes_no_write():
    board = fresh("aa ba starts")
    boot(Machine.PWRON_RESET)
    FLASH.fuse = 0
    try:
        job = resumed.job()
    finally:
        FLASH.fuse = None
    harness.equal((job["state"], job["status"]), ("result", "FAILED"))
    harness.equal(slots.read(), ("aa", "ba", "starts"))
    off()
    board.power_on()
    board.failed("three starts")


def test_good_only_once_the_job_knows_of_the_trial():
    # The power went between the slot and the note that it has moved; AWS is heard before the job.
    board = fresh("ba aa 3", "check")
    boot(Machine.PWRON_RESET)
    app = App("ba")
    app.trial, app.shadow.seen, app.shadow.get_due = 2, 0, False
    trial.check(app)
    harness.equal(slots.read(), ("ba", "aa", "3"))
    app.job = resumed.job()
    trial.check(app)
    harness.equal((slots.read(), app.job), (("ba", None, None), {}))
    off()
    board.power_on()
    board.succeeded()


def test_what_came_by_cable_is_not_the_job():
    board = fresh("ba aa 3")
    os.remove("slot")
    board.power_on()
    board.failed("not tried")
