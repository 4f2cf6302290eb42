# A release from an MQTT stream into the slot that does not run (docs/updates.md), one small step a
# pass. How far it has come is the size of the file that is being written: whatever interrupts it,
# it goes on there. On demand. app.job has, besides what jobs.py notes: "line", "at": of the file
# in the manifest, and of its content in the stream; "file": (path, at, size) that blocks are
# wanted for, "want": the next one, "end": behind the last that was asked for, "bad": damaged.

import binascii
import os
from micropython import const

from firmware import chip, files
from firmware.core.text import load
from firmware.updates import slots, verify

_BLOCK_BYTES = const(1024)  # aws-facts 5.7: 256 at least
_BLOCKS = const(4)  # asked for at once
_WAIT_S = const(10)
_TRIES = const(30)
_DAMAGED = const(3)
_COPY_BYTES = const(4096)  # in one step
_FREE_BLOCKS = const(8)  # for the outbox and the rest


def step(app, job):
    # (status, details) at its end; "trial"; a request to the stream; True: at once again.
    document, state = job["document"], job["state"]
    size = document.get("manifest_bytes")
    stream = document.get("stream")
    if type(size) is not int or not 0 < size <= verify.MANIFEST_BYTES:
        raise ValueError("manifest_bytes: must be 1 to {}".format(verify.MANIFEST_BYTES))
    if not isinstance(stream, str) or not 0 < len(stream) <= 128 or "/" in stream:
        raise ValueError("stream: no name of one")
    if state == "manifest":
        ask = _file(app, job, verify.PATH, 0, size + verify.SIGNATURE_BYTES)
        return ask or _verified(job, size)
    if state == "clean":
        return _clean(job, size)
    return _next_file(app, job, size, state == "check")


def _verified(job, size):
    try:
        same = verify.release(size)
    except ValueError:
        files.attempt(os.remove, verify.PATH)
        raise
    if same:
        return "SUCCEEDED", {"version": same, "note": "it runs already"}
    _enter(job, "clean")
    job["walk"] = 0
    return True


def _enter(job, state):
    chip.log("update: " + state)
    job["state"], job["line"] = state, 0
    job["at"] = job["document"]["manifest_bytes"] + verify.SIGNATURE_BYTES


def _clean(job, size):
    # What is in the slot and not in the release, or other: one file a step.
    root, count = verify.root(slots.spare(0)), job.setdefault("walk", 0)
    for path in verify.walk(root + "firmware"):
        if not count:
            entry = verify.find(size, path[len(root) :])
            if entry and verify.digest(path, entry[1]) == entry[2]:
                job["walk"] += 1
            else:
                os.remove(path)
            return True
        count -= 1
    lacks = verify.missing_blocks(size, root)
    found = os.statvfs(".")
    free = found[3] * found[0] // 4096
    if free < lacks + _FREE_BLOCKS:
        text = "no room: {} blocks are needed, {} are free"
        raise ValueError(text.format(lacks + _FREE_BLOCKS, free))
    _enter(job, "fetch")
    return True


def _next_file(app, job, size, checking):
    # The file at job["line"]. Each is hashed as it is complete, and once more when all are.
    entry = verify.entry(size, job.setdefault("line", 0))
    if not entry:
        if checking:
            return "trial"
        _enter(job, "check")
        return True
    path, length, digest, after = entry
    target = verify.root(slots.spare(0)) + path
    at = job.setdefault("at", size + verify.SIGNATURE_BYTES)
    if not checking:
        have = verify.size(target)
        if have < length and job.get("looked") != path:
            own = verify.root(slots.read()[0][:1]) + path
            equal = verify.size(own) == length and verify.digest(own, length) == digest
            job["looked"], job["own"] = path, equal and own
        if have < length and job["own"]:
            return _copy(job["own"], target, have)
        ask = _file(app, job, target, at, length)
        if ask:
            return ask
    if verify.digest(target, length) != digest:
        job["bad"] = job.get("bad", 0) + 1
        files.attempt(os.remove, target)
        if checking or job["bad"] > _DAMAGED:
            raise ValueError("{} is damaged: SHA-256 differs".format(path))
        return True
    job["line"], job["at"] = after, at + length
    return True


def _copy(own, target, have):
    _folders(target)
    piece = bytearray(_BLOCK_BYTES)
    with open(own, "rb") as source, open(target, "ab") as copy:
        source.seek(have)
        for _ in range(_COPY_BYTES // _BLOCK_BYTES):
            count = source.readinto(piece)
            copy.write(memoryview(piece)[:count])
    return True


def _folders(path):
    parts = path.split("/")
    for i in range(1, len(parts)):
        files.attempt(os.mkdir, "/".join(parts[:i]))


def _file(app, job, path, at, size):
    # None when it is whole, else a request for the next blocks: again when they do not come.
    have = verify.size(path)
    if have > size:
        os.remove(path)
        have = 0
    if have == size:
        return None
    if not have:
        _folders(path)
    job["tries"] += 1
    if job["tries"] > _TRIES:
        raise ValueError("the stream does not answer")
    first = (at + have) // _BLOCK_BYTES
    count = min(_BLOCKS, (at + size - 1) // _BLOCK_BYTES - first + 1)
    job["file"], job["want"], job["end"] = (path, at, size), first, first + count
    app.job_s = app.clock.s + (_WAIT_S if job["tries"] <= 3 else 60 * job["tries"])
    return {"c": str(first), "f": 0, "l": _BLOCK_BYTES, "o": first, "n": count}


def receive(app, job, kind, payload):
    # Inside the MQTT callback: a block, if it is the one that is wanted now.
    if kind != "streams/{}/data/json".format(job["document"].get("stream")) or "want" not in job:
        return
    try:
        document = load(payload, 4)
        number, length, text = document.get("i"), document.get("l"), document.get("p")
        if document.get("f") != 0 or number != job["want"] or not isinstance(text, str):
            return
        data = binascii.a2b_base64(text)
    except (ValueError, TypeError):
        app.shadow.junk += 1
        return
    path, at, size = job["file"]
    have = verify.size(path)
    start = at + have - number * _BLOCK_BYTES
    more = min(size - have, _BLOCK_BYTES - start)
    if length != len(data) or not 0 <= start < start + more <= len(data) <= _BLOCK_BYTES:
        app.shadow.junk += 1  # cut off, or for another size: asked for again
        return
    with open(path, "ab") as f:
        f.write(memoryview(data)[start : start + more])
    job["want"], job["tries"] = number + 1, 0
    app.job_s = app.clock.s + (_WAIT_S if have + more < size and number + 1 < job["end"] else 0)
