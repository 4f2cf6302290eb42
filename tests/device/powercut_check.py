# What must be true of a board that lost power anywhere in the scenario of powercut.py.

import harness
from outbox_reader import unsent
from powercut import PUTS, fill

_EXTRA = 0x0FFF  # number of the reading stored between two power cuts


class Check:
    # A board that lost power at `ops` of the journal, and comes back.
    def __init__(self, history):
        self.history = history
        self.found = bytearray(PUTS)
        self._buf = memoryview(bytearray(100))
        self.lost = 0

    def run(self, flash, ops, extra_seq):
        # extra_seq: of a reading stored since; 0 if its put() did not return.
        flash.mount()
        outbox = self.history.boot()
        extra = self._read(outbox, ops)
        assert extra == extra_seq or not extra_seq, "extra reading lost"
        self._count(outbox, ops, extra)
        self._go_on(outbox, ops, extra)
        flash.umount()

    def _read(self, outbox, ops):
        history = self.history
        for i in range(PUTS):
            self.found[i] = 0
        last = extra = 0
        while True:
            record = unsent(outbox)
            if record is None:
                return extra
            number = record[0] | record[1] << 8
            if number == _EXTRA:
                last = extra = outbox.read - 1
                continue
            assert number < PUTS and history.started[number] <= ops, "from nowhere"
            assert outbox.read - 1 > last, "order"
            last = outbox.read - 1
            size = fill(self._buf, number)
            assert record == self._buf[:size], "corrupt"
            harness.equal(last, history.seqs[number])
            assert not self.found[number], "doubled"
            self.found[number] = 1

    def _count(self, outbox, ops, extra):
        history = self.history
        for i in range(PUTS):
            if history.stored[i] <= ops < history.let_go[i] and not self.found[i]:
                self.lost += 1
        harness.equal(outbox.corrupt, 0)
        harness.equal(outbox.waiting, sum(self.found) + bool(extra))

    def _go_on(self, outbox, ops, extra):
        # The next seq is above all that a put() returned, and the reading can be read.
        history = self.history
        size = fill(self._buf, 7)
        seq = outbox.put(self._buf, size)
        assert seq > extra
        for i in range(PUTS):
            if history.stored[i] <= ops or self.found[i]:
                assert seq > history.seqs[i], "seq used twice"
        while True:
            record = unsent(outbox)
            assert record is not None, "new reading not there"
            if outbox.read - 1 == seq:
                assert record == self._buf[:size]
                return


def replay(history, journal, second_cuts, wanted):
    # Readings lost in all; wanted(a random number): whether to try a cut.
    state = harness.seed()
    check = Check(history)
    count = 0
    for ops, board in journal.cuts():
        extra = 0
        state = (state * 75 + 74) % 65537
        if not wanted(state // 11):
            continue
        if state % (journal.ops * 2) < second_cuts:
            extra = fail_again(board, history.boot, state // 7 % 12 + 1)
            count += 1
        try:
            check.run(board, ops, extra)
        except Exception:
            print("cut after", ops)
            raise
        count += 1
    print("cuts tried {}, readings lost {}".format(count, check.lost))
    return check.lost


def fail_again(board, boot, after):
    # Power comes back, and goes again while the board recovers and stores a reading; the seq
    # of that reading if put() returned.
    board.fuse = after
    seq = 0
    buf = memoryview(bytearray(100))
    size = fill(buf, _EXTRA)
    board.mount()
    try:
        seq = boot().put(buf, size)
    except OSError:
        assert board.fuse <= 0
    board.umount()
    board.fuse = None
    return seq
