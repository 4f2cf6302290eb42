# Starts the program. And code that is needed now and then leaves the heap again: what was not
# there when run() called keep() goes with the next unload() (docs/memory.md).

import gc
import sys
import time

_kept = ()


def run():
    # Ctrl-C gives the REPL. What App cannot catch, no file or no memory to load it, may pass.
    try:
        import machine  # not board.py: what could not be loaded before may not load now

        keep()
        if machine.reset_cause() == machine.DEEPSLEEP_RESET:
            from firmware import wake

            wake.run()
            wake = None
            unload()
        from firmware import config

        prepared, config = config.prepare(), None
        unload()
        from firmware.app import App

        keep()
        App().run(unload, prepared)
    except KeyboardInterrupt as e:
        stopped = False
        while not stopped:  # pressed again in here, the next reset would look like a crash
            try:
                from firmware.board import watchdog

                watchdog(True)
                stopped = True
            except KeyboardInterrupt:
                pass
        raise e
    except Exception as e:
        print("main: cannot run the firmware, restarting in 30 s")
        sys.print_exception(e)
        try:
            time.sleep(30)
            with open("data/import.log", "wb") as f:  # for updates/trial.py
                sys.print_exception(e, f)
        finally:
            machine.reset()


def keep():
    global _kept
    _kept = tuple(sys.modules)


def unload(spare=None):
    # All but `spare`. Allocates nothing, unless there is something to unload.
    count = len(sys.modules)
    while len(sys.modules) > len(_kept) + (spare in sys.modules):
        for name in sys.modules:
            if name not in _kept and name != spare:
                break
        module = sys.modules.pop(name)
        at = name.rfind(".")
        parent = sys.modules.get(name[:at]) if at > 0 else None
        if getattr(parent, name[at + 1 :], None) is module:
            delattr(parent, name[at + 1 :])
    if len(sys.modules) < count:
        # Now, from a short stack: the collector takes whatever lies on it for a reference, and an
        # old one deep in the stack of what allocates next would keep all of it.
        module = parent = None
        gc.collect()
