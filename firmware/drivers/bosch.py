# The trimming words of the BME280 and BMP280, and the compensation formulas that turn raw values
# into temperature, pressure and humidity with them.
#
# The formulas are those of the BME280 datasheet (DS 4.2.3) with other scales. Its own need 64
# bits, or 32 bits at an accuracy of 1 Pa (1 sigma), and on a board an integer from 2^30 on is a
# heap object. Here a product that would be too large is split into a high and a low part; what is
# lost stays near 1 Pa and 0.01 %RH against the datasheet's floating-point form, and inside the
# chip's working range nothing reaches 2^30. tests/device/test_driver_bosch.py holds both.


def words(cal):
    # Registers 0x88 to 0xA1 (DS table 16): dig_T1 to T3 and dig_P1 to P9, low byte first.
    p = tuple(_s16(cal, at) for at in range(8, 24, 2))
    return (_u16(cal, 0), _s16(cal, 2), _s16(cal, 4)), (_u16(cal, 6),) + p


def humidity_words(h1, cal):
    # dig_H1, and registers 0xE1 to 0xE7: dig_H4 and dig_H5 share the nibbles of 0xE5.
    h4 = _signed(cal[3] << 4 | cal[4] & 0x0F, 12)
    h5 = _signed(cal[5] << 4 | cal[4] >> 4, 12)
    return h1, _s16(cal, 0), cal[2], h4, h5, _signed(cal[6], 8)


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


def _u16(buf, at):
    return buf[at] | buf[at + 1] << 8


def _s16(buf, at):
    return _signed(_u16(buf, at), 16)


def _signed(value, bits):
    return value - (1 << bits) if value >> bits - 1 else value
