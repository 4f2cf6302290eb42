# Whatever is found on flash, the outbox starts, gives out every reading that is still good, and
# uses no seq twice.

import os

import harness
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
    assert outbox.put(b"next") > 300


def test_either_of_the_two_files_damaged():
    for name in ("a", "b"):
        for at in (0, 3, 6, 12, 14, 15, 20):
            for _ in range(2):
                outbox = filled(33)
                spoil(name, at, b"\xa5")
                outbox = boot()
                seqs = drain(outbox)
                assert count(seqs) >= 32, (name, at, seqs)
                assert outbox.put(b"next") > 33


def test_both_files_lost():
    for damage in (b"", b"\xf5", bytes(128), b"\xf5" * 128):
        filled(300)
        write("a", damage)
        write("b", damage)
        outbox = boot()
        seqs = drain(outbox)
        assert seqs[0] == 1 and len(seqs) == 2 and seqs[1] >= 294, seqs
        harness.equal(outbox.waiting, 0)
        harness.equal(outbox.put(b"next"), 1025)
        harness.equal(boot().waiting, 1)


def test_both_files_lost_when_all_is_acknowledged():
    drain(filled(1500))
    os.remove(FOLDER + "a")
    os.remove(FOLDER + "b")
    for name in segments():
        os.remove(FOLDER + name)
    assert boot().put(b"next") > 1500


def test_strangers_are_left_alone():
    filled(30)
    for name in ("notes.txt", "0000zzzz", "m123", "000000001"):
        write(name, b"mine")
    outbox = boot()
    harness.equal(drain(outbox), [1, 30])
    for name in ("notes.txt", "0000zzzz", "m123", "000000001"):
        assert name in os.listdir(FOLDER), name


def test_any_junk_anywhere():
    state = harness.seed()
    for _ in range(harness.count(60)):
        filled(250)
        names = os.listdir(FOLDER)
        highest = 250
        for _ in range(3):
            state = (state * 75 + 74) % 65537
            name = names[state % len(names)]
            size = os.stat(FOLDER + name)[6]
            if size:
                spoil(name, state % size, bytes([state & 0xFF, state >> 8]))
        outbox = boot()
        seqs = drain(outbox)
        assert count(seqs) >= 240, (count(seqs), outbox.corrupt)
        harness.equal(outbox.waiting, 0)
        assert outbox.put(b"next") > highest


harness.run(globals())
