# Runs before main.py, and is never updated: it chooses the slot (docs/updates.md). Collect often
# while code is loaded, in many small pieces: what is left between them is lost for the large ones
# that TLS and messages need. app.py sets the later pace.
import gc
import sys


def choose():
    # The letters of what is to run. On trial a start is counted before anything of it is imported,
    # but not after power-on or a deep sleep; the watchdog and the timer do not need its code.
    def put(*words):
        with open("slot.new", "w") as f:
            f.write(" ".join(words))
        os.rename("slot.new", "slot")

    safe = "aa"  # where that cannot be counted
    try:
        with open("slot") as f:
            now, *trial = f.read().split()
        if len(trial) == 2 and trial[1].isdigit():
            import machine
            import os

            safe, left = trial[0], int(trial[1])
            if machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
                put(*((now, safe, str(left - 1)) if left else (safe, now, "starts")))
                now = now if left else safe
            if now != safe:
                machine.WDT(timeout=120_000)
                day = lambda timer: (put(safe, now, "day"), machine.reset())  # noqa: E731
                machine.Timer(0, mode=machine.Timer.ONE_SHOT, period=86_400_000, callback=day)
        return now
    except (OSError, ValueError):
        return safe


gc.collect()
gc.threshold(4096)
sys.path[:0] = ["b"] * (choose()[0] == "b")
del choose
