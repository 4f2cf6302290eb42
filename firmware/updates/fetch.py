# The files of a release, one after the other, from its stream or, where they are equal, from the
# slot that runs. How far one has come is its size on flash: whatever interrupts it, it goes on
# there. On demand. app.job has, besides what jobs.py notes: "line": of the next file in the
# manifest; "file": [path, where it begins in the stream, size, hash, line behind it] of this one;
# "own": its equal in the slot that runs, or False; "want" and "end": the next block, and the one
# behind those that were asked for; "asks" since the last block; "bad": files that were damaged.

import os
from micropython import const

from firmware.updates import slots, tree

_BLOCK_BYTES = const(1024)  # as in block.py
_BLOCKS = const(4)  # asked for at once
_WAIT_S = const(10)
_ASKS = const(60)  # without a block, in whatever sessions: five hours
_DAMAGED = const(3)
_COPY_BYTES = const(4096)  # in one step


def step(app, job):
    # True: at once again; a request to the stream, or what jobs.py takes for the end.
    if job.get("error"):  # of the flash, when a block came
        raise job.pop("error")
    file = job.get("file")
    if not file:
        return _begin(job)
    path, at, size, digest, after = file
    have = tree.size(path)
    if have > size:
        os.remove(path)
    elif have < size:
        return _copy(job["own"], path, have) if job.get("own") else _ask(app, job, file, have)
    elif not digest:
        job["state"] = "signature"
        del job["file"]
    elif tree.digest(path, size) == digest:
        job["line"], job["at"] = after, at + size
        del job["file"]
    else:
        os.remove(path)
        job["bad"] = job.get("bad", 0) + 1
        if job["bad"] > _DAMAGED:
            raise ValueError("{} is damaged: SHA-256 differs".format(path))
    return True


def _begin(job):
    first = job["document"]["manifest_bytes"] + tree.SIGNATURE_BYTES
    if job["state"] == "manifest":
        job["file"] = ["data/release", 0, first, None, None]
        return True
    from firmware.updates import manifest

    entry = manifest.entry(job["document"]["manifest_bytes"], job.get("line", 0))
    if not entry:
        job["state"] = "check"
        job.pop("line", None)
        return True
    path, size, digest, after = entry
    spare = tree.root(slots.spare(0)) + path
    job["file"] = [spare, job.get("at", first) if job.get("line") else first, size, digest, after]
    job["own"] = False
    if tree.size(spare) < size:
        own = tree.root(slots.read()[0][0]) + path
        if tree.size(own) == size and tree.digest(own, size) == digest:
            job["own"] = own
    parts = spare.split("/")
    for i in range(1, len(parts)):
        try:
            os.mkdir("/".join(parts[:i]))
        except OSError:
            pass  # it is there; else open() says so
    return True


def _copy(own, target, have):
    piece = bytearray(512)
    with open(own, "rb") as source, open(target, "ab") as there:
        source.seek(have)
        for _ in range(_COPY_BYTES // len(piece)):
            count = source.readinto(piece)
            there.write(memoryview(piece)[:count])
    return True


def _ask(app, job, file, have):
    # For the next blocks; again when they do not come, each time a little later.
    job["asks"] = job.get("asks", 0) + 1
    if job["asks"] > _ASKS:
        raise ValueError("the stream does not answer")
    first = (file[1] + have) // _BLOCK_BYTES
    count = min(_BLOCKS, (file[1] + file[2] - 1) // _BLOCK_BYTES - first + 1)
    job["want"], job["end"] = first, first + count
    app.job_s = app.clock.s + _WAIT_S * job["asks"]
    return {"c": str(first), "f": 0, "l": _BLOCK_BYTES, "o": first, "n": count}
