# The outbox's files, for what happens now and then: boot, a full image, a full store, a page of
# older readings, damage. Works on the state of an Outbox (outbox.py), keeps none of its own.

import os
from micropython import const

from firmware import files
from firmware.core.telemetry import crc16, u32

_HEAD = const(14)  # as in outbox.py
_EXTRA = const(7)
_FRAME_BYTES = const(103)  # the longest
_SEGMENT_BYTES = const(4096)  # LittleFS copies a file's last block when it appends: one is enough
_PAGE_BYTES = const(256)  # a dozen readings for one open(); must exceed the longest frame


def load(outbox):
    # The newer of a and b, if whole, has everything; if not, the older has all but the reading
    # whose put() was writing the newer, and that one's seq may be used.
    outbox.page, outbox.have, outbox.place = None, 0, (0, 0)
    found = {"": [], "m": [0]}
    for name in _try(os.listdir, outbox.paths[0][:-2]) or ():
        kind, digits = name[:-8], name[-8:]
        if kind in found and len(digits) == 8 and not digits.strip("0123456789abcdef"):
            found[kind].append(int(digits, 16))
    outbox.mark = max(found["m"])
    older, newer = sorted([_tail(path) for path in outbox.paths])
    known, outbox.saved, outbox.dropped, whole, path, frames = newer
    outbox.paths = [older[4], path] if whole else [path, older[4]]
    if not (whole and older[3]):
        known += known > 0
        frames.update(older[5])
    # A segment has at most 512 frames.
    outbox.next = known or max([1, outbox.mark] + [seq + 512 for seq in found[""]])
    old = sorted([seq for seq in found[""] if seq < outbox.next])
    low = max([outbox.saved] + old)
    frames = [frames[seq] for seq in sorted(frames) if low <= seq < outbox.next]
    newest = _name(outbox, (old or [0])[-1])
    if frames and files.read(newest, len(frames[-1])) == frames[-1]:
        frames = []  # prepare() was done, but put() was not
    outbox.segments = old + [u32(frames[0], 1) if frames else outbox.next]
    data = b"".join(frames)
    outbox.used += len(data)
    outbox.image[_HEAD : outbox.used] = data  # grows, should two damaged files have so much
    outbox.low = outbox.read = max(outbox.saved, outbox.segments[0])
    outbox.waiting = outbox.next - outbox.low
    remove_done(outbox)
    outbox.log("outbox: {} waiting, next seq {}".format(outbox.waiting, outbox.next))


def _tail(path):
    # (next, low, dropped, whole, path, {seq: frame}) of a or b; next is 0 without a good head.
    data = files.read(path, _PAGE_BYTES) or b""
    head, good, frames = (0, 0, 0), 0, {}
    if len(data) >= _HEAD and data[0] == 0xF5 and crc16(data, 0, 12) == data[12] | data[13] << 8:
        head = u32(data, 1), u32(data, 5), data[9] | data[10] << 8 | data[11] << 16
        good = _HEAD
    for at, end in _good(data, _HEAD, len(data)):
        frames[u32(data, at + 1)] = data[at:end]
        good += end - at
    return head + (good == len(data), path, frames)


def _good(buf, at, end):
    # Where each good frame begins and ends. Behind damage the next may begin at any byte; most are
    # ruled out by length and seq, which saves the CRC.
    while at + _EXTRA < end:
        crc = at + 5 + buf[at]
        if crc + 2 <= min(end, at + _FRAME_BYTES) and u32(buf, at + 1) > 0:
            if crc16(buf, at, crc) == buf[crc] | buf[crc + 1] << 8:
                yield at, crc + 2
                at = crc + 1
        at += 1


def fill(outbox, seq):
    # A page of good frames from seq on, which is neither in the page nor in the image. Returns the
    # first seq that can be read from there on, or where the next segment or the image begins.
    i = len([first for first in outbox.segments if first <= seq])
    if i == len(outbox.segments):
        return u32(outbox.image, _HEAD + 1) if outbox.used > _HEAD else outbox.next
    start, limit = outbox.segments[i - 1 : i + 1]
    outbox.page = outbox.page or bytearray(_PAGE_BYTES)
    try:
        with open(_name(outbox, start), "rb") as f:
            # After the last page; else as if all were as long as the first; else all of them.
            following, at = outbox.place
            if seq == start or seq != following:
                at = (seq - start) * (sum(f.read(1)) + _EXTRA)
            found = _scan(outbox, f, at, seq, limit)
            return found if found == seq else _scan(outbox, f, 0, seq, limit)
    except OSError as e:
        if e.args[0] not in (2, 5, 84):  # no such file, I/O, LittleFS "corrupt": they are gone
            raise
        return limit


def _scan(outbox, f, start, seq, limit):
    # The page becomes the first good frames that are wanted, up to a gap in their seqs.
    page, size, outbox.have = outbox.page, _PAGE_BYTES, 0
    while size == _PAGE_BYTES and not outbox.have:
        f.seek(start)
        size, end = f.readinto(page), 0
        for at, end in _good(page, 0, size):
            found = u32(page, at + 1)
            if seq <= found < limit:
                seq, limit = found + 1, found + 2
                have = outbox.have + end - at
                page[outbox.have : have] = page[at:end]
                outbox.have, outbox.place = have, (limit - 1, start + end)
        start += max(end, _PAGE_BYTES - _FRAME_BYTES)  # what the page has not whole is read anew
    return u32(page, 1) if outbox.have else limit


def prepare(outbox):
    # Before a put(), now and then: moves the marker on, and what is in the image to a segment.
    if outbox.next >= outbox.mark:
        seq = outbox.next + 1024  # seqs that one marker file covers
        files.replace(_name(outbox, seq, "m"))
        _try(os.remove, _name(outbox, outbox.mark, "m"))
        outbox.mark = seq
    old = outbox.segments
    room = _SEGMENT_BYTES - outbox.used + _HEAD
    fits = len(old) > 1 and (_try(os.stat, _name(outbox, old[-2])) or bytes(7))[6] <= room
    while not fits and len(old) > outbox.limit:
        drop(outbox)
    if outbox.used > _HEAD:  # drop() may have passed over acknowledged ones to its end
        seq = old[-2] if fits else max(old[-1], outbox.low)
        with open(_name(outbox, seq), "ab") as f:
            f.write(outbox.image, _HEAD, outbox.used - _HEAD)
        old[-1:] = [outbox.next] if fits else [seq, outbox.next]
        outbox.used = _HEAD


def drop(outbox):
    # Gives up the oldest readings. The new place first, then the file: a power cut in between is
    # no second loss. Should there be no room even for the place, the put() under way saves it.
    old = outbox.segments
    lost = outbox.advance(old[1] if len(old) > 1 else outbox.low + 1)
    outbox.dropped = min(0xFFFFFF, outbox.dropped + lost)  # three bytes on flash
    outbox.log("outbox: full, oldest {} dropped".format(lost))
    outbox.flush()
    remove_done(outbox)


def skip(outbox):
    lost = outbox.advance(fill(outbox, outbox.low))
    outbox.corrupt += lost
    outbox.log("outbox: {} readings unreadable".format(lost))
    remove_done(outbox)


def remove_done(outbox):
    old = outbox.segments
    while len(old) > 1 and old[1] <= outbox.low:
        _try(os.remove, _name(outbox, old.pop(0)))
    if len(old) == 1:
        outbox.page, outbox.have = None, 0


def _try(call, path):
    try:
        return call(path)
    except OSError:
        return None


def _name(outbox, seq, kind=""):
    return "{}/{}{:08x}".format(outbox.paths[0][:-2], kind, seq)
