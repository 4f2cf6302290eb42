# Which sensor is on the bus? Loaded to search; a driver's module only when an address it may have
# answers. It has probe(bus, addr) -> driver, or None when another chip lives there: all of the
# set-up, with a reset where the chip has one, it does not stay in the heap. A driver has
#   name, SETTLE_MS   from probe() to the first start(); MEASURE_MS from start() to finish()
#   start(), finish() SensorError when the answer cannot be trusted; finish() gives True when there
#                     is more to measure, for another finish(). Neither allocates
#   values            what it measured last, in the order of core/quantities.py, None for what it
#                     cannot
#   LEAST_S           read more often, it warms itself; FROZEN: so many equal readings in a row are
#                     suspect, 0: a coarse chip may honestly repeat itself

from firmware.core.errors import SensorError

_MOST = 32  # chips on one bus; where SDA is held low all 112 addresses answer
# file: (the chips it drives, the addresses their pins can be set to)
DRIVERS = {
    "bme280": (("bme280", "bmp280"), (0x76, 0x77)),
    "sht3x": (("sht3x",), (0x44, 0x45)),
    "mcp9808": (("mcp9808",), range(0x18, 0x20)),
    "tmp117": (("tmp117",), range(0x48, 0x4C)),
    "hdc1080": (("hdc1080",), (0x40,)),
    "lm75": (("lm75", "tmp102"), range(0x48, 0x50)),  # last: it has no id
}


def find(bus, sensor):
    # sensor: "auto", "bme280" or "bme280@0x76", as core/schema.py has checked. Returns (driver,
    # label): the label always has the address. SensorError names what was found instead.
    name, addr = (sensor.lower().split("@") + [""])[:2]
    answering, seen = bus.scan(), []
    if len(answering) > _MOST:
        text = "bus: {} addresses answer; SDA or SCL shorted, or no pull-ups"
        raise SensorError(text.format(len(answering)))
    for at in answering:
        label = "0x{:02x}".format(at)
        try:
            for file, (chips, addresses) in DRIVERS.items():
                if at not in addresses or addr not in ("", label) or name not in ("auto",) + chips:
                    continue
                module = __import__("firmware.drivers." + file, None, None, ("probe",))
                driver = module.probe(bus, at)
                if driver:
                    label = driver.name + "@" + label
                    if name in ("auto", driver.name):
                        del module.probe  # the driver keeps its module's globals alive
                        return driver, label
        except SensorError as e:
            label += " ({})".format(e)
        except ImportError:  # staged without it
            label += " (no driver {} on this board)".format(file)
        except OSError as e:
            label += " (bus: errno {})".format(e.args[0])
        seen = (seen + [label])[:8]
    text = ", ".join(seen) or "nothing"
    if len(seen) < len(answering):
        text += " and {} more".format(len(answering) - len(seen))
    what = "known sensor" if name == "auto" else sensor
    raise SensorError("no {} found; on the bus: {}".format(what, text))
