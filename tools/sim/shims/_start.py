# What the chip's boot ROM and MicroPython's start-up code do on a board: boot.py, then main.py.

import gc
import sys

import _sim

if _sim.get("time_scale", 1) != 1:
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
    # The simulated hardware is loaded before the firmware, so that its memory is a constant which
    # tools/sim/board.py measures ("measure" below) and adds to the heap. `chips` is found through
    # its parent folder, which then leaves the path: a board has no such modules.
    here = sys.path[0]
    sys.path.append(here + "/..")
    import _bus

    _bus.on_bus()  # the chips get their power when the processor does
    sys.path.pop()
    for name in ("time", "machine", "network", "socket", "ntptime", "esp32"):
        __import__(name)


_sim.die_with_parent()
sys.path.insert(1, "")  # the device's own files, before libraries: as on a board
_load()
gc.collect()
if sys.argv[1:] == ["measure"]:
    print(gc.mem_alloc())
else:
    utime.sleep_ms(_BOOT_MS)
    if _run("boot.py"):
        _run("main.py")
    _sim.die(_sim.EXIT_MAIN_ENDED)
