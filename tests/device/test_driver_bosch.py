# The compensation in small integers against the datasheet's own forms, over the whole range and
# for many calibrations.

import harness
from fakes import Random
from firmware.drivers import bme280
from tools.sim.chips.trim import Trim

UT, UP = 519888, 415148  # BMP280 datasheet 3.12

# Real chips scatter around these: middle and half width of each trimming word.
SPREAD_T = ((27500, 1000), (26400, 800), (0, 1000))
SPREAD_P = (
    (36800, 1500),
    (-10600, 400),
    (3024, 30),
    (6000, 4000),
    (50, 200),
    (-7, 3),
    (12000, 4000),
    (-12500, 2500),
    (5000, 1500),
)
SPREAD_H = ((75, 3), (365, 20), (0, 2), (320, 60), (25, 30), (30, 3))


def drawn(random, spread):
    return tuple(middle - width + random(2 * width + 1) for middle, width in spread)


def trims():
    random = Random(harness.seed())
    yield Trim()
    for _ in range(harness.count(6)):
        h = drawn(random, SPREAD_H)
        h = h[:2] + (max(h[2], 0),) + h[3:]
        yield Trim(drawn(random, SPREAD_T), drawn(random, SPREAD_P), h)


def test_formulas_over_the_whole_range():
    worst_t = worst_p = worst_h = 0
    for trim in trims():
        for mdeg in range(-39900, 85000, 9600):
            adc_t = trim.adc_t(mdeg / 1000)
            real = trim.t_fine(adc_t)
            fine = bme280.t_fine(adc_t, trim.t)
            worst_t = max(worst_t, abs(fine - real) / 5120)
            for pa in (30050, 65000, 101325, 109900):
                adc = trim.adc_p(pa, real)
                got = bme280.pascal(adc, fine, trim.p)
                worst_p = max(worst_p, abs(got - trim.pascal(adc, real)))
            for rh in (0, 33, 66, 100):
                adc = trim.adc_h(rh, real)
                got = bme280.cpct(adc, fine, trim.h) / 100
                wanted = min(max(trim.percent(adc, real), 0), 100)
                worst_h = max(worst_h, abs(got - wanted))
    print("worst: {:.4f} C, {:.2f} Pa, {:.4f} %RH".format(worst_t, worst_p, worst_h))
    assert worst_t <= 0.006, worst_t
    assert worst_p <= 1.5, worst_p
    assert worst_h <= 0.02, worst_h


def test_no_formula_reaches_two_to_the_thirty():
    # On the 32-bit build an integer that large is a heap object, and the heap is locked.
    raw = [0, 0, 0]

    def all_of_it():
        fine = bme280.t_fine(raw[0], trim.t)
        bme280.pascal(raw[1], fine, trim.p)
        bme280.cpct(raw[2], fine, trim.h)

    for trim in trims():
        for mdeg in (-40000, -10000, 25000, 85000):
            raw[0] = trim.adc_t(mdeg / 1000)
            real = trim.t_fine(raw[0])
            for pa, rh in ((30000, 0), (110000, 100), (101325, 50)):
                raw[1] = trim.adc_p(pa, real)
                raw[2] = trim.adc_h(rh, real)
                harness.no_heap(all_of_it)


def test_worked_example_of_the_datasheet():
    harness.equal(bme280.t_fine(UT, Trim().t), 128422)
    harness.equal(bme280.pascal(UP, 128422, Trim().p), 100653)


def test_humidity_against_the_datasheets_integer_form():
    # DS 4.2.3, BME280_compensate_H_int32, in big integers: percent * 1024.
    h1, h2, h3, h4, h5, h6 = Trim().h
    for t_fine in (-204800, 0, 128422, 435200):
        for adc in range(20000, 45000, 1117):
            v = t_fine - 76800
            gain = ((v * h6 >> 10) * ((v * h3 >> 11) + 32768) >> 10) + 2097152
            x = ((adc << 14) - (h4 << 20) - h5 * v + 16384 >> 15) * (gain * h2 + 8192 >> 14)
            x -= ((x >> 15) * (x >> 15) >> 7) * h1 >> 4
            wanted = min(max(x, 0), 419430400) >> 12
            got = bme280.cpct(adc, t_fine, Trim().h)
            assert abs(got * 1024 - wanted * 100) <= 1.5 * 1024, (t_fine, adc, got, wanted)
