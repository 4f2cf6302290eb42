# Bosch BME280 and BMP280 over I2C: forced mode, each quantity sampled once, no filter.
# "DS" = BME280 datasheet BST-BME280-DS002 rev. 1.6. The BMP280 (BST-BMP280-DS001) has the same
# registers and formulas without humidity; only the id differs (DS 5.2).
#
# The formulas are those of DS 4.2.3 with other scales. Its own need 64 bits, or 32 bits at an
# accuracy of 1 Pa (1 sigma), and on a board an integer from 2^30 on is a heap object. Here a
# product that would be too large is split into a high and a low part; what is lost stays near 1 Pa
# and 0.01 %RH against the datasheet's floating-point form, and inside the chip's working range
# nothing reaches 2^30. tests/device/test_driver_bosch.py holds both.

from micropython import const

from firmware.core.errors import SensorError

_REG_CALIB = const(0x88)  # 26 bytes: dig_T1 to dig_P9, one unused, dig_H1 (DS table 16)
_REG_ID = const(0xD0)
_REG_CALIB_HUM = const(0xE1)  # 7 bytes: dig_H2 to dig_H6
_REG_CTRL_HUM = const(0xF2)
_REG_STATUS = const(0xF3)  # then ctrl_meas, config, one reserved, and the data from 0xF7 on
_REG_CTRL_MEAS = const(0xF4)
_REG_CONFIG = const(0xF5)

_BME280_ID = const(0x60)
_BMP280_IDS = const((0x56, 0x57, 0x58))  # samples, then mass production

_ONE_SAMPLE = const(b"\x01")  # osrs_h x1
_FORCE = const(b"\x25")  # osrs_t x1, osrs_p x1, mode forced
_ZERO = const(b"\x00")  # ctrl_meas: sleep; config: filter off
_DONE = const(0x24)  # ctrl_meas after the measurement: the chip itself went back to sleep
_BUSY = const(0x09)  # status: measuring or im_update (DS 5.4.4)
_SKIPPED = const(0x80000)  # also what the data registers hold after power-on (DS 5.3)
_SKIPPED_HUM = const((0x8000, 0xFFFF))


def probe(bus, addr):
    chip_id = bytearray(1)
    bus.readfrom_mem_into(addr, _REG_ID, chip_id)
    if chip_id[0] == _BME280_ID:
        return BME280(bus, addr, True)
    if chip_id[0] in _BMP280_IDS:
        return BME280(bus, addr, False)
    return None


class BME280:
    # start(); at least MEASURE_MS later finish(); then values. Neither allocates.
    MEASURE_MS = 11  # DS 9.1: 9.3 ms at most, and a millisecond clock may be one short

    def __init__(self, bus, addr, humid):
        self.name = "bme280" if humid else "bmp280"
        self.values = [None, None, None]
        self._bus = bus
        self._addr = addr
        self._buf = bytearray(12 if humid else 10)  # from _REG_STATUS to the last data byte
        self._again = bytearray(self._buf)
        bus.readfrom_mem_into(addr, _REG_STATUS, self._buf)
        if self._buf[0] & 0x01:
            raise SensorError(self.name + ": still starting")  # calibration not copied yet
        bus.writeto_mem(addr, _REG_CTRL_MEAS, _ZERO)
        bus.writeto_mem(addr, _REG_CONFIG, _ZERO)
        # dig_T1 to T3 and dig_P1 to P9, low byte first; all but T1 and P1 have a sign.
        cal = self._read_twice(_REG_CALIB, 26)
        words = []
        for at in range(0, 24, 2):
            words.append(((cal[at] | cal[at + 1] << 8) ^ 0x8000) - 0x8000)
        self._t = (words[0] & 0xFFFF, words[1], words[2])
        self._p = (words[3] & 0xFFFF,) + tuple(words[4:])
        if not self._t[0] or not self._p[0]:
            raise SensorError(self.name + ": bad calibration")
        self._h = None
        if humid:
            hum = self._read_twice(_REG_CALIB_HUM, 7)
            h2 = ((hum[0] | hum[1] << 8) ^ 0x8000) - 0x8000
            # dig_H4 and dig_H5, of 12 bits, share the nibbles of 0xE5.
            h4 = ((hum[3] << 4 | hum[4] & 0x0F) ^ 0x800) - 0x800
            h5 = ((hum[5] << 4 | hum[4] >> 4) ^ 0x800) - 0x800
            self._h = (cal[25], h2, hum[2], h4, h5, (hum[6] ^ 0x80) - 0x80)

    def _read_twice(self, reg, size):
        # There is no CRC, and a bit lost here would falsify every reading from now on.
        first, again = bytearray(size), bytearray(size)
        self._bus.readfrom_mem_into(self._addr, reg, first)
        self._bus.readfrom_mem_into(self._addr, reg, again)
        if first != again or min(first) == max(first):  # all 0x00 or all 0xFF: nobody is talking
            raise SensorError(self.name + ": bad calibration")
        return first

    def start(self):
        # ctrl_hum takes effect with the next write to ctrl_meas (DS 5.4.3), so it comes first;
        # each time, as the chip may have lost power since.
        if self._h:
            self._bus.writeto_mem(self._addr, _REG_CTRL_HUM, _ONE_SAMPLE)
        self._bus.writeto_mem(self._addr, _REG_CTRL_MEAS, _FORCE)

    def finish(self):
        # Read twice as well: in sleep mode the data stand still. xlsb<3:0> are always 0
        # (DS 5.4.7), on a line that nobody drives they are not. The ranges: DS 1.3.
        buf, values = self._buf, self.values
        self._bus.readfrom_mem_into(self._addr, _REG_STATUS, buf)
        self._bus.readfrom_mem_into(self._addr, _REG_STATUS, self._again)
        if buf[0] & _BUSY:
            raise SensorError(self.name + ": still measuring")
        if buf[1] != _DONE:
            raise SensorError(self.name + ": reset during measurement")
        if buf != self._again or (buf[6] | buf[9]) & 0x0F:
            raise SensorError(self.name + ": damaged data")
        adc_p = buf[4] << 12 | buf[5] << 4 | buf[6] >> 4
        adc_t = buf[7] << 12 | buf[8] << 4 | buf[9] >> 4
        if adc_t == _SKIPPED or adc_p == _SKIPPED:
            raise SensorError(self.name + ": measurement skipped")
        fine = t_fine(adc_t, self._t)
        cdeg = fine * 5 + 128 >> 8
        if not -4000 <= cdeg <= 8500:
            raise SensorError(self.name + ": temperature out of range")
        pa = pascal(adc_p, fine, self._p)
        if not 30000 <= pa <= 110000:
            raise SensorError(self.name + ": pressure out of range")
        if self._h:
            adc_h = buf[10] << 8 | buf[11]
            if adc_h in _SKIPPED_HUM:
                raise SensorError(self.name + ": humidity skipped")
            values[1] = cpct(adc_h, fine, self._h)
        values[0], values[2] = cdeg, pa


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
