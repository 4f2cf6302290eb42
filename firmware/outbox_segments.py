# The outbox's folder and its older readings: segment files of one flash block each, named by
# their first seq. Only the newest is appended to, only the oldest is removed; reading goes
# through a small page. An empty marker file m<seq> says from which seq on none was ever used.

import os

from micropython import const

from firmware import files
from firmware.core import frame

SEGMENT_BYTES = const(4096)  # LittleFS copies a file's last block when it appends: one is enough
_PAGE_BYTES = const(256)  # a dozen readings for one open(); must exceed the longest frame
_RESERVE = const(1024)  # seqs that one marker file covers
_LOST = (2, 5, 84)  # errno: no such file, I/O, LittleFS "corrupt"; the readings are gone


class Segments:
    # find() leaves the record in `page` at `at`, `size` bytes; valid until the next call.
    def __init__(self, path):
        self._path = path + "/"
        self.firsts = []  # first seq of each segment, ascending
        self.mark = 0  # no seq from here on was ever used; 0: there is no marker
        self.end = 0  # the seq behind the last one in any segment
        self._room = 0  # bytes that may still go into the newest
        self.page = bytearray(_PAGE_BYTES)
        self.seq = self.at = self.size = 0  # the record found last
        self._open = None  # first seq of the segment the page belongs to
        self._base = 0  # where in the file the page starts
        self._next = 0  # where in the page to look on
        self._have = 0  # bytes in the page

        try:
            for entry in os.ilistdir(path):
                self._sort_in(entry[0])
        except OSError:
            pass  # the first start: reserve() makes the folder
        self.firsts.sort()

    def load(self):
        # Finds the end of the newest segment. One without a single good record is removed.
        while self.firsts and not self._measure(self.firsts[-1]):
            self._remove(self.firsts.pop())

    def _measure(self, first):
        good = self._room = 0
        self._start(first)
        try:
            while self._scan(first, first + SEGMENT_BYTES):
                self.end = self.seq + 1
                good = self._base + self._next
            # Bytes behind the last good record: the power went during an append on a file
            # system that is no LittleFS. Nothing is put behind them.
            if good and os.stat(self._name(first))[6] == good:
                self._room = SEGMENT_BYTES - good
        except OSError as e:
            if e.args[0] not in _LOST:
                raise
        return good > 0

    def fits(self, size):
        return bool(self.firsts) and size <= self._room

    def begin(self, first):
        # A segment of which an append failed may begin anew, with the same name.
        if not self.firsts or self.firsts[-1] != first:
            self.firsts.append(first)
        self._room = SEGMENT_BYTES

    def append(self, data, end):
        # Durable when it returns; `end` is the seq behind the last record of data.
        room = self._room - len(data)
        self._room = 0  # if this fails: LittleFS keeps the file as it was, but others do not
        with open(self._name(self.firsts[-1]), "ab") as f:
            f.write(data)
        self._room = room
        self.end = end

    def reserve(self, seq):
        # Before seq is used for the first time.
        if seq < self.mark:
            return
        mark = seq + _RESERVE
        if self.mark:
            os.rename(self._name(self.mark, "m"), self._name(mark, "m"))
        else:
            files.make_folder(self._path)
            open(self._name(mark, "m"), "wb").close()
        self.mark = mark

    def oldest_end(self):
        return self.firsts[1] if len(self.firsts) > 1 else self.end

    def remove_oldest(self):
        self._remove(self.firsts.pop(0))

    def find(self, seq):
        # The lowest seq at or above `seq` that can be read, or the first seq of the next segment.
        first, high = self._around(seq)
        try:
            if first != self._open or seq < self.seq:
                self._start(first)
                self._jump(seq, first, high)
            if seq == self.seq or self._scan(seq, high):
                return self.seq
        except OSError as e:
            if e.args[0] not in _LOST:
                raise
        return high

    def load_small(self, name):
        # A whole small file into the page; its size, -1 when there is none.
        self._open = None
        try:
            return self._fill(self._path + name, 0)
        except OSError:
            return -1

    def _around(self, seq):
        firsts = self.firsts
        i = 0
        while i + 1 < len(firsts) and firsts[i + 1] <= seq:
            i += 1
        return firsts[i], firsts[i + 1] if i + 1 < len(firsts) else self.end

    def _start(self, first):
        self._open = first
        self.seq = -1
        self._base = self._next = self._have = 0

    def _jump(self, seq, first, high):
        # The readings of one sensor are of one length, so the place of a seq can be guessed
        # from the first; where that fails, all are looked at.
        if seq > first and self._scan(first, high) and seq > self.seq:
            self._base = (seq - self.seq) * (self.size + frame.EXTRA_BYTES)
            self._next = self._have = 0
            if not self._more() or frame.check(self.page, 0, self._have, seq, seq + 1) <= 0:
                self._start(first)

    def _scan(self, low, high):
        # On to the next good frame with low <= seq < high; False when the file has no more.
        while True:
            size = frame.check(self.page, self._next, self._have, low, high)
            if size > 0:
                self.seq = frame.get_u32(self.page, self._next + 1)
                self.at = self._next + frame.DATA
                self.size = size - frame.EXTRA_BYTES
                self._next += size
                return True
            if size == 0:
                self._next += 1
            elif not self._more():
                return False

    def _more(self):
        # A frame may go on beyond the page: let the page start where the frame does. If the
        # file ends there, that was no frame: look on behind its first byte.
        rest = self._have - self._next
        base = self._base + self._next
        self._have = self._fill(self._name(self._open), base)
        self._base = base
        self._next = 0
        if self._have > max(rest, 0):
            return True
        self._next = min(rest, 1)
        return rest > 1

    def _fill(self, path, base):
        with open(path, "rb") as f:
            f.seek(base)
            return f.readinto(self.page)

    def _name(self, seq, kind=""):
        return "{}{}{:08x}".format(self._path, kind, seq)

    def _remove(self, first):
        try:
            os.remove(self._name(first))
        except OSError:
            pass  # not there, or found again at the next start

    def _sort_in(self, name):
        try:
            seq = int(name[-8:], 16)
        except ValueError:
            return
        if name == "{:08x}".format(seq):
            self.firsts.append(seq)
        elif name == "m{:08x}".format(seq):
            self.mark = max(self.mark, seq)
