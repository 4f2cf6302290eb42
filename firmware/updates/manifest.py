# The lines of a manifest (docs/updates.md has its form), read one by one: it is never in memory as
# a whole. On demand.

from micropython import const

HEAD = "fieldmouse version built board micropython older files".split()
_LINE_BYTES = const(160)
_FILE_BYTES = const(65_536)


def line(f):
    found = f.readline(_LINE_BYTES + 1)
    if not found.endswith(b"\n") or max(found) > 126:  # or it runs into the signature
        raise ValueError("manifest: a line is cut off or too long")
    return str(found[:-1], "ascii")


def row(text):
    # (path, size, hash); no path leads anywhere but into firmware/.
    try:
        path, length, digits = text.split(" ")
        size = int(length)
        names = path.split("/")
        names[-1], suffix = names[-1].split(".")
    except ValueError:
        raise ValueError("manifest: no file in {}".format(text[:40]))
    good = names[0] == "firmware" and 2 <= len(names) <= 4 and suffix in ("mpy", "py", "txt")
    for name in names:
        good = good and name and not name.strip("abcdefghijklmnopqrstuvwxyz0123456789_")
    good = good and str(size) == length and 0 < size <= _FILE_BYTES
    if not good or len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise ValueError("manifest: {} is refused".format(path[:60]))
    return path, size, digits


def find(length, path):
    # (path, size, hash) of one path, or None. In pieces, that a line fits into with what overlaps.
    start, piece = b"\n" + path.encode() + b" ", bytearray(512)
    with open("data/release", "rb") as f:
        for at in range(0, length, len(piece) - _LINE_BYTES):
            f.seek(at)
            f.readinto(piece)
            found = at + piece.find(start) + 1
            if at < found < length:
                f.seek(found)
                return row(line(f))


def entry(length, at):
    # (path, size, hash, where the next one begins), None behind the last; at: 0 for the first.
    with open("data/release", "rb") as f:
        if at:
            f.seek(at)
        else:
            for _ in range(len(HEAD) + 1):
                f.readline()
        if f.tell() < length:
            return row(line(f)) + (f.tell(),)
