# heap: 56wk
# What goes in comes out, in order, until it is acknowledged; on LittleFS with a board's blocks.
# What was handed out can be had again until its PUBACK, in whatever order those come; and what
# happens with every reading allocates nothing.

import harness
from firmware import outbox_files
from outbox_board import boot, drain, filled, fresh, put, record, segments, spoil
from outbox_reader import stored, unsent


def test_empty():
    outbox = fresh()
    harness.equal((outbox.waiting, outbox.dropped, outbox.corrupt), (0, 0, 0))
    assert unsent(outbox) is None


def test_what_is_not_acknowledged_is_there_after_a_restart():
    outbox = filled(300)
    outbox = boot()
    harness.equal(outbox.waiting, 300)
    harness.equal(drain(outbox, 250), [1, 250])
    outbox.flush()
    outbox = boot()
    harness.equal(outbox.waiting, 50)
    harness.equal(drain(outbox), [251, 300])


def test_seq_goes_on_after_everything_was_acknowledged():
    outbox = fresh()
    for start in (1, 101, 201):
        put(outbox, start, start + 99)
        drain(outbox)
        outbox.flush()
        outbox = boot()
        harness.equal(outbox.waiting, 0)


def test_readings_of_different_lengths():
    outbox = fresh()
    for n in range(1, 120):
        harness.equal(outbox.put(bytes([n]) * 96, 1 + n % 96), n)
    outbox = boot()
    for n in range(1, 120):
        harness.equal(unsent(outbox), bytes([n]) * (1 + n % 96))
        outbox.ack(n)


def test_the_longest_record():
    outbox = fresh()
    for n in range(1, 40):
        harness.equal(outbox.put(bytes([n]) * 107, 107), n)
    for one in (outbox, boot()):
        for n in range(1, 40):
            harness.equal(unsent(one), bytes([n]) * 107)


def test_a_restart_before_each_acknowledgement():
    # Each file has one reading, whatever its seq; the other file is of no use any more.
    outbox = fresh()
    for n in range(1, 530):
        put(outbox, n, n)
        outbox = boot()
        harness.equal((outbox.waiting, unsent(outbox)), (1, record(n)))
        outbox.ack(n)


def test_few_duplicates_after_a_power_cut_while_draining():
    outbox = filled(300)
    drain(outbox, 255)
    assert 45 <= boot().waiting < 45 + 16, boot().waiting


def test_online_the_place_is_saved_with_the_next_reading():
    outbox = fresh()
    for n in range(1, 11):
        put(outbox, n, n)
        drain(outbox)
    harness.equal(boot().waiting, 1)


def again(outbox, *seqs):
    # After a lost session: each is sent once more, and then acknowledged.
    for seq in seqs:
        harness.equal(stored(outbox, seq), record(seq))
    for seq in seqs:
        outbox.ack(seq)


def test_what_is_not_acknowledged_can_be_sent_again():
    outbox = filled(20, 10)
    for seq in (9, 2, 5, 1):
        outbox.ack(seq)
    harness.equal(outbox.waiting, 16)
    again(outbox, 3, 4, 6, 7, 8, 10)
    harness.equal((outbox.waiting, drain(outbox)), (10, [11, 20]))


def test_also_from_an_old_segment():
    outbox = filled(400)
    drain(outbox, 150)
    for _ in range(60):
        outbox.next_unsent()
    again(outbox, *range(151, 211))
    harness.equal((outbox.waiting, drain(outbox)), (190, [211, 400]))


def test_acks_that_do_not_fit_are_ignored():
    outbox = fresh()
    outbox.put(record(1), 12)
    outbox.put(record(2), 12)
    for seq in (0, -1, 3, 1000, 1 << 29):
        outbox.ack(seq)
    harness.equal(outbox.waiting, 2)
    outbox.next_unsent()
    outbox.ack(1)
    outbox.ack(1)
    harness.equal(outbox.waiting, 1)


def test_only_a_window_is_handed_out():
    outbox = filled(200)
    count = 0
    while unsent(outbox):
        count += 1
    harness.equal(count, 128)
    outbox.ack(1)
    assert unsent(outbox) is not None


def test_an_ack_allocates_nothing():
    outbox = filled(12, 12)
    for seq in (2, 1, 4, 3):
        harness.no_heap(lambda seq=seq: outbox.ack(seq))
    harness.equal(outbox.waiting, 8)


def test_a_full_and_emptied_outbox_leaves_no_memory_behind():
    outbox = fresh()
    used = []
    for _ in range(3):
        for _ in range(400):
            outbox.put(b"twelve bytes", 12)
        while unsent(outbox):
            outbox.ack(outbox.read - 1)
        used.append(harness.settled_heap())
    harness.equal(used[1], used[2])


def hand_out(outbox, count):
    for _ in range(count):
        assert unsent(outbox) is not None


def gone(outbox, *seqs):
    for seq in seqs:
        assert stored(outbox, seq) is None, seq


def test_a_reading_in_flight_can_be_had_again():
    outbox = filled(4, 3)
    for seq in (2, 1, 3, 3):
        harness.equal(stored(outbox, seq), record(seq))
    harness.equal(unsent(outbox), record(4))
    harness.equal(outbox.read - 1, 4)


def test_also_from_segments_in_any_order():
    outbox = filled(300, 120)
    for seq in (120, 1, 13, 14, 12, 60, 119, 61, 2, 120):
        harness.equal(stored(outbox, seq), record(seq))
    harness.equal(unsent(outbox), record(121))
    harness.equal(drain(outbox, 5), [122, 126])


def test_a_record_of_another_size_in_between():
    outbox = fresh()
    for n in range(1, 60):
        outbox.put(bytes([n]) * 96, n)
    hand_out(outbox, 59)
    for n in (59, 1, 30, 29, 2):
        harness.equal(stored(outbox, n), bytes([n]) * n)


def test_none_once_it_is_acknowledged_or_was_never_there():
    outbox = filled(5, 3)
    outbox.ack(1)
    gone(outbox, 1, 0, -1, 6, 1000, 1 << 29)
    harness.equal(stored(outbox, 2), record(2))
    gone(fresh(), 0, 1)


def test_none_once_it_was_dropped():
    outbox = fresh(8192)
    put(outbox, 1, 200)
    hand_out(outbox, 8)
    put(outbox, 201, 600)
    assert outbox.dropped > 8
    gone(outbox, 1, 8, outbox.dropped)
    harness.equal(stored(outbox, outbox.dropped + 1), record(outbox.dropped + 1))


def test_none_when_it_cannot_be_read():
    outbox = filled(300, 20)
    spoil(segments()[0], 3 * 19 + 8, b"\x55")
    assert stored(outbox, 200)  # so that the page is read anew
    gone(outbox, 4)
    for seq in (3, 5):
        harness.equal(stored(outbox, seq), record(seq))


def test_handing_out_from_the_tail_allocates_nothing():
    outbox = filled(6, 1)
    for _ in range(5):
        harness.equal(outbox.get(harness.no_heap(outbox.next_unsent)), outbox.image)
    for seq in (3, 1, 2):
        harness.no_heap(lambda seq=seq: outbox.get(seq))
        harness.no_heap(lambda seq=seq: outbox.ack(seq))


class File:
    # Takes the place of what open() gives, which allocates.
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        pass

    def write(self, data, size):
        self.size = size


def test_storing_a_reading_allocates_nothing_but_its_file():
    from firmware import outbox as module  # after outbox_files, which is larger to compile

    outbox = fresh()
    put(outbox, 1, 1)
    drain(outbox)
    data, file = record(2), File()
    file.size = 0
    module.open = lambda path, mode: file
    try:
        for n in range(2, 6):
            harness.equal(harness.no_heap(lambda: outbox.put(data, 12)), n)
    finally:
        del module.open
    harness.equal((file.size, outbox.waiting), (14 + 4 * 19, 4))


def counted(name, calls):
    # Lets outbox_files.name count its calls; returns the function.
    real = getattr(outbox_files, name)

    def count(*args):
        calls.append(name)
        return real(*args)

    setattr(outbox_files, name, count)
    return real


def test_a_page_of_older_readings_is_loaded_once():
    outbox = filled(300)
    calls = []
    real = counted("fill", calls)
    allocating = 0
    while outbox.read < outbox.segments[-1]:
        seq = outbox.next_unsent()
        try:
            frame = harness.no_heap(lambda seq=seq: outbox.get(seq))
        except MemoryError:
            allocating += 1
            frame = outbox.get(seq)
        assert frame
        outbox.ack(seq)
    outbox_files.fill = real
    assert allocating <= 26, allocating  # 295 by 13, and the ends of segments
    assert len(calls) <= 2 * 26, len(calls)


def test_the_files_are_needed_once_for_six_readings_offline():
    outbox = fresh()
    calls = []
    real = counted("prepare", calls)
    put(outbox, 1, 300)
    outbox_files.prepare = real
    assert len(calls) <= 51, len(calls)


def test_the_rare_code_keeps_no_state():
    # It may be unloaded and loaded again between any two calls.
    before = dict(outbox_files.__dict__)
    outbox = filled(600)
    drain(outbox, 300)
    outbox = boot()
    drain(outbox)
    harness.equal(outbox_files.__dict__, before)


def test_without_older_readings_there_is_no_page():
    outbox = filled(300)
    assert unsent(outbox) and outbox.page
    outbox.ack(1)
    drain(outbox)
    assert outbox.page is None and boot().page is None
