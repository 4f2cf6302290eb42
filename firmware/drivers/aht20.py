# Aosong AHT20 (also AHT21, AHT25, DHT20) and AHT10 (AHT15) over I2C.
# "DS" = data sheet AHT20, V1.0 of May 2021; "DS10" = technical manual AHT10, V1.1.

from micropython import const

from firmware.core.errors import SensorError

_BUSY = const(0x80)  # status, DS table 9
_CALIBRATED = const(0x08)
_MODE = const(0x60)  # of an AHT10, DS10 table 10; 0: measures when triggered
_TRIGGER = b"\xac\x33\x00"  # DS 7.4
_RESET = b"\xba"  # DS10 5.4


def probe(bus, addr):
    # There is no id, but an AHT20 ends its answer with a CRC. What answers without one is an
    # AHT10 if a trigger makes it busy; before its first measurement an AHT20 may lack it, too.
    # All reads are plain: the 0x71 of DS 7.4 is the address, and as a command it can hang a chip.
    buf, check, one = bytearray(7), bytearray(6), bytearray(1)
    bus.readfrom_into(addr, buf)
    bus.readfrom_into(addr, check)
    if buf[:6] != check or min(buf) == max(buf):  # a PCF8574A says the state of its port, always
        return None
    has_crc = not _crc(buf)
    if has_crc or buf[0] & (_BUSY | _MODE):  # the latter in case that it is one and was used
        bus.writeto(addr, _RESET)
        if buf[0] & _BUSY or not has_crc:
            return None
    else:
        fresh = buf[1:6] in (b"\0\0\0\0\0", b"\x80\0\x08\0\0")  # nothing measured yet
        if fresh and not buf[0] & _CALIBRATED:
            try:
                bus.writeto(addr, b"\xe1\x08\x00")
            except OSError:  # an AHT20 does not take it
                bus.writeto(addr, b"\xbe\x08\x00")
        else:
            bus.writeto(addr, _TRIGGER)
            bus.readfrom_into(addr, one)
            if (one[0] ^ buf[0]) & (_BUSY | _CALIBRATED) != _BUSY:
                return None
        if fresh:
            raise SensorError("aht20: still starting")
    chip = Driver()
    chip.bus, chip.addr, chip.one, chip.values, chip.ready = bus, addr, one, [None, None], False
    chip.buf, chip.check = (buf, None) if has_crc else (bytearray(6), check)
    chip.name, chip.init = ("aht20", b"\xbe\x08\x00") if has_crc else ("aht10", b"\xe1\x08\x00")
    return chip


class Driver:
    SETTLE_MS = 101  # DS 7.1; a soft reset or a measurement begun by probe() takes less
    MEASURE_MS = 101  # DS 7.4: "more than 80 ms", no maximum; some AHT10 need over 90
    LEAST_S = 2  # DS10 2.4, DS 4.4
    FROZEN = 50  # 20 bits of both

    def start(self):
        # An AHT10 forgets mode and calibration in a reset (DS10 5.3), an AHT20 may (DS 7.4).
        self.bus.readfrom_into(self.addr, self.one)
        status = self.one[0]
        if status & _BUSY:
            self.bus.writeto(self.addr, _RESET)
            raise SensorError("still measuring")
        self.ready = status & _CALIBRATED and not (self.check and status & _MODE)
        self.bus.writeto(self.addr, _TRIGGER if self.ready else self.init)

    def finish(self):
        if not self.ready:  # initialised by now: the measurement begins, for a second finish()
            self.bus.writeto(self.addr, _TRIGGER)
            self.ready = True
            return True
        buf = self.buf
        self.bus.readfrom_into(self.addr, buf)
        if buf[0] & _BUSY:
            raise SensorError("still measuring")
        if not buf[0] & _CALIBRATED:
            raise SensorError("not calibrated")  # or an AHT10 lost its power meanwhile
        if self.check:
            self.bus.readfrom_into(self.addr, self.check)
            if buf != self.check:
                raise SensorError("damaged data")
        elif _crc(buf):
            raise SensorError("crc")
        rh = buf[1] << 12 | buf[2] << 4 | buf[3] >> 4
        t = (buf[3] & 0x0F) << 16 | buf[4] << 8 | buf[5]
        if not rh or rh == t == 0x80000:
            raise SensorError("measurement skipped")
        cdeg = (t * 625 + 16384 >> 15) - 5000  # DS 8.2: 20000/2^20 = 625/2^15
        if not -4000 <= cdeg <= 8500:  # DS table 2
            raise SensorError("temperature out of range")
        self.values[0], self.values[1] = cdeg, rh * 625 + 32768 >> 16  # DS 8.1


def _crc(buf):
    # Of six bytes and their CRC (DS 7.4): 0 when they agree.
    crc = 0xFF
    for byte in buf:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc
