# A reading leaves with its PUBACK, in whatever order those come; what has none comes again.

import harness
from outbox_board import boot, drain, filled, fresh, put, record
from outbox_reader import stored, unsent


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
    outbox = filled(20)
    for _ in range(10):
        outbox.next_unsent()
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
    outbox = filled(12)
    for _ in range(12):
        outbox.next_unsent()
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


harness.run(globals())
