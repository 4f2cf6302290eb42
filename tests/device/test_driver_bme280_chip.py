# The BME280 and BMP280 driver against the chip models, over the whole range.

import harness

from tools.sim.chips.bosch import BME280, BMP280  # isort: skip  (largest first: needs room)
from tools.sim.chips.chip import Fixed  # isort: skip
from firmware.drivers import bme280  # isort: skip
from fakes_bus import ChipBus, Clock  # isort: skip
from firmware.core.errors import SensorError  # isort: skip


def powered(kind):
    clock = Clock()
    chip = kind(clock)
    clock.pass_ms(5)
    bus = ChipBus((0x76, chip))
    return clock, chip, bus, bme280.probe(bus, 0x76)


def measure(clock, sensor):
    sensor.start()
    clock.pass_ms(sensor.MEASURE_MS)
    sensor.finish()


def test_driver_against_the_model():
    clock, chip, _, sensor = powered(BME280)
    for mdeg in range(-39900, 85000, 8300):
        for pa, mpct in ((30100, 5000), (95000, 45000), (109900, 99000)):
            chip.environment = Fixed(mdeg, mpct, pa)
            measure(clock, sensor)
            cdeg, cpct, got_pa = sensor.values
            # one step of 16 bits is 0.005 C and 2.6 Pa (DS 3.4.2, 3.4.1), 0.008 %RH (DS 1.2)
            assert abs(cdeg * 10 - mdeg) <= 12, (mdeg, cdeg)
            assert abs(got_pa - pa) <= 4, (pa, got_pa)
            assert abs(cpct * 10 - mpct) <= 40, (mpct, cpct)


def test_range_ends_where_the_datasheet_says():
    clock, chip, _, sensor = powered(BMP280)
    for mdeg, pa in ((-40500, 100000), (85500, 100000), (20000, 29900), (20000, 110100)):
        chip.environment = Fixed(mdeg, 0, pa)
        assert "range" in str(harness.raises(SensorError, measure, clock, sensor))


harness.run(globals())
