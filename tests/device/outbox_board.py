# A board with an outbox on flash, for the outbox's tests: small enough for their heap.

import os

import firmware.outbox_files  # noqa: F401 - first: compiling it needs the largest hole
import harness
from firmware.outbox import Outbox
from flash import Flash, memory
from outbox_reader import unsent

FOLDER = "data/outbox/"
FLASH = Flash(24)
_PAGE = memoryview(memory(8192))


def boot(limit_bytes=16384):
    return Outbox("data/outbox", limit_bytes, lambda text: None)


def fresh(limit_bytes=16384):
    FLASH.fresh()
    return boot(limit_bytes)


def record(number):
    return b"record %05d" % number


def put(outbox, first, last):
    for n in range(first, last + 1):
        harness.equal(outbox.put(record(n), 12), n)


def filled(count, sent=0):
    # With so many readings, the first of them handed out.
    outbox = fresh()
    put(outbox, 1, count)
    for _ in range(sent):
        assert unsent(outbox) is not None
    return outbox


def drain(outbox, most=100000):
    # Sends and acknowledges; the seqs in the order they came, as [first, last, first, last, ...].
    runs = []
    while most:
        data = unsent(outbox)
        if data is None:
            break
        seq = outbox.read - 1
        harness.equal(bytes(data), record(seq))
        outbox.ack(seq)
        if runs and runs[-1] == seq - 1:
            runs[-1] = seq
        else:
            runs += [seq, seq]
        most -= 1
    assert runs == sorted(runs), runs
    return runs


def count(runs):
    return sum(runs[1::2]) - sum(runs[::2]) + len(runs) // 2


def segments():
    return sorted(name for name in os.listdir(FOLDER) if len(name) == 8)


def spoil(name, at, data):
    with open(FOLDER + name, "r+b") as f:
        f.seek(at)
        f.write(data)


def cut(name, size):
    with open(FOLDER + name, "rb") as f:
        f.readinto(_PAGE)
    with open(FOLDER + name, "wb") as f:
        f.write(_PAGE[:size])


def write(name, data, times=1):
    with open(FOLDER + name, "wb") as f:
        for _ in range(times):
            f.write(data)


FLASH.format()
FLASH.mount()
