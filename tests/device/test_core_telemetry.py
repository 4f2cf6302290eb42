# The numbers are checked against Python's own arithmetic and its JSON reader; the 32-bit build
# of the same test is the one that finds a forgotten big integer.

import json
import struct

import harness
from fakes import Random
from firmware.core import telemetry
from firmware.core.telemetry import RECORD_BYTES

UNIX_2000 = 946684800
THING = b"greenhouse-1"


def framed(record, seq=4711):
    # As the outbox has it; the CRC is not looked at.
    return bytes([len(record)]) + struct.pack("<I", seq) + record + b"\xaa\x55"


def written(s2000, cdeg, cpct=None, pa=None, seq=4711, thing=THING):
    record = bytearray(RECORD_BYTES)
    buf = bytearray(telemetry.TEXT_BYTES + len(thing))
    end = telemetry.pack(record, 0, s2000, (cdeg, cpct, pa))
    harness.equal(
        end, 4 + 3 + (2 if (cpct, pa) != (None, None) else 0) + (3 if pa is not None else 0)
    )
    frame = framed(record[:end], seq)
    return bytes(buf[: telemetry.write_json(buf, 0, frame, 0, thing, ())])


def test_the_example_of_the_design():
    harness.equal(
        written(1795248682 - UNIX_2000, 2137, 4512, 101325),
        b'{"device_id": "greenhouse-1", "timestamp": 1795248682, "temperature": 21.37, '
        b'"seq": 4711, "humidity": 45.12, "pressure": 1013.25}',
    )


def test_a_chip_without_humidity_and_pressure():
    harness.equal(
        written(0, 0, seq=1),
        b'{"device_id": "greenhouse-1", "timestamp": 946684800, "temperature": 0.00, "seq": 1}',
    )


def test_numbers_around_zero_keep_sign_and_digits():
    for cdeg, text in (
        (-5, b"-0.05"),
        (-1, b"-0.01"),
        (9, b"0.09"),
        (-100, b"-1.00"),
        (-4000, b"-40.00"),
        (-27315, b"-273.15"),
        (137200, b"1372.00"),
        (8388607, b"83886.07"),
        (-8388607, b"-83886.07"),
    ):
        assert b'"temperature": ' + text + b", " in written(1, cdeg), text


def test_zero_humidity_and_pressure_are_values_not_absence():
    assert written(1, 1, 0, 0).endswith(b'"humidity": 0.00, "pressure": 0.00}')
    assert written(1, 1, None, 16777214).endswith(b'"seq": 4711, "pressure": 167772.14}')
    assert written(1, 1, 65534).endswith(b'"humidity": 655.34}')


def test_numbers_up_to_the_end_of_32_bits():
    numbers = (0, 1, 9, 10, 5199, 5200, 9999, 10000, 65535, 65536, 848534400, (1 << 30) - 1)
    for n in numbers + (1 << 30, (1 << 30) + 1, 1 << 31, (1 << 32) - 1):
        text = written(n, 0, seq=n)
        assert b'"timestamp": ' + str(n + UNIX_2000).encode() + b"," in text, n
        assert b'"seq": ' + str(n).encode() + b"}" in text, n


def test_any_reading_comes_back_from_json():
    random = Random(harness.seed())
    for _ in range(harness.count(300)):
        s2000, cdeg = random(1 << 30) * 4 + random(4), random((1 << 24) - 1) - (1 << 23) + 1
        cpct, pa = random(65535), random(16777215)
        seq = random(1 << 30) * 4 + random(4)
        got = json.loads(written(s2000, cdeg, cpct, pa, seq))
        assert got["timestamp"] == s2000 + UNIX_2000 and got["seq"] == seq, (s2000, seq)
        assert round(got["temperature"] * 100) == cdeg, cdeg
        assert round(got["humidity"] * 100) == cpct, cpct
        assert round(got["pressure"] * 100) == pa, pa


def test_the_longest_text_fits_its_buffer():
    thing = b"t" * 128
    size = len(written((1 << 32) - 1, -8388607, 65534, 16777214, (1 << 32) - 1, thing))
    assert size <= telemetry.TEXT_BYTES + len(thing), size


def test_both_write_where_they_are_asked_to():
    record = bytearray(RECORD_BYTES + 3)
    harness.equal(telemetry.pack(record, 2, 1, (2137,)), 4 + 3 + 2)
    harness.equal(
        bytes(record), b"\0\0\x01\0\0\0\x59\x08\0" + b"\xff" * (RECORD_BYTES - 7) + b"\0"
    )
    buf = bytearray(200)
    wanted = written(1, 2137)
    frame = framed(memoryview(record)[2:9])
    end = telemetry.write_json(buf, 5, b"\xf5" * 7 + frame + frame, 7, THING, ())
    harness.equal(end, 5 + len(wanted))
    harness.equal(bytes(buf), b"\0" * 5 + wanted + b"\0" * (200 - end))


def text_of(record):
    buf = bytearray(telemetry.TEXT_BYTES + len(THING) + 64)
    return bytes(buf[: telemetry.write_json(buf, 0, framed(record, 5), 0, THING, ())])


def test_records_of_older_versions_are_read():
    # 0.1.0 wrote 12 bytes for each reading, whatever had been measured.
    for record, wanted in (
        (b"\1\0\0\0\x59\x08\0\xff\xff\xcd\x8b\1", b'21.37, "seq": 5, "pressure": 1013.25}'),
        (b"\1\0\0\0\xff\xff\xff\x94\x11\xff\xff\xff", b'-0.01, "seq": 5, "humidity": 45.00}'),
        (b"\1\0\0\0\x59\x08\0\xff\xff\xff\xff\xff", b'21.37, "seq": 5}'),
    ):
        assert text_of(record).endswith(wanted), text_of(record)


def test_co2_and_the_battery():
    record = bytearray(RECORD_BYTES)
    end = telemetry.pack(record, 0, 1, (2137, 4500, None, 417, 3912))
    harness.equal(end, 16)
    wanted = b'21.37, "seq": 5, "humidity": 45.00, "co2": 417, "battery_v": 3.912}'
    assert text_of(record).endswith(wanted), text_of(record)
    harness.equal(telemetry.pack(record, 0, 1, (2137, 4500, None, 417)), 14)


def test_a_reading_without_a_temperature():
    # The first of several sensors may fail.
    record = bytearray(RECORD_BYTES)
    end = telemetry.pack(record, 0, 1, (None, 4500))
    wanted = b'"timestamp": 946684801, "seq": 5, "humidity": 45.00}'
    assert text_of(record[:end]).endswith(wanted), text_of(record)
    end = telemetry.pack(record, 0, 1, (None, None, None, None, 3912))
    assert text_of(record[:end]).endswith(b'"seq": 5, "battery_v": 3.912}')


def test_a_new_quantity_is_a_column_more():
    old, names = bytearray(RECORD_BYTES), ("NAMES", "DECIMALS", "SIZES")
    before = [getattr(telemetry, name) for name in names]
    telemetry.pack(old, 0, 1, (2137, None, 101325, None, 3000))
    telemetry.NAMES += b"soil "
    telemetry.DECIMALS, telemetry.SIZES = before[1] + b"\3", before[2] + b"\2"
    try:
        new, values = bytearray(RECORD_BYTES + 2), [2137] + [None] * len(before[2])
        values[-1] = 7
        harness.equal(telemetry.pack(new, 0, 1, values), len(new))
        assert text_of(new).endswith(b'21.37, "seq": 5, "soil": 0.007}'), text_of(new)
        # A record that was stored before, and one that a later version left behind.
        assert b'"pressure": 1013.25, "battery_v": 3.000}' in text_of(old), text_of(old)
    finally:
        for name, value in zip(names, before):
            setattr(telemetry, name, value)
    assert text_of(new).endswith(b'21.37, "seq": 5}'), text_of(new)


def test_packing_and_writing_do_not_allocate():
    record = bytearray(RECORD_BYTES)
    frame = bytearray(framed(record, 1073741823))
    view = memoryview(frame)
    buf = bytearray(telemetry.TEXT_BYTES + len(THING))
    values = [-2137, 4512, 101325]
    # A small int on the 32-bit build too; its Unix time is not.
    harness.no_heap(lambda: telemetry.pack(frame, 5, 900000000, values))
    harness.no_heap(lambda: telemetry.write_json(buf, 0, frame, 0, THING, ()))
    harness.no_heap(lambda: telemetry.write_json(buf, 0, view, 0, THING, ()))
