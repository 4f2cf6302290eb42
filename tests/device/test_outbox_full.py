# heap: 56wk
# A full store, and a full file system: the oldest goes, is counted, and the device goes on. Of
# what outbox_bytes claims beyond the file system four blocks stay free for everything else.

import os

import harness
from firmware import files, outbox_files
from outbox_board import FLASH, boot, drain, filled, fresh, memory, put, record, segments
from outbox_reader import unsent

_BLOCK = memory(4096)


def fill_file_system(leave):
    # Other files take every block but `leave`, and the inline space too.
    blocks = os.statvfs("/flash")[3] - leave
    if blocks > 0:
        with open("big", "wb") as f:
            for _ in range(blocks):
                f.write(_BLOCK)


def used_bytes():
    return sum(os.stat("data/outbox/" + name)[6] for name in os.listdir("data/outbox"))


def test_never_more_than_the_limit_and_the_newest_stay():
    outbox = fresh(8192)
    for n in range(1, 1501):
        outbox.put(record(n), 12)
        assert n % 10 or used_bytes() <= 8192 + 256, used_bytes()
    kept = outbox.waiting
    assert 205 <= kept <= 430, kept
    harness.equal(outbox.dropped, 1500 - kept)
    harness.equal(drain(outbox), [1501 - kept, 1500])


def test_the_count_survives_a_restart():
    outbox = fresh(8192)
    put(outbox, 1, 1000)
    dropped, waiting = outbox.dropped, outbox.waiting
    harness.equal(dropped + waiting, 1000)
    outbox = boot(8192)
    harness.equal((outbox.dropped, outbox.waiting), (dropped, waiting))


def test_a_drop_while_readings_are_in_flight():
    outbox = fresh(8192)
    put(outbox, 1, 420)
    for _ in range(30):
        outbox.next_unsent()
    outbox.ack(3)
    outbox.ack(1)
    put(outbox, 421, 460)
    assert outbox.dropped > 100
    for seq in range(1, 31):
        outbox.ack(seq)
    harness.equal(outbox.waiting, 460 - 2 - outbox.dropped)
    first = 461 - outbox.waiting
    harness.equal(drain(outbox), [first, 460])


def test_a_drop_behind_which_all_is_acknowledged():
    # Only the first has no PUBACK: with it goes all that is stored, the newest readings included.
    outbox = fresh(8192)
    data = bytes(107)
    n = 0
    while not outbox.dropped:
        n += 1
        harness.equal(outbox.put(data, 107), n)
        while unsent(outbox):
            if outbox.read - 1 > 1:
                outbox.ack(outbox.read - 1)
        assert n < 128
    assert n > 70, n
    harness.equal((outbox.dropped, outbox.waiting, segments()), (1, 0, []))
    put(outbox, n + 1, n + 20)
    outbox = boot(8192)
    harness.equal((outbox.dropped, drain(outbox)), (1, [n + 1, n + 20]))


def test_a_cut_before_the_image_is_emptied_takes_no_room_twice():
    # What is in a segment already is not appended again: in a full store others would go for it.
    outbox = filled(2)
    kept, n = {}, 2
    while len(segments()) < 2:
        for name in "ab":
            with open("data/outbox/" + name, "rb") as f:
                kept[name] = f.read()
        n += 1
        put(outbox, n, n)
    for name in kept:
        with open("data/outbox/" + name, "wb") as f:
            f.write(kept[name])
    before = [os.stat("data/outbox/" + name)[6] for name in segments()]
    outbox = boot()
    harness.equal((outbox.waiting, outbox.put(record(n), 12)), (n - 1, n))
    harness.equal([os.stat("data/outbox/" + name)[6] for name in segments()], before)
    harness.equal(drain(outbox), [1, n])


def test_a_limit_made_smaller_by_the_config():
    filled(600)
    outbox = boot(8192)
    harness.equal(outbox.waiting, 600)
    put(outbox, 601, 900)
    harness.equal(outbox.waiting + outbox.dropped, 900)
    assert len(segments()) <= 2


def test_full_from_the_start():
    FLASH.fresh()
    fill_file_system(3)
    outbox = boot()
    stored = 0
    for _ in range(200):
        try:
            outbox.put(b"a reading", 9)
            stored += 1
        except OSError:
            pass
    os.remove("big")
    seq = outbox.put(b"room again", 10)
    harness.equal(seq, stored + 1)
    outbox = boot()
    while unsent(outbox):
        outbox.ack(outbox.read - 1)
    harness.equal((outbox.read - 1, outbox.waiting), (seq, 0))


def test_flash_that_fails_costs_no_stored_reading():
    outbox = filled(300)
    FLASH.fuse = 0
    for _ in range(3):
        harness.raises(OSError, outbox.put, b"lost, and the caller knows", 26)
    outbox.flush()
    FLASH.fuse = None
    FLASH.umount()
    FLASH.mount()
    outbox = boot()
    harness.equal(drain(outbox), [1, 300])
    put(outbox, 301, 310)


BEYOND = 1_000_000  # outbox_bytes; the flash has 24 blocks of 4,096
SETTINGS = {"interval_s": 10, "i2c": {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}}


def save(n):
    # As settings.set() and the ids of commands do; OSError 28 when there is no room.
    SETTINGS["interval_s"] = n
    state = {"seen": ["command-%05d-%d" % (n, i) for i in range(16)], "clock": 848534400}
    files.save_settings(SETTINGS, state)
    harness.equal(files.load_settings(), (SETTINGS, state))


def test_settings_and_ids_are_saved_at_any_moment_of_a_store_that_fills():
    outbox = fresh(BEYOND)
    least, most = 24, 0
    for n in range(1, 6001):
        harness.equal(outbox.put(record(n), 12), n)
        least = min(least, os.statvfs("/flash")[3])
        most = max(most, outbox.waiting)
        if n % 20 == 0:
            save(n)
    assert outbox.dropped > 1000 and most > 1500, (outbox.dropped, most)
    harness.equal(outbox.waiting + outbox.dropped, 6000)
    print("readings at most {}, blocks free at least {}".format(most, least))
    assert least >= 4, least
    harness.equal(drain(boot(BEYOND)), [6001 - outbox.waiting, 6000])


def test_settings_are_saved_when_crash_logs_have_come_on_top():
    outbox = fresh(BEYOND)
    put(outbox, 1, 3000)
    for name in ("data/crash.log", "data/crash.log.old"):
        with open(name, "wb") as f:
            f.write(_BLOCK[:2500])
    for n in range(3001, 4001):
        put(outbox, n, n)
        if n % 20 == 0:
            save(n)
    harness.equal(drain(boot(BEYOND)), [4001 - outbox.waiting, 4000])


def test_other_files_that_leave_no_room_cost_segments_first():
    outbox = fresh(BEYOND)
    put(outbox, 1, 2500)
    fill_file_system(0)
    put(outbox, 2501, 3500)
    save(3500)
    harness.equal(outbox.waiting + outbox.dropped, 3500)
    harness.equal(drain(boot(BEYOND)), [3501 - outbox.waiting, 3500])
    os.remove("big")
    put(outbox, 3501, 4500)


def test_nothing_but_a_and_b_are_left():
    for free in (0, 1, 2, 3, 4, 5):
        outbox = fresh(BEYOND)
        put(outbox, 1, 3)
        fill_file_system(free)
        put(outbox, 4, 600)
        harness.equal(outbox.waiting + outbox.dropped, 600)
        assert outbox.waiting >= 4, (free, outbox.waiting)
        assert len(segments()) <= 1, (free, segments())
        harness.equal(drain(boot(BEYOND)), [601 - outbox.waiting, 600])


class Counting:
    # In place of `os`: a file system with so many free blocks, or none that can be said.
    def __init__(self, free):
        self.free = free

    def statvfs(self, path):
        harness.equal(path, "data/outbox")
        if self.free is None:
            raise OSError(75)
        return (4096, 4096, 512, self.free)


def test_how_free_blocks_are_counted():
    # LittleFS counts down to a few below zero, as 32 bits without a sign; the unix port may have
    # a disk that is too large for its numbers.
    outbox = fresh(BEYOND)
    for free, room in (
        (4, False),
        (0, False),
        (-3, False),
        ((1 << 32) - 3, False),
        (5, True),
        (500, True),
        (59_447_677, True),
        (None, True),
    ):
        outbox_files.os = Counting(free)
        try:
            harness.equal((free, outbox_files._room(outbox)), (free, room))
        finally:
            outbox_files.os = os


def test_free_blocks_are_not_counted_at_each_put():
    outbox = fresh(BEYOND)
    counted = [0]

    class Os:
        def __getattr__(self, name):
            counted[0] += name == "statvfs"
            return getattr(os, name)

    outbox_files.os = Os()
    try:
        put(outbox, 1, 1000)
    finally:
        outbox_files.os = os
    assert len(segments()) <= counted[0] <= len(segments()) + 2, (counted, segments())
