# An I2C bus whose one chip has registers that stay as they are.


class Registers:
    # One chip of 256 registers that never changes by itself and never allocates.
    def __init__(self, image=b"", base=0):
        self.regs = bytearray(256)
        self.regs[base : base + len(image)] = image
        self.plain = b""  # what a read without register address gives

    def scan(self):
        return [0x76]

    def writeto(self, addr, buf):
        pass

    def readfrom_into(self, addr, buf):
        for i in range(len(buf)):
            buf[i] = self.plain[i]

    def writeto_mem(self, addr, reg, buf):
        self.regs[reg] = buf[0]

    def readfrom_mem_into(self, addr, reg, buf):
        for i in range(len(buf)):
            buf[i] = self.regs[reg + i]
