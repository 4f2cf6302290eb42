# NOR flash in RAM, for vfs.VfsLfs2: what was written to it can be played again up to any point,
# with the power failing before or in the middle of any single write or erase.
#
# The memory comes from malloc(), so the heap under test stays the size of a board's.

import os
import struct

import ffi
import uctypes
import vfs

BLOCK_BYTES = 4096  # ESP32 and ESP8266 alike: the smallest unit that can be erased
_HEAD_BYTES = 8  # of an entry in the journal: block, offset, size (0: erase)
_EIO = 5


def memory(size):
    address = ffi.open(None).func("P", "malloc", "L")(size)
    return uctypes.bytearray_at(address, size)


class Flash:
    def __init__(self, blocks, journal_bytes=0):
        self.data = memoryview(memory(blocks * BLOCK_BYTES))
        self._blank = memoryview(memory(BLOCK_BYTES))
        for i in range(BLOCK_BYTES):
            self._blank[i] = 0xFF
        self.blocks = blocks
        self.journal = memoryview(memory(journal_bytes)) if journal_bytes else None
        self.wipe()

    def wipe(self):
        self.forget()
        for n in range(self.blocks):
            self.data[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES] = self._blank

    def forget(self):
        # Starts the journal and the counters anew.
        self.journal_end = 0
        self.erased = [0] * self.blocks  # erases of each block
        self.ops = self.written = 0  # writes and erases; bytes written
        self.fuse = None  # operations until the power fails, in the middle of the last one

    def erases(self):
        return sum(self.erased)

    def readblocks(self, n, buf, off=0):
        at = n * BLOCK_BYTES + off
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=None):
        if off is None:
            self._operate(n, 0, None)
        return self._operate(n, off or 0, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK_BYTES
        return self._operate(arg, 0, None) if op == 6 else 0

    def _operate(self, n, off, buf):
        # buf None: erase. Errors are returned: an exception would jump out of the middle of
        # LittleFS and leave its files open.
        size = 0 if buf is None else len(buf)
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse == 0:
                self._apply(n, off, buf, True)
            if self.fuse <= 0:
                return -_EIO
        if self.journal is not None:
            at = self.journal_end
            struct.pack_into("<HHI", self.journal, at, n, off, size)
            if size:
                self.journal[at + _HEAD_BYTES : at + _HEAD_BYTES + size] = buf
            self.journal_end += _HEAD_BYTES + size
        self._apply(n, off, buf, False)
        self.ops += 1
        self.written += size
        if not size:
            self.erased[n] += 1
        return 0

    def _apply(self, n, off, buf, torn):
        at = n * BLOCK_BYTES + off
        if buf is None:
            size = BLOCK_BYTES // 2 if torn else BLOCK_BYTES
            self.data[at : at + size] = self._blank[:size]
            return
        size = len(buf) // 2 if torn else len(buf)
        if self.data[at : at + size] == self._blank[:size]:
            self.data[at : at + size] = buf[:size]
            return
        for i in range(size):  # writing can only clear bits
            self.data[at + i] &= buf[i]

    def play(self, entry, source, torn):
        # Does what the journal of `source` has at `entry`, or the first half of it; gives the
        # next entry.
        n, off, size = struct.unpack_from("<HHI", source.journal, entry)
        entry += _HEAD_BYTES
        buf = source.journal[entry : entry + size] if size else None
        self._apply(n, off, buf, torn)
        return entry + size

    def copy(self, source):
        self.data[:] = source.data

    def format(self):
        vfs.VfsLfs2.mkfs(self)

    def mount(self):
        # As a board does at power on, with the sizes it uses.
        vfs.mount(vfs.VfsLfs2(self), "/flash")
        os.chdir("/flash")

    def umount(self):
        os.chdir("/")
        vfs.umount("/flash")
