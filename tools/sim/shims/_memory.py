# Leaves the firmware exactly as much memory as a board has, in one piece (shared/memory-facts 4).
#
# Shims, chips and umqtt.simple are in the heap by now, and do not count. leave(size) takes `size`
# bytes in one piece, fills all that is left with ballast, and gives those bytes back: they are
# the whole free memory then.
#
# Names. MicroPython interns every name for good, in pools each twice as large as the one before:
# 20, 40, 80, … entries. Where the row stands when the firmware is loaded decides whether its next
# name costs ten bytes or 4.5 KB; what is built into this simulator has filled five or six pools.
# So the row is set back: the last pool is made to look full, and like one of 10 entries (py/qstr.c
# takes twice `alloc` for the next). The firmware's first name opens a pool of 20, as on a board.
# For free are only names that a board's build has too: all others of our shims, and their short
# texts, are other ones here (tools/sim/launch.py).
#
# As a board:    gc.mem_free() and gc.mem_alloc() (shims/_gc.py), gc.threshold(), names, holes
# Dearer:        what shims allocate while the firmware runs comes out of `size`
# Cheaper here:  an open file (0.25 KB more on LittleFS), a socket (some bytes), the few names that
#                the unix port has and a chip has not

import gc
import micropython
import struct
import sys

import _sim
import uctypes

_WORD = 8 if sys.maxsize > 1 << 32 else 4
_BLOCK = 4 * _WORD
_FIRST = bytearray(1)  # lies before the last pool of names
_ballast = None
_cells = None  # a place for each block of the firmware, for split()
_left = 0


gc.threshold(2048)  # all that stays lies close together: what is left must be in one piece


def leave(size):
    global _left, _cells
    _left = size
    gc.threshold(-1)
    if _sim.get("split_heap") is not None:
        _cells = [None] * (size // _BLOCK + 16)
    _take(size)
    gc.collect()
    if not size - 4 * _BLOCK < gc.mem_free() < size + 8 * _BLOCK:
        raise MemoryError("cannot leave {} bytes, but {}".format(size, gc.mem_free()))
    if _sim.get("report_heap") is not None:
        micropython.qstr_info()


def split(size):
    # From now on no free piece is larger than `size` bytes: of all the free blocks, taken one by
    # one and so in the order of their addresses, every so many-th stays in use.
    if not size:
        return
    cells = _cells
    every = size // _BLOCK + 1
    gc.collect()
    count = 0
    try:
        while True:
            cells[count] = (count,)
            count += 1
    except MemoryError:
        pass
    for at in range(count):
        if at % every:
            cells[at] = None
    gc.collect()


def report(number):
    # In use by the firmware, for growth; and MicroPython's line about its names.
    gc.collect()
    micropython.qstr_info()
    print("sim: heap", number, "in use", _left - gc.mem_free())


def _take(size):
    global _ballast
    piece = bytearray(size)
    _set_back_names(uctypes.addressof(piece))
    gc.collect()
    _ballast = _plug(_fill(None, 0x10000))
    gc.collect()
    _ballast = _plug(_ballast)


def _fill(chain, size):
    while size:
        try:
            chain = (chain, bytearray(size))
        except MemoryError:
            size //= 2
    return chain


def _plug(chain):
    # The holes of one block.
    try:
        while True:
            chain = (chain,)
    except MemoryError:
        return chain


def _set_back_names(end):
    # struct _qstr_pool_t (py/qstr.h): prev, total_prev_len, alloc, len, hashes, lengths, and then
    # `alloc` pointers, hashes, lengths. The last pool lies highest.
    at = end // _BLOCK * _BLOCK
    first = id(_FIRST)
    while at > first:
        at -= _BLOCK
        head = struct.unpack("PPPPPP", uctypes.bytearray_at(at, 6 * _WORD))
        _, _, alloc, used, hashes, lengths = head
        if (
            20 <= alloc <= 0x10000
            and used <= alloc
            and hashes == at + (6 + alloc) * _WORD
            and 0 < lengths - hashes <= 2 * alloc
        ):
            struct.pack_into("P", uctypes.bytearray_at(at + 2 * _WORD, _WORD), 0, 10)
            return
    raise RuntimeError("this build of MicroPython keeps its names in another way")
