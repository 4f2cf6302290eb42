# The analogue side of the Bosch chips: trimming values, and raw values from the surroundings by
# searching the datasheets' floating-point formulas (BMP280 8.1, BME280 8.1).

# Temperature and pressure as in the BMP280 datasheet's worked example (3.12). Nothing is
# published for humidity: values of the usual size.
T = (27504, 26435, -1000)
P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H = (75, 370, 0, 313, 50, 30)


class Trim:
    def __init__(self, t=T, p=P, h=H) -> None:
        self.t, self.p, self.h = t, p, h

    def t_fine(self, adc: int) -> float:
        # Temperature in 1/5120 degree.
        t1, t2, t3 = self.t
        span = adc / 131072 - t1 / 8192
        return (adc / 16384 - t1 / 1024) * t2 + span * span * t3

    def pascal(self, adc: int, t_fine: float) -> float:
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        a = t_fine / 2 - 64000
        b = (a * a * p6 / 32768 + a * p5 * 2) / 4 + p4 * 65536
        a = (1 + (p3 * a * a / 524288 + p2 * a) / 524288 / 32768) * p1
        p = (1048576 - adc - b / 4096) * 6250 / a
        return p + (p9 * p * p / 2147483648 + p * p8 / 32768 + p7) / 16

    def percent(self, adc: int, t_fine: float) -> float:
        h1, h2, h3, h4, h5, h6 = self.h
        a = t_fine - 76800
        gain = h2 / 65536 * (1 + h6 / 67108864 * a * (1 + h3 / 67108864 * a))
        h = (adc - (h4 * 64 + h5 / 16384 * a)) * gain
        return h * (1 - h1 * h / 524288)

    def adc_t(self, celsius: float) -> int:
        return search(self.t_fine, celsius * 5120, 0, 0xFFFFF)

    def adc_p(self, pa: float, t_fine: float) -> int:
        return search(lambda adc: self.pascal(adc, t_fine), pa, 0, 0xFFFFF)

    def adc_h(self, percent: float, t_fine: float) -> int:
        return search(lambda adc: self.percent(adc, t_fine), percent, 0, 0xFFFF)

    def raw(self, environment) -> "tuple[int, int, int]":
        # Pressure and temperature in 20 bits, humidity in 16.
        t = self.adc_t(environment.temperature_mdeg() / 1000)
        fine = self.t_fine(t)
        h = self.adc_h(environment.humidity_mpct() / 1000, fine)
        return self.adc_p(environment.pressure_pa(), fine), t, h

    def copy_to(self, regs: bytearray, humid: bool) -> None:
        # BME280 table 16; all but the packed humidity words low byte first.
        at = 0x88
        for word in self.t + self.p:
            regs[at] = word & 0xFF
            regs[at + 1] = word >> 8 & 0xFF
            at += 2
        if humid:
            h1, h2, h3, h4, h5, h6 = self.h
            regs[0xA1] = h1
            tail = (h2, h2 >> 8, h3, h4 >> 4, h5 << 4 & 0xF0 | h4 & 0x0F, h5 >> 4, h6)
            regs[0xE1:0xE8] = bytes(byte & 0xFF for byte in tail)


def search(function, wanted, low, high):
    # The whole number from low to high for which a monotonic function comes closest to wanted.
    rising = function(high) > function(low)
    first, last = low, high
    while low < high:
        middle = (low + high) // 2
        if (function(middle) < wanted) == rising:
            low = middle + 1
        else:
            high = middle
    if low > first and abs(function(low - 1) - wanted) < abs(function(low) - wanted):
        low -= 1
    return min(low, last)
