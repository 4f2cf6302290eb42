# SHT3x: reference values (DS 4.12: CRC(0xBEEF) = 0x92; the rest follows from DS 4.13), and what
# the driver refuses.

import harness
from fakes_registers import Registers
from firmware.core.errors import SensorError
from firmware.drivers.sht3x import probe

GOOD = b"\xbe\xef\x92\xbe\xef\x92"


def replay(answer):
    bus = Registers()
    bus.plain = answer
    return bus


def found(bus):
    # The driver on a bus that answers its probe() with a status of zeros.
    answer, bus.plain = bus.plain, b"\x00\x00\x81"
    sensor = probe(bus, 0x44)
    bus.plain = answer
    return sensor


def test_converts_to_hundredths():
    # -45 + 175 * 48879 / 65535 = 85.52; 100 * 48879 / 65535 = 74.58
    sensor = found(replay(GOOD))
    sensor.start()
    sensor.finish()
    harness.equal(sensor.values, [8552, 7458])


def test_bad_crc_of_either_word_keeps_the_last_reading():
    bus = replay(GOOD)
    sensor = found(bus)
    sensor.finish()
    for at in range(6):
        damaged = bytearray(GOOD)
        damaged[at] ^= 0x01
        bus.plain = damaged
        assert "crc" in str(harness.raises(SensorError, sensor.finish))
        harness.equal(sensor.values[0], 8552)
    for silent in (b"\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff"):
        bus.plain = silent
        harness.raises(SensorError, sensor.finish)


def test_out_of_range_is_an_error():
    sensor = found(replay(b"\x00\x00\x81\x00\x00\x81"))  # -45 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))
    sensor = found(replay(b"\xff\xff\xac\x00\x00\x81"))  # 130 C
    assert "range" in str(harness.raises(SensorError, sensor.finish))


def test_measuring_does_not_allocate():
    sensor = found(replay(GOOD))
    harness.no_heap(sensor.start)
    harness.no_heap(sensor.finish)


def test_probe_wants_a_status_that_can_be_one():
    for answer in (b"\x80\x10\x00", b"\x00\x00\x00", b"\xff\xff\xff", b"\xbe\xef\x92"):
        harness.equal(probe(replay(answer), 0x44), None)
    harness.equal(probe(replay(b"\x00\x00\x81"), 0x44).name, "sht3x")


harness.run(globals())
