# heap: 64wk
# BME280 and BMP280: the datasheet's vectors, the chip models over the whole range, what the driver
# refuses, and when the chip fails, resets or is pulled out.

import harness
from fakes_bus import bosch, measure, powered
from firmware.core.errors import SensorError
from firmware.drivers import bme280
from tools.sim.chips.bosch import BME280, BMP280
from tools.sim.chips.chip import Fixed

# BMP280 datasheet 3.12, worked example.
TRIM_T = (27504, 26435, -1000)
TRIM_P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
UT = 519888  # 25.08 C
UP = 415148  # 100653.27 Pa
TRIM_H = (75, 370, 0, 313, 50, 30)
UH = 0x7000


def bus(chip_id=0x60, up=UP, ut=UT, uh=UH):
    b = bosch()
    b.regs[0xD0] = chip_id
    fill(b, up, ut, uh)
    return b


def fill(b, up, ut, uh=UH):
    b.regs[0xF7:0xFF] = bytes(
        (up >> 12, up >> 4 & 255, up << 4 & 240, ut >> 12, ut >> 4 & 255, ut << 4 & 240)
    ) + bytes((uh >> 8, uh & 255))


def measured(b):
    # What the chip does by itself between start() and finish(): back to sleep mode.
    b.regs[0xF4] &= 0xFC


def read(b):
    sensor = bme280.probe(b, 0x76)
    sensor.start()
    measured(b)
    sensor.finish()
    return sensor


def refused(b):
    return str(harness.raises(SensorError, read, b))


def test_worked_example_of_the_datasheet():
    sensor = read(bus(0x58))
    harness.equal(sensor.values, [2508, None, 100653])


def test_calibration_is_unpacked():
    sensor = bme280.probe(bus(), 0x76)
    harness.equal(sensor.cal, (TRIM_T, TRIM_P, TRIM_H))
    b = bus()
    b.regs[0xE1:0xE8] = b"\xfe\xff\xc8\x80\xff\xff\x80"
    harness.equal(bme280.probe(b, 0x76).cal[2], (75, -2, 200, -2048 + 15, -1, -128))


def test_the_chip_id_decides_between_bme_and_bmp():
    for chip_id, name in ((0x60, "bme280"), (0x56, "bmp280"), (0x57, "bmp280"), (0x58, "bmp280")):
        harness.equal(bme280.probe(bus(chip_id), 0x76).name, name)
    for chip_id in (0x00, 0x55, 0x61, 0xFF):  # BMP180, BME680, nobody
        harness.equal(bme280.probe(bus(chip_id), 0x76), None)


def test_ctrl_hum_is_written_before_ctrl_meas():
    order = []
    b = bus()
    b.writeto_mem = lambda addr, reg, buf: order.append((addr, reg, bytes(buf)))
    sensor = bme280.probe(b, 0x77)
    harness.equal(order, [(0x77, 0xE0, b"\xb6")])  # soft reset, the last thing
    del order[:]
    sensor.start()
    harness.equal(order, [(0x77, 0xF2, b"\x01"), (0x77, 0xF4, b"\x25")])


def test_bad_calibration_is_refused():
    for byte in (0x00, 0xFF):
        b = bus()
        b.regs[0x88:0xA2] = bytes((byte,)) * 26
        assert "calibration" in refused(b)
        b = bus()
        b.regs[0xE1:0xE8] = bytes((byte,)) * 7
        assert "calibration" in refused(b)


def test_no_reading_with_a_calibration_of_zero():
    for reg, what in ((0x88, "temperature"), (0x8E, "pressure")):  # by dig_P1 the formula divides
        b = bus()
        b.regs[reg : reg + 2] = b"\0\0"
        assert what in refused(b)


def test_calibration_that_reads_differently_twice_is_refused():
    b = bus()
    plain = b.readfrom_mem_into

    def flaky(addr, reg, buf):
        plain(addr, reg, buf)
        if reg == 0x88:
            buf[5] ^= 0x40
            b.readfrom_mem_into = plain

    b.readfrom_mem_into = flaky
    assert "calibration" in refused(b)


def test_still_copying_its_calibration():
    b = bus()
    b.regs[0xF3] = 0x01
    assert "starting" in refused(b)


def test_stuck_status_is_an_error():
    for status in (0x08, 0x01, 0x09):
        b = bus()
        sensor = bme280.probe(b, 0x76)
        sensor.start()
        measured(b)
        b.regs[0xF3] = status
        harness.raises(SensorError, sensor.finish)
        harness.equal(sensor.values, [None, None, None])


def test_power_loss_between_start_and_finish():
    b = bus()
    sensor = bme280.probe(b, 0x76)
    sensor.start()
    b.regs[0xF4] = 0
    assert "reset" in str(harness.raises(SensorError, sensor.finish))


def test_skip_codes_are_errors():
    assert "skipped" in refused(bus(ut=0x80000))
    assert "skipped" in refused(bus(up=0x80000))
    assert "skipped" in refused(bus(uh=0x8000))
    assert "skipped" in refused(bus(uh=0xFFFF))
    harness.equal(read(bus(0x58, uh=0x8000)).values[0], 2508)  # the BMP280 has none


def test_floating_line_is_an_error():
    b = bus()
    b.regs[0xF9] |= 0x0F
    assert "damaged" in refused(b)


def test_out_of_range_is_an_error_and_keeps_the_last_reading():
    b = bus()
    sensor = read(b)
    good = list(sensor.values)
    harness.equal((good[0], good[2]), (2508, 100653))
    for up, ut, what in (
        (UP, 0, "temperature"),
        (UP, 0xFFFFF, "temperature"),
        (0, UT, "pressure"),
        (0xFFFFF, UT, "pressure"),
    ):
        fill(b, up, ut)
        sensor.start()
        measured(b)
        text = str(harness.raises(SensorError, sensor.finish))
        assert what in text, text
        harness.equal(sensor.values, good)


def test_measuring_does_not_allocate():
    b, checked = bus(), []
    sensor = read(b)

    def once():
        sensor.start()
        b.regs[0xF4] = 0x24
        sensor.finish()

    # The corners of the working range; raw values by bisection of the datasheet's formula.
    for ut in (349000, 425000, 519888, 600000, 700000):
        for up in (150000, 415148, 560000):
            for uh in (0x4000, 0x7000, 0xA000):
                fill(b, up, ut, uh)
                try:
                    once()
                except SensorError:
                    continue  # outside; the range test has its own
                harness.no_heap(once)
                checked.append(ut)
    assert len(checked) > 15, checked


def found(kind):
    clock, chip, bus = powered(0x76, kind)
    sensor = bme280.probe(bus, 0x76)
    clock.pass_ms(sensor.SETTLE_MS)
    return clock, chip, bus, sensor


def test_driver_against_the_model():
    clock, chip, _, sensor = found(BME280)
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
    clock, chip, _, sensor = found(BMP280)
    for mdeg, pa in ((-40500, 100000), (85500, 100000), (20000, 29900), (20000, 110100)):
        chip.environment = Fixed(mdeg, 0, pa)
        assert "range" in str(harness.raises(SensorError, measure, clock, sensor))


def test_finish_too_early_is_an_error_not_an_old_value():
    clock, _, _, sensor = found(BME280)
    measure(clock, sensor)
    sensor.start()
    clock.pass_ms(5)
    harness.raises(SensorError, sensor.finish)
    clock.pass_ms(6)
    sensor.finish()


def test_unplugged_and_replugged_in_mid_measurement():
    clock, chip, bus, sensor = found(BME280)
    sensor.start()
    chip.power_on()
    clock.pass_ms(sensor.MEASURE_MS)
    harness.raises(SensorError, sensor.finish)
    bus.plugged = False
    harness.raises(OSError, sensor.start)
    bus.plugged = True
    measure(clock, sensor)


def test_faults_of_the_model_are_errors():
    for fault, error in (("nack", OSError), ("stuck", SensorError), ("crc", SensorError)):
        clock, chip, _, sensor = found(BME280)
        measure(clock, sensor)
        chip.environment = Fixed(30000)
        chip.fault = fault
        harness.raises(error, measure, clock, sensor)
        harness.equal(sensor.values[0], 2100)
        chip.fault = None
        clock.pass_ms(20)
        measure(clock, sensor)
        harness.equal(sensor.values[0], 3000)


def test_soft_reset_by_somebody_else_during_probe():
    clock, chip, bus = powered(0x76, BME280)
    chip.write(b"\xe0\xb6")
    harness.raises(OSError, bme280.probe, bus, 0x76)
    clock.pass_ms(1)
    harness.raises(SensorError, bme280.probe, bus, 0x76)
    clock.pass_ms(1)
    harness.equal(bme280.probe(bus, 0x76).name, "bme280")


def test_start_right_after_probe_is_an_error_not_a_wrong_value():
    for ms in (0, 1):
        clock, chip, bus = powered(0x76, BME280)
        sensor = bme280.probe(bus, 0x76)
        clock.pass_ms(ms)
        harness.raises((OSError, SensorError), measure, clock, sensor)
        clock.pass_ms(2)
        measure(clock, sensor)
        harness.equal(sensor.values[0], 2100)


def test_filter_and_normal_mode_left_by_another_program_are_ended():
    clock, chip, bus = powered(0x76, BMP280)
    chip.write(b"\xf5\x1c\xf4\x27")
    clock.pass_ms(100)
    sensor = bme280.probe(bus, 0x76)
    clock.pass_ms(sensor.SETTLE_MS)
    chip.environment = Fixed(50000)
    measure(clock, sensor)
    harness.equal(sensor.values[0], 5000)
