# Pins and the I2C bus of the virtual board. The chips on it are tools/sim/chips.
# Settings: "sensor" (which chips), "own" (by address, what a chip's surroundings have of their
# own), "temperature", "humidity", "pressure", "co2" (for the others), "i2c_stuck", "i2c_error",
# "pins", "wired", "highest_pin": see tools/sim/world.py; "scene": _scene.py.
#
# All objects are made before the firmware starts, and a transfer takes no memory: as on a board.

import errno
import math
import random

import _scene
import _sim
import chips
from chips.trim import Trim

_wired = {"scl": None, "sda": None, "lost": False}  # pin numbers, as the last I2C said
_chips = {}  # address -> chip
_spec = ""  # the setting _chips was made from
_stuck_clocks = 0  # clocks the stuck slave still wants
_was_stuck = False
_NOTHING = {}
_register = bytearray(1)


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2

    def __init__(self, number):
        self._id = number
        self._mode = Pin.IN
        self._out = 1
        self._name = str(number)

    def _set(self, mode, value):
        if value is not None:
            self._out = 1 if value else 0
        if mode is not None:
            self._mode = mode
            # Setting a pin up takes it away from the I2C peripheral until I2C() is made again.
            if self._id == _wired["scl"] or self._id == _wired["sda"]:
                _wired["lost"] = True

    def value(self, level=None):
        if level is None:
            return self._level()
        level = 1 if level else 0
        if level and not self._out and self._mode != Pin.IN:
            _clocked(self._id)
        self._out = level
        return None

    def _level(self):
        if self._mode == Pin.OUT or (self._mode == Pin.OPEN_DRAIN and not self._out):
            return self._out
        if _held_low(self._id):
            return 0
        return _sim.get("pins", _NOTHING).get(self._name, 1)

    def __repr__(self):
        return "Pin({})".format(self._id)


class Pins:
    # machine.Pin: gives the one object of each pin, as the chips do.
    IN = Pin.IN
    OUT = Pin.OUT
    OPEN_DRAIN = Pin.OPEN_DRAIN
    PULL_UP = Pin.PULL_UP

    def __init__(self):
        highest = 16 if _sim.ESP8266 else 48
        self._all = [Pin(n) for n in range(_sim.get("highest_pin", highest) + 1)]

    def __call__(self, id, mode=None, pull=-1, *, value=None):
        if not isinstance(id, int) or not 0 <= id < len(self._all):
            raise ValueError("invalid pin")
        pin = self._all[id]
        pin._set(mode, value)
        return pin


def number(pin):
    if not isinstance(pin, Pin):
        raise ValueError("expecting a pin")
    return pin._id


def _stuck():
    # True while SDA is held low: by a scene, or by a slave from the moment the setting turns true.
    global _stuck_clocks, _was_stuck
    now = bool(_sim.get("i2c_stuck", False))
    if now and not _was_stuck:
        _stuck_clocks = 9
    elif not now:
        _stuck_clocks = 0
    _was_stuck = now
    return _stuck_clocks > 0 or _scene.sda_low()


def _held_low(pin):
    return _stuck() and _wired["sda"] in (None, pin) and _wired["scl"] != pin


def _clocked(pin):
    # Before any I2C() nobody said which pin is SCL: then any pin with a rising edge is.
    global _stuck_clocks
    if _stuck() and _wired["scl"] in (None, pin):
        _wired["scl"] = pin
        _stuck_clocks = max(0, _stuck_clocks - 1)


def on_bus():
    global _chips, _spec
    spec = _sim.get("sensor", "none")
    if spec != _spec:
        _spec = spec
        _chips = dict(_plugged(spec))
    fault = _sim.get("i2c_error", None)
    for chip in _chips.values():
        chip.part.play(chip, fault if isinstance(fault, str) else None)
    wired = _sim.get("wired", None)
    if wired and wired != [_wired["sda"], _wired["scl"]]:
        return _NOTHING
    return _chips


def _plugged(spec):
    # A chip that was there before goes on as it is.
    for address, chip in chips.make(spec):
        old = _chips.get(address)
        if old is not None and type(old) is type(chip):
            chip = old
        else:
            chip.environment = _Environment(str(address))
            chip.part = _scene.Part(address)
        yield address, chip


def _ramp(first, last, start, end):
    t = _names["t"]
    return first + (last - first) * (min(max(t, start), end) - start) / (end - start)


_names = {"t": 0.0, "abs": abs, "min": min, "max": max, "ramp": _ramp}
for _key in ("sin", "cos", "tan", "sqrt", "exp", "log", "floor", "ceil", "pi"):
    _names[_key] = getattr(math, _key)


class Value:
    # A setting that is a number, an expression in t = seconds since power-on, or "@" and the file
    # of a curve. The host checked it (tools/sim/expression.py, curve.py) before it gets here.
    def __init__(self, name, default):
        self._name = name
        self._default = default
        self._text = self._code = None

    def now(self, own):
        value = own.get(self._name)
        if value is None:
            value = _sim.get(self._name, self._default)
        if not isinstance(value, str):
            return value
        try:
            if value != self._text:
                curve = value[0] == "@"
                self._code = (
                    _scene.Curve(value[1:]) if curve else compile(value, self._name, "eval")
                )
                self._text = value
            if value[0] == "@":
                return self._code.now()
            _names["t"] = _sim.world_s()
            return eval(self._code, _names)
        except Exception as e:
            print("sim: {} = {!r}: {}".format(self._name, value, e))
            return self._default


class _Air(Value):
    # What a chip measures: from `low` to `high`, and all the same while the air is frozen.
    def __init__(self, name, default, low, high, scale):
        super().__init__(name, default)
        self._low, self._high, self._scale = low, high, scale
        self._last = None  # what was measured last

    def whole(self, air):
        # In whole parts of `scale`.
        if self._last is None or not air.frozen:
            value = self.now(_sim.get("own", _NOTHING).get(air.address, _NOTHING))
            self._last = int(min(max(value, self._low), self._high) * self._scale)
        return self._last


class _Environment:
    frozen = False

    def __init__(self, address):
        self.address = address
        self._temperature = _Air("temperature", 21.0, -60, 160, 1000)
        self._humidity = _Air("humidity", 45.0, 0, 100, 1000)
        self._pressure = _Air("pressure", 1013.25, 100, 1200, 100)
        self._co2 = _Air("co2", 600, 300, 40000, 1)
        self._air = self._raw = None  # the last, and what a Bosch chip makes of it

    def temperature_mdeg(self):
        return self._temperature.whole(self)

    def humidity_mpct(self):
        return self._humidity.whole(self)

    def pressure_pa(self):
        return self._pressure.whole(self)

    def co2_ppm(self):
        return self._co2.whole(self)


_search = Trim.raw


def _raw(self, air):
    # Searching takes 24 KB of floats: not again for the same air.
    now = air.temperature_mdeg(), air.humidity_mpct(), air.pressure_pa()
    if air._air != now:
        air._raw = _search(self, air)
        air._air = now
    return air._raw


Trim.raw = _raw


class SoftI2C:
    def _use(self, scl, sda):
        _wired["scl"] = scl._id
        _wired["sda"] = sda._id
        _wired["lost"] = False
        return self

    def deinit(self):
        _wired["lost"] = True

    def _chip(self, addr):
        if _stuck() or _wired["lost"]:
            raise OSError(errno.ETIMEDOUT)
        try:
            return on_bus()[addr]
        except KeyError:
            raise OSError(errno.ENODEV)

    def scan(self):
        if _stuck() or _wired["lost"]:
            return []
        return sorted(addr for addr, chip in on_bus().items() if chip.fault != "nack")

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(addr, buf, stop)
        return bytes(buf)

    def readfrom_into(self, addr, buf, stop=True):
        chip = self._chip(addr)
        chance = _sim.get("i2c_error", 0)
        if chance and not isinstance(chance, str) and random.random() < chance:
            raise OSError(errno.ETIMEDOUT)
        chip.read_into(buf)

    def writeto(self, addr, buf, stop=True):
        chip = self._chip(addr)
        if len(buf):
            chip.write(buf)
        elif chip.fault == "nack":  # an address alone is acknowledged by whatever chip is there
            raise OSError(errno.ENODEV)
        return len(buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buf)
        return bytes(buf)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        _register[0] = memaddr
        self.writeto(addr, _register, False)
        self.readfrom_into(addr, buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, bytes((memaddr,)) + bytes(buf))


class Buses:
    # machine.I2C and machine.SoftI2C: give the same object every time. An ESP32's I2C has a
    # number and default pins; an ESP8266's is bit-banged too, and has none.
    def __init__(self, numbered):
        self._buses = (SoftI2C(), SoftI2C()) if numbered else None
        self._soft = SoftI2C()

    def __call__(self, id=-1, *, scl=None, sda=None, freq=400000, timeout=50000):
        if self._buses is None:
            if id != -1 or scl is None or sda is None:
                raise ValueError("I2C: scl and sda are needed, and no number")
            return self._soft._use(scl, sda)
        if id not in (0, 1):
            raise ValueError("I2C({}) doesn't exist".format(id))
        defaults = ((18, 19), (25, 26))[id]
        return self._buses[id]._use(scl or pins(defaults[0]), sda or pins(defaults[1]))


pins = Pins()
