# Whether a release may be believed, and may run here: ValueError in words when not. On demand.

import binascii
import os
import sys
from micropython import const

from firmware import files, version
from firmware.updates import slots

_ALL_BYTES = const(200_000)
# RFC 8017, 9.2, note 1: DigestInfo of SHA-256.
_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def step(app, job):
    length = job["document"]["manifest_bytes"]
    try:
        if not job.get("signed"):
            _signature(length)
            job["signed"] = True
            return True
        same = _release(length)
    except ValueError:
        files.attempt(os.remove, "data/release")
        raise
    del job["signed"]
    if same:
        return "SUCCEEDED", {"version": same, "note": "it runs already"}
    job["state"] = "clean"
    return True


def _release(length):
    # The version when it is the one that runs here.
    from firmware.updates import manifest

    with open("data/release", "rb") as f:
        head = {}
        for key in manifest.HEAD:
            words = manifest.line(f).split(" ")
            if words[0] != key or len(words) < 2:
                raise ValueError("manifest: no " + key)
            head[key] = words[1:]
        if manifest.line(f):
            raise ValueError("manifest: no empty line behind the head")
        _fits(head)
        total, last, count = 0, "", 0
        while f.tell() < length:
            path, size, _ = manifest.row(manifest.line(f))
            if path <= last:
                raise ValueError("manifest: {} is not in order".format(path))
            total, last, count = total + size, path, count + 1
        if f.tell() != length or total > _ALL_BYTES or str(count) != head["files"][0]:
            raise ValueError("manifest: its sizes are wrong")
    return _same(head["version"][0], int(head["built"][0]), head["older"])


def _same(text, built, older):
    found, own = _order(text, built), _order(version.VERSION, version.BUILD_S2000)
    if found == own:
        return text
    if found < own and older != ["yes"]:
        raise ValueError("version {} is older than {}".format(text, version.VERSION))


def _fits(head):
    if head["fieldmouse"] != ["1"]:
        raise ValueError("manifest: of a newer form than this firmware knows")
    if head["board"] != [version.BOARD]:
        raise ValueError("wrong board: it is for {}".format(head["board"][0][:20]))
    own = "{}.{}".format(*sys.implementation[1][:2])
    if own not in head["micropython"]:
        raise ValueError("MicroPython {} is not in its list".format(own))


def _order(text, built):
    # Number by number, then the time of the build; what follows a hyphen does not count.
    numbers = []
    for part in text.split("-")[0].split("."):
        if not part.isdigit() or len(part) > 6:
            raise ValueError("version: must be numbers with points")
        numbers.append(int(part))
    return numbers, built


def _signature(length):
    # PKCS#1 v1.5 (RFC 8017, 8.2.2): the whole block is made and compared, nothing is parsed.
    found = slots.digest("data/release", length)
    if not found or slots.size("data/release") < length + slots.SIGNATURE_BYTES:
        raise ValueError("manifest: cut off")
    wanted = b"\x00\x01" + b"\xff" * (slots.SIGNATURE_BYTES - 3 - len(_INFO) - 32) + b"\x00"
    wanted = int.from_bytes(wanted + _INFO + binascii.unhexlify(found), "big")
    with open("data/release", "rb") as f:
        f.seek(length)
        signature = int.from_bytes(f.read(slots.SIGNATURE_BYTES), "big")
    keys = (files.read(slots.root(slots.running()) + "firmware/keys.txt", 2048) or b"").split()
    if not keys:
        raise ValueError("no release key is on this board")
    for key in keys[:2]:
        modulus = int(key, 16)
        if signature < modulus and pow(signature, 65537, modulus) == wanted:
            return
    raise ValueError("the signature is by no key that this board knows")
