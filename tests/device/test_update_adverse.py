# heap: 384wk
# What AWS, the stream or the flash does to a job that no rule allows: it ends, and nothing goes in
# circles.

import os

import harness
from firmware import chip, files, version
from firmware.net import packets
from firmware.updates import jobs, manifest
from flash import Flash, mounted
from update_rig import App, Aws, Board, Reset

FLASH = mounted(Flash(64))
_DAY_S = 86_400


def fresh():
    version.VERSION = "1.0.0"
    FLASH.fresh()
    Board(Aws()).setup(False)


def connected(aws):
    chip.log, packets.document = lambda text: None, aws.document_sent
    app = App("aa")
    app.connection.up, app.connection.sessions = True, 1
    return app


def until(app, aws, end_s):
    # Or until it restarts for the trial.
    try:
        _until(app, aws, end_s)
    except Reset:
        pass


def _until(app, aws, end_s):
    while app.clock.s < end_s:
        for message in aws.taken():
            jobs.step(app, *message)
        if app.clock.s < app.job_s or not jobs.step(app):
            app.clock.s = app.clock.s + 1 if aws.answers else max(app.clock.s + 1, app.job_s)


class Refusing(Aws):
    # Hands the job out, and takes nothing that is said of it.
    refuses = 1_000_000

    def _update(self, kind, asked):
        if not self.refuses:
            return super()._update(kind, asked)
        self.refuses -= 1
        self._answer(kind + "/rejected", {"code": "InvalidStateTransition"})


def test_a_job_that_aws_hands_out_and_refuses_is_no_circle():
    fresh()
    aws = Refusing()
    app = connected(aws)
    until(app, aws, _DAY_S)
    found = aws.kinds.count("jobs/$next/get")
    assert 20 < found < 60, found
    aws.refuses = 0
    until(app, aws, _DAY_S + 3600)
    assert aws.kinds.count("streams/s-1/get/json"), aws.kinds


def test_after_one_refusal_the_next_job_does_not_wait_long():
    fresh()
    aws = Refusing()
    aws.refuses = 1
    app = connected(aws)
    until(app, aws, 20)
    assert aws.kinds.count("streams/s-1/get/json"), aws.kinds


class Mute(Aws):
    # No such stream: AWS has no answer to it.
    mute = True

    def _hear(self, kind, asked):
        if not (self.mute and kind.startswith("streams/")):
            super()._hear(kind, asked)


def test_a_stream_that_does_not_answer_ends_the_job():
    # In one session, and in sessions of a minute, in which most is asked once.
    for session_s in (_DAY_S, 60):
        fresh()
        aws = Mute()
        app = connected(aws)
        while not aws.over() and app.clock.s < _DAY_S:
            until(app, aws, app.clock.s + session_s)
            app.connection.sessions, app.job_s = app.connection.sessions + 1, 0
        assert aws.status == "FAILED", (aws.status, aws.kinds)
        assert "does not answer" in aws.details["reason"], aws.details
        found = aws.kinds.count("streams/s-1/get/json")
        assert found == 60, found


def test_after_some_lost_blocks_it_goes_on_soon():
    fresh()
    aws = Mute()
    app = connected(aws)
    until(app, aws, 100)
    aws.mute = False
    until(app, aws, 160)
    assert aws.kinds.count("streams/s-1/data/json") >= 4, aws.kinds


class Filling(Aws):
    # Something else takes all the room but for some blocks: before a job comes, or once its files
    # do.
    def __init__(self, blocks, once=None):
        super().__init__()
        self.blocks, self.once = blocks, once

    def _hear(self, kind, asked):
        if self.once and kind.startswith("streams/") and asked["o"] >= self.once:
            self.once = None
            fill(self.blocks)
        super()._hear(kind, asked)


def free():
    # As the outbox sees it. LittleFS's statvfs counts folders twice, and has no sign.
    found = os.statvfs(".")
    return found[3] if found[3] <= found[2] else found[3] - (1 << 32)


def fill(blocks):
    # Of one block each.
    n = 0
    try:
        while True:
            with open("filler/{}".format(n), "wb") as f:
                f.write(bytes(3000))
            n += 1
    except OSError:
        os.remove("filler/{}".format(n))
    while free() < blocks:
        n -= 1
        os.remove("filler/{}".format(n))


def test_room_is_there_for_all_of_it_or_it_is_refused():
    # Slot b has nothing: its three folders are to be counted. The outbox drops readings when it is
    # told of fewer free blocks than 4.
    ends = []
    for blocks in range(-8, 40, 2):
        fresh()
        os.mkdir("filler")
        fill(blocks)
        board = Board(Aws())
        board.power_on()
        ends.append(board.aws.status)
        if board.aws.status == "SUCCEEDED":
            assert free() >= 8, (blocks, free())
            board.succeeded()
        else:
            board.failed("no room")
    harness.equal(ends, sorted(ends))  # FAILED, then SUCCEEDED
    harness.equal((ends[0], ends[-1]), ("FAILED", "SUCCEEDED"))


def test_no_room_in_the_midst_gives_back_what_has_come():
    # The first file that is not copied begins in block 3.
    for number, blocks in ((1, -99), (4, -99)):
        fresh()
        os.mkdir("filler")
        before = free()
        aws = Filling(blocks, number)
        board = Board(aws)
        board.power_on()
        harness.equal(aws.once, None)
        board.failed("no room: the flash is full")
        assert -99 < free() < before, free()
        for name in os.listdir("filler"):
            os.remove("filler/" + name)
        assert free() >= before - 4, (before, free())  # b, b/firmware
        board = Board(Aws())
        board.power_on()
        board.succeeded()


def test_a_path_is_found_wherever_its_line_lies():
    # find() reads pieces of 512 bytes; what follows the manifest is no part of it.
    fresh()
    rows = [
        "firmware/{}{}.mpy {} {}".format("x" * (n % 40), n, n + 1, "0" * 64) for n in range(70)
    ]
    head = "".join(["{} 1\n".format(key) for key in manifest.HEAD])
    text = head + "\n" + "".join([row + "\n" for row in rows])
    files.replace("data/release", text + "\nfirmware/behind.mpy 1 " + "0" * 64 + "\n")
    at = 0
    for _ in rows:
        *wanted, at = manifest.entry(len(text), at)
        harness.equal(manifest.find(len(text), wanted[0]), tuple(wanted))
        harness.equal(manifest.find(len(text), wanted[0][:-1]), None)
    harness.equal(at, len(text))
    harness.equal(manifest.find(len(text), "firmware/behind.mpy"), None)


def test_an_empty_folder_goes():
    # Of the name of a module it would be imported in its place.
    fresh()
    files.replace("b/firmware/net/old/deep.py", b"gone")
    files.replace("b/firmware/core/gone.py", b"gone")
    board = Board(Aws())
    board.power_on()
    board.succeeded()
    harness.equal(sorted(os.listdir("b/firmware")), NAMES)


NAMES = ["app.py", "core", "keys.txt", "net.py", "version.py"]


def test_a_job_that_could_not_be_read_again_is_refused():
    # Else each start would try it anew.
    for size, status in ((3_500, "SUCCEEDED"), (6_500, "FAILED")):
        fresh()
        document = dict(Aws().document)
        document["version"] = "2" * size
        board = Board(Aws(document))
        board.power_on()
        harness.equal(board.aws.status, status)
        assert status == "SUCCEEDED" or "longer than this board" in board.aws.details["reason"]
