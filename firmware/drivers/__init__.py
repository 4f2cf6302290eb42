# Which sensor is on the bus? Loaded to search; a driver's module only when an address it may have
# answers. It has probe(bus, addr) -> driver, or None when another chip lives there: all of the
# set-up, it does not stay in the heap. A driver has name, MEASURE_MS, start(), finish()
# (SensorError when the answer cannot be trusted; True: call it again after MEASURE_MS) and values:
# what it measured last, in the order of core/telemetry.py, None for what it cannot. Neither
# start() nor finish() allocates.

from firmware.core.errors import SensorError

# file: (the chips it drives, the addresses their pins can be set to)
DRIVERS = {
    "bme280": (("bme280", "bmp280"), (0x76, 0x77)),
    "sht3x": (("sht3x",), (0x44, 0x45)),
    "mcp9808": (("mcp9808",), range(0x18, 0x20)),
    "scd4x": (("scd40", "scd41", "scd43"), (0x62,)),
}


def find(bus, sensor):
    # sensor: "auto", "bme280" or "bme280@0x76", as core/schema.py has checked. Returns (driver,
    # label): the label always has the address. SensorError names what was found instead.
    name, addr = (sensor.lower().split("@") + [""])[:2]
    answering, seen = bus.scan(), []
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
        seen = (seen + [label])[:8]  # on a shorted bus all 112 answer
    text = ", ".join(seen) or "nothing"
    if len(seen) < len(answering):
        text += " and {} more".format(len(answering) - len(seen))
    what = "known sensor" if name == "auto" else sensor
    raise SensorError("no {} found; on the bus: {}".format(what, text))
