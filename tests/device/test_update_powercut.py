# heap: 256wk
# The power fails before, and in the middle of, every single write and erase of a whole update, from
# the job to its result, and of each way back. At every start the firmware that boot.py chooses is
# whole, and so is the one from before the update (update_rig.py looks); the job ends as it must, and
# no other end of it is ever reported.
#
# It runs once on flash that keeps a journal (flash.py); each prefix of that is a board that lost its
# power there. AWS is then as it was; where the job has changed at that moment, also as it was before.
# What is written is the same with 32 and 64 bits: each tries every second write.

import json
import sys

import harness
from firmware import files
from firmware.updates import slots
from flash import Journal, memory, mounted
from update_rig import JOB, Aws, Board, Machine

BLOCKS = 48
CAUSES = Machine.PWRON_RESET, Machine.WDT_RESET
_MINE = sys.maxsize >> 32 > 0


class Walk:
    # make(aws) gives the board, ended(board) says whether all is well; prepare() what is on flash
    # before, status how far the job is.
    def __init__(self, prepare, make, ended, status="QUEUED"):
        self.make, self.ended = make, ended
        self.journal = mounted(Journal(BLOCKS, 2_000_000))
        prepare()
        self.letters = slots.read()[0]
        self.journal.begin()
        self.known = []  # (operations before it, status, details) of the job
        aws = Aws(status=status)
        aws.on_change = lambda: self._note(aws)
        self._note(aws)
        board = make(aws)
        board.on_trial = lambda: tried.append(self.journal.ops)
        tried = []
        board.power_on(Machine.HARD_RESET)
        self.tried = tried[0]  # operations before it
        self._judge(board, 0)
        self.journal.umount()

    def _note(self, aws):
        self.known.append((self.journal.ops, aws.status, aws.details))

    def _judge(self, board, moved):
        self.ended(board)
        harness.equal(board.trials + moved, 1)

    def run(self):
        kept = memory(BLOCKS * 4096)
        tried = number = 0
        for ops, flash in self.journal.cuts():
            torn, number = number & 1, number + 1
            if (number >> 1 & 1) != _MINE:
                continue
            first = sum([known[0] < ops + torn for known in self.known])
            last = sum([known[0] <= ops for known in self.known])
            kept[:] = flash.data
            for known in self.known[max(first - 1, 0) : last]:
                flash.data[:] = kept
                self._cut(ops, flash, known, CAUSES[number >> 2 & 1])
                tried += 1
        print("{} operations, {} cuts tried".format(self.journal.ops, tried))

    def _cut(self, ops, flash, known, cause):
        aws = Aws(status=known[1])
        aws.details = known[2]
        board = self.make(aws)
        flash.mount()
        try:
            moved = ops >= self.tried or slots.read() != (self.letters, None, None)
            board.power_on(cause)
            self._judge(board, moved)
        except Exception:
            print("cut after", ops, known, board.log, board.starts)
            raise
        finally:
            flash.umount()


class Stop(Exception):
    pass


def checked(old):
    # Up to where the slot is moved.
    def prepare():
        board = Board(Aws(), old)
        board.setup()
        board.stop = Stop
        harness.raises(Stop, board.power_on)

    return prepare


def test_an_update():
    Walk(lambda: Board(Aws()).setup(), Board, lambda board: board.succeeded()).run()


def test_an_update_back_into_the_slot_that_was_flashed():
    prepare = lambda: Board(Aws(), "b").setup()  # noqa: E731
    Walk(prepare, lambda aws: Board(aws, "b"), lambda board: board.succeeded()).run()


def gone_back(kind, words):
    for old in "ab":
        make = lambda aws, old=old: Board(aws, old, kind)  # noqa: E731
        ended = lambda board, old=old: board.failed(words, old + "a")  # noqa: E731
        Walk(checked(old), make, ended, "IN_PROGRESS").run()


def test_a_firmware_that_cannot_be_imported():
    gone_back("crash", "three starts")


def test_a_day_without_a_session():
    gone_back("mute", "within a day")
