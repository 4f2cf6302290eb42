# heap: 48wk
# A board that is updated keeps its readings: files as version 0.1.0 wrote them are read, and the
# same readings still make the same bytes, so that it can be put back to 0.1.0 too.

import os

import harness
from outbox_board import FOLDER, boot, fresh, spoil, write
from outbox_reader import unsent

# Written by 0.1.0: what happens() does, on the same LittleFS.
_WRITTEN = {
    "00000003": (
        "0c0300000030338012085d102700188b01fb120c0400000030348012085d102700188b01d9530c0500000030"
        "358012085d102700188b01b4230c0600000030368012085d102700188b0103b30c0700000030378012085d10"
        "2700188b016ec30c0800000030388012085d102700188b0147310c0900000030398012085d102700188b012a"
        "410c0a00000031308012085d102700188b01d5d00c0b00000031318012085d102700188b01b8a00c0c000000"
        "31328012085d102700188b01ddb00c0d00000031338012085d102700188b01b0c00c0e00000031348012085d"
        "102700188b0140010c0f00000031358012085d102700188b012d710c1000000031368012085d102700188b01"
        "c753011100000078241a24120000006c6f6e676c6f6e676c6f6e676c6f6e676c6f6e676c6f6e676c6f6e676c"
        "6f6e676c6f6e6760af0c1300000031398012085d102700188b01b930"
    ),
    "a": (
        "f51400000005000000070000045c0c0f00000031358012085d102700188b012d710c1000000031368012085d"
        "102700188b01c753011100000078241a24120000006c6f6e676c6f6e676c6f6e676c6f6e676c6f6e676c6f6e"
        "676c6f6e676c6f6e676c6f6e6760af0c1300000031398012085d102700188b01b930"
    ),
    "b": "f51500000007000000070000aee40c1400000032308012085d102700188b017e27",
    "m00000401": "",
}


def record(number):
    if number == 17:
        return b"x"
    if number == 18:
        return b"long" * 9
    return b"%02d\x80\x12\x08\x5d\x10\x27\x00\x18\x8b\x01" % number


def store(outbox, first, last):
    for n in range(first, last + 1):
        harness.equal(outbox.put(record(n), len(record(n))), n)


def hand_out(outbox, count):
    for _ in range(count):
        assert unsent(outbox) is not None


def happens(outbox):
    # Online, then an outage that fills a segment, then acks out of order.
    for n in (1, 2):
        store(outbox, n, n)
        hand_out(outbox, 1)
        outbox.ack(n)
    store(outbox, 3, 4)
    outbox.dropped = 7
    store(outbox, 5, 18)
    hand_out(outbox, 2)
    outbox.ack(4)
    outbox.ack(3)
    store(outbox, 19, 19)
    hand_out(outbox, 2)
    outbox.ack(5)
    outbox.ack(6)
    store(outbox, 20, 20)


def updated():
    # Boots on the files of 0.1.0; an outbox before it has made the folder.
    fresh().put(b"x", 1)
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + name)
    for name in _WRITTEN:
        write(name, bytes.fromhex(_WRITTEN[name]))
    return boot()


def drains(outbox, first, last):
    for n in range(first, last + 1):
        harness.equal(unsent(outbox), record(n))
        harness.equal(outbox.read - 1, n)
    assert unsent(outbox) is None
    for n in range(first, last + 1):
        outbox.ack(n)
    harness.equal(outbox.waiting, 0)


def test_its_files_are_read():
    outbox = updated()
    harness.equal((outbox.waiting, outbox.dropped, outbox.corrupt), (14, 7, 0))
    drains(outbox, 7, 20)


def test_its_files_go_on_being_used():
    outbox = updated()
    store(outbox, 21, 60)
    outbox = boot()
    harness.equal((outbox.waiting, outbox.dropped, outbox.corrupt), (54, 7, 0))
    drains(outbox, 7, 60)


def test_its_older_file_counts_when_the_newer_is_damaged():
    updated()
    spoil("b", 13, b"\0")
    outbox = boot()
    harness.equal((outbox.dropped, outbox.corrupt), (7, 0))
    drains(outbox, 5, 20)  # the damage is in the head, the frame behind it is good
    store(outbox, 21, 21)


def test_the_same_readings_make_the_same_bytes():
    happens(fresh())
    harness.equal(sorted(os.listdir(FOLDER)), sorted(_WRITTEN))
    for name in _WRITTEN:
        with open(FOLDER + name, "rb") as f:
            harness.equal(f.read(), bytes.fromhex(_WRITTEN[name]))
