# Run by MicroPython for bench_sensors.py, with the firmware as bytecode: one driver with its
# simulated chip. Arguments: chip, how often the times are taken. Prints its figures as JSON.

import gc
import json
import sys
import time
from struct import pack_into

from fakes import Clock
from fakes_bus import ChipBus
from firmware import loading
from firmware.core import telemetry
from firmware.core.errors import SensorError
from tools.sim.chips.plug import CHIPS

NAME = b"greenhouse-1"  # of the thing, in the payload
SEQ, S2000 = 100000, 820_000_000  # in 2025
READINGS = 100  # between two looks at heap or clock
_SEARCHES = 5  # an AHT10 is found with the third
_TRIES = 8
loading.keep()


class Looking(ChipBus):
    # Knows the most that was in use, garbage left out, when the chip was spoken to.
    most = 0

    def _at(self, addr):
        gc.collect()
        self.most = max(self.most, gc.mem_alloc())
        return ChipBus._at(self, addr)


class Recording(ChipBus):
    # Keeps what was answered, and counts what the wires carry: an address with each transfer.
    def __init__(self, *chips):
        ChipBus.__init__(self, *chips)
        self.answers, self.transfers, self.bytes = [], 0, 0

    def writeto(self, addr, buf):
        self._count(1, 1 + len(buf))
        ChipBus.writeto(self, addr, buf)

    def readfrom_into(self, addr, buf):
        self._count(1, 1 + len(buf))
        ChipBus.readfrom_into(self, addr, buf)
        self.answers.append(bytes(buf))

    def writeto_mem(self, addr, reg, buf):
        self._count(1, 2 + len(buf))
        ChipBus.writeto_mem(self, addr, reg, buf)

    def readfrom_mem_into(self, addr, reg, buf):
        self._count(2, 3 + len(buf))
        ChipBus.readfrom_mem_into(self, addr, reg, buf)
        self.answers.append(bytes(buf))

    def _count(self, transfers, size):
        self.transfers += transfers
        self.bytes += size


class Replay:
    # Says the same again and again, and allocates nothing.
    def __init__(self, answers):
        self.answers, self.count, self.next = answers, len(answers), 0
        self.formats = [f"{len(answer)}s" for answer in answers]

    def writeto(self, addr, buf):
        pass

    def writeto_mem(self, addr, reg, buf):
        pass

    def readfrom_into(self, addr, buf):
        pack_into(self.formats[self.next], buf, 0, self.answers[self.next])
        self.next = (self.next + 1) % self.count

    def readfrom_mem_into(self, addr, reg, buf):
        self.readfrom_into(addr, buf)


def search(clock, bus, chip):
    # As the sampler does it, which tries again.
    from firmware.drivers import find

    for _ in range(_SEARCHES - 1):
        try:
            return find(bus, chip)[0]
        except SensorError:
            clock.pass_ms(1000)
    return find(bus, chip)[0]


def settled():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def found(chip):
    # The driver, a clock, the chip; how much the driver takes, and how much its search did.
    clock = Clock()
    kind, addr, _ = CHIPS[chip]
    model = kind(clock)
    clock.pass_ms(200)
    bus = Looking((addr, model))
    before = settled()
    driver = search(clock, bus, chip)
    loading.unload()
    stays = settled() - before
    clock.pass_ms(driver.SETTLE_MS)
    return driver, clock, (addr, model), stays, bus.most - before


def reading(clock, driver):
    # How long it has waited for the chip.
    driver.start()  # which may say another time
    waited = driver.MEASURE_MS
    clock.pass_ms(waited)
    while driver.finish():
        clock.pass_ms(driver.MEASURE_MS)
        waited += driver.MEASURE_MS
    return waited


def recorded(chip):
    # What it takes; the driver then has a bus that repeats one reading.
    driver, clock, plugged, stays, search_bytes = found(chip)
    for _ in range(2):  # the first may be another
        clock.pass_ms(driver.LEAST_S * 1000)
        driver.bus = bus = Recording(plugged)
        waited = reading(clock, driver)
    driver.bus = Replay(bus.answers)
    figures = {"heap": stays, "search": search_bytes, "waits_ms": waited}
    figures.update({"transfers": bus.transfers, "bus_bytes": bus.bytes})
    return driver, figures


def deeper(depth, chip):
    if depth:
        return deeper(depth - 1, chip)
    return found(chip)[3:]


def repeat(driver, count):
    while count:
        driver.start()
        while driver.finish():
            pass
        count -= 1


def allocated(driver):
    # Bytes a reading.
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    repeat(driver, READINGS)
    after = gc.mem_alloc()
    gc.enable()
    return (after - before) / READINGS


def timed(driver):
    begin = time.ticks_us()
    repeat(driver, READINGS)
    return time.ticks_diff(time.ticks_us(), begin) / READINGS


def sizes(values):
    # Of the record, and of the payload made of it. An outbox has length, seq, record, CRC.
    frame, text = bytearray(40), bytearray(300)
    frame[0] = telemetry.pack(frame, 5, S2000, values) - 5
    for i in range(4):
        frame[1 + i] = SEQ >> 8 * i & 0xFF
    end = telemetry.write_json(text, 0, frame, 0, NAME, ())
    json.loads(text[:end])
    return {"record": frame[0], "json": end}


def main(chip, times):
    # Names stay for good, whoever brought them: the second search finds all of them there. What
    # lies on the stack by chance keeps garbage alive: never less is in use, only more.
    driver, figures = recorded(chip)
    for depth in range(_TRIES):
        stays, search_bytes = deeper(depth, chip)
        figures["heap"] = min(figures["heap"], stays)
        figures["search"] = min(figures["search"], search_bytes)
    repeat(driver, 3)
    figures["values"] = driver.values
    figures["allocated"] = allocated(driver)
    figures.update(sizes(driver.values))
    standard = recorded("bme280")[0]
    repeat(standard, 3)
    pairs = [(timed(driver), timed(standard)) for _ in range(times)]
    figures["us"] = min([ours for ours, _ in pairs])
    figures["ratio"] = sorted([ours / its for ours, its in pairs])[times // 2]
    print(json.dumps(figures))


main(sys.argv[1], int(sys.argv[2]))
