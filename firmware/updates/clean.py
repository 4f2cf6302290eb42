# Takes out of the slot what the release has not, or has otherwise: a few files a step. Then there
# must be room for the rest. On demand. app.job["walk"]: how many files were good so far.

import os
from micropython import const

from firmware.updates import manifest, slots, tree

_FILES = const(8)  # looked at in a step
_BLOCK_BYTES = const(4096)
_DATA_BYTES = const(4088)  # of one, at the least; the rest is LittleFS's
_FOLDER_BLOCKS = const(4)  # as statvfs counts, by which the outbox drops readings
_FREE_BLOCKS = const(8)  # for the outbox and the rest


def step(app, job):
    root, length = tree.root(slots.spare(0)), job["document"]["manifest_bytes"]
    known = job.setdefault("walk", 0)
    for number, path in enumerate(_walk(root + "firmware", 0)):
        if number < known:
            continue
        entry = manifest.find(length, path[len(root) :])
        if not (entry and tree.size(path) == entry[1] and tree.digest(path, entry[1]) == entry[2]):
            os.remove(path)
            return True
        job["walk"] += 1
        if job["walk"] - known == _FILES:
            return True
    lacks = _lacks(length, root)
    found = os.statvfs(".")
    # A few below zero, or 2^32, is none (outbox_files.py).
    free = found[3] * found[0] // _BLOCK_BYTES if found[3] + 1024 & 0x3FFFFFFF >= 1024 else 0
    free = max(free - _FREE_BLOCKS, 0)
    if free < lacks:
        raise ValueError("no room: {} blocks are needed, {} are free".format(lacks, free))
    del job["walk"]
    job["state"] = "fetch"
    return True


def empty():
    # There was no room after all: what has come would stand in the way of readings.
    from firmware import files

    files.attempt(os.remove, "data/release")
    for path in _walk(tree.root(slots.spare(0)) + "firmware", 0):
        files.attempt(os.remove, path)


def _lacks(length, root):
    # Blocks. In their order the paths of one folder follow each other.
    at = lacks = 0
    last = ""
    while True:
        entry = manifest.entry(length, at)
        if not entry:
            return lacks
        path, at = root + entry[0], entry[3]
        if not tree.size(path):
            lacks += -(-entry[1] // _DATA_BYTES)
        end = path.find("/")
        while end > 0:
            if not last.startswith(path[: end + 1]):
                try:
                    os.stat(path[:end])
                except OSError:
                    lacks += _FOLDER_BLOCKS
            end = path.find("/", end + 1)
        last = path


def _walk(folder, depth):
    # Paths of the files in it; two levels of folders inside.
    try:
        entries = list(os.ilistdir(folder))  # at once: files are removed meanwhile
    except OSError:
        return
    for entry in entries:
        path = "{}/{}".format(folder, entry[0])
        if not entry[1] & 0x4000:
            yield path
        elif depth < 2:
            yield from _walk(path, depth + 1)
    try:
        os.rmdir(folder)  # if it is empty: it would hide a module of its name
    except OSError:
        pass
