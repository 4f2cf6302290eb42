# What goes in comes out, in order, until it is acknowledged; on LittleFS with a board's blocks.

import harness
from outbox_board import boot, drain, filled, fresh, put, record
from outbox_reader import unsent


def test_empty():
    outbox = fresh()
    harness.equal((outbox.waiting, outbox.dropped, outbox.corrupt), (0, 0, 0))
    assert unsent(outbox) is None


def test_seqs_count_from_one_and_readings_come_in_order():
    outbox = fresh()
    put(outbox, 1, 30)
    harness.equal(outbox.waiting, 30)
    harness.equal(drain(outbox), [1, 30])
    harness.equal(outbox.waiting, 0)


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


def test_put_takes_the_first_bytes_of_a_larger_buffer():
    outbox = fresh()
    outbox.put(bytearray(b"abcdef"), 3)
    harness.equal(unsent(outbox), b"abc")


def test_the_longest_record():
    outbox = fresh()
    for n in range(1, 40):
        harness.equal(outbox.put(bytes([n]) * 96, 96), n)
    for one in (outbox, boot()):
        for n in range(1, 40):
            harness.equal(unsent(one), bytes([n]) * 96)


def test_a_restart_before_each_acknowledgement():
    # Each file has one reading, whatever its seq; the other file is of no use any more.
    outbox = fresh()
    for n in range(1, 530):
        put(outbox, n, n)
        outbox = boot()
        harness.equal((outbox.waiting, unsent(outbox)), (1, record(n)))
        outbox.ack(n)


harness.run(globals())
