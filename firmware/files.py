# Small files that survive a power cut: the whole of the old content or the whole of the new.

import os

from micropython import const

_EEXIST = const(17)


def replace(path, *parts):
    # LittleFS and POSIX rename over an existing file in one step. FAT does not: there the old
    # file goes first, and read() finds the new one under its first name.
    make_folder(path)
    new = path + ".new"
    with open(new, "wb") as f:
        for part in parts:
            f.write(part)
    move(new, path)


def move(path, to):
    try:
        os.rename(path, to)
    except OSError as e:
        if e.args[0] != _EEXIST:
            raise
        os.remove(to)
        os.rename(path, to)


def read(path, limit_bytes):
    # The content, at most so much of it; None when there is none.
    for name in (path, path + ".new"):
        try:
            size = os.stat(name)[6]
            with open(name, "rb") as f:
                return f.read(min(size, limit_bytes))
        except OSError:
            pass
    return None


def make_folder(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass  # there already; if not, open() says so
        at = path.find("/", at + 1)
