# Files of a slot, and their hashes. On demand.

import binascii
import hashlib
import os
from micropython import const

SIGNATURE_BYTES = const(384)  # of a release, RSA-3072


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
    with open(path, "rb") as f:
        while length:
            count = min(f.readinto(piece), length)
            if not count:
                return None
            made.update(memoryview(piece)[:count])
            length -= count
    return binascii.hexlify(made.digest()).decode()
