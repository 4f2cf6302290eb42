# Run by MicroPython for test_p256.py, with the firmware as bytecode.
#
#   make THING          a key and its request, as JSON
#   code                bytes of heap that the modules take, names left out, as JSON
#   fits BYTES FOLDER   the job in document.json there, with so much memory left, in one piece
#   load CERT KEY       MicroPython's TLS takes the two files

import gc
import json
import os
import sys

NAMES = ("p256", "request", "rotate", "certificate")


def make(thing):
    import binascii

    from firmware.updates import p256

    work, steps = p256.made(thing), 0
    try:
        while True:
            next(work)
            steps += 1
    except StopIteration as e:
        key, der = e.value
    csr = binascii.b2a_base64(der).decode()
    print(json.dumps({"key": key.decode(), "csr": csr, "steps": steps}))


def code():
    resident()
    names()
    found = {}
    for name in NAMES:
        gc.collect()
        before = gc.mem_alloc()
        __import__("firmware.updates." + name)
        gc.collect()
        found[name] = gc.mem_alloc() - before
    print(json.dumps(found))


def fits(size, folder):
    sys.modules["_sim"] = Sim
    sys.path.append(os.getcwd() + "/tools/sim/shims")
    import _memory

    sys.path.pop()  # its time is another one
    resident()
    names()
    from firmware import loading

    os.chdir(folder)
    app = App()
    _memory.leave(int(size))
    gc.threshold(1024)  # as in startup.py
    with open("document.json") as f:
        job = {"document": json.load(f)}
    gc.collect()
    free, most, passes, done = gc.mem_free(), 0, 0, None
    while not done:
        done = once(app, job)
        gc.collect()
        most = max(most, free - gc.mem_free())
        loading.unload()
        passes += 1
    print(json.dumps([done, passes, most]))


def names():
    # What all have leaves again, but their names: on a board nearly all are other ones
    # (tools/board/shorten.py), and how MicroPython's tables of them grow depends on this path.
    from firmware import loading

    loading.keep()
    __import__("firmware.updates.slots")
    for name in NAMES:
        __import__("firmware.updates." + name)
    loading.unload()


def once(app, job):
    from firmware.updates import rotate

    return rotate.step(app, job)


def resident():
    # What stays in memory on a board, or is another's: it does not count.
    import firmware
    import firmware.chip
    import firmware.core.telemetry
    import firmware.updates

    sys.modules["firmware.slots"] = firmware.slots = Slots


class Sim:
    def get(name):
        return None


class Slots:
    def read():
        return "aa", None, None

    def trial(now):
        pass


class App:
    class session:
        client_id = "greenhouse-1"


def load(cert, key):
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    with open(cert, "rb") as c, open(key, "rb") as k:
        context.load_cert_chain(c.read(), k.read())
    print("loaded")


{"make": make, "code": code, "fits": fits, "load": load}[sys.argv[1]](*sys.argv[2:])
