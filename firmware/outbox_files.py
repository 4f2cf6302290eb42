# The outbox's files, for what happens now and then: boot, a full image, a full store, a page of
# older readings, damage. Works on the state of an Outbox (outbox.py), keeps none of its own.

import os

from micropython import const

from firmware import files
from firmware.core.frame import crc16, u32

_HEAD = const(14)  # as in outbox.py
_MAX_BYTES = const(96)
_EXTRA = const(7)
_SEGMENT_BYTES = const(4096)  # LittleFS copies a file's last block when it appends: one is enough
_PAGE_BYTES = const(256)  # a dozen readings for one open(); must exceed the longest frame
_LOST = (2, 5, 84)  # errno: no such file, I/O, LittleFS "corrupt"; the readings are gone


def load(o):
    # The newer of a and b, if whole, has everything; if not, the older one has all but the
    # reading whose put() was writing the newer.
    o.page = None
    o.low = o.read = o.have = o.place = 0
    _find_segments(o)
    tails = [files.read(path, _PAGE_BYTES) or b"" for path in o.paths]
    if _head(tails[0]) > _head(tails[1]):
        tails.reverse()
        o.paths.reverse()
    whole = [_merge(o, data) for data in tails]
    if not whole[1]:
        o.paths.reverse()
    known, o.saved, o.dropped = _head(tails[1])
    # A damaged file may be the newer one: its put() used one seq.
    o.next = known + (whole != [True, True]) if known else max(1, o.mark)
    o.next = max(o.next, o.end, _last(o.image, _HEAD, o.used) + 1)
    o.low = max(o.saved, o.end)
    o.advance(0)
    first = _first(o)
    o.gap = o.low, first  # no readings are there; if any were, they count as corrupt now
    if known and o.segments:
        o.corrupt += max(0, first - o.low)
    o.low = o.read = max(o.saved, o.segments[0] if o.saved < o.end else first)
    o.waiting = o.next - max(o.low, first) + max(0, o.end - o.low)
    remove_done(o)
    o.log("outbox: {} waiting, next seq {}".format(o.waiting, o.next))


def _find_segments(o):
    # `segments`: the first seq of each, ascending; `mark`: no seq from there on was ever used, 0
    # without a marker; `end`: the seq behind the last in any segment; `room`: bytes that may
    # still go into the newest. If that has bytes behind its last good record, the power went
    # during an append on a file system that is no LittleFS: nothing is put behind them.
    o.segments = old = []
    o.mark = o.end = o.room = 0
    for entry in _try(os.ilistdir, o.paths[0][:-2]) or ():
        kind, digits = entry[0][:-8], entry[0][-8:]
        if kind in ("", "m") and len(digits) == 8 and not digits.strip("0123456789abcdef"):
            seq = int(digits, 16)
            if kind:
                o.mark = max(o.mark, seq)
            else:
                old.append(seq)
    old.sort()
    while old and not o.end:
        seq = old[-1]
        o.end = seq + _SEGMENT_BYTES
        good, size = 0, (_try(os.stat, _name(o, seq)) or b"\0" * 7)[6]
        while good < size and fill(o, seq) < o.end:
            seq, good = _last(o.page, 0, o.have) + 1, o.place
        o.room = _SEGMENT_BYTES - good if good == size else 0
        o.end = seq if good else 0
        if not good:
            _try(os.remove, _name(o, old.pop()))


def _try(call, path):
    try:
        return call(path)
    except OSError:
        return None


def _head(data):
    # (next, low, dropped) of a file a or b; next is 0 when it has no good head.
    if len(data) >= _HEAD and data[0] == 0xF5 and crc16(data, 0, 12) == data[12] | data[13] << 8:
        return u32(data, 1), u32(data, 5), data[9] | data[10] << 8 | data[11] << 16
    return 0, 0, 0


def _merge(o, data):
    # Puts the good frames of a file into the image, by seq, each once. False if it is damaged.
    image, at = o.image, _HEAD
    whole = not data or _head(data)[0] > 0
    while at < len(data):
        size = _check(data, at, len(data), 1, 0x3FFFFFFF)
        if size > 0:
            seq, to = u32(data, at + 1), _HEAD
            while to < o.used and u32(image, to + 1) < seq:
                to += image[to] + _EXTRA
            if (to == o.used or u32(image, to + 1) > seq) and o.used + size <= len(image):
                image[to + size : o.used + size] = image[to : o.used]
                image[to : to + size] = data[at : at + size]
                o.used += size
        whole = whole and size > 0
        at += max(size, 1)
    return whole


def _first(o):
    return u32(o.image, _HEAD + 1) if o.used > _HEAD else o.next


def _last(buf, at, end):
    # The seq of the last frame, 0 when there is none.
    seq = 0
    while at < end:
        seq = u32(buf, at + 1)
        at += buf[at] + _EXTRA
    return seq


def _check(buf, at, end, low, high):
    # The size of the good frame at `at` whose seq is within low..high - 1; 0 when there is
    # none; -1 when one may be there, but goes on beyond `end`.
    if at >= end:
        return -1
    size = buf[at]
    if not 1 <= size <= _MAX_BYTES or (at + 5 <= end and not low <= u32(buf, at + 1) < high):
        return 0
    crc = at + 5 + size
    if crc + 2 > end:
        return -1
    return size + _EXTRA if crc16(buf, at, crc) == buf[crc] | buf[crc + 1] << 8 else 0


def fill(o, seq):
    # A page of good frames from seq on. Returns the lowest seq that can be read, or the first
    # of the next segment. `place`: where in the file the last frame of the page ends.
    old = o.segments
    i = len([first for first in old if first <= seq])
    first, high = old[i - 1], old[i] if i < len(old) else o.end
    base = o.place if seq > first and _last(o.page, 0, o.have) == seq - 1 else 0
    o.page = page = o.page or bytearray(_PAGE_BYTES)
    o.have = 0
    try:
        with open(_name(o, first), "rb") as f:
            if seq > first and not base:
                # Readings are mostly of one length; where they are not, all are looked at.
                base = (seq - first) * max(0, _check(page, 0, f.readinto(page), first, high))
            _scan(o, f, base, seq, high)
            if base and (not o.have or u32(page, 1) != seq):
                _scan(o, f, 0, seq, high)
    except OSError as e:
        if e.args[0] not in _LOST:
            raise
    return u32(page, 1) if o.have else high


def _scan(o, f, base, low, high):
    # Fills the page with the good frames that follow `base`. Where there is none, the next may
    # start at any byte. One that goes on beyond the page is read anew, from its start.
    page, have, at = o.page, _PAGE_BYTES, _PAGE_BYTES
    base, o.have = base - at, 0
    while True:
        size = _check(page, at, have, low, high)
        if size > 0:
            low = u32(page, at + 1) + 1
            if o.have < at:
                page[o.have : o.have + size] = page[at : at + size]
            o.have += size
            at += size
            o.place = base + at
        elif not size or at < have < _PAGE_BYTES:
            at += 1  # no frame here, or the file ends within it
        elif o.have or have < _PAGE_BYTES:
            break
        else:
            base, at = base + at, 0
            f.seek(base)
            have = f.readinto(page)


def prepare(o, full):
    # Before a put(), now and then: moves the marker on, and what is in a full image to a segment.
    if o.next >= o.mark:
        mark = o.next + 1024  # seqs that one marker file covers
        if o.mark:
            os.rename(_name(o, o.mark, "m"), _name(o, mark, "m"))
        else:
            files.make_folder(o.paths[0])
            open(_name(o, mark, "m"), "wb").close()
        o.mark = mark
    old, fits = o.segments, o.used - _HEAD <= o.room
    while full and not fits and len(old) >= o.limit:
        drop(o)
    if not full or o.used == _HEAD:  # drop() may have passed over acknowledged ones to its end
        return
    if not (old and fits):
        o.room = _SEGMENT_BYTES
        if old[-1:] != [_first(o)]:  # else an append to it failed
            old.append(_first(o))
    room = o.room - o.used + _HEAD
    o.room = 0  # if this fails: LittleFS keeps the file as it was, but others do not
    with open(_name(o, old[-1]), "ab") as f:
        f.write(o.image, _HEAD, o.used - _HEAD)
    o.room, o.end, o.used = room, o.next, _HEAD


def drop(o):
    # Gives up the oldest readings; False when there are none. The new place first, then the
    # file: a power cut in between is no second loss.
    old = o.segments
    seq = (old + [o.end])[1] if old else _first(o) + 1
    if seq > o.next:
        return False
    lost = _lose(o, seq)
    o.dropped = min(0xFFFFFF, o.dropped + lost)  # three bytes on flash
    o.log("outbox: full, oldest {} dropped".format(lost))
    if old:
        o.flush()  # should there be no room even for that, the put() under way saves it
        remove_done(o)
    return True


def skip(o):
    lost = _lose(o, fill(o, o.low) if o.low < o.end else _first(o))
    o.corrupt += lost
    if lost:
        o.log("outbox: {} readings unreadable".format(lost))
    remove_done(o)


def _lose(o, seq):
    # Gives up on all below seq; how many readings that were.
    low, (start, end) = o.low, o.gap
    lost = o.advance(seq) - max(0, min(end, seq) - max(start, low))
    o.waiting -= lost
    return lost


def remove_done(o):
    old = o.segments
    while old and (old[1] if len(old) > 1 else o.end) <= o.low:
        _try(os.remove, _name(o, old.pop(0)))
    if not old:
        o.page, o.have = None, 0


def _name(o, seq, kind=""):
    return "{}{}{:08x}".format(o.paths[0][:-1], kind, seq)
