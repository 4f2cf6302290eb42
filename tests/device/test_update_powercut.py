# heap: 256wk
# The power fails before, and in the middle of, every single write and erase of a whole update,
# from the job to its result, and of each way back. At every start the firmware that boot.py has
# chosen is whole, and so is the one from before the update (update_rig.py looks); the job ends as
# it must, and no other end of it is ever reported.
#
# It runs once on flash that keeps a journal (flash.py); each prefix of that is a board that lost
# its power there. AWS is then as it was; where the job has changed at that moment, also as it was
# before. Each board also loses its power once more, on its way from there. What is written is the
# same with 32 and 64 bits: each tries every second write.

import json
import sys

import harness
from firmware import files
from firmware.updates import slots
from flash import Journal, memory, mounted
from update_rig import JOB, Aws, Board, Machine, certified

BLOCKS = 48
CAUSES = Machine.PWRON_RESET, Machine.WDT_RESET
_MINE = sys.maxsize >> 32 > 0


class Walk:
    # prepare(): what is on flash before. make(aws) gives the board, ended(board) says whether all
    # is well; status, document: of the job.
    def __init__(self, prepare, make, ended, status="QUEUED", document=None):
        self.make, self.ended, self.document = make, ended, document
        self.journal = mounted(Journal(BLOCKS, 2_000_000))
        prepare()
        self.good = slots.read()[0], None, None  # not moved yet
        self.journal.begin()
        self.known = []  # (operations before it, status, details) of the job
        aws = Aws(document, status=status)
        aws.on_change = lambda: self.known.append((self.journal.ops, aws.status, aws.details))
        aws.on_change()
        board = make(aws)
        tried = []
        board.on_trial = lambda: tried.append(self.journal.ops)
        try:
            board.power_on(Machine.HARD_RESET)
            self._judge(board, 1 - len(tried))
        finally:
            self.journal.umount()
        self.tried = tried[0] if tried else 0  # operations before the trial

    def _judge(self, board, moved):
        self.ended(board)
        harness.equal(board.trials + moved, 1)

    def run(self):
        kept, state = memory(BLOCKS * 4096), harness.seed()
        tried = number = 0
        for ops, flash in self.journal.cuts():
            torn, number = number & 1, number + 1
            if (number >> 1 & 1) != _MINE:
                continue
            first = sum([known[0] < ops + torn for known in self.known])
            last = sum([known[0] <= ops for known in self.known])
            kept[:] = flash.data
            for known in self.known[max(first - 1, 0) : last]:
                state = (state * 75 + 74) % 65537
                for fuse in (None, 1 + state % (self.journal.ops - ops + 8)):
                    flash.data[:] = kept
                    flash.fuse = fuse
                    self._cut(ops, flash, known, CAUSES[number >> 2 & 1])
                    tried += 1
        print("{} operations, {} boards".format(self.journal.ops, tried))

    def _cut(self, ops, flash, known, cause):
        aws = Aws(self.document, status=known[1])
        aws.details = known[2]
        board = self.make(aws)
        board.flash = flash
        flash.mount()
        fuse = flash.fuse
        try:
            moved = ops >= self.tried or slots.read() != self.good
            if not board.power_on(cause):
                flash.umount()
                flash.fuse = None
                flash.mount()
                moved = moved or board.trials > 0 or slots.read() != self.good
                board.trials = 0
                board.power_on()
            self._judge(board, moved)
        except Exception:
            print("cut after", ops, fuse, known, board.log, board.starts)
            raise
        finally:
            flash.fuse = None
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


def certificate(kind, ended):
    # On trial; what is stored before that is test_rotate.py's.
    document = {"fieldmouse": "certificate"}
    job = {"id": JOB, "document": document, "state": "key"}

    def prepare():
        Board(Aws()).setup(False)
        document["certificate"] = certified()
        files.replace("data/job.json", json.dumps(job))
        files.replace("slot", "ab aa 3")

    Walk(prepare, lambda aws: Board(aws, kind=kind), ended, "IN_PROGRESS", document).run()


def test_a_certificate_that_is_refused():
    certificate("refused", lambda board: board.failed("no session that lasts"))


def test_a_certificate_that_is_good():
    def ended(board):
        harness.equal((board.aws.status, slots.read()), ("SUCCEEDED", ("ab", None, None)))
        for status, slot, _ in board.aws.final:
            harness.equal((status, slot), ("SUCCEEDED", ("ab", None, None)))

    certificate(None, ended)
