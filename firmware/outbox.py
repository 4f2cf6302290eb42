# Store-and-forward: a reading is on flash before put() returns, and leaves after its PUBACK.
# At least once, in order, no seq used twice. Proof and wear: docs/outbox.md.
#
#   path/a, path/b    the newest readings, and where we are (outbox_tail.py)
#   path/0000012d     older, a flash block a file, the first seq its name (outbox_segments.py)
#   path/m00000401    empty: no seq from 0x401 on was ever used, should a and b be lost
#
# put() writes a or b; when they are full it first moves what is in them to a segment. A power cut
# between the two leaves readings in both places, under the same seq: the segment counts.

from micropython import const

from firmware.core import frame
from firmware.core.acks import WINDOW, Acks
from firmware.core.errors import StoreError
from firmware.outbox_segments import SEGMENT_BYTES, Segments
from firmware.outbox_tail import Tail

_SAVE_ACKS = const(16)  # acks kept in RAM only: as many duplicates may follow a power cut
_MOST = const(0xFFFFFF)  # where the count of dropped readings stops: it has three bytes
_ENOSPC = const(28)  # the same number on every port


class Outbox:
    def __init__(self, path, limit_bytes, log):
        self._most = max(2, limit_bytes // SEGMENT_BYTES)
        self._log = log
        self.corrupt = 0  # readings found unreadable since boot
        self.unsent_seq = None  # belongs to what next_unsent() gave last
        self._segments = Segments(path)
        self._tail = Tail(path)
        low = self._load()
        self.dropped = self._tail.dropped  # readings lost to a full store, ever
        self._acks = Acks(low)
        self._read = low  # the seq to hand out next
        self._remove_done()
        log("outbox: {} waiting, next seq {}".format(self.waiting, self._tail.next))

    @property
    def waiting(self):
        # Readings not yet acknowledged.
        low, end = self._acks.low, self._segments.end
        count = self._tail.next - max(low, self._tail.first()) - self._acks.early
        return count + end - low if low < end else count

    def put(self, record, size=None):
        # The reading survives any power cut once this has returned its seq. StoreError if not
        # even dropping the oldest makes room; then nothing is lost but this one.
        size = len(record) if size is None else size
        if not 1 <= size <= frame.MAX_BYTES:
            raise StoreError("outbox: record of {} bytes".format(size))
        while True:
            try:
                return self._put(record, size)
            except OSError as e:
                if e.args[0] != _ENOSPC or not self._drop():
                    raise StoreError("outbox: errno {}".format(e.args[0]))

    def next_unsent(self):
        # The next reading in order beyond those handed out; its seq is in unsent_seq. A view
        # that is valid until any other call. None if there is no other, or the window is full.
        while self._read < self._tail.next and self._read - self._acks.low < WINDOW:
            seq = self._read
            if self._acks.has(seq):
                self._read += 1
            elif seq < self._segments.end:
                s = self._segments
                found = s.find(seq)
                if found == seq:
                    return self._hand_out(s.page, s.at, s.size)
                if not self._skip(found, True):
                    break
            else:
                tail = self._tail
                at = tail.find(seq)
                if at < tail.used and frame.get_u32(tail.image, at + 1) == seq:
                    return self._hand_out(tail.image, at + frame.DATA, tail.image[at])
                found = frame.get_u32(tail.image, at + 1) if at < tail.used else tail.next
                if not self._skip(found, seq >= tail.first()):
                    break
        return None

    def rewind(self):
        # The session is lost: hand out again whatever is not acknowledged.
        self._read = self._acks.low

    def ack(self, seq):
        # In any order, once or more often. Never raises: a place in the file that could not
        # be saved costs duplicates, not readings.
        if seq >= self._tail.next or not self._acks.add(seq):
            return
        self._remove_done()
        if self._acks.low - self._tail.low >= _SAVE_ACKS:
            self.flush()

    def flush(self):
        # Before a restart on purpose: saves which readings are acknowledged.
        self._tail.trim(self._acks.low)
        if self._acks.low == self._tail.low:
            return
        try:
            self._tail.save(self._acks.low, self.dropped)
        except OSError as e:
            self._log("outbox: place not saved, errno {}".format(e.args[0]))

    def _put(self, record, size):
        tail = self._tail
        self._segments.reserve(tail.next)
        tail.trim(self._acks.low)
        if not tail.fits(size):
            self._spill()
        tail.add(record, size, self._acks.low, self.dropped)
        return tail.next - 1

    def _spill(self):
        data = self._tail.frames()
        if not self._segments.fits(len(data)):
            while len(self._segments.firsts) >= self._most:
                self._drop_segment()
            self._segments.begin(self._tail.first())
        self._segments.append(data, self._tail.next)
        self._tail.clear()

    def _drop(self):
        # Gives up the oldest readings. False when there are none.
        if self._segments.firsts:
            self._drop_segment()
            return True
        first = max(self._tail.first(), self._acks.low)
        if first >= self._tail.next:
            return False
        self._lose(first + 1)
        return True

    def _drop_segment(self):
        # The new place first, then the file: a power cut in between is no second loss.
        self._lose(self._segments.oldest_end())
        try:
            self._tail.save(self._acks.low, self.dropped)
        except OSError:
            pass  # no room even for that: the put() under way saves it
        self._segments.remove_oldest()

    def _lose(self, seq):
        lost = self._acks.pass_to(seq)
        self._read = max(self._read, self._acks.low)
        self.dropped = min(_MOST, self.dropped + lost)
        self._log("outbox: full, oldest {} dropped".format(lost))

    def _skip(self, found, count):
        # Nothing readable below `found`. Moves on once nothing is in flight any more: the
        # place in the file is one number.
        if self._acks.low < self._read:
            return False
        lost = self._acks.pass_to(found)
        self._read = self._acks.low
        if count:
            self.corrupt += lost
            self._log("outbox: {} readings unreadable".format(lost))
        self._remove_done()
        return True

    def _hand_out(self, buf, at, size):
        self.unsent_seq = self._read
        self._read += 1
        return memoryview(buf)[at : at + size]

    def _remove_done(self):
        s = self._segments
        while s.firsts and s.oldest_end() <= self._acks.low:
            s.remove_oldest()

    def _load(self):
        # Returns the lowest seq not done with.
        segments, tail = self._segments, self._tail
        segments.load()
        tail.load(segments)
        known = tail.next
        if not known:
            tail.next = max(1, segments.mark)
        elif tail.damaged:
            tail.next += 1  # the damaged file may be the newer one: its put() used one seq
        tail.next = max(tail.next, segments.end, tail.last() + 1)
        tail.trim(max(tail.low, segments.end))
        if not segments.firsts:
            return max(tail.low, tail.first())
        if known:
            self.corrupt += max(0, tail.first() - max(segments.end, tail.low))
        return max(tail.low, segments.firsts[0])
