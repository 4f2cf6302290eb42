# board.i2c() over stand-ins for machine that fail as a board does.

import sys

import harness
from firmware.core.errors import SensorError


class Aborted(Exception):
    # What would be a restart: the ESP32's driver checks its pins with ESP_ERROR_CHECK
    # (ports/esp32/machine_i2c.c, machine_hw_i2c_init).
    pass


class Pin:
    OPEN_DRAIN = 7
    inputs = (34,)  # of an ESP32: 34 to 39
    stuck = 0  # clocks until SDA comes free
    edges = None

    def __init__(self, number, mode=None, value=None):
        if number > 39:
            raise ValueError("invalid pin")
        if mode is not None and number in Pin.inputs:
            raise ValueError("pin can only be input")
        self.number = number
        self.level = value
        Pin.edges = []

    def value(self, level=None):
        if level is None:
            return 0 if self.number == 21 and Pin.stuck else self.level
        if self.number == 22 and level and Pin.stuck:
            Pin.stuck -= 1
        self.level = level
        Pin.edges.append((self.number, level))


class I2C:
    def __init__(self, ident, *, scl, sda, freq):
        if scl.number in Pin.inputs or sda.number in Pin.inputs:
            raise Aborted
        if ident > 1:
            raise ValueError("I2C(2) doesn't exist")

    def scan(self):
        return [0x76]


class Machine:
    Pin = Pin
    I2C = I2C


class SoftI2C(I2C):
    def __init__(self, *, scl, sda, freq):
        self.pins = scl.number, sda.number, freq


Machine.SoftI2C = SoftI2C
sys.modules["machine"] = Machine
sys.modules["network"] = Machine

from firmware import board  # noqa: E402


def pins(sda=21, scl=22, ident=0):
    return {"id": ident, "sda": sda, "scl": scl, "freq_hz": 100_000}


def test_scan():
    harness.equal(board.i2c(pins(), 0).scan(), [0x76])


def test_no_i2c_block_is_bit_banged():
    harness.equal(board.i2c(pins(ident=-1), 0).pins, (22, 21, 100_000))
    before, board.CHIP = board.CHIP, "esp8266"
    try:
        harness.equal(board.i2c(pins(4, 5), 0).pins, (5, 4, 100_000))
    finally:
        board.CHIP = before


def test_settings_that_do_not_fit_the_chip():
    for wrong in (pins(sda=34), pins(scl=34), pins(sda=48), pins(scl=40), pins(ident=2)):
        for failures in (0, 1):
            error = harness.raises(SensorError, board.i2c, wrong, failures)
            assert str(error).startswith("bus: i2c settings do not fit this chip: "), error


def test_after_a_failure_the_bus_is_clocked_free_and_stopped():
    for stuck, clocks in ((0, 0), (3, 3), (9, 9)):
        Pin.stuck = stuck
        harness.equal(board.i2c(pins(), 1).scan(), [0x76])
        harness.equal(Pin.edges, [(22, 0), (22, 1)] * clocks + [(21, 0), (21, 1)])
    Pin.stuck = 20
    error = harness.raises(SensorError, board.i2c, pins(), 1)
    harness.equal((str(error), Pin.stuck), ("bus: SDA held low", 11))
    Pin.stuck = 0


def test_a_bus_that_works_is_left_alone():
    board.i2c(pins(), 0)
    harness.equal(Pin.edges, [])
