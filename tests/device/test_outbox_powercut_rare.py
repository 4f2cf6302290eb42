# heap: 48wk
# Power cuts in what happens to a board only once in a thousand readings.

import os
from array import array

import harness
from firmware.outbox import Outbox
from flash_journal import Journal
from outbox_reader import unsent


def boot():
    return Outbox("data/outbox", 8192, lambda text: None)


def test_the_marker_keeps_its_word_across_any_cut():
    # Both files that know the next seq are destroyed after the cut, around seq 1025, where
    # the marker moves on.
    journal = Journal(16, 60_000)
    journal.format()
    journal.mount()
    outbox = boot()
    online(journal, outbox, 1015)
    journal.begin()
    ends = online(journal, outbox, 20)
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
        online(journal, outbox, 1)
        if sum(1 for erases in journal.erased if erases) > used:
            moved.append(n)
    return moved


def test_any_cut_while_littlefs_moves_the_directory():
    # It does so after some 100 erases of it; the scenario above is too short for that.
    journal = Journal(16, 60_000)
    journal.format()
    journal.mount()
    at = moves(journal, boot(), 4200)[-1]
    assert at > 2000, at
    journal.umount()
    journal.forget()
    journal.format()
    journal.mount()
    outbox = boot()
    online(journal, outbox, at - 5)
    journal.begin()
    ends = online(journal, outbox, 10)
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


def online(journal, outbox, count):
    # Where the journal was when each put() had returned.
    ends = array("i")
    for _ in range(count):
        seq = outbox.put(b"a reading of more than twelve bytes", 35)
        if journal.start:
            ends.append(journal.ops)
        outbox.next_unsent()
        outbox.ack(seq)
    return ends


harness.run(globals())
