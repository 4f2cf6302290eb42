# Which sensor is on the bus? A driver's module is imported only when an address it may have
# answers, because each costs RAM; this one leaves it again (seldom.py).
#
# Every driver module has probe(bus, addr) -> driver, or None when the id registers say that
# another chip lives there. Every driver has name, MEASURE_MS, start(), finish() and the fields
# temperature_cdeg, humidity_cpct, pressure_pa (None: the chip cannot measure it).

from firmware.core.errors import SensorError

_BOSCH = (0x76, 0x77)

# name -> (module, the addresses its pins can be set to)
DRIVERS = {
    "bme280": ("bme280", _BOSCH),
    "bmp280": ("bme280", _BOSCH),
    "sht3x": ("sht3x", (0x44, 0x45)),
    "mcp9808": ("mcp9808", (0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F)),
}


def find(bus, wanted):
    name, addr = _split(wanted)
    seen = []
    for at in bus.scan():
        label = "0x{:02x}".format(at)
        try:
            driver = _identify(bus, at, name) if addr in (None, at) else None
        except SensorError as e:
            seen.append("{} ({})".format(label, e))
            continue
        if driver:
            label = "{}@{}".format(driver.name, label)
            if name in ("auto", driver.name):
                return driver, label
        seen.append(label)
    on_bus = ", ".join(seen) if seen else "nothing"
    raise SensorError("no {} found; on the bus: {}".format(_known(wanted), on_bus))


def _split(wanted):
    name, addr = (wanted.split("@") + [""])[:2]
    if name != "auto" and name not in DRIVERS:
        raise SensorError("unknown sensor; known: " + ", ".join(sorted(DRIVERS)))
    return name, int(addr, 16) if addr else None


def _known(wanted):
    return "known sensor" if wanted == "auto" else wanted


def _identify(bus, at, name):
    tried = None
    for candidate in sorted(DRIVERS):
        module, addresses = DRIVERS[candidate]
        if at in addresses and module != tried and (name == "auto" or module == DRIVERS[name][0]):
            tried = module
            loaded = __import__("firmware.drivers." + module, None, None, ("probe",))
            driver = loaded.probe(bus, at)
            if driver:
                return driver
    return None
