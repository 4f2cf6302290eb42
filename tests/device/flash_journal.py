# Flash that keeps a journal of what was done to it, so that it can be done again up to any point,
# with the power failing before or in the middle of any single write or erase.

import struct

from flash import Flash, memory

_HEAD_BYTES = 8  # of an entry: block, offset, size (0: erase)


class Journal(Flash):
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
