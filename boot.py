import gc, sys  # chooses the slot (docs/updates.md); never updated


def init(old="aa"):  # the letters that run; on trial a start is counted before it begins
    import machine, os  # names are MicroPython's: others would stay in memory

    def store(*args):
        with open("slot.new", "w") as file:
            file.write(" ".join(args))
        os.rename("slot.new", "slot")

    def stop(value):  # after a day; what could not be stored cannot be counted: it is over as well
        with open("slot") as file:
            value = file.read(32).split()[1:2] == [old]  # else it is good by now
        try:
            value and store(old, name, "day")
        finally:
            value and machine.reset()

    try:
        with open("slot") as file:
            name, *args = file.read(32).split()
        if len(args) in (0, 2) and set([name] + args[:1]) <= {"aa", "ab", "ba", "bb"}:
            if args and args[1].isdigit():
                old, count = args[0], int(args[1])
                if machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
                    store(*((name, old, str(count - 1)) if count else (old, name, "starts")))
                    name = name if count else old
                if name != old:
                    machine.WDT(timeout=120_000)
                    machine.Timer(0, mode=0, period=86_400_000, callback=stop)  # ONE_SHOT
            return name
    except (OSError, ValueError):
        return old


gc.collect()  # often while code is loaded: holes are lost for the large pieces that TLS needs
gc.threshold(4096)
sys.path[:0] = ["b"] * ((init() or "a")[0] == "b")
del init
