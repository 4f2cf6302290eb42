# The outbox's files, for what happens now and then: boot, a full image, a full store, a page of
# older readings, damage. All state is in the Outbox (outbox.py).

import os
from micropython import const

from firmware import files
from firmware.core.telemetry import crc16, u32

_HEAD = const(14)  # as in outbox.py
_EXTRA = const(7)
_FRAME_BYTES = const(114)  # the longest
_SEGMENT_BYTES = const(4096)  # LittleFS copies a file's last block when it appends: one is enough
_FREE = const(5)  # blocks before a segment: its own, and four for settings, commands, crashes
_PAGE_BYTES = const(256)  # a dozen readings for one open(); must exceed the longest frame


def load(outbox):
    found = {"": [], "m": [0]}
    for name in files.attempt(os.listdir, outbox.paths[0][:-2]) or ():
        kind, digits = name[:-8], name[-8:]
        if kind in found and len(digits) == 8 and not digits.strip("0123456789abcdef"):
            found[kind].append(int(digits, 16))
    outbox.mark = max(found["m"])
    # The newer of a and b has everything. Is its head damaged, the older has all but the reading
    # whose put() was writing the newer; its seq may be used. A segment has at most 512 frames.
    heads = []
    for path in outbox.paths:
        data, head = (files.read(path, _PAGE_BYTES) or b"") + bytes(_HEAD), (0, 0, 0)
        if data[0] == 0xF5 and crc16(data, 0, 12) == data[12] | data[13] << 8:
            head = u32(data, 1), u32(data, 5), u32(data, 9) & 0xFFFFFF
        heads.append(head + (path, data))
    older, newer = sorted(heads)
    known, outbox.saved, outbox.dropped, path, data = newer
    outbox.paths = [older[3], path]
    # Is one missing, that was the newer: only before the second put() there is none.
    known += bool(known and not older[0] and (len(older[4]) > _HEAD or known > 2))
    outbox.next = known or max([1, outbox.mark] + [seq + 512 for seq in found[""]])
    old = sorted([seq for seq in found[""] if seq < outbox.next])
    data = older[4][_HEAD:] + data[_HEAD:]
    frames = {u32(data, at + 1): data[at:end] for at, end in _good(data, len(data))}
    # What the newest segment ends with was put there by a prepare().
    stored = files.read(_name(outbox, (old or [0])[-1]), _PAGE_BYTES) or b""
    low = max([outbox.saved] + old + [seq + 1 for seq in frames if frames[seq] in stored])
    frames = [frames[seq] for seq in sorted(frames) if low <= seq < outbox.next]
    outbox.segments = old + [u32(frames[0], 1) if frames else outbox.next]
    data = b"".join(frames)
    outbox.used += len(data)
    outbox.image[_HEAD : outbox.used] = data  # grows, should two damaged files have so much
    outbox.low = outbox.read = max(outbox.saved, outbox.segments[0])
    outbox.waiting = outbox.next - outbox.low
    outbox.log("outbox: {} waiting, next seq {}".format(outbox.waiting, outbox.next))


def _good(buf, size):
    # Where each good frame begins and ends. Behind damage the next may begin at any byte, but not
    # with a zero: five of them, 12 and 17 (a length and a seq) are whole by their CRC.
    last = 0
    for at in range(size - _EXTRA):
        end = at + _EXTRA + buf[at]
        if last <= at and buf[at] and end <= min(size, at + _FRAME_BYTES):
            if crc16(buf, at, end - 2) == buf[end - 2] | buf[end - 1] << 8:
                yield at, end
                last = end


def fill(outbox, seq):
    # The page becomes what can be read from seq on, of the segment that has it.
    i = len([first for first in outbox.segments if first <= seq])
    start, limit = outbox.segments[i - 1 : i + 1]
    place = outbox.place if start < seq == outbox.beyond else 0
    outbox.first, outbox.beyond = seq, 0
    page = outbox.page = outbox.page or bytearray(_PAGE_BYTES)
    size, have = _PAGE_BYTES, 0
    try:
        with open(_name(outbox, start), "rb") as f:
            while size == _PAGE_BYTES and not have:
                f.seek(place)
                size, end = f.readinto(page), 0
                for at, end in _good(page, size):
                    found = u32(page, at + 1)
                    if seq <= found < limit:
                        page[have : have + end - at] = page[at:end]
                        seq, have = found + 1, have + end - at
                place += end or _PAGE_BYTES - _FRAME_BYTES  # what is cut off is read anew
    except OSError as e:
        if e.args[0] not in (2, 5, 84):  # no such file, I/O, LittleFS "corrupt": they are gone
            raise
    outbox.have, outbox.beyond, outbox.place = (have, seq, place) if have else (0, limit, 0)


def prepare(outbox):
    # Before a put(), now and then: moves the marker on, and what is in the image to a segment.
    if outbox.next >= outbox.mark:
        seq = outbox.next + 1024  # seqs that one marker file covers
        files.replace(_name(outbox, seq, "m"))
        files.attempt(os.remove, _name(outbox, outbox.mark, "m"))
        outbox.mark = seq
    old = outbox.segments
    room = _SEGMENT_BYTES - outbox.used + _HEAD
    fits = len(old) > 1 and (files.attempt(os.stat, _name(outbox, old[-2])) or bytes(7))[6] <= room
    while not fits and len(old) > (outbox.limit if _room(outbox) else 1):
        drop(outbox)
    if outbox.used > _HEAD:  # drop() may have passed over acknowledged ones to its end
        seq = old[-2] if fits else max(old[-1], outbox.low)
        with open(_name(outbox, seq), "ab") as f:
            f.write(outbox.image, _HEAD, outbox.used - _HEAD)
        old[-1:] = [outbox.next] if fits else [seq, outbox.next]
        outbox.used = _HEAD


def _room(outbox):
    # [3]: free blocks (extmod/vfs_lfsx.c). LittleFS may count some in use twice, and then be a few
    # below zero, or below 2^32. A large disk of 32 bits has no number: it has room.
    counts = files.attempt(os.statvfs, outbox.paths[0][:-2])
    return not counts or counts[3] + 1024 & 0x3FFFFFFF >= 1024 + _FREE


def drop(outbox):
    # The oldest segment, or reading. The new place first, then the file: a power cut in between is
    # no second loss. Should there be no room even for the place, the put() under way saves it.
    lost = outbox.advance((outbox.segments + [outbox.low + 1])[1])
    outbox.dropped = min(0xFFFFFF, outbox.dropped + lost)  # three bytes on flash
    outbox.log("outbox: full, oldest {} dropped".format(lost))
    outbox.flush()
    remove_done(outbox)


def remove_done(outbox):
    while len(outbox.segments) > 1 and outbox.segments[1] <= outbox.low:
        files.attempt(os.remove, _name(outbox, outbox.segments.pop(0)))
    if len(outbox.segments) == 1:
        outbox.page = None


def _name(outbox, seq, kind=""):
    return "{}/{}{:08x}".format(outbox.paths[0][:-2], kind, seq)
