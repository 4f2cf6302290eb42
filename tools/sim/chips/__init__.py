# The I2C chips of the virtual board, modelled register by register from their datasheets.
# MicroPython code; it knows nothing of the firmware, whose drivers are tested against it.
#
# A chip has write(data) and read_into(buf), one call for each I2C transfer, which raise OSError
# (ENODEV) where the real chip would not acknowledge; `environment`, an object with
# temperature_mdeg(), humidity_mpct(), pressure_pa() and co2_ppm(); and `fault`, one of
#   None     works
#   "nack"   acknowledges nothing
#   "stuck"  acknowledges, but a measurement never ends
#   "crc"    what it says is damaged on the wire


def make(spec: str) -> "list[tuple[int, object]]":
    # "bme280", "sht3x@0x45", several with commas between, or "none": address and chip of each,
    # plugged in a moment ago. ValueError says what is wrong with the text. The first call loads
    # every model, so that plugging in another chip later takes no memory for code.
    from .plug import make

    return make(spec)
