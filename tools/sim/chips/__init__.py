# The I2C chips of the virtual board, modelled register by register from their datasheets.
# MicroPython code; it knows nothing of the firmware, whose drivers are tested against it.
#
# A chip has write(data) and read_into(buf), one call for each I2C transfer, which raise OSError
# (ENODEV) where the real chip would not acknowledge; `environment`, an object with
# temperature_mdeg(), humidity_mpct() and pressure_pa(); and `fault`, one of
#   None     works
#   "nack"   acknowledges nothing
#   "stuck"  acknowledges, but a measurement never ends
#   "crc"    what it says is damaged on the wire

# name -> (module, class, first address, last address)
CHIPS = {
    "bme280": ("bosch", "BME280", 0x76, 0x77),
    "bmp280": ("bosch", "BMP280", 0x76, 0x77),
    "sht3x": ("sht3x", "SHT3x", 0x44, 0x45),
    "mcp9808": ("mcp9808", "MCP9808", 0x18, 0x1F),
}

_PLUGGED_MS = 10  # past every start-up time, before the MCP9808's first conversion


def make(spec: str) -> "list[tuple[int, object]]":
    # "bme280", "sht3x@0x45", several with commas between, or "none": the chips, plugged in a
    # moment ago. ValueError says what is wrong with the text. The first call loads every model,
    # so that plugging in another chip later takes no memory for code.
    from . import bosch, mcp9808, sht3x

    modules = {"bosch": bosch, "mcp9808": mcp9808, "sht3x": sht3x}
    made = {}
    for word in ("" if spec == "none" else spec).split(","):
        if not word.strip():
            continue
        name, place = (word.strip().split("@") + [""])[:2]
        if name not in CHIPS:
            raise ValueError("no chip {!r}; known: {}".format(name, ", ".join(sorted(CHIPS))))
        module, kind, first, last = CHIPS[name]
        addr = int(place, 16) if place else first
        if not first <= addr <= last:
            raise ValueError("{} has addresses 0x{:02x} to 0x{:02x}".format(name, first, last))
        if addr in made:
            raise ValueError("two chips at 0x{:02x}".format(addr))
        made[addr] = getattr(modules[module], kind)()
        made[addr].skip_ms(_PLUGGED_MS)
    return sorted(made.items())
