# The scenario of the power-cut tests of the outbox, what happened in it, and what must be true
# of a board that lost power at any place of it.

from array import array

import harness
from firmware.core.errors import StoreError
from firmware.outbox import Outbox
from flash import Flash

BLOCKS = 16
PUTS = 200
_LIMIT_BYTES = 8192
_EXTRA = 0x0FFF  # number of the reading stored between two power cuts
_LATER = 0x7FFFFFFF  # a place in the journal that is never reached


def boot():
    return Outbox("data/outbox", _LIMIT_BYTES, lambda text: None)


_NOISE = memoryview(bytes((i * i * 7 + i * 31) >> 3 & 0xFF for i in range(700)))


def fill(buf, number):
    # The record of a reading: its number, and bytes that follow from it. Returns the size.
    size = 12 if number < 50 or number > 170 else 60 + number % 37
    buf[0], buf[1] = number & 0xFF, number >> 8
    at = number * 3 % 600
    buf[2:size] = _NOISE[at : at + size - 2]
    return size


class History:
    # What happened to each reading, by number, as places in the journal.
    def __init__(self, flash):
        self.flash = flash
        self.stored = array("i", [_LATER] * PUTS)  # put() had returned
        self.let_go = array("i", [_LATER] * PUTS)  # acknowledged, or the put() that drops it began
        self.started = array("i", [_LATER] * PUTS)  # put() was called
        self.seqs = array("i", [0] * PUTS)
        self.number = 0  # readings so far
        self.dropped = 0
        self._buf = memoryview(bytearray(100))

    def put(self, outbox):
        n = self.number
        size = fill(self._buf, n)
        self.started[n] = self.flash.journal_end
        self.seqs[n] = outbox.put(self._buf, size)
        self.stored[n] = self.flash.journal_end
        self.number += 1
        for old in range(n):
            if outbox.dropped > self.dropped and self.let_go[old] == _LATER:
                self.let_go[old] = self.started[n]
                self.dropped += 1

    def send(self, outbox, numbers):
        # Hands out one reading; its number goes to `numbers`.
        record = outbox.next_unsent()
        if record is None:
            return False
        numbers.append(record[0] | record[1] << 8)
        return True

    def fill_window(self, outbox, numbers):
        while len(numbers) < 8 and self.send(outbox, numbers):
            pass

    def ack(self, outbox, number):
        self.let_go[number] = self.flash.journal_end
        outbox.ack(self.seqs[number])


def scenario(flash):
    # 200 puts: online; offline until the store is full; a lost session; a drain with acks out
    # of order and readings in between, which empties segments; a restart; online again.
    history = History(flash)
    outbox = boot()
    online(history, outbox, 40)
    for _ in range(120):
        history.put(outbox)
    assert outbox.dropped > 40, outbox.dropped
    history.fill_window(outbox, [])
    outbox.rewind()
    window = []
    for turn in range(20):
        history.put(outbox)
        history.fill_window(outbox, window)
        for i in (3, 0, 4, 1):
            if i < len(window):
                history.ack(outbox, window.pop(i))
        if turn == 10:
            outbox.flush()
            outbox = boot()
            window.clear()
    while history.send(outbox, window):
        history.ack(outbox, window.pop(0))
    for number in window:
        history.ack(outbox, number)
    harness.equal(outbox.waiting, 0)
    online(history, outbox, 20)
    outbox.flush()
    harness.equal((outbox.corrupt, outbox.dropped, history.number), (0, history.dropped, PUTS))
    return history


def online(history, outbox, count):
    window = []
    for _ in range(count):
        history.put(outbox)
        while history.send(outbox, window):
            history.ack(outbox, window.pop())


class Check:
    # A board that lost power at `place` of the journal, and comes back.
    def __init__(self, history, flash):
        self.history = history
        self.flash = flash
        self.found = bytearray(PUTS)
        self._buf = memoryview(bytearray(100))
        self.lost = 0

    def run(self, place, extra_seq):
        # extra_seq: of a reading stored since; 0 if its put() did not return.
        flash = self.flash
        flash.mount()
        outbox = boot()
        extra = self._read(outbox, place)
        assert extra == extra_seq or not extra_seq, "extra reading lost"
        self._count(outbox, place, extra)
        self._go_on(outbox, place, extra)
        flash.umount()

    def _read(self, outbox, place):
        history = self.history
        for i in range(PUTS):
            self.found[i] = 0
        last = extra = 0
        while True:
            record = outbox.next_unsent()
            if record is None:
                return extra
            number = record[0] | record[1] << 8
            if number == _EXTRA:
                last = extra = outbox.unsent_seq
                continue
            assert number < PUTS and history.started[number] <= place, "from nowhere"
            assert outbox.unsent_seq > last, "order"
            last = outbox.unsent_seq
            size = fill(self._buf, number)
            assert record == self._buf[:size], "corrupt"
            harness.equal(last, history.seqs[number])
            assert not self.found[number], "doubled"
            self.found[number] = 1

    def _count(self, outbox, place, extra):
        history = self.history
        for i in range(PUTS):
            if history.stored[i] <= place < history.let_go[i] and not self.found[i]:
                self.lost += 1
        harness.equal(outbox.corrupt, 0)
        harness.equal(outbox.waiting, sum(self.found) + bool(extra))

    def _go_on(self, outbox, place, extra):
        # The next seq is above all that a put() returned, and the reading can be read.
        history = self.history
        size = fill(self._buf, 7)
        seq = outbox.put(self._buf, size)
        assert seq > extra
        for i in range(PUTS):
            if history.stored[i] <= place or self.found[i]:
                assert seq > history.seqs[i], "seq used twice"
        while True:
            record = outbox.next_unsent()
            assert record is not None, "new reading not there"
            if outbox.unsent_seq == seq:
                assert record == self._buf[:size]
                return


def replay(history, journal, start, second_cuts):
    flash = Flash(BLOCKS)
    board = Flash(BLOCKS)
    check = Check(history, board)
    luck = harness.seed()
    entry = cuts = 0
    flash.copy(start)
    while entry < journal.journal_end:
        for torn in (False, True):
            board.copy(flash)
            if torn:
                board.play(entry, journal, True)
            extra = 0
            luck = (luck * 75 + 74) % 65537
            if luck % (journal.ops * 2) < second_cuts:
                extra = fail_again(board, luck // 7 % 12 + 1)
                cuts += 1
            try:
                check.run(entry, extra)
            except Exception:
                print("cut at", entry, "torn" if torn else "clean")
                raise
            cuts += 1
        entry = flash.play(entry, journal, False)
    print("cuts tried {}, readings lost {}".format(cuts, check.lost))
    return check.lost


def fail_again(board, after):
    # Power comes back, and goes again while the board recovers and stores a reading; the seq
    # of that reading if put() returned.
    board.fuse = after
    seq = 0
    buf = memoryview(bytearray(100))
    size = fill(buf, _EXTRA)
    board.mount()
    try:
        seq = boot().put(buf, size)
    except (OSError, StoreError):
        assert board.fuse <= 0
    board.umount()
    board.fuse = None
    return seq
