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

    def stop(value):
        with open("slot") as file:
            if file.read(32).split()[1:2] != [old]:
                return  # good by now
        try:
            store(old, name, "day")
        finally:  # what could not be stored cannot be counted: it is over as well
            machine.reset()

    old = "aa"  # where `slot` is damaged; later, where that cannot be counted
    try:
        with open("slot") as file:
            args = file.read(32).split()
        if len(args) not in (1, 3) or any([len(s) != 2 or s.strip("ab") for s in args[:2]]):
            return old
        name = args[0]
        if args[2:] and args[2].isdigit():
            import machine
            import os

            old, count = args[1], int(args[2])
            if machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
                store(*((name, old, str(count - 1)) if count else (old, name, "starts")))
                name = name if count else old
            if name != old:
                machine.WDT(timeout=120_000)
                machine.Timer(0, mode=machine.Timer.ONE_SHOT, period=86_400_000, callback=stop)
        return name
    except (OSError, ValueError):
        return old


gc.collect()
gc.threshold(4096)
sys.path[:0] = ["b"] * (init()[0] == "b")
del init
