# A reading that was handed out can be had again while it waits for its PUBACK; and what happens
# with every reading allocates nothing.

import harness
from firmware import outbox_files
from outbox_board import boot, drain, filled, fresh, put, record, segments, spoil
from outbox_reader import stored, unsent


def hand_out(outbox, count):
    for _ in range(count):
        assert unsent(outbox) is not None


def gone(outbox, *seqs):
    for seq in seqs:
        assert stored(outbox, seq) is None, seq


def test_a_reading_in_flight_can_be_had_again():
    outbox = filled(4)
    hand_out(outbox, 3)
    for seq in (2, 1, 3, 3):
        harness.equal(stored(outbox, seq), record(seq))
    harness.equal(unsent(outbox), record(4))
    harness.equal(outbox.read - 1, 4)


def test_also_from_segments_in_any_order():
    outbox = filled(300)
    hand_out(outbox, 120)
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
    outbox = filled(5)
    hand_out(outbox, 3)
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
    outbox = filled(300)
    hand_out(outbox, 20)
    spoil(segments()[0], 3 * 19 + 8, b"\x55")
    assert stored(outbox, 200)  # so that the page is read anew
    gone(outbox, 4)
    for seq in (3, 5):
        harness.equal(stored(outbox, seq), record(seq))


def test_handing_out_from_the_tail_allocates_nothing():
    outbox = filled(6)
    hand_out(outbox, 1)
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


harness.run(globals())
