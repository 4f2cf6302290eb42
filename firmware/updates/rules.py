# Whether a release, whose signature is good, may run here: ValueError in words when not. Not in
# signature.py, which needs the memory for its numbers. On demand.

import sys
from micropython import const

from firmware import version
from firmware.updates import manifest

_ALL_BYTES = const(200_000)


def same(length):
    # The version when it is the one that runs here.
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
        total, last, count, declared = 0, "", 0, words[1]
        while f.tell() < length:
            path, size, _ = manifest.row(manifest.line(f))
            if path <= last:
                raise ValueError("manifest: {} is not in order".format(path))
            total, last, count = total + size, path, count + 1
        if f.tell() != length or total > _ALL_BYTES or str(count) != declared:
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
