"""What is in a file of bytecode."""

from __future__ import annotations


def names(mpy: bytes) -> list[str]:
    """The names in a file of bytecode that are no numbers (MicroPython, py/persistentcode.c)."""
    at = 4

    def number() -> int:
        nonlocal at
        value = 0
        while True:
            value = value << 7 | mpy[at] & 0x7F
            at += 1
            if not mpy[at - 1] & 0x80:
                return value

    count, found = number(), []
    number()
    for _ in range(count):
        size = number()
        if not size & 1:
            found.append(mpy[at : at + (size >> 1)].decode())
            at += (size >> 1) + 1
    return found
