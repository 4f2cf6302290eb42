# Store-and-forward: a reading is on flash before put() returns, and leaves after its PUBACK.
# Promises, proof, files, format: docs/outbox.md. Stays in memory, and with it the newest readings
# (`image`: what a or b has) and some older ones (`page`), both as frames that ascend by seq.

import struct
from micropython import const

from firmware.core.telemetry import crc16, u32

_HEAD = const(14)  # bytes before the frames: 0xF5, next seq, low (4 each), dropped (3), CRC-16
_TAIL_BYTES = const(128)  # LittleFS, block 4096 and cache 128: longer has a flash block of its own
_EXTRA = const(7)  # what a frame adds to its record
_WINDOW = const(128)  # readings that may be handed out beyond `low`
_SAVE_ACKS = const(16)  # acks kept in RAM only: as many duplicates may follow a power cut
_ENOSPC = const(28)


def _rare():
    from firmware import outbox_files

    return outbox_files


class Outbox:
    def __init__(self, path, limit_bytes, log):
        self.log = log
        self.limit = max(1, limit_bytes // 4096)  # segments
        self.paths = [path + "/a", path + "/b"]  # the first is written next
        self.image = bytearray(_TAIL_BYTES)
        self.used = _HEAD  # bytes of the image
        self.acked = 0  # bit n: low + n is acknowledged; a small int up to 30 beyond low
        self.corrupt = 0  # readings found unreadable since boot
        self.page, self.first, self.beyond = None, 0, 0  # what is left of first <= seq < beyond
        # From flash: next (seq of the next put), low (all below is acknowledged or given up),
        # saved (low on flash), read (the seq to hand out next), waiting (not acknowledged), mark,
        # dropped (by a full store, ever), segments (first seq of each, then that of the image).
        _rare().load(self)

    def put(self, record, size):
        # Gives the seq. OSError when not even dropping the oldest makes room.
        while True:
            try:
                if self.next >= self.mark or self.used + size + _EXTRA > _TAIL_BYTES:
                    _rare().prepare(self)
                at, end = self.used, self.used + size + _EXTRA
                struct.pack_into("<BI", self.image, at, size, self.next)
                for i in range(size):
                    self.image[at + 5 + i] = record[i]
                struct.pack_into("<H", self.image, end - 2, crc16(self.image, at, end - 2))
                self.save(end)
                self.waiting += 1
                return self.next - 1
            except OSError as e:
                if e.args[0] != _ENOSPC or self.low == self.next:
                    raise
                _rare().drop(self)

    def next_unsent(self):
        # The seq of the next reading to be sent, if there is one, and a window.
        if self.read < self.next and self.read - self.low < _WINDOW:
            self.read += 1
            return self.read - 1

    def get(self, seq):
        # The buffer with the reading's frame, at self.at, until the next call; None without one.
        if not self.low <= seq < self.next:
            return None
        buf, at, end = self.image, _HEAD, self.used
        if seq < self.segments[-1]:
            if not self.first <= seq < self.beyond:
                _rare().fill(self, seq)
            buf, at, end = self.page, 0, self.have
        while at < end and u32(buf, at + 1) < seq:
            at += buf[at] + _EXTRA
        if at < end and u32(buf, at + 1) == seq:
            self.at = at
            return buf
        self.corrupt += 1
        self.log("outbox: reading {} is unreadable".format(seq))

    def ack(self, seq):
        # In any order, once or more often.
        i = seq - self.low
        if i >= 0 and seq < self.read and not self.acked >> i & 1:
            self.acked |= 1 << i
            self.waiting -= 1
            self.advance(0)
            if len(self.segments) > 1 and self.segments[1] <= self.low:
                _rare().remove_done(self)
            if self.low - self.saved >= _SAVE_ACKS:
                self.flush()

    def flush(self):
        # Saves which readings are acknowledged. Never raises: without it some come twice.
        if self.low > self.saved:
            try:
                self.save(self.used)
            except OSError as e:
                self.log("outbox: place not saved, errno {}".format(e.args[0]))

    def save(self, end):
        # The image up to `end`: what is used, or a reading more. Nothing changed if it raises.
        image, seq = self.image, self.next + (end > self.used)
        struct.pack_into("<BIII", image, 0, 0xF5, seq, self.low, self.dropped)  # dropped: 3 bytes
        struct.pack_into("<H", image, _HEAD - 2, crc16(image, 0, _HEAD - 2))
        with open(self.paths[0], "wb") as f:
            f.write(image, end)
        self.paths.reverse()
        self.used, self.next, self.saved = end, seq, self.low

    def advance(self, seq):
        # Moves low up to seq, and on over all that is acknowledged; what is below it leaves the
        # image. Returns how many of those were not acknowledged.
        waiting, low = self.waiting, self.low
        while low < seq or self.acked & 1:
            self.waiting -= not self.acked & 1
            self.acked >>= 1
            low += 1
        self.low, self.read = low, max(low, self.read)
        image, at = self.image, _HEAD
        while at < self.used and u32(image, at + 1) < low:
            at += image[at] + _EXTRA
        if at > _HEAD:
            for i in range(at, self.used):
                image[i - at + _HEAD] = image[i]
            self.used -= at - _HEAD
        return waiting - self.waiting
