# Sensirion SCD40, SCD41, SCD43 over I2C: CO2, temperature, humidity. "DS" = its datasheet 1.7.
# An SCD40 has no single shots (DS 3.11), and takes 3.2 to 15 mA while it runs (DS table 4): it is
# stopped after each result, and does not calibrate itself, which takes four hours (DS 3.8).

from firmware.core.errors import SensorError


def probe(bus, addr):
    def ask(command, size):
        # Not acknowledged for 1 ms (DS 3.4): less than 48 headers at 400 kHz, the chip's limit.
        answer = bytearray(size)
        bus.writeto(addr, command)
        for left in range(47, -1, -1):
            try:
                return bus.readfrom_into(addr, answer) or answer
            except OSError as e:
                if e.args[0] != 19 or not left:
                    raise

    try:
        word = ask(b"\x20\x2f", 3)  # variant, DS 3.10.6
    except OSError:
        if _bad(ask(b"\xe4\xb8", 3)):  # refused too, unless it measures by itself (DS 3.6)
            return None
        bus.writeto(addr, b"\x3f\x86")  # DS 3.6.3, takes 500 ms
        raise SensorError("scd4x: stopping, was measuring")
    name = {0: "scd40", 1: "scd41", 5: "scd43"}.get(word[0] >> 4)
    known = name and not _bad(word) and not _bad(ask(b"\x36\x82", 9))  # serial, DS 3.10.2
    offset = known and ask(b"\x23\x18", 3)  # of the temperature, DS 3.7.2
    if not offset or _bad(offset):
        return None
    chip = Driver()
    chip.bus, chip.addr, chip.name, chip.values, chip.word = bus, addr, name, [None] * 4, word
    chip.buf, chip.periodic, chip.running, chip.mark = bytearray(9), name == "scd40", False, None
    # Its lowest bit, 0.003 C, is our mark of a chip reset and read since it got its power.
    chip.fresh, chip.phase, chip.MEASURE_MS = not offset[1] & 0x01, 0, 5001
    if chip.fresh:
        chip.mark = b"\x24\x1d" + bytes((offset[0], offset[1] | 0x01, offset[2] ^ 0x31))
        bus.writeto(addr, b"\x36\x46")  # reinit, DS 3.10.5
    return chip


class Driver:
    SETTLE_MS, LEAST_S, FROZEN = 31, 30, 50  # reinit: DS table 7; at 30 s it warms less: DS 3.9
    MEASURE_MS = 5500  # the SCD40's "5 seconds" (DS 3.6.1), which have no tolerance

    def start(self):
        self.phase, self.MEASURE_MS = 0, Driver.MEASURE_MS if self.periodic else 5001  # DS 3.11.1
        if not self.running:
            self.bus.writeto(self.addr, b"\x21\xb1" if self.periodic else b"\x21\x9d")
            self.running = self.periodic

    def finish(self):
        # True: call again. A command and its answer are two phases, 1 ms apart (DS table 9).
        bus, addr, buf = self.bus, self.addr, self.buf if self.phase == 2 else self.word
        self.phase, self.MEASURE_MS = self.phase + 1, 2
        if self.phase == 1:
            bus.writeto(addr, b"\xe4\xb8")  # is there data? DS 3.9.2
        elif self.phase < 4:
            bus.readfrom_into(addr, buf)
            if _bad(buf):
                raise SensorError("crc")
            if self.phase == 3:
                self._take(buf)
            elif buf[0] & 0x07 or buf[1]:
                bus.writeto(addr, b"\xec\x05")  # DS 3.6.2
            else:
                self.running = False  # it may have lost its power
                raise SensorError("still measuring")
        elif self.mark:
            bus.writeto(addr, self.mark)
            self.mark = None
        return self.phase < 5

    def _take(self, buf):
        if self.fresh:  # discarded, as the datasheet wants in its version 1.3, 3.10
            self.fresh = False
            return self.start()
        ppm, t, rh = buf[0] << 8 | buf[1], buf[3] << 8 | buf[4], buf[6] << 8 | buf[7]
        cdeg = ((t + (t >> 15)) * 4375 + 8192 >> 14) - 4500  # as in sht3x.py
        if not 0 < ppm <= 40000:  # DS table 1; 0 is not measured, DS 3.11.2
            raise SensorError("co2 out of range")
        if not -1000 <= cdeg <= 6000:  # DS table 3
            raise SensorError("temperature out of range")
        self.values[0], self.values[1] = cdeg, (rh + (rh >> 15)) * 625 + 2048 >> 12
        self.values[3] = ppm
        if self.running:
            self.bus.writeto(self.addr, b"\x3f\x86")
            self.running, self.MEASURE_MS = False, 501


def _bad(buf):
    # Whether the CRC of a word (DS 3.12) does not fit: over all three bytes it is 0.
    bad = crc = 0
    for i in range(len(buf)):
        crc = buf[i] ^ (crc if i % 3 else 0xFF)
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
        bad |= crc if i % 3 == 2 else 0
    return bad
