# A full store, and a full file system: the oldest goes, is counted, and the device goes on.

import os

import harness
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
    data = bytes(96)
    n = 0
    while not outbox.dropped:
        n += 1
        harness.equal(outbox.put(data, 96), n)
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


def test_a_full_file_system_costs_the_oldest():
    outbox = filled(300)
    fill_file_system(0)
    put(outbox, 301, 1300)
    harness.equal(outbox.waiting + outbox.dropped, 1300)
    assert outbox.waiting >= 4, outbox.waiting
    last = 1300 - outbox.waiting + 1
    harness.equal(drain(boot()), [last, 1300])


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


harness.run(globals())
