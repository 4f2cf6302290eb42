# Which sensor is on the bus? Loaded to search; a driver's module only when an address it may have
# answers. It has probe(bus, addr) -> driver, or None when another chip lives there: all of the
# set-up, with a reset where the chip has one, it does not stay in the heap. A driver has
#   name, SETTLE_MS   from probe() to the first start(); MEASURE_MS from start() to finish()
#   start(), finish() SensorError when the answer cannot be trusted; finish() gives True when there
#                     is more to measure, for another finish(). Neither allocates
#   values            what it measured last, in the order of core/quantities.py, None for what it
#                     cannot
#   LEAST_S           measured more often, it warms itself; 0: not even at nine a second
#   FROZEN            so many equal readings in a row are suspect; 0: a coarse chip may honestly
#                     repeat itself

from firmware.core.errors import SensorError

_MOST = 32  # chips on one bus; where SDA is held low all 112 addresses answer
# File, the addresses its pins can be set to, the chips it drives. In this order they are tried at
# one address. One text: rows of tuples would take a kilobyte while it searches.
ROWS = (
    "bme280 76,77 bme280 bmp280\n"
    "sht4x 44,45,46 sht4x\n"
    "sht3x 44,45 sht3x\n"
    # Before any chip that is asked for a register 0xFE: that resets an HTU21D.
    "htu21d 40 htu21d si7021 sht2x\n"
    "mcp9808 18,19,1a,1b,1c,1d,1e,1f mcp9808\n"
    "tmp117 48,49,4a,4b tmp117\n"
    "hdc1080 40 hdc1080\n"
    "aht20 38,39 aht20 aht10\n"
    "scd4x 62 scd40 scd41 scd43\n"
    "lm75 48,49,4a,4b,4c,4d,4e,4f lm75 tmp102\n"  # last: it has no id
)


def find(bus, sensor):
    # sensor: "auto", "bme280" or "bme280@0x76", as core/schema.py has checked. Returns (driver,
    # label): the label always has the address. SensorError names what was found instead.
    name, addr = (sensor.lower().split("@") + [""])[:2]
    answering, seen, spare = bus.scan(), [], None
    if len(answering) > _MOST:
        text = "bus: {} addresses answer; SDA or SCL shorted, or no pull-ups"
        raise SensorError(text.format(len(answering)))
    for at in answering:
        label, why = "0x{:02x}".format(at), []
        place, end = label[2:], -1
        while end + 1 < len(ROWS):
            start, end = end + 1, ROWS.find("\n", end + 1)
            file, places, *chips = ROWS[start:end].split()
            if place not in places or addr not in ("", label) or name not in ["auto"] + chips:
                continue
            by_id = end + 1 < len(ROWS)
            driver = (by_id or not spare) and _probe(file, bus, at, name, why)
            if driver:
                label = driver.name + "@" + label
                if name == driver.name or (name == "auto" and by_id):
                    return driver, label
                spare = name == "auto" and (driver, label)
                break
        if why:
            label += " ({})".format("; ".join(why))
        seen = (seen + [label])[:8]
    if spare:
        return spare
    text = ", ".join(seen) or "nothing"
    if len(seen) < len(answering):
        text += " and {} more".format(len(answering) - len(seen))
    what = "known sensor" if name == "auto" else sensor
    raise SensorError("no {} found; on the bus: {}".format(what, text))


def _probe(file, bus, at, name, why):
    # What is wrong goes to `why`: another kind may live at the same address.
    try:
        module = __import__("firmware.drivers." + file, None, None, ("probe",))
        driver = module.probe(bus, at)
        if driver and name in ("auto", driver.name):
            del module.probe  # the driver keeps its module's globals alive
        return driver
    except SensorError as e:
        why.append(str(e))
    except ImportError:  # staged without it
        why.append("no driver {} on this board".format(file))
    except OSError as e:
        why.append("bus: errno {}".format(e.args[0]))
