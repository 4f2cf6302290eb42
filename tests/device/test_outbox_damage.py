# Whatever is found on flash, the outbox starts, gives out every reading that is still good, and
# uses no seq twice.

import os

import harness
from firmware import outbox_files
from outbox_board import (
    FOLDER,
    boot,
    count,
    cut,
    drain,
    filled,
    put,
    record,
    segments,
    spoil,
    write,
)
from outbox_reader import stored


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


def junked():
    # 600 readings, those of one segment overwritten: its name, its first seq, the next segment's.
    filled(600)
    middle, newest = segments()[1:3]
    write(middle, bytes(range(256)), 16)
    return middle, int(middle, 16), int(newest, 16)


def test_a_segment_of_junk_costs_that_segment():
    _, first, end = junked()
    outbox = boot()
    harness.equal(drain(outbox), [1, first - 1, end, 600])
    harness.equal((outbox.corrupt, outbox.waiting), (end - first, 0))
    put(outbox, 601, 601)


def test_a_segment_of_junk_is_searched_once():
    # Up to 200 readings: each search takes an ESP8266 a tenth of a second.
    middle, first, end = junked()
    outbox = boot()
    harness.equal(drain(outbox, first - 1), [1, first - 1])
    opened = []

    def counted(path, mode):
        opened.append(path)
        return open(path, mode)

    outbox_files.open = counted
    while outbox.read < end:
        harness.equal(stored(outbox, outbox.next_unsent()), None)
        outbox.ack(outbox.read - 1)
    del outbox_files.open
    harness.equal((opened, outbox.corrupt), ([FOLDER + middle], end - first))


def test_damage_between_readings_in_flight():
    # None of them has its PUBACK when the damaged one is to be sent.
    filled(300)
    spoil(segments()[0], 4 * 19 + 8, b"\x55")
    outbox = boot()
    seqs = [outbox.next_unsent() for _ in range(10)]
    found = [seq for seq in seqs if stored(outbox, seq) is not None]
    harness.equal(found, [1, 2, 3, 4, 6, 7, 8, 9, 10])
    harness.equal((outbox.corrupt, outbox.waiting), (1, 300))
    outbox.ack(5)
    for seq in found:
        harness.equal(stored(outbox, seq), record(seq))
        outbox.ack(seq)
    harness.equal(drain(outbox), [11, 300])


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
