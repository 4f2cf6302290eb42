# Flash wear of the outbox: block erases per 1,000 readings on LittleFS with a board's sizes, next
# to the two ways commonly seen. Run it with the unix MicroPython:
#
#   MICROPYPATH=$PWD:$PWD/tests/device micropython -X heapsize=96wk bench/bench_wear.py
#
# The years are those until the worst block has seen 100,000 erases (W25Q32JV datasheet, 1) on an
# ESP32 with 4 MB. LittleFS spreads over the free blocks, but not evenly.

import os

from firmware.outbox import Outbox
from flash import Flash

_READINGS = 20_000
_OUTAGE = 3_000  # readings without a connection: two days at one a minute
_BATCH = 12  # readings between two connects of a board that sleeps
_LIMIT_BYTES = 98_304  # outbox_bytes, as in tools/things/boards.json
_CYCLES = 100_000
_FREE_BLOCKS = 400  # 4 MB ESP32: 2 MB of file system are 512 blocks; firmware and outbox take some
_UNEVEN = 2.2  # worst block by the mean, after 100,000 readings offline; 1.4 after 600,000 online
_YEAR_S = 31_536_000
_LINE = "{:34} {:6.1f} {:8.1f} {:8.0f} {:8.1f}"
_RECORD = b"\x00\x01\x02\x03temp\x80h\x00p"


def ours():
    return Outbox("data/outbox", _LIMIT_BYTES, lambda text: None)


def online(outbox, readings):
    for _ in range(readings):
        outbox.put(_RECORD, len(_RECORD))
        outbox.next_unsent()
        outbox.ack(outbox.read - 1)


def outage(outbox, readings):
    for _ in range(readings):
        outbox.put(_RECORD, len(_RECORD))


def drain(outbox):
    sent = 0
    while outbox.next_unsent():
        outbox.ack(outbox.read - 1)
        sent += 1
    return sent


def asleep(readings):
    # As a board that sleeps has it: every wake finds it anew.
    for n in range(readings):
        outbox = ours()
        outbox.put(_RECORD, len(_RECORD))
        if n % _BATCH == _BATCH - 1:
            drain(outbox)
            outbox.flush()


def append(readings):
    # One log file, flushed after each reading, begun anew at 4 KB.
    for _ in range(readings // 300):
        with open("log", "wb") as f:
            for _ in range(300):
                f.write(_RECORD)
                f.flush()


def a_file_each(readings):
    # A JSON file a reading, removed when it was sent.
    os.mkdir("uploads")
    for n in range(readings):
        name = f"uploads/{n}.json"
        with open(name, "w") as f:
            f.write(f'{{"timestamp": {n}, "temperature": 21.37, "humidity": 48.02, ')
            f.write('"pressure": 1013.25, "nickname": "greenhouse", "model": "weather"}')
        os.remove(name)


def show(name, flash, readings):
    each = flash.erases() / readings
    years = _FREE_BLOCKS * _CYCLES / _UNEVEN / each / _YEAR_S  # years at one a second
    print(_LINE.format(name, each * 1000, flash.written / readings, 60 * years, years))


def fresh(flash):
    flash.format()
    flash.mount()
    flash.forget()


def main():
    flash = Flash(64)
    print("{:34} erases    bytes  years at years at".format(""))
    print("{:34} /1,000 /reading  one/min    one/s".format("way of storing"))
    fresh(flash)
    outbox = ours()
    online(outbox, _READINGS)
    show("outbox, online", flash, _READINGS)
    flash.forget()
    outage(outbox, _OUTAGE)
    show("outbox, offline", flash, _OUTAGE)
    flash.forget()
    show(f"outbox, sending {outbox.waiting} afterwards", flash, drain(outbox))
    flash.forget()
    outage(outbox, 2 * _LIMIT_BYTES // 19)
    flash.forget()
    outage(outbox, _OUTAGE)
    show("outbox, offline and full", flash, _OUTAGE)
    flash.umount()
    fresh(flash)
    asleep(_READINGS)
    show(f"outbox, asleep, {_BATCH} a connect", flash, _READINGS)
    flash.umount()
    for name, way in (("append and flush", append), ("a file a reading", a_file_each)):
        fresh(flash)
        way(_OUTAGE)
        show(name, flash, _OUTAGE)
        flash.umount()


main()
