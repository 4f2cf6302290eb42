# Runs before main.py, and is never updated: it chooses the slot (docs/updates.md). Collect often
# while code is loaded, in many small pieces: what is left between them is lost for the large ones
# that TLS and messages need. app.py sets the later pace. Names are such as MicroPython has: others
# would stay in memory.
import gc
import sys


def init():
    # The letters of what is to run. On trial a start is counted before anything of it is imported,
    # but not after power-on or a deep sleep; the watchdog and the timer do not need its code.
    def store(*args):
        with open("slot.new", "w") as file:
            file.write(" ".join(args))
        os.rename("slot.new", "slot")

    old = "aa"  # where that cannot be counted
    try:
        with open("slot") as file:
            name, *args = file.read().split()
        if len(args) == 2 and args[1].isdigit():
            import machine
            import os

            old, count = args[0], int(args[1])
            if machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
                store(*((name, old, str(count - 1)) if count else (old, name, "starts")))
                name = name if count else old
            if name != old:
                machine.WDT(timeout=120_000)
                stop = lambda value: (store(old, name, "day"), machine.reset())  # noqa: E731
                machine.Timer(0, mode=machine.Timer.ONE_SHOT, period=86_400_000, callback=stop)
        return name
    except (OSError, ValueError):
        return old


gc.collect()
gc.threshold(4096)
sys.path[:0] = ["b"] * (init()[0] == "b")
del init
