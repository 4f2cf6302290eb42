# Bosch BME280 and BMP280 over I2C: forced mode, each quantity sampled once, no filter.
# "DS" = BME280 datasheet BST-BME280-DS002 rev. 1.6. The BMP280 (BST-BMP280-DS001) has the same
# registers and formulas without humidity; only the id differs (DS 5.2).
# The formulas are those of DS 4.2.3 with other scales: its own need 64 bits, or lose 1 Pa, and on
# a board an integer from 2^30 on is a heap object. Here a product that would be so large is split
# into a high and a low part; about 1 Pa and 0.01 %RH are lost (tests/device/test_driver_bosch.py).

from micropython import const
from struct import unpack

from firmware.core.errors import SensorError

_STATUS = const(0xF3)  # then ctrl_meas, config, one reserved, and the data from 0xF7 on
_CTRL_MEAS = const(0xF4)
_SKIPPED = const(0x80000)  # also what the data registers hold after power-on (DS 5.3)


def probe(bus, addr):
    buf = bytearray(1)
    bus.readfrom_mem_into(addr, 0xD0, buf)  # id
    humid = buf[0] == 0x60
    if not humid and buf[0] not in (0x56, 0x57, 0x58):  # BMP280: samples, then mass production
        return None
    name = "bme280" if humid else "bmp280"
    bus.readfrom_mem_into(addr, _STATUS, buf)
    if buf[0] & 0x01:
        raise SensorError(name + ": still starting")  # calibration not copied yet
    cal, hum = bytearray(26), bytearray(7)
    # dig_T1 to dig_P9, one unused, dig_H1; dig_H2 to dig_H6 (DS table 16). There is no CRC, and a
    # bit lost here would falsify every reading from now on. All 0x00 or 0xFF: nobody is talking.
    for reg, buf in ((0x88, cal), (0xE1, hum))[: 1 + humid]:
        again = bytearray(buf)
        bus.readfrom_mem_into(addr, reg, buf)
        bus.readfrom_mem_into(addr, reg, again)
        if buf != again or min(buf) == max(buf):
            raise SensorError(name + ": bad calibration")
    words = unpack("<HhhHhhhhhhhh", cal)
    h2, h3, h4, nibbles, h5, h6 = unpack("<hBbBbb", hum)
    h = (cal[25], h2, h3, h4 << 4 | nibbles & 0x0F, h5 << 4 | nibbles >> 4, h6)
    chip = Driver()
    chip.bus, chip.addr, chip.name = bus, addr, name
    chip.cal = words[:3], words[3:], h if humid else None  # for t_fine(), pascal() and cpct()
    chip.values = [None, None, None]
    chip.buf = bytearray(12 if humid else 10)  # from _STATUS to the last data byte
    chip.check = bytearray(chip.buf)
    bus.writeto_mem(addr, 0xE0, b"\xb6")  # soft reset: sleep mode, no filter (DS 5.4.2)
    return chip


class Driver:
    SETTLE_MS = 5  # DS 1.1: start-up 2 ms at most
    MEASURE_MS = 11  # DS 9.1: 9.3 ms at most, and a millisecond clock may be one short
    LEAST_S = 0  # a hundredth of the time: it does not warm itself
    FROZEN = 50  # BMP280 3.5: a noise of 3.3 Pa

    def start(self):
        # ctrl_hum takes effect with the next write to ctrl_meas (DS 5.4.3). Each time: the chip
        # may have lost power since.
        if self.cal[2]:
            self.bus.writeto_mem(self.addr, 0xF2, b"\x01")  # osrs_h x1
        self.bus.writeto_mem(self.addr, _CTRL_MEAS, b"\x25")  # osrs_t x1, osrs_p x1, forced

    def finish(self):
        # Read twice as well: in sleep mode the data stand still. xlsb<3:0> are 0 (DS 5.4.7),
        # unless nobody drives the line. The ranges: DS 1.3.
        buf, values = self.buf, self.values
        t, p, h = self.cal
        self.bus.readfrom_mem_into(self.addr, _STATUS, buf)
        self.bus.readfrom_mem_into(self.addr, _STATUS, self.check)
        if buf[0] & 0x09:  # status: measuring or im_update (DS 5.4.4)
            raise SensorError("still measuring")
        if buf[1] != 0x24:  # ctrl_meas: the chip itself went back to sleep
            raise SensorError("reset during measurement")
        if buf != self.check or (buf[6] | buf[9]) & 0x0F:
            raise SensorError("damaged data")
        adc_p = buf[4] << 12 | buf[5] << 4 | buf[6] >> 4
        adc_t = buf[7] << 12 | buf[8] << 4 | buf[9] >> 4
        adc_h = buf[10] << 8 | buf[11] if h else 0
        if adc_t == _SKIPPED or adc_p == _SKIPPED or adc_h in (0x8000, 0xFFFF):
            raise SensorError("measurement skipped")
        fine = t_fine(adc_t, t)
        cdeg = fine * 5 + 128 >> 8
        if not -4000 <= cdeg <= 8500:
            raise SensorError("temperature out of range")
        pa = pascal(adc_p, fine, p)
        if not 30000 <= pa <= 110000:
            raise SensorError("pressure out of range")
        values[0], values[2] = cdeg, pa
        if h:
            values[1] = cpct(adc_h, fine, h)


def t_fine(adc, cal):
    # Temperature in 1/5120 degree.
    t1, t2, t3 = cal
    d = (adc >> 4) - t1
    return (((adc >> 3) - (t1 << 1)) * t2 >> 11) + ((d * d >> 12) * t3 >> 14)


def pascal(adc, t_fine, cal):
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = cal
    v = (t_fine >> 1) - 64000
    w = v >> 3
    square = w * w >> 14  # v * v / 2^20
    n = 1048576 - adc - (p4 << 4) - (w * p5 >> 10) - (square * p6 >> 9)
    slope = (1 << 24) + (square * p3 >> 9) + (w * p2 >> 7) + ((v & 7) * p2 >> 10)  # 24 bits
    slope = (p1 * (slope >> 11) >> 5) + (p1 * (slope & 2047) >> 16)  # times p1, 8 bits
    if n <= 0 or slope <= 0:
        return 0
    # 16 * 6250 * n / slope by long division: 2^9, 25 * 25 * 5 = 3125 and 16 are the factors.
    rest = n << 9
    q = rest // slope
    for factor in (25, 25, 5, 16):
        rest = rest % slope * factor
        q = q * factor + rest // slope
    p = q >> 4
    h = p >> 2
    q += ((h * h >> 15) * p9 >> 12) + ((p >> 3) * p8 >> 12) + ((p & 7) * p8 >> 15) + p7
    return q + 8 >> 4


def cpct(adc, t_fine, cal):
    h1, h2, h3, h4, h5, h6 = cal
    v = t_fine - 76800
    a = (adc << 3) - (h4 << 9) - (h5 * v >> 11)  # 3 bits of fraction
    gain = h2 * (32768 + ((h6 * v >> 12) * (32768 + (h3 * v >> 11)) >> 14))  # 15 bits
    rh = a * (gain >> 12) + (a * (gain & 4095) >> 12) >> 12  # 10 bits
    rh -= ((rh >> 3) * (rh >> 3) >> 8) * h1 >> 15
    return min(max(rh * 100 + 512 >> 10, 0), 10000)  # the datasheet clamps as well
