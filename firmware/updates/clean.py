# Takes out of the slot what the release has not, or has otherwise: one file a step. Then there
# must be room for the rest. On demand. app.job["walk"]: how many files were good so far.

import os
from micropython import const

from firmware.updates import manifest, slots, tree

_BLOCK_BYTES = const(4096)
_FREE_BLOCKS = const(8)  # for the outbox and the rest


def step(app, job):
    root, length = tree.root(slots.spare(0)), job["document"]["manifest_bytes"]
    count = job.setdefault("walk", 0)
    for path in _walk(root + "firmware", 0):
        if not count:
            entry = _find(length, path[len(root) :])
            if entry and tree.size(path) == entry[1] and tree.digest(path, entry[1]) == entry[2]:
                job["walk"] += 1
            else:
                os.remove(path)
            return True
        count -= 1
    at = lacks = 0
    while True:
        entry = manifest.entry(length, at)
        if not entry:
            break
        at = entry[3]
        if not tree.size(root + entry[0]):
            lacks += -(-entry[1] // _BLOCK_BYTES)
    found = os.statvfs(".")
    free = found[3] * found[0] // _BLOCK_BYTES - _FREE_BLOCKS
    if free < lacks:
        raise ValueError("no room: {} blocks are needed, {} are free".format(lacks, free))
    del job["walk"]
    job["state"] = "fetch"
    return True


def _find(length, path):
    at = 0
    while True:
        entry = manifest.entry(length, at)
        if not entry or entry[0] == path:
            return entry
        at = entry[3]


def _walk(folder, depth):
    # Paths of the files in it; two levels of folders inside.
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return
    for entry in entries:
        path = "{}/{}".format(folder, entry[0])
        if not entry[1] & 0x4000:
            yield path
        elif depth < 2:
            yield from _walk(path, depth + 1)
