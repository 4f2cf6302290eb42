# I2C as the drivers see it, over whatever machine module board.py hands in.

from micropython import const

from firmware.core.errors import SensorError

_BIT_US = const(5)  # half a clock at 100 kHz


class Bus:
    # The I2C bus as the drivers see it: an OSError becomes a SensorError here, once for all.
    # machine is the module, pause_us() its only wait; both come from board.py.
    def __init__(self, machine, pause_us, i2c_id, sda, scl, freq_hz):
        self._machine = machine
        self._pause_us = pause_us
        self._id, self._sda, self._scl, self._freq_hz = i2c_id, sda, scl, freq_hz
        self._i2c = None

    def _open(self):
        # Not before it is needed: a pin the chip does not have must not keep the board from AWS.
        # Pin() says which can only be inputs; the ESP32's I2C() would abort (its machine_i2c.c).
        machine = self._machine
        try:
            sda, scl = self._pins()
            if self._id < 0:
                return machine.SoftI2C(scl=scl, sda=sda, freq=self._freq_hz)
            return machine.I2C(self._id, scl=scl, sda=sda, freq=self._freq_hz)
        except (ValueError, OSError) as e:
            raise SensorError(_misfit(e))

    def _pins(self):
        pin = self._machine.Pin
        return pin(self._sda, pin.OPEN_DRAIN, value=1), pin(self._scl, pin.OPEN_DRAIN, value=1)

    def scan(self):
        if self._i2c is None:
            self._i2c = self._open()
        try:
            return self._i2c.scan()
        except OSError as e:
            raise SensorError(_bus(e))

    def writeto(self, addr, buf):
        try:
            self._i2c.writeto(addr, buf)
        except OSError as e:
            raise SensorError(_bus(e))

    def readfrom_into(self, addr, buf):
        try:
            self._i2c.readfrom_into(addr, buf)
        except OSError as e:
            raise SensorError(_bus(e))

    def writeto_mem(self, addr, reg, buf):
        try:
            self._i2c.writeto_mem(addr, reg, buf)
        except OSError as e:
            raise SensorError(_bus(e))

    def readfrom_mem_into(self, addr, reg, buf):
        try:
            self._i2c.readfrom_mem_into(addr, reg, buf)
        except OSError as e:
            raise SensorError(_bus(e))

    def recover(self):
        # A chip cut off in mid-byte holds SDA low for ever. Up to nine clocks let it finish,
        # then a STOP frees the bus (NXP UM10204 rev. 7, 3.1.16). Says whether SDA came free.
        try:
            sda, scl = self._pins()
        except ValueError as e:
            raise SensorError(_misfit(e))
        for _ in range(9):
            if sda.value():
                break
            scl.value(0)
            self._pause_us(_BIT_US)
            scl.value(1)
            self._pause_us(_BIT_US)
        sda.value(0)
        self._pause_us(_BIT_US)
        sda.value(1)
        free = bool(sda.value())
        self._i2c = None  # opened anew by the scan() that follows
        return free


def _misfit(error):
    return "bus: i2c settings do not fit this chip: {}".format(error)


def _bus(error):
    return "bus: errno {}".format(error.args[0])
