# The scenario of the power-cut tests of the outbox, and what happened in it.

from array import array

import harness
from outbox_reader import stored, unsent

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
