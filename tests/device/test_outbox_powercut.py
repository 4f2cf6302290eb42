# heap: 64wk
# The power fails before, and in the middle of, every single write and erase of a scenario:
# whatever put() had returned must be there afterwards, or have been acknowledged or counted as
# dropped; nothing corrupt, nothing under two seqs, no seq used twice.
#
# The scenario runs once on flash that keeps a journal (flash.py); then each prefix of the
# journal is a board that lost power there. FIELDMOUSE_FUZZ: how many of them, about, lose
# power a second time while they recover.
#
# What is written is the same with 32 and 64 bits: a board's kind tries three of four cuts, the
# other one the rest.

import os
import sys
from array import array

import harness
from firmware.outbox import Outbox
from flash import Journal, mounted
from outbox_reader import stored, unsent


def boot():
    return Outbox("data/outbox", 8192, lambda text: None)


def _mine(number):
    return (number & 3 == 0) == (sys.maxsize >> 32 > 0)


def test_no_cut_loses_a_reading():
    journal = Journal(BLOCKS, 400_000)
    journal.format()
    journal.begin()
    journal.mount()
    history = scenario(journal, boot)
    journal.umount()
    harness.equal(replay(history, journal, harness.count(300), _mine), 0)


def test_the_marker_keeps_its_word_across_any_cut():
    # Both files that know the next seq are destroyed after the cut, around seq 1025, where
    # the marker moves on.
    journal = mounted(Journal(16, 60_000))
    outbox = boot()
    sent(journal, outbox, 1015)
    journal.begin()
    ends = sent(journal, outbox, 20)
    journal.umount()
    for ops, board in journal.cuts():
        board.mount()
        for name in ("a", "b"):
            os.remove("data/outbox/" + name)
        returned = 1015 + sum(end <= ops for end in ends)
        assert boot().put(b"next", 4) > returned, ops
        board.umount()


def moves(journal, outbox, puts):
    # Does so many puts; which of them made LittleFS take a block it had not used before.
    moved = []
    for n in range(puts):
        used = sum(1 for erases in journal.erased if erases)
        sent(journal, outbox, 1)
        if sum(1 for erases in journal.erased if erases) > used:
            moved.append(n)
    return moved


def test_any_cut_while_littlefs_moves_the_directory():
    # It does so after some 100 erases of it; the scenario above is too short for that.
    journal = mounted(Journal(16, 60_000))
    at = moves(journal, boot(), 4200)[-1]
    assert at > 2000, at
    journal.umount()
    journal.forget()
    journal.format()
    journal.mount()
    outbox = boot()
    sent(journal, outbox, at - 5)
    journal.begin()
    ends = sent(journal, outbox, 10)
    journal.umount()
    assert journal.erases(), journal.erased
    for ops, board in journal.cuts():
        board.mount()
        outbox = boot()
        returned = at - 5 + sum(end <= ops for end in ends)
        while unsent(outbox):
            outbox.ack(outbox.read - 1)
        assert outbox.read - 1 in (returned, returned + 1), (ops, outbox.read - 1)
        assert outbox.put(b"next", 4) > returned
        board.umount()


def sent(journal, outbox, count):
    # Where the journal was when each put() had returned.
    ends = array("i")
    for _ in range(count):
        seq = outbox.put(b"a reading of more than twelve bytes", 35)
        if journal.start:
            ends.append(journal.ops)
        outbox.next_unsent()
        outbox.ack(seq)
    return ends


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


BLOCKS = 16
PUTS = 200
_LATER = 0xFFFF  # more operations than there are

_NOISE = memoryview(bytes((i * i * 7 + i * 31) >> 3 & 0xFF for i in range(700)))


def fill(buf, number):
    # The record of a reading: its number, and bytes that follow from it. Returns the size.
    size = 12 if number < 50 or number > 170 else 60 + number % 37
    buf[0], buf[1] = number & 0xFF, number >> 8
    at = number * 3 % 600
    buf[2:size] = _NOISE[at : at + size - 2]
    return size


class History:
    # What happened to each reading, by number, as numbers of operations of the flash.
    def __init__(self, flash, boot):
        self.flash = flash
        self.boot = boot  # boot() -> Outbox on the flash that is mounted
        self.stored = array("H", [_LATER] * PUTS)  # put() had returned
        self.let_go = array("H", [_LATER] * PUTS)  # acknowledged, or the put() that drops it began
        self.started = array("H", [_LATER] * PUTS)  # put() was called
        self.seqs = array("H", [0] * PUTS)
        self.number = 0  # readings so far
        self.dropped = 0
        self._buf = memoryview(bytearray(100))

    def put(self, outbox):
        n = self.number
        size = fill(self._buf, n)
        self.started[n] = self.flash.ops
        self.seqs[n] = outbox.put(self._buf, size)
        self.stored[n] = self.flash.ops
        self.number += 1
        for old in range(n):
            if outbox.dropped > self.dropped and self.let_go[old] == _LATER:
                self.let_go[old] = self.started[n]
                self.dropped += 1

    def send(self, outbox, numbers):
        # Hands out one reading; its number goes to `numbers`.
        record = unsent(outbox)
        if record is None:
            return False
        numbers.append(record[0] | record[1] << 8)
        return True

    def fill_window(self, outbox, numbers):
        while len(numbers) < 8 and self.send(outbox, numbers):
            pass

    def ack(self, outbox, number):
        self.let_go[number] = self.flash.ops
        outbox.ack(self.seqs[number])


def scenario(flash, boot):
    # 200 puts: online; offline until the store is full; a lost session; a drain with acks out
    # of order and readings in between, which empties segments; a restart; online again.
    history = History(flash, boot)
    outbox = boot()
    online(history, outbox, 40)
    for _ in range(120):
        history.put(outbox)
    assert outbox.dropped > 40, outbox.dropped
    window = []
    history.fill_window(outbox, window)
    for number in window:  # the session is lost: each is sent again
        harness.equal(stored(outbox, history.seqs[number])[0], number)
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
