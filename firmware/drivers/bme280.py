# Bosch BME280 and BMP280 over I2C: forced mode, each quantity sampled once, no filter.
# "DS" = BME280 datasheet BST-BME280-DS002 rev. 1.6. The BMP280 (BST-BMP280-DS001) has the same
# registers and formulas without humidity; only the id tells them apart (DS 5.2).

from micropython import const

from firmware.core.errors import SensorError
from firmware.drivers import bosch

_REG_CALIB = const(0x88)  # 26 bytes: dig_T1 to dig_P9, one unused, dig_H1 (DS table 16)
_REG_ID = const(0xD0)
_REG_CALIB_HUM = const(0xE1)  # 7 bytes: dig_H2 to dig_H6
_REG_CTRL_HUM = const(0xF2)
_REG_STATUS = const(0xF3)  # then ctrl_meas, config, one reserved, and the data from 0xF7 on
_REG_CTRL_MEAS = const(0xF4)
_REG_CONFIG = const(0xF5)

_BME280_ID = const(0x60)
_BMP280_IDS = (0x56, 0x57, 0x58)  # samples, then mass production

_ONE_SAMPLE = b"\x01"  # osrs_h x1
_FORCE = b"\x25"  # osrs_t x1, osrs_p x1, mode forced
_ZERO = b"\x00"  # ctrl_meas: sleep; config: filter off
_DONE = const(0x24)  # ctrl_meas after the measurement: the chip itself went back to sleep
_BUSY = const(0x09)  # status: measuring or im_update (DS 5.4.4)
_SKIPPED = const(0x80000)  # also what the data registers hold after power-on (DS 5.3)
_SKIPPED_HUM = const(0x8000)


def probe(bus, addr):
    chip_id = bytearray(1)
    bus.readfrom_mem_into(addr, _REG_ID, chip_id)
    if chip_id[0] == _BME280_ID:
        return BME280(bus, addr, True)
    if chip_id[0] in _BMP280_IDS:
        return BME280(bus, addr, False)
    return None


class BME280:
    # start(); at least MEASURE_MS later finish(); then read the fields. Neither allocates.
    MEASURE_MS = 11  # DS 9.1: 9.3 ms at most, and a millisecond clock may be one short

    def __init__(self, bus, addr, humid):
        self.name = "bme280" if humid else "bmp280"
        self._bus = bus
        self._addr = addr
        self._buf = bytearray(12 if humid else 10)  # from _REG_STATUS to the last data byte
        self._again = bytearray(len(self._buf))
        self.temperature_cdeg = None
        self.humidity_cpct = None
        self.pressure_pa = None
        bus.readfrom_mem_into(addr, _REG_STATUS, self._buf)
        if self._buf[0] & 0x01:
            raise SensorError(self.name + ": still starting")  # calibration not copied yet
        bus.writeto_mem(addr, _REG_CTRL_MEAS, _ZERO)
        bus.writeto_mem(addr, _REG_CONFIG, _ZERO)
        cal = self._read_twice(_REG_CALIB, 26)
        self._t, self._p = bosch.words(cal)
        if not self._t[0] or not self._p[0]:
            raise SensorError(self.name + ": bad calibration")
        self._h = None
        if humid:
            self._h = bosch.humidity_words(cal[25], self._read_twice(_REG_CALIB_HUM, 7))

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
        # Read twice as well: in sleep mode the data stand still.
        buf, again = self._buf, self._again
        self._bus.readfrom_mem_into(self._addr, _REG_STATUS, buf)
        self._bus.readfrom_mem_into(self._addr, _REG_STATUS, again)
        if buf[0] & _BUSY:
            raise SensorError(self.name + ": still measuring")
        if buf[1] != _DONE:
            raise SensorError(self.name + ": reset during measurement")
        # xlsb<3:0> are always 0 (DS 5.4.7), on a line that nobody drives they are not.
        if buf != again or (buf[6] | buf[9]) & 0x0F:
            raise SensorError(self.name + ": damaged data")
        self._convert(buf, buf[4] << 12 | buf[5] << 4 | buf[6] >> 4)

    def _convert(self, buf, adc_p):
        adc_t = buf[7] << 12 | buf[8] << 4 | buf[9] >> 4
        if adc_t == _SKIPPED or adc_p == _SKIPPED:
            raise SensorError(self.name + ": measurement skipped")
        t_fine = bosch.t_fine(adc_t, self._t)
        cdeg = t_fine * 5 + 128 >> 8
        if not -4000 <= cdeg <= 8500:  # DS 1.3
            raise SensorError(self.name + ": temperature out of range")
        pa = bosch.pascal(adc_p, t_fine, self._p)
        if not 30000 <= pa <= 110000:  # DS 1.3
            raise SensorError(self.name + ": pressure out of range")
        cpct = self._humidity(buf[10] << 8 | buf[11], t_fine) if self._h else None
        self.temperature_cdeg, self.pressure_pa, self.humidity_cpct = cdeg, pa, cpct

    def _humidity(self, adc, t_fine):
        if adc == _SKIPPED_HUM or adc == 0xFFFF:
            raise SensorError(self.name + ": humidity skipped")
        return bosch.cpct(adc, t_fine, self._h)
