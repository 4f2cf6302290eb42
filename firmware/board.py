# The hardware, on demand; what the loop needs all the time is in chip.py. The ports differ in here
# and nowhere else but in net/tls.py and net/transport.py.

import machine
import network
import time
from micropython import const

from firmware.chip import CHIP, LED_PIN
from firmware.core.errors import SensorError

# Longer than one pass of the loop can block: two names that nobody knows (NTP's and the broker's),
# for which lwIP asks up to 3 servers for 7 s each, for IPv4 and then for IPv6.
WDT_MS = const(120_000)
_REPL_MS = const(3_600_000)
_BIT_US = const(5)  # half a clock at 100 kHz
_RUNNING = const(b"run")  # what a run leaves in the RTC's memory, unless reset() is given more
_STOPPED = const(b"repl")
_GUESSING = const(b"guess")  # the same, while the RTC has a provisional time

EPOCH = 946684800 if time.gmtime(0)[0] == 1970 else 0  # the year 2000 in seconds of the port


def watchdog(stopped=False):
    # Gives what feeds it. Stopped by a person at the serial port, the REPL has the board: a reset
    # from there is no crash, and copying files takes longer. An ESP32's can only be set anew.
    _memory(_STOPPED if stopped else _RUNNING)
    timeout = _REPL_MS if stopped else WDT_MS
    if CHIP == "esp8266":
        from firmware import soft_watchdog

        return soft_watchdog.start(timeout)
    return machine.WDT(timeout=timeout).feed


def reset(why=b""):
    if CHIP == "esp8266":
        why = b"%d %s" % (time.time() - EPOCH, why)  # it loses the time (its machine_rtc.c)
    _memory(why)
    machine.reset()


def _memory(*args):
    # Some builds for the ESP32 have none.
    return machine.RTC().memory(*args) if hasattr(machine.RTC, "memory") else b""


def reset_cause():
    # As a word. Call it once: what the last run left is gone then.
    left, cause = _memory(), machine.reset_cause()
    if left == _GUESSING:
        provisional_rtc(0)
        left = _RUNNING
    words = {2: "fault", 3: "wdt"}  # ESP8266: exception in C, SDK's watchdog (user_interface.h)
    for name in ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"):
        words[getattr(machine, name + "_RESET", None)] = name.lower()
    found = "wdt" if left == b"wdt" else words.get(cause, "unknown {:d}".format(cause))
    if found == "hard" and left == _RUNNING and CHIP != "esp8266":
        found = "fault"  # ESP-IDF's panic; to esp32/modmachine.c the same as machine.reset()
    if left == _STOPPED and found in ("hard", "wdt", "fault"):
        return "repl"
    return "memory" if left.endswith(b"memory") else found


def wlan():
    # A fresh ESP8266 is an access point with a password everybody knows (its inisetup.py).
    if CHIP == "esp8266" and network.WLAN(network.AP_IF).active():
        network.WLAN(network.AP_IF).active(False)
    return network.WLAN(network.STA_IF)


def i2c(settings, failures):
    # Pin() says which can only be inputs; the ESP32's I2C() would abort (its machine_i2c.c). The
    # ESP8266 has no I2C block: there every bus is bit-banged.
    try:
        sda = machine.Pin(settings["sda"], machine.Pin.OPEN_DRAIN, value=1)
        scl = machine.Pin(settings["scl"], machine.Pin.OPEN_DRAIN, value=1)
        if failures:
            _recover(sda, scl)
        if CHIP == "esp8266" or settings["id"] < 0:
            return machine.SoftI2C(scl=scl, sda=sda, freq=settings["freq_hz"])
        return machine.I2C(settings["id"], scl=scl, sda=sda, freq=settings["freq_hz"])
    except (ValueError, OSError) as e:
        raise SensorError("bus: i2c settings do not fit this chip: {}".format(e))


def _recover(sda, scl):
    # A chip cut off in mid-byte holds SDA low for ever. Up to nine clocks let it finish, then a
    # STOP frees the bus (NXP UM10204 rev. 7, 3.1.16).
    for pin in [scl] * 9 + [sda]:
        if pin is sda or not sda.value():
            for level in (0, 1):
                pin.value(level)
                time.sleep_us(_BIT_US)
    if not sda.value():
        raise SensorError("bus: SDA held low")


def battery_mv(pin, thousandths):
    # Of the divider: thousandths of the battery's voltage for one at the pin. An ESP32 knows its
    # own reference (esp32/machine_adc.c); an ESP8266 has one input, of 1 V.
    if CHIP == "esp8266":
        mv = machine.ADC(0).read_u16() * 1000 // 65535
    else:
        mv = machine.ADC(machine.Pin(pin), atten=machine.ADC.ATTN_11DB).read_uv() // 1000
    return mv * thousandths // 1000


def led(on):
    # The ESP8266's LED lies between the pin and 3.3 V.
    machine.Pin(LED_PIN, machine.Pin.OUT).value(on != (CHIP == "esp8266"))


def rtc_s2000():
    try:
        return int(_memory().split()[0]) + 1 if CHIP == "esp8266" else int(time.time()) - EPOCH
    except (ValueError, IndexError):
        return 0


def date(s2000):
    return "{}-{:02d}-{:02d} {:02d}:{:02d}:{:02d} UTC".format(*time.gmtime(s2000 + EPOCH)[:6])


def set_rtc(s2000):
    t = time.gmtime(s2000 + EPOCH)
    machine.RTC().datetime(t[:3] + t[6:7] + t[3:6] + (0,))


def provisional_rtc(s2000):
    # For a step of the handshake; 0 when it is over. A reset in between must not leave a time that
    # is believed; where the RTC has no memory it does.
    if s2000:
        _memory(_GUESSING)
    set_rtc(s2000)
    if not s2000:
        _memory(_RUNNING)
