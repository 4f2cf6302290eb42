# What the tests of the chip models (tools/sim/chips) share.

from fakes import Clock


def powered(kind, environment=None):
    # A chip that has started, and its clock.
    clock = Clock()
    chip = kind(clock)
    chip.environment = environment or chip.environment
    clock.pass_ms(5)
    return chip, clock


def read(chip, reg, size=1):
    # From a register on.
    chip.write(bytes((reg,)))
    return fetch(chip, size)


def fetch(chip, size):
    buf = bytearray(size)
    chip.read_into(buf)
    return bytes(buf)
