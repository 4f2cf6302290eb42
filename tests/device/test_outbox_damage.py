# Whatever is found on flash, the outbox starts, gives out every reading that is still good, and
# uses no seq twice.

import os

import harness
from firmware import outbox_files
from outbox_board import FOLDER, boot, count, cut, drain, filled, put, segments, spoil, write


def test_one_flipped_bit_costs_one_reading():
    frame_bytes = 19
    for at in (0, 1, 5, 18):  # length, seq, record, CRC
        filled(300)
        spoil(segments()[0], 100 * frame_bytes + at, b"\x55")
        outbox = boot()
        harness.equal(drain(outbox), [1, 100, 102, 300])
        harness.equal((outbox.corrupt, outbox.waiting), (1, 0))


def test_a_hole_in_a_segment():
    filled(300)
    spoil(segments()[0], 500, b"\xff" * 1000)
    outbox = boot()
    harness.equal(drain(outbox), [1, 26, 80, 300])
    harness.equal(outbox.corrupt, 53)
    harness.equal(outbox.waiting, 0)


def test_a_segment_of_junk_costs_that_segment():
    filled(600)
    middle, newest = segments()[1:3]
    first, end = int(middle, 16), int(newest, 16)
    write(middle, bytes(range(256)), 16)
    outbox = boot()
    harness.equal(drain(outbox), [1, first - 1, end, 600])
    harness.equal((outbox.corrupt, outbox.waiting), (end - first, 0))
    put(outbox, 601, 601)


def refusing(name, errno):
    def opened(path, mode):
        if path.endswith(name) and mode == "rb":
            raise OSError(errno)
        return open(path, mode)

    return opened


def test_a_newest_segment_that_flash_does_not_give_back():
    # LittleFS answers 84 for a block it cannot trust, a worn flash 5. A board that does not start
    # any more would be the greater loss.
    for errno in (84, 5):
        filled(600)
        older, newest = segments()[-2:]
        end = int(newest, 16)

        outbox_files.open = refusing(newest, errno)
        outbox = boot()
        seqs = drain(outbox)
        harness.equal((seqs[0], seqs[1]), (1, end - 1))
        put(outbox, 601, 601)
        del outbox_files.open


def test_a_missing_segment():
    filled(600)
    middle, newest = segments()[1:3]
    first, end = int(middle, 16), int(newest, 16)
    os.remove(FOLDER + middle)
    outbox = boot()
    harness.equal(drain(outbox), [1, first - 1, end, 600])
    harness.equal((outbox.corrupt, outbox.waiting), (end - first, 0))


def test_the_newest_segment_cut_short():
    # As after a power cut on FAT: half a record at the end. It is in a or b as well.
    filled(300)
    last = segments()[-1]
    size = os.stat(FOLDER + last)[6]
    cut(last, size - 7)
    outbox = boot()
    put(outbox, 301, 330)
    outbox = boot()
    seqs = drain(outbox)
    harness.equal(count(seqs) + outbox.corrupt, 330)
    assert count(seqs) >= 329, count(seqs)


def test_empty_files():
    drain(filled(300), 20)
    write(segments()[-1], b"")
    write("a", b"")
    outbox = boot()
    seqs = drain(outbox)
    assert count(seqs) >= 185, count(seqs)
    assert outbox.put(b"next", 4) > 300


harness.run(globals())
