# NOR flash in RAM, for vfs.VfsLfs2, with the sizes of an ESP32 and an ESP8266.
# The memory comes from malloc(), so the heap under test stays the size of a board's.

import os
import struct

import ffi
import uctypes
import vfs

_BLOCK_BYTES = 4096  # the smallest unit that can be erased
_EIO = 5


def memory(size):
    address = ffi.open(None).func("P", "malloc", "L")(size)
    return memoryview(uctypes.bytearray_at(address, size))


def mounted(flash):
    # A new file system on it, at /flash.
    flash.format()
    flash.mount()
    return flash


class Flash:
    def __init__(self, blocks):
        self.blocks = blocks
        self.data = memory(blocks * _BLOCK_BYTES)
        self._blank = memory(_BLOCK_BYTES)
        for i in range(_BLOCK_BYTES):
            self._blank[i] = 0xFF
        self.forget()

    def forget(self):
        # Starts the counters anew.
        self.erased = [0] * self.blocks  # erases of each block
        self.ops = self.written = 0  # writes and erases; bytes written
        self.fuse = None  # operations until the power fails, in the middle of the last one

    def erases(self):
        return sum(self.erased)

    def format(self):
        for n in range(self.blocks):
            self.apply(n, 0, None, False)
        vfs.VfsLfs2.mkfs(self)

    def mount(self):
        # As a board does at power on.
        vfs.mount(vfs.VfsLfs2(self), "/flash")
        os.chdir("/flash")

    def umount(self):
        os.chdir("/")
        vfs.umount("/flash")

    def fresh(self):
        # A new file system in the place of the one that is mounted.
        self.umount()
        self.format()
        self.mount()

    def readblocks(self, n, buf, off=0):
        at = n * _BLOCK_BYTES + off
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        return self.operate(n, off, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return _BLOCK_BYTES
        return self.operate(arg, 0, None) if op == 6 else 0

    def operate(self, n, off, buf):
        # buf None: erase. Errors are returned: an exception would jump out of the middle of
        # LittleFS and leave its files open.
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse == 0:
                self.apply(n, off, buf, True)
            if self.fuse <= 0:
                return -_EIO
        self.apply(n, off, buf, False)
        self.ops += 1
        if buf is None:
            self.erased[n] += 1
        else:
            self.written += len(buf)
        return 0

    def apply(self, n, off, buf, torn):
        at = n * _BLOCK_BYTES + off
        size = _BLOCK_BYTES if buf is None else len(buf)
        if torn:
            size //= 2
        if buf is None:
            self.data[at : at + size] = self._blank[:size]
        elif self.data[at : at + size] == self._blank[:size]:
            self.data[at : at + size] = buf[:size]
        else:
            for i in range(size):  # writing can only clear bits
                self.data[at + i] &= buf[i]


_HEAD_BYTES = 8  # of an entry of the journal: block, offset, size (0: erase)


class Journal(Flash):
    # Keeps a journal of what was done to it, so that it can be done again up to any point, with
    # the power failing before or in the middle of any single write or erase.
    def __init__(self, blocks, size):
        super().__init__(blocks)
        self._entries = memory(size)
        self._end = 0  # of the entries
        self.start = None  # the state they start from

    def begin(self):
        self.start = Flash(self.blocks)
        self.start.data[:] = self.data
        self.forget()

    def operate(self, n, off, buf):
        if self.start is not None:
            at = self._end
            size = 0 if buf is None else len(buf)
            struct.pack_into("<HHI", self._entries, at, n, off, size)
            self._end = at + _HEAD_BYTES + size
            if size:
                self._entries[at + _HEAD_BYTES : self._end] = buf
        return super().operate(n, off, buf)

    def loaded(self, load):
        # (ops, what load() finds) after every cut, at the next start.
        for ops, board in self.cuts():
            board.mount()
            found = load()
            board.umount()
            yield ops, found

    def cuts(self):
        # (ops, board) for every clean and every torn cut: after so many operations of `ops`. The
        # flash of the board is as it was then; it is the same object each time.
        board = Flash(self.blocks)
        at = 0
        for ops in range(self.ops):
            n, off, size = struct.unpack_from("<HHI", self._entries, at)
            at += _HEAD_BYTES + size
            buf = self._entries[at - size : at] if size else None
            for torn in (False, True):
                board.data[:] = self.start.data
                if torn:
                    board.apply(n, off, buf, True)
                board.fuse = None
                yield ops, board
            self.start.apply(n, off, buf, False)
