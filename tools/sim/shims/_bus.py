# Pins and the I2C bus of the virtual board. The chips on it are tools/sim/chips.
# Settings: "sensor" (which chips), "i2c_stuck" (a slave holds SDA low until it has seen nine
# clocks), "i2c_error" (a probability that a read times out, or a fault of chips/__init__.py, such
# as "crc"), "pins" ({"0": 0}: the level of an input), "wired" ([SDA, SCL]: where the chips are
# soldered to; else on any pins), "highest_pin" (48; an ESP32 has 39).

import errno
import random

import _sim
import chips

_nets = {}  # pin number -> [mode, output level]
_wired = {}  # "scl" and "sda" -> pin number, as the last I2C() or SoftI2C() said
_chips = {}  # address -> chip
_spec = None  # the setting _chips was made from
_stuck_clocks = 0  # clocks the stuck slave still wants
_was_stuck = False


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, id, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        if not isinstance(id, int) or not 0 <= id <= _sim.get("highest_pin", 48):
            raise ValueError("invalid pin")
        self._id = id
        _nets.setdefault(id, [Pin.IN, 1])
        self.init(mode, pull, value=value)

    def init(self, mode=None, pull=-1, *, value=None, drive=None, hold=None):
        net = _nets[self._id]
        if value is not None:
            net[1] = 1 if value else 0
        if mode is not None:
            net[0] = mode
            # Setting a pin up takes it away from the I2C peripheral until I2C() is made again.
            for line in ("scl", "sda"):
                if _wired.get(line) == self._id:
                    _wired["lost"] = True

    def value(self, level=None):
        net = _nets[self._id]
        if level is None:
            return self._level(net)
        level = 1 if level else 0
        if level and not net[1] and net[0] != Pin.IN:
            _clocked(self._id)
        net[1] = level
        return None

    def _level(self, net):
        if net[0] == Pin.OUT or (net[0] == Pin.OPEN_DRAIN and not net[1]):
            return net[1]
        if _held_low(self._id):
            return 0
        return (_sim.get("pins") or {}).get(str(self._id), 1)

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - _nets[self._id][1])

    def irq(self, handler=None, trigger=3, wake=None):
        return None

    def __repr__(self):
        return "Pin({})".format(self._id)


def _stuck():
    # True while the slave holds SDA low: from the moment the setting turns true.
    global _stuck_clocks, _was_stuck
    now = bool(_sim.get("i2c_stuck", False))
    if now and not _was_stuck:
        _stuck_clocks = 9
    elif not now:
        _stuck_clocks = 0
    _was_stuck = now
    return _stuck_clocks > 0


def _held_low(pin):
    return _stuck() and _wired.get("sda", pin) == pin and _wired.get("scl") != pin


def _clocked(pin):
    # Before any I2C() nobody said which pin is SCL: then any pin with a rising edge is.
    global _stuck_clocks
    if _stuck() and _wired.get("scl", pin) == pin:
        _wired.setdefault("scl", pin)
        _stuck_clocks -= 1


def on_bus():
    global _chips, _spec
    spec = _sim.get("sensor", "none")
    if spec != _spec:
        _spec = spec
        _chips = dict(chips.make(spec))
    fault = _sim.get("i2c_error", None)
    for chip in _chips.values():
        chip.environment = _environment
        chip.fault = fault if isinstance(fault, str) else None
    wired = _sim.get("wired", None)
    if wired and wired != [_wired.get("sda"), _wired.get("scl")]:
        return {}
    return _chips


class _Environment:
    def temperature_mdeg(self):
        return int(min(max(_sim.number("temperature", 21.0), -60), 160) * 1000)

    def humidity_mpct(self):
        return int(min(max(_sim.number("humidity", 45.0), 0), 100) * 1000)

    def pressure_pa(self):
        return int(min(max(_sim.number("pressure", 1013.25), 100), 1200) * 100)


_environment = _Environment()


class SoftI2C:
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        self.init(scl, sda, freq=freq, timeout=timeout)

    def init(self, scl, sda, *, freq=400000, timeout=50000):
        _wired.clear()
        _wired["scl"] = scl._id
        _wired["sda"] = sda._id

    def deinit(self):
        _wired["lost"] = True

    def _chip(self, addr):
        if _stuck() or "lost" in _wired:
            raise OSError(errno.ETIMEDOUT)
        try:
            return on_bus()[addr]
        except KeyError:
            raise OSError(errno.ENODEV)

    def scan(self):
        if _stuck() or "lost" in _wired:
            return []
        return sorted(addr for addr, chip in on_bus().items() if chip.fault != "nack")

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(addr, buf, stop)
        return bytes(buf)

    def readfrom_into(self, addr, buf, stop=True):
        chip = self._chip(addr)
        chance = _sim.get("i2c_error", 0)
        if not isinstance(chance, str) and random.random() < chance:
            raise OSError(errno.ETIMEDOUT)
        chip.read_into(buf)

    def writeto(self, addr, buf, stop=True):
        chip = self._chip(addr)
        if len(buf):
            chip.write(bytes(buf))
        elif chip.fault == "nack":  # an address alone is acknowledged by whatever chip is there
            raise OSError(errno.ENODEV)
        return len(buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector), stop)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big"), False)
        return self.readfrom(addr, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big"), False)
        self.readfrom_into(addr, buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf))


class I2C(SoftI2C):
    # With the ESP32's default pins.
    def __init__(self, id, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError("I2C({}) doesn't exist".format(id))
        defaults = ((18, 19), (25, 26))[id]
        self.init(scl or Pin(defaults[0]), sda or Pin(defaults[1]), freq=freq, timeout=timeout)
