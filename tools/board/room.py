"""How much of a board's file system the outbox may have: what is left of it, never more.

The firmware would give up the oldest readings when the file system is full, but settings and the
ids of commands need room too, and LittleFS needs free blocks to write anything at all.
"""

from __future__ import annotations

from tools.board.image import BLOCK, FileSystem

FREE_BLOCKS = 4  # for LittleFS itself: it copies before it lets go
# data/ and data/outbox (two each), settings and their copy, two crash logs of up to 2 KB and one
# entry (two each, one more while one is written), a and b with the marker (in the folder), spare.
DATA_BLOCKS = 12
# The folder of the segments: measured below one block in 19, beside 4, also after 1,200 segments
# have come and gone; with all of this 13 blocks (ESP8266) and 19 were still free (test_room.py).
_SEGMENTS_A_BLOCK, _FOLDER_BLOCKS = 16, 4
# What an update takes beside a second firmware (docs/updates.md): the manifest of the release and
# its signature; data/job.json and its copy; the folder certs/b, key, certificate, a copy of one.
_UPDATE_BLOCKS = -(-(16_384 + 384) // BLOCK) + 2 + 5
_GROWS_PERCENT = 10  # the firmware of a release that is to come


def for_updates(fs: FileSystem) -> int:
    """How many blocks a board must keep for its updates: a second firmware, and what is needed
    while it comes.
    """
    files = {path: data for path, data in fs.files.items() if path.startswith("firmware/")}
    both = files | {f"b/{path}": data for path, data in files.items()}
    again = FileSystem(both, fs.size).used_blocks - FileSystem(files, fs.size).used_blocks
    return -(-again * (100 + _GROWS_PERCENT) // 100) + _UPDATE_BLOCKS


def largest(fs: FileSystem, updates: bool = False) -> int:
    """The largest `outbox_bytes` beside the files of ``fs``; ``updates``: and beside updates.

    Whole blocks, as the outbox counts; 0 where nothing is left. Free stays what the largest file
    needs, so that `deploy` can replace it.
    """
    longest = max(map(len, fs.files.values()), default=0)
    kept = FREE_BLOCKS + DATA_BLOCKS + _FOLDER_BLOCKS + -(-longest // BLOCK)
    kept += for_updates(fs) if updates else 0
    free = fs.size // BLOCK - fs.used_blocks - kept
    return max(0, free * _SEGMENTS_A_BLOCK // (_SEGMENTS_A_BLOCK + 1)) * BLOCK


def problem(wanted: int, fs: FileSystem, updates: bool = False) -> str:
    """What is wrong with ``wanted`` as `outbox_bytes` on that file system, "" if nothing is."""
    most = largest(fs, updates)
    if wanted <= most:
        return ""
    said = (
        f"outbox_bytes: {wanted:,} do not fit the {fs.size:,} bytes on the board; at most {most:,}"
    )
    kept = for_updates(fs) * BLOCK if updates else 0
    return f"{said}, beside {kept:,} kept for a second firmware (updates)" if kept else said
