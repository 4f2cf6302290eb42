# The I2C bus over stand-ins for machine.Pin and machine.I2C that fail as a board's do.

import harness
from firmware.bus import Bus
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
    error = None

    def __init__(self, ident, *, scl, sda, freq):
        if scl.number in Pin.inputs or sda.number in Pin.inputs:
            raise Aborted
        if ident > 1:
            raise ValueError("I2C(2) doesn't exist")

    def scan(self):
        if I2C.error:
            raise I2C.error
        return [0x76]


class Machine:
    Pin = Pin
    I2C = I2C


def bus(sda=21, scl=22, ident=0):
    return Bus(Machine, lambda us: None, ident, sda, scl, 100_000)


def test_scan():
    harness.equal(bus().scan(), [0x76])


def test_settings_that_do_not_fit_the_chip():
    for made in (bus(sda=34), bus(scl=34), bus(sda=48), bus(ident=2)):
        error = harness.raises(SensorError, made.scan)
        assert str(error).startswith("bus: i2c settings do not fit this chip: "), error
    for made in (bus(sda=34), bus(scl=40)):
        harness.raises(SensorError, made.recover)


def test_a_bus_error_is_a_sensor_error():
    I2C.error = OSError(116)
    harness.equal(str(harness.raises(SensorError, bus().scan)), "bus: errno 116")
    I2C.error = None


def test_recover_clocks_the_bus_free_and_stops():
    for stuck, clocks, free in ((0, 0, True), (3, 3, True), (9, 9, True), (20, 9, False)):
        made = bus()
        Pin.stuck = stuck
        harness.equal(made.recover(), free)
        harness.equal(Pin.edges, [(22, 0), (22, 1)] * clocks + [(21, 0), (21, 1)])
        Pin.stuck = 0


harness.run(globals())
