import gc, sys  # chooses the slot (docs/updates.md); never updated


def init(start="aa"):  # the letters that run; on trial a start is counted before it begins
    import machine, os  # names are MicroPython's: others would stay in memory

    def write(value, *args):  # texts of up to ten letters would stay, too
        with open("slot" + ".new", "wb") as file:
            file.write(value.format(*args))
        os.rename("slot" + ".new", "slot")

    def stop(value):  # after a day; what could not be stored cannot be counted: it is over as well
        with open("slot") as file:
            value = file.read(32).split()[1:2] == [start]  # else it is good by now
        try:
            value and write("{0} {1} day", start, name)
        finally:
            value and machine.reset()

    try:
        with open("slot") as file:
            name, *args = file.read(32).split()
        if len(args) in (0, 2) and set([name] + args[:1]) <= set("aa ab ba bb".split()):
            if args and args[1].isdigit():
                start, count = args[0], int(args[1])
                if machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
                    write(("{1} {0} starts", "{0} {1} {2}")[count > 0], name, start, count - 1)
                    name = name if count else start
                if name != start:
                    machine.WDT(timeout=120_000)
                    machine.Timer(0, mode=0, period=86_400_000, callback=stop)  # ONE_SHOT
            return name
    except (OSError, ValueError):
        return start


gc.collect()  # often while code is loaded: holes are lost for the large pieces that TLS needs
gc.threshold(4096)
sys.path[:0] = ["b"] * ((init() or "a")[0] == "b")
del init
