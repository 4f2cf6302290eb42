# Which sensor is on the bus? Loaded to search, then unloaded again; a driver's module is imported
# only when an address it may have answers. To add a chip: its file here, and a row in DRIVERS.
#
# Every driver module has probe(bus, addr) -> driver, or None when the id registers say that
# another chip lives there. bus is the I2C object of the machine module, with its OSError. A driver
# has name, MEASURE_MS, start(), finish() (SensorError when the answer cannot be trusted) and
# values: what it measured last, in the order of core/quantities.py, None for what it cannot.

from micropython import const

from firmware.core.errors import SensorError

_BOSCH = const((0x76, 0x77))
_SHOWN = const(8)  # addresses in a message: on a shorted bus all 112 answer

# name -> (module, the addresses its pins can be set to)
DRIVERS = {
    "bme280": ("bme280", _BOSCH),
    "bmp280": ("bme280", _BOSCH),
    "sht3x": ("sht3x", (0x44, 0x45)),
    "mcp9808": ("mcp9808", (0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F)),
}


def find(bus, wanted):
    # wanted is "auto", "bme280" or "bme280@0x76". Returns (driver, label): the label always has
    # the address. SensorError names what was found instead.
    name, addr = (wanted.split("@") + [""])[:2]
    if name != "auto" and name not in DRIVERS:
        raise SensorError("unknown sensor; known: " + ", ".join(sorted(DRIVERS)))
    seen = []
    more = 0
    for at in bus.scan():
        label = "0x{:02x}".format(at)
        try:
            driver = _identify(bus, at, name) if not addr or int(addr, 16) == at else None
            if driver:
                label = "{}@{}".format(driver.name, label)
                if name in ("auto", driver.name):
                    return driver, label
        except SensorError as e:
            label += " ({})".format(e)
        except OSError as e:
            label += " (bus: errno {})".format(e.args[0])
        if len(seen) < _SHOWN:
            seen.append(label)
        else:
            more += 1
    on_bus = ", ".join(seen) if seen else "nothing"
    if more:
        on_bus += " and {} more".format(more)
    wanted = "known sensor" if wanted == "auto" else wanted
    raise SensorError("no {} found; on the bus: {}".format(wanted, on_bus))


def _identify(bus, at, name):
    tried = None
    for candidate in sorted(DRIVERS):
        module, addresses = DRIVERS[candidate]
        if at in addresses and module != tried and (name == "auto" or module == DRIVERS[name][0]):
            tried = module
            try:
                loaded = __import__("firmware.drivers." + module, None, None, ("probe",))
            except ImportError:  # staged without it
                raise SensorError("no driver {} on this board".format(module))
            driver = loaded.probe(bus, at)
            if driver:
                return driver
    return None
