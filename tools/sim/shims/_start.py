# What the chip's boot ROM and MicroPython's start-up code do on a board: boot.py, then main.py.

import sys

import _memory  # first: what it marks lies before all that follows
import _sim

if _sim.get("time_scale", 1) != 1 or _sim.get("ahead_ms", 0):
    import _scaled

    _scaled.install(_sim)  # before anything else looks at a clock
import utime

_BOOT_MS = 10  # an ESP32 takes 300; the sensors need 2 until they answer


def _run(name):
    # As ports/esp32/main.c: SystemExit means soft reset; any other exception ends in the REPL,
    # and main.py is not run after a boot.py that failed.
    try:
        execfile(name, {"__name__": "__main__"})
    except SystemExit:
        _sim.die(_sim.EXIT_SOFT_RESET)
    except BaseException as e:
        sys.print_exception(e)
        return False
    return True


def _load():
    # What a board has built in: its hardware, and umqtt.simple. It runs in place, and is found
    # only here: a board has no such modules.
    import vfs

    vfs.mount(vfs.VfsRom(_sim.mapped(_sim.get("built_in"))), "/built_in")
    sys.path.insert(0, "/built_in")
    import _bus

    _bus.on_bus()  # the chips get their power when the processor does
    for name in ("time", "machine", "network", "socket", "ntptime", "umqtt.simple", "_gc"):
        __import__(name)
    for name in ("_axtls", "_sys") if _sim.ESP8266 else ("esp32", "_mbedtls"):
        __import__(name)
    for chip in _bus.on_bus().values():  # once, so that what it keeps is there
        air = chip.environment
        air.temperature_mdeg(), air.humidity_mpct(), air.pressure_pa(), air.co2_ppm()
    sys.path.pop(0)
    vfs.umount("/built_in")


def _stand_in():
    # For modules that are built into this interpreter.
    sys.modules["gc"] = sys.modules["_gc"]
    secure = sys.modules["_axtls" if _sim.ESP8266 else "_mbedtls"]
    sys.modules["tls"] = sys.modules["ssl"] = secure
    if _sim.ESP8266:
        sys.modules["sys"] = sys.modules["_sys"]


def _mount():
    # The code of an ESP8266 lies in flash and runs in place. The folder has it as well, and is not
    # looked at; a chip looks at the top of its own file system first.
    import vfs

    vfs.mount(vfs.VfsRom(_sim.mapped(_sim.get("rom"))), "/rom")
    sys.path.insert(0, "/rom")


_sim.die_with_parent()
_load()
if _sim.get("rom"):
    _mount()
utime.sleep_ms(_BOOT_MS)
_stand_in()
_more = 0
if _sim.get("tls_outside") and _sim.ESP8266:
    import _axtls

    _more = _axtls.own
_memory.leave(_sim.get("heap") + _more)
if _more:
    _axtls.hold_back()
_sim.hooks["split_heap"] = _memory.split
_sim.hooks["report_heap"] = _memory.report
if _run("boot.py"):
    _run("main.py")
if _sim.watched[0]:  # nothing at the REPL feeds it
    print("sim: main.py has ended, the watchdog has not")
    while True:
        utime.sleep(60)
_sim.die(_sim.EXIT_MAIN_ENDED)
