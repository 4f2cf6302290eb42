# The virtual ESP32 after reset, run by the unix port of MicroPython: mounts the LittleFS that
# lies in the flash file, runs boot.py and main.py from it and then the REPL (ports/esp32/main.c).
#
# argv: flash file, start and size of the file system, a folder of the host that stands for what
# is frozen into a board (simulated hardware, umqtt), "raw" or "friendly" (the REPL to come up in).

import gc
import json
import os
import sys

import vfs

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import repl

HOST = "/frozen"  # where that folder shows up, as /rom does on boards with ROMFS
SHIMS = HOST + "/sim/shims"
BLOCK = 4096
EXIT_SOFT_RESET = 72  # as in tools/sim/shims/_sim.py


class Flash:
    # NOR flash: programming clears bits only, erasing sets the bits of a whole block.
    def __init__(self, path, start, size):
        self._file = open(path, "r+b")
        self._start = start
        self._blocks = size // BLOCK

    def readblocks(self, block, buf, offset=0):
        self._file.seek(self._start + block * BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        old = bytearray(len(buf))
        self.readblocks(block, old, offset)
        self._file.seek(self._start + block * BLOCK + offset)
        self._file.write(bytes(a & b for a, b in zip(old, buf)))

    def ioctl(self, op, arg):
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self._file.seek(self._start + arg * BLOCK)
            self._file.write(b"\xff" * BLOCK)
            return 0


def mount(flash):
    try:
        return vfs.VfsLfs2(flash)
    except OSError:
        start = bytearray(BLOCK)
        flash.readblocks(0, start)
        if any(b != 0xFF for b in start):
            corrupted()
        print("Performing initial setup")
        vfs.VfsLfs2.mkfs(flash)
        return vfs.VfsLfs2(flash)


def corrupted():
    # The board says so every three seconds and never gives a prompt: ports/esp32 inisetup.py.
    import time

    while True:
        print("The filesystem appears to be corrupted. If you had important data there, you")
        print("may want to make a flash snapshot to try to recover it.")
        time.sleep(3)


def hardware():
    # The shims of the simulator are this board's machine, network and clock.
    import _sim

    _sim.save = lambda: save(_sim)
    _sim.die_with_parent()
    sys.path.append(SHIMS + "/..")
    import _bus

    _bus.on_bus()  # the chips get their power when the processor does
    sys.path.pop()
    for name in ("esp32", "machine", "network", "ntptime", "time"):
        __import__(name)


def save(sim):
    # Without the rename: VfsPosix with a root builds both names in the same buffer.
    with open(os.getenv("FIELDMOUSE_SIM") + ".state", "w") as f:
        json.dump(sim.state(), f)


def exists(name):
    try:
        os.stat(name)
    except OSError:
        return False
    return True


def run(name):
    # True if the next file may run. Ctrl-C and errors end in the REPL.
    if not exists(name):
        return True
    error = None
    try:
        try:
            repl.interrupts(True)
            if repl.interrupted():
                raise KeyboardInterrupt
            execfile(name, repl.NAMES)
        except BaseException as e:
            error = e
        repl.interrupts(False)
    except KeyboardInterrupt as e:  # a second one, while the first ended the program
        error = error or e
        repl.interrupts(False)
    if isinstance(error, SystemExit):
        soft_reset("friendly")
    if error:
        sys.print_exception(error)
    return error is None


def soft_reset(mode):
    repl.out("MPY: soft reboot\r\n")
    repl.leave(EXIT_SOFT_RESET + (100 if mode == "raw" else 0))


def main():
    path, start, size, host, mode = sys.argv[1:]
    flash = Flash(path, int(start), int(size))
    repl.prepare()
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(host), HOST)
    sys.path[:] = ["", ".frozen", "/lib", SHIMS, HOST + "/lib"]
    repl.interrupts(False)
    vfs.mount(mount(flash), "/")
    os.chdir("/")
    if exists(SHIMS):
        hardware()
    gc.collect()
    if run("boot.py") and mode == "friendly":
        run("main.py")
    soft_reset(repl.serve(mode))


main()
