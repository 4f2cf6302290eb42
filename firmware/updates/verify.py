# What a release says, and whether it may be believed (docs/updates.md has its form). The manifest
# is never in memory as a whole: it is read line by line. On demand.

import binascii
import hashlib
import os
import sys
from micropython import const

from firmware import files, version
from firmware.updates import slots

PATH = "data/release"  # manifest and signature, as they came
MANIFEST_BYTES = const(16_384)
SIGNATURE_BYTES = const(384)  # RSA-3072
_LINE_BYTES = const(160)
_FILE_BYTES = const(65_536)
_ALL_BYTES = const(200_000)
_BLOCK_BYTES = const(4096)
_HEAD = ("fieldmouse", "version", "built", "board", "micropython", "older", "files")
# RFC 8017, 9.2, note 1: DigestInfo of SHA-256.
_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def root(letter):
    return "b/" if letter == "b" else ""


def size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def digest(path, length):
    # SHA-256 of its first `length` bytes, as hexadecimal digits; None when it is not so long.
    made, piece = hashlib.sha256(), bytearray(512)
    view = memoryview(piece)
    try:
        with open(path, "rb") as f:
            while length:
                count = f.readinto(piece)
                if not count:
                    return None
                count = min(count, length)
                made.update(view[:count])
                length -= count
    except OSError:
        return None
    return binascii.hexlify(made.digest()).decode()


def walk(folder):
    # Paths of all files, folders inside folders to a depth of three.
    for entry in _listed(folder):
        path = "{}/{}".format(folder, entry[0])
        if entry[1] & 0x4000:
            if path.count("/") < 5:
                yield from walk(path)
        else:
            yield path


def _listed(folder):
    try:
        return list(os.ilistdir(folder))
    except OSError:
        return ()


def release(length):
    # ValueError in words, when it must not run here. The version when it is the one that does.
    _signature(length)
    with open(PATH, "rb") as f:
        head = {}
        for key in _HEAD:
            words = _line(f).split(" ")
            if words[0] != key or len(words) < 2:
                raise ValueError("manifest: no " + key)
            head[key] = words[1:]
        if _line(f):
            raise ValueError("manifest: no empty line behind the head")
        _fits(head)
        total, last, count = 0, "", 0
        while f.tell() < length:
            path, length_of, _ = _entry(_line(f))
            if path <= last:
                raise ValueError("manifest: {} is not in order".format(path))
            total, last, count = total + length_of, path, count + 1
        if f.tell() != length or total > _ALL_BYTES or str(count) != head["files"][0]:
            raise ValueError("manifest: its sizes are wrong")
    found, own = _newness(head["version"][0], int(head["built"][0])), None
    own = _newness(version.VERSION, version.BUILD_S2000)
    if found == own:
        return head["version"][0]
    if found < own and head["older"] != ["yes"]:
        text = "version {} is older than {}, which runs here"
        raise ValueError(text.format(head["version"][0], version.VERSION))


def _fits(head):
    if head["fieldmouse"] != ["1"]:
        raise ValueError("manifest: of a newer form than this firmware knows")
    if head["board"] != [version.BOARD]:
        raise ValueError("wrong board: it is for {}".format(head["board"][0][:20]))
    own = "{}.{}".format(*sys.implementation[1][:2])
    if own not in head["micropython"]:
        raise ValueError("MicroPython {} is not in its list".format(own))


def _newness(text, built):
    # Number by number, then the time of the build.
    numbers = []
    for part in text.split("-")[0].split("."):
        if not part.isdigit() or len(part) > 6:
            raise ValueError("version: must be numbers with points")
        numbers.append(int(part))
    return numbers, built


def _line(f):
    line = f.readline(_LINE_BYTES + 1)
    if not line.endswith(b"\n"):
        raise ValueError("manifest: a line is cut off or too long")
    return str(line[:-1], "ascii")


def _entry(line):
    # (path, size, hash); no path leads anywhere but into firmware/.
    try:
        path, length, digits = line.split(" ")
        number = int(length)
        parts = path.split("/")
        stem, suffix = parts[-1].split(".")
        names = parts[:-1] + [stem]
    except ValueError:
        raise ValueError("manifest: no file in {}".format(line[:40]))
    good = names[0] == "firmware" and 2 <= len(names) <= 4 and suffix in ("mpy", "py", "txt")
    for name in names:
        good = good and name and not name.strip("abcdefghijklmnopqrstuvwxyz0123456789_")
    good = good and str(number) == length and 0 < number <= _FILE_BYTES
    if not good or len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise ValueError("manifest: {} is refused".format(path[:60]))
    return path, number, digits


def entry(length, at):
    # (path, size, hash, where the next one begins), None behind the last; at: 0 for the first.
    with open(PATH, "rb") as f:
        if at:
            f.seek(at)
        else:
            for _ in _HEAD:
                f.readline()
            f.readline()
        if f.tell() < length:
            return _entry(_line(f)) + (f.tell(),)


def find(length, path):
    at = 0
    while True:
        found = entry(length, at)
        if not found or found[0] == path:
            return found
        at = found[3]


def missing_blocks(length, folder):
    # Of flash, for what is not there yet; 1 more for each file, of whose folder it is a part.
    at = blocks = 0
    while True:
        found = entry(length, at)
        if not found:
            return blocks
        if not size(folder + found[0]):
            blocks += -(-found[1] // _BLOCK_BYTES)
        at = found[3]


def _signature(length):
    # PKCS#1 v1.5 (RFC 8017, 8.2.2): the whole block is made and compared, nothing is parsed.
    wanted = b"\x00\x01" + b"\xff" * (SIGNATURE_BYTES - 3 - len(_INFO) - 32) + b"\x00" + _INFO
    found = digest(PATH, length)
    if not found or size(PATH) < length + SIGNATURE_BYTES:
        raise ValueError("manifest: cut off")
    wanted = int.from_bytes(wanted + binascii.unhexlify(found), "big")
    with open(PATH, "rb") as f:
        f.seek(length)
        signature = int.from_bytes(f.read(SIGNATURE_BYTES), "big")
    keys = (files.read(root(slots.running()) + "firmware/keys.txt", 2048) or b"").split()
    if not keys:
        raise ValueError("no release key is on this board")
    for key in keys[:2]:
        modulus = int(key, 16)
        if signature < modulus and pow(signature, 65537, modulus) == wanted:
            return
    raise ValueError("the signature is by no key that this board knows")
