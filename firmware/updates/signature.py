# Whether a release may be believed: ValueError in words when not. On demand; rules.py is next.

import binascii
import os
from micropython import const

from firmware.updates import slots, tree

# RFC 8017, 9.2, note 1: DigestInfo of SHA-256.
_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
_LINE = const(1024)  # of a key, with room


def step(app, job):
    length = job["document"]["manifest_bytes"]
    try:
        if not job.get("signed"):
            _signature(length)
            job["signed"] = True
            return True
        from firmware.updates import rules

        same = rules.same(length)
    except ValueError:
        os.remove("data/release")
        raise
    del job["signed"]
    if same:
        return "SUCCEEDED", {"version": same, "info": "it runs already"}
    job["state"] = "clean"
    return True


def _signature(length):
    # PKCS#1 v1.5 (RFC 8017, 8.2.2): the whole block is made and compared, nothing is parsed. What
    # is done with is dropped at once: a power of such numbers takes 4 KB.
    found = tree.digest("data/release", length)
    if not found or tree.size("data/release") < length + tree.SIGNATURE_BYTES:
        raise ValueError("manifest: cut off")
    found = (
        b"\xff" * (tree.SIGNATURE_BYTES - 3 - len(_INFO) - 32)
        + b"\x00"
        + _INFO
        + binascii.unhexlify(found)
    )
    wanted = int.from_bytes(b"\x00\x01" + found, "big")
    with open("data/release", "rb") as f:
        f.seek(length)
        found = f.read(tree.SIGNATURE_BYTES)
    found = int.from_bytes(found, "big")
    path, at = tree.root(slots.running()) + "firmware/keys.txt", 0
    for _ in range(2 if tree.size(path) else 0):
        with open(path, "rb") as f:
            f.seek(at)
            key = f.readline(_LINE)
        if not key.strip():
            break
        at += len(key)
        key = int(key, 16)
        if found < key and pow(found, 65537, key) == wanted:
            return
    raise ValueError(
        "the signature is by no key that this board knows"
        if at
        else "no release key is on this board"
    )
