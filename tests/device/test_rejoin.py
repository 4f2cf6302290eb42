# heap: 64wk
# What is remembered of a network (tests/e2e/test_battery.py has the way back into it).

import harness
from firmware.net import rejoin

ADDRESS = ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")
ROWS = [
    (b"barn", b"\2\0\0\0\0\1", 1, -80, 3, False),
    (b"barn", b"\2\0\0\0\0\2", 11, -60, 3, False),
    (b"shed", b"\2\0\0\0\0\3", 6, -30, 3, False),
]


class Wlan:
    def __init__(self, rows):
        self.rows, self.calls = rows, []

    def scan(self):
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows

    def ifconfig(self, *args):
        if self.rows is None:
            raise OSError("Wifi Unknown Error 0x5001")
        return ADDRESS


def test_the_strongest_of_that_name_is_remembered():
    known = rejoin.remember(Wlan(ROWS), "barn", None, 7, True)
    harness.equal(known, ["barn", [2, 0, 0, 0, 0, 2], 11, list(ADDRESS), 7])
    harness.equal(rejoin.remember(Wlan(()), "barn", known, 9, True), known)
    harness.equal(rejoin.remember(Wlan(()), "barn", None, 9, False), ["barn", None, 0, None, 0])


def test_what_the_driver_does_not_say_is_not_known():
    # The board is done, and sleeps all the same.
    for error in (OSError("Wifi Internal State Error"), RuntimeError("STA must be active")):
        known = rejoin.remember(Wlan(error), "barn", None, 7, True)
        harness.equal(known, ["barn", None, 0, list(ADDRESS), 7])
    known = ["barn", None, 0, None, 0]
    harness.equal(rejoin.remember(Wlan(None), "barn", known, 7, True), ["barn", None, 0, None, 0])
