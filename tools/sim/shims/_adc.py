# `machine.ADC` of an ESP32 or ESP8266: the voltages of the setting "adc_mv", by pin. One object
# for each pin, made before the firmware starts.
#
#   ESP32     range and dead zone by chip and attenuation (setting "chip"), without noise. ADC2 of
#             the plain ESP32 belongs to the radio while that is on: OSError, as MicroPython 1.25
#             and 1.29 have it; 1.26 to 1.28 give 0. Without atten= it is 0 dB, as in 1.25; from
#             1.26 on 11 dB
#   ESP8266   ADC(0) is 0 to 1 V in 1024 steps; ADC(1), the supply, is not set up

import errno
import network

import _bus
import _sim

_EOPNOTSUPP = 95
_MOST_MV = 3600
_FULL = 4095
# By chip: pins of ADC1, of ADC2, and for each attenuation millivolts of the lowest and the highest
# reading. ESP32: ESP-IDF's adc_cali_line_fitting.c with 1,100 mV; others: ESP-IDF 4.4, adc.rst.
_DATA = {
    "esp32": (
        (32, 33, 34, 35, 36, 37, 38, 39),
        (0, 2, 4, 12, 13, 14, 15, 25, 26, 27),
        ((75, 1039), (78, 1357), (107, 1877), (142, 3134)),
    ),
    "esp32s2": (range(1, 11), range(11, 21), ((0, 750), (0, 1050), (0, 1300), (0, 2500))),
    "esp32s3": (range(1, 11), range(11, 21), ((0, 950), (0, 1250), (0, 1750), (0, 3100))),
    "esp32c3": (range(5), (5,), ((0, 750), (0, 1050), (0, 1300), (0, 2500))),
    "esp32c6": (range(7), (), ((0, 950), (0, 1250), (0, 1750), (0, 2450))),
}
_KNEE = (3, 2880, 2462)  # ESP32 at 11 dB: from this reading, at so many millivolts, it bends
_NOTHING = {}


class _Channel:
    def __init__(self, pin):
        self._value = _bus.Value(str(pin), 0)
        self._mv()  # compiles an expression

    def _mv(self):
        return int(min(max(self._value.now(_sim.get("adc_mv", _NOTHING)), 0), _MOST_MV))


class _Esp32(_Channel):
    def __init__(self, pin, second, ranges, bends):
        self._pin = pin
        self._second = second  # on ADC2, which the radio takes
        self._ranges = ranges
        self._bends = bends
        self._atten = 0
        super().__init__(pin)

    def init(self, *, atten=-1):
        if atten != -1:
            self.atten(atten)

    def atten(self, atten):
        if not 0 <= atten < len(self._ranges):
            raise ValueError("invalid attenuation")
        self._atten = atten

    def read_uv(self):
        low, high = self._range()
        return min(max(self._mv(), low), high) * 1000

    def read(self):
        low, high = self._range()
        mv = min(max(self._mv(), low), high)
        atten, knee, knee_mv = _KNEE
        if not self._bends or self._atten != atten:
            return (mv - low) * _FULL // (high - low)
        if mv < knee_mv:
            return (mv - low) * knee // (knee_mv - low)
        return knee + (mv - knee_mv) * (_FULL - knee) // (high - knee_mv)

    def read_u16(self):
        raw = self.read()
        return raw << 4 | raw >> 8

    def _range(self):
        if self._second and network.station.active():
            raise OSError(errno.ETIMEDOUT, "ESP_ERR_TIMEOUT")
        return self._ranges[self._atten]

    def __repr__(self):
        return "ADC(Pin({}), atten={})".format(self._pin, self._atten)


class Adcs:
    # machine.ADC of an ESP32.
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3

    def __init__(self):
        chip = _sim.get("chip", "esp32")
        first, second, ranges = _DATA[chip]
        plain = chip == "esp32"
        self._refused = second if chip == "esp32c3" else ()  # by ESP-IDF, for an erratum
        self._all = {}
        for pin in list(first) + list(second):
            self._all[pin] = _Esp32(pin, plain and pin in second, ranges, plain)

    def __call__(self, pin, *, atten=-1):
        number = pin if isinstance(pin, int) else _bus.number(pin)
        if number not in self._all:
            raise ValueError("invalid pin")
        if number in self._refused:
            raise OSError(_EOPNOTSUPP, "ESP_ERR_NOT_SUPPORTED")
        channel = self._all[number]
        channel.init(atten=atten)
        return channel


class _Esp8266(_Channel):
    def read(self):
        return min(self._mv() * 1024 // 1000, 1024)

    def read_u16(self):
        return self.read() * 65535 // 1024


class _Supply:
    # Byte 107 of its initial data says that the pin is measured: then there is no supply to read.
    def read(self):
        return 65535

    def read_u16(self):
        return 65535 * 65535 // 1024


class Inputs:
    # machine.ADC of an ESP8266.
    def __init__(self):
        self._all = (_Esp8266(0), _Supply())

    def __call__(self, id):
        if not isinstance(id, int):
            raise TypeError("can't convert {} to int".format(type(id).__name__))
        if id not in (0, 1):
            raise ValueError("ADC({}) doesn't exist".format(id))
        return self._all[id]
