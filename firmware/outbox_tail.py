# The outbox's newest readings, in two small files written in turn, so that one of them is whole
# at any moment. LittleFS keeps a file of up to 128 bytes inside the directory, where a write
# costs no flash block of its own.
#
#   head    0xF5, next seq, lowest seq not yet acknowledged (4 bytes each), dropped (3), CRC-16
#   rest    frames (core/frame.py), seq ascending

from micropython import const

from firmware.core import frame

HEAD_BYTES = const(14)
_TAIL_BYTES = const(128)  # LittleFS, block size 4096 and cache size 128: longer has its own block
_MAGIC = const(0xF5)  # no length of a frame
_FILES = ("a", "b")
_NO_SEQ = const(0x3FFFFFFF)  # above all: seqs are small ints on 32-bit ports


class Tail:
    def __init__(self, path):
        self._path = path + "/"
        # One frame more than is ever written: two damaged files together may hold so much.
        self.image = bytearray(_TAIL_BYTES + frame.MAX_BYTES + frame.EXTRA_BYTES)
        self._view = memoryview(self.image)
        self.used = HEAD_BYTES
        self._turn = 0  # which file is written next
        self.next = self.low = self.dropped = 0  # as last saved
        self.damaged = False  # load() met a file that is neither whole nor empty

    def load(self, segments):
        # Reads through the page of `segments`. The newest file, if whole, has everything; if
        # not, the older one has all but the reading whose put() was writing the newest.
        heads = [self._head(segments, i) for i in (0, 1)]
        newest = 1 if heads[1] > heads[0] else 0
        self.next, self.low, self.dropped, whole = heads[newest]
        self._turn = newest
        if whole:
            self._turn = 1 - newest
        else:
            self._merge(segments, 1 - newest)
        self._merge(segments, newest)

    def last(self):
        # The highest seq in here, 0 when there is none.
        at, seq = HEAD_BYTES, 0
        while at < self.used:
            seq = frame.get_u32(self.image, at + 1)
            at += self.image[at] + frame.EXTRA_BYTES
        return seq

    def first(self):
        # The lowest seq in here, or the next one.
        return frame.get_u32(self.image, HEAD_BYTES + 1) if self.used > HEAD_BYTES else self.next

    def fits(self, size):
        return self.used + size + frame.EXTRA_BYTES <= _TAIL_BYTES or self.used == HEAD_BYTES

    def frames(self):
        return self._view[HEAD_BYTES : self.used]

    def find(self, seq):
        # Where the first frame at or above seq starts; `used` when there is none.
        at = HEAD_BYTES
        while at < self.used and frame.get_u32(self.image, at + 1) < seq:
            at += self.image[at] + frame.EXTRA_BYTES
        return at

    def trim(self, low):
        # Forgets what is below low; on flash with the next save().
        at = self.find(low)
        if at > HEAD_BYTES:
            for i in range(at, self.used):
                self.image[i - at + HEAD_BYTES] = self.image[i]
            self.used -= at - HEAD_BYTES

    def clear(self):
        self.used = HEAD_BYTES

    def add(self, record, size, low, dropped):
        # Gives the record the next seq; durable when it returns, nothing changed if it raises.
        end = frame.write(self.image, self.used, self.next, record, size)
        self._save(end, self.next + 1, low, dropped)
        self.used = end

    def save(self, low, dropped):
        self._save(self.used, self.next, low, dropped)

    def _save(self, end, following, low, dropped):
        image = self.image
        image[0] = _MAGIC
        frame.put_u32(image, 1, following)
        frame.put_u32(image, 5, low)
        frame.put_u32(image, 9, dropped)  # three bytes: the CRC overwrites the fourth
        frame.seal(image, 0, HEAD_BYTES - 2)
        with open(self._path + _FILES[self._turn], "wb") as f:
            f.write(self._view[:end])
        self._turn = 1 - self._turn
        self.next, self.low, self.dropped = following, low, dropped

    def _head(self, segments, i):
        # (next, low, dropped, whole) of a file; the zeros of a fresh one if it says nothing.
        page = segments.page
        have = segments.load_small(_FILES[i])
        if have <= 0:
            return 0, 0, 0, False
        if have < HEAD_BYTES or page[0] != _MAGIC or not frame.sealed(page, 0, HEAD_BYTES - 2):
            self.damaged = True
            return 0, 0, 0, False
        at = HEAD_BYTES
        following = frame.get_u32(page, 1)
        while at < have:
            size = frame.check(page, at, have, 1, following)
            if size <= 0:
                self.damaged = True
                break
            at += size
        dropped = page[9] | page[10] << 8 | page[11] << 16
        return following, frame.get_u32(page, 5), dropped, at == have

    def _merge(self, segments, i):
        # Appends the good frames of a file that are newer than all in the image.
        have = segments.load_small(_FILES[i])
        at, low = 0, self.last() + 1
        while at < have:
            size = frame.check(segments.page, at, have, low, _NO_SEQ)
            if size > 0 and self.used + size <= len(self.image):
                low = frame.get_u32(segments.page, at + 1) + 1
                self.image[self.used : self.used + size] = segments.page[at : at + size]
                self.used += size
            at += max(size, 1)
