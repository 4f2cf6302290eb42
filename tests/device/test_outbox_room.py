# heap: 48wk
# outbox_bytes beyond what the file system has: four blocks stay free for everything else.

import os

import harness
from firmware import files, outbox_files
from flash import memory
from outbox_board import boot, drain, fresh, put, record, segments

BEYOND = 1_000_000  # outbox_bytes; the flash has 24 blocks of 4,096
_BLOCK = memory(4096)
SETTINGS = {"interval_s": 10, "i2c": {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}}


def save(n):
    # As settings.set() and the ids of commands do; OSError 28 when there is no room.
    SETTINGS["interval_s"] = n
    state = {"seen": ["command-%05d-%d" % (n, i) for i in range(16)], "clock": 848534400}
    files.save_settings(SETTINGS, state)
    harness.equal(files.load_settings(), (SETTINGS, state))


def big(blocks):
    with open("big", "wb") as f:
        for _ in range(blocks):
            f.write(_BLOCK)


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
    free = os.statvfs("/flash")[3]
    big(free)
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
        big(os.statvfs("/flash")[3] - free)
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


harness.run(globals())
