# Sensirion SCD40, SCD41 and SCD43 over I2C: CO2, temperature and humidity, one reading at a time.
# "DS" = Sensirion SCD4x datasheet, version 1.7. An SCD40 has no single shots (DS 3.11), and left
# running takes 3.2 to 15 mA (DS table 4): it runs for one result and is stopped. That costs what a
# single shot does, and its self-calibration, which needs four hours at a time (DS 3.8).

from micropython import const

from firmware.core.errors import SensorError

_READY = const(b"\xe4\xb8")  # DS 3.9.2
_STOP = const(b"\x3f\x86")  # DS 3.6.3, takes 500 ms


def probe(bus, addr):
    word, buf = bytearray(3), bytearray(9)

    def bad(command, answer):
        # An answer takes 1 ms; until then a read is not acknowledged (DS 3.4). The bus keeps the
        # time: 48 headers take longer even at 400 kHz, the chip's limit (DS table 7).
        bus.writeto(addr, command)
        for _ in range(48):
            try:
                bus.readfrom_into(addr, answer)
                return _bad(answer)
            except OSError:
                pass
        return True

    try:
        wrong = bad(b"\x20\x2f", word)  # variant, DS 3.10.6
    except OSError:
        wrong = bad(_READY, word)  # refused as well, unless it measures by itself (DS 3.6)
        if not wrong:
            bus.writeto(addr, _STOP)
            raise SensorError("scd4x: stopping, was measuring")
    name = {0: "scd40", 1: "scd41", 5: "scd43"}.get(word[0] >> 4)
    # The serial number (DS 3.10.2) and the temperature offset (DS 3.7.2).
    if wrong or not name or bad(b"\x36\x82", buf) or bad(b"\x23\x18", word):
        return None
    chip = Driver()
    chip.bus, chip.addr, chip.name, chip.values = bus, addr, name, [None] * 4
    chip.word, chip.buf, chip.mark, chip.running, chip.MEASURE_MS = word, buf, None, False, 5001
    chip.periodic = name == "scd40"
    # The offset's lowest bit, 0.003 C, is our mark: a chip that has it has had power since it was
    # reset and its first reading discarded, as the datasheet wants (version 1.3, 3.10).
    chip.fresh = not word[1] & 0x01
    if chip.fresh:
        word[1] ^= 0x01
        word[2] ^= 0x31  # and the CRC
        chip.mark = b"\x24\x1d" + word
        bus.writeto(addr, b"\x36\x46")  # reinit, DS 3.10.5
    return chip


class Driver:
    SETTLE_MS = 31  # after reinit, DS table 7
    MEASURE_MS = 5001  # until finish(); each object has its own, until the finish() that is next
    LEAST_S = 30  # DS 3.9: at this pace it warms itself less
    FROZEN = 50

    def start(self):
        # A single shot (DS 3.11.1) takes 5 s at most. The 5 s of DS 3.6.1 have no tolerance.
        self.phase, self.MEASURE_MS = 0, 5500 if self.periodic else 5001
        if not self.running:
            self.bus.writeto(self.addr, b"\x21\xb1" if self.periodic else b"\x21\x9d")
            self.running = self.periodic

    def finish(self):
        # True: call again. A command and its answer are two phases, 1 ms apart (DS table 9).
        bus, addr = self.bus, self.addr
        word, buf = self.word, self.buf
        self.phase, self.MEASURE_MS = self.phase + 1, 2
        if self.phase == 1:
            bus.writeto(addr, _READY)
        elif self.phase == 2:
            bus.readfrom_into(addr, word)
            if _bad(word):
                raise SensorError("crc")
            if not (word[0] & 0x07 or word[1]):  # 11 bits
                self.running = False  # it may have lost its power
                raise SensorError("still measuring")
            bus.writeto(addr, b"\xec\x05")  # DS 3.6.2
        elif self.phase == 3:
            bus.readfrom_into(addr, buf)
            if _bad(buf):
                raise SensorError("crc")
            if self.fresh:
                self.fresh = False
                self.start()
            else:
                self._take(buf)
                if self.running:
                    bus.writeto(addr, _STOP)
                    self.running, self.MEASURE_MS = False, 501
        elif self.mark:
            bus.writeto(addr, self.mark)
            self.mark = None
            return True
        return self.phase < 4

    def _take(self, buf):
        # The divisions by 2^16 - 1 are shifts, as in sht3x.py.
        ppm, t, rh = buf[0] << 8 | buf[1], buf[3] << 8 | buf[4], buf[6] << 8 | buf[7]
        cdeg = ((t + (t >> 15)) * 4375 + 8192 >> 14) - 4500
        if not 0 < ppm <= 40000:  # DS table 1; 0 is not measured, DS 3.11.2
            raise SensorError("co2 out of range")
        if not -1000 <= cdeg <= 6000:  # DS table 3
            raise SensorError("temperature out of range")
        self.values[0], self.values[1] = cdeg, (rh + (rh >> 15)) * 625 + 2048 >> 12
        self.values[3] = ppm


def _bad(buf):
    # Whether the CRC of a word (DS 3.12) does not fit: over all three bytes it is 0.
    for at in range(0, len(buf), 3):
        crc = 0xFF
        for i in range(at, at + 3):
            crc ^= buf[i]
            for _ in range(8):
                crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
        if crc:
            return True
    return False
