# heap: 56wk
# Whatever is found on flash, the outbox starts, gives out every reading that is still good, and
# uses no seq twice.

import os

import harness
from firmware import outbox_files
from outbox_board import (
    FLASH,
    FOLDER,
    boot,
    count,
    cut,
    drain,
    filled,
    fresh,
    memory,
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


def test_a_segment_of_junk_or_none_costs_that_segment():
    for missing in (False, True):
        name, first, end = junked()
        if missing:
            os.remove(FOLDER + name)
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


def test_either_of_the_two_files_damaged():
    for name in ("a", "b"):
        for at in (0, 3, 6, 12, 14, 15, 20):
            for _ in range(2):
                outbox = filled(33)
                spoil(name, at, b"\xa5")
                outbox = boot()
                seqs = drain(outbox)
                assert count(seqs) >= 32, (name, at, seqs)
                assert outbox.put(b"next", 4) > 33


def test_a_damaged_head_costs_no_reading():
    # Which of the two was the newer is not known then; what is behind the heads is all there.
    for name in ("a", "b", "ab"):
        for n in range(31, 38):
            filled(n)
            for which in name:
                spoil(which, 2, b"\x77")
            outbox = boot()
            harness.equal(drain(outbox), [1, n])
            assert outbox.put(b"next", 4) > n


_BEFORE = memory(FLASH.blocks * 4096)


def newest():
    # The name of the file that was written last: its head has the higher next seq.
    seqs = {}
    for name in "ab":
        with open(FOLDER + name, "rb") as f:
            seqs[int.from_bytes(f.read(5)[1:], "little")] = name
    return seqs[max(seqs)]


def test_the_newest_of_the_two_files_missing():
    # The seq of its newest reading may have been sent: it is not used again, and counts as
    # unreadable, should it not lie anywhere else.
    for n in (2, 3, 6, 7, 33, 34, 300, 1024, 1025):
        for online in (False, True):
            outbox = filled(n - 1)
            if online:
                drain(outbox)
            put(outbox, n, n)
            os.remove(FOLDER + newest())
            if n > 2:
                outbox = boot()
                seqs = drain(outbox)
                assert online or (len(seqs) == 2 and seqs[1] >= n - 1), (n, seqs)
                harness.equal(outbox.put(record(n + 1), 12), n + 1)
                harness.equal(boot().put(record(n + 2), 12), n + 2)


def test_a_directory_that_is_rolled_back_by_a_flipped_bit():
    # Two older, sound files: nothing tells that from an earlier moment (docs/outbox.md). One put()
    # is undone, the seq is used again, and all before is there.
    for n in (34, 60, 64, 300):
        outbox = filled(n - 1)
        _BEFORE[:] = FLASH.data
        put(outbox, n, n)
        at = 0
        while _BEFORE[at] == FLASH.data[at]:
            at += 1
        FLASH.umount()
        FLASH.data[at + 40] ^= 4  # of some 70 bytes or more
        FLASH.mount()
        outbox = boot()
        harness.equal((outbox.next, outbox.corrupt), (n, 0))
        put(outbox, n, n)
        harness.equal(drain(outbox), [1, n])


def test_the_oldest_of_the_two_files_missing_costs_no_reading():
    for n in (3, 34, 300):
        filled(n)
        os.remove(FOLDER + "ab".replace(newest(), ""))
        outbox = boot()
        assert drain(outbox)[:2] == [1, n]
        assert outbox.put(b"next", 4) > n


def test_one_file_is_no_damage_before_the_second_put():
    outbox = fresh()
    put(outbox, 1, 1)
    harness.equal(sorted(n for n in os.listdir(FOLDER) if len(n) == 1), ["a"])
    outbox = boot()
    put(outbox, 2, 3)
    harness.equal((drain(boot()), outbox.corrupt), ([1, 3], 0))


def test_both_files_lost():
    for damage in (b"", b"\xf5", bytes(128), b"\xf5" * 128):
        filled(300)
        write("a", damage)
        write("b", damage)
        outbox = boot()
        seqs = drain(outbox)
        assert seqs[0] == 1 and len(seqs) == 2 and seqs[1] >= 294, seqs
        harness.equal(outbox.waiting, 0)
        harness.equal(outbox.put(b"next", 4), 1025)
        harness.equal(boot().waiting, 1)


def test_both_files_lost_when_all_is_acknowledged():
    drain(filled(1500))
    os.remove(FOLDER + "a")
    os.remove(FOLDER + "b")
    for name in segments():
        os.remove(FOLDER + name)
    assert boot().put(b"next", 4) > 1500


def test_unknown_files_are_left_alone():
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
        assert outbox.put(b"next", 4) > highest
