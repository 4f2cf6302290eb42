"""The record of a reading and its JSON, against Python's own arithmetic and JSON reader."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from firmware.core import quantities, several, telemetry
from firmware.core.quantities import rows

QUANTITIES = rows()
U32 = st.integers(0, 2**32 - 1)
_NUMBERS = st.tuples(
    *(
        st.none() | st.integers(1 - 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1)
        if lowest < 0
        else st.none() | st.integers(0, 2 ** (8 * size) - 2)
        for _, _, _, lowest, _, size in QUANTITIES
    )
)


def framed(record: bytearray, seq: int) -> bytes:
    """As the outbox has it; the CRC is not looked at."""
    return struct.pack("<BI", len(record), seq) + record + b"\xaa\x55"


@given(
    s2000=U32,
    values=_NUMBERS,
    seq=U32,
    thing=st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True),
    at=st.integers(0, 9),
)
def test_a_reading_comes_back_from_its_json(
    s2000: int, values: tuple[int | None, ...], seq: int, thing: str, at: int
) -> None:
    assume(set(values) != {None})
    record = bytearray(at + telemetry.RECORD_BYTES + 1)
    end = telemetry.pack(record, at, s2000, values)
    sizes = [row[5] for row in QUANTITIES]
    measured = [i + 1 for i, value in enumerate(values) if value is not None]
    assert end == at + 4 + sum(sizes[: max(measured, default=0)])
    assert not any(record[:at]) and not record[-1]
    record[end:] = b"\0"
    buf = bytearray(at + telemetry.TEXT_BYTES + len(thing) + 1)
    frame = bytes(at) + framed(record[at:-1], seq)
    end = telemetry.write_json(buf, at, frame, at, thing.encode(), ())
    wanted = {"device_id": thing, "timestamp": s2000 + 946684800, "seq": seq}
    for (name, _, decimals, *_), value in zip(QUANTITIES, values, strict=True):
        if value is not None:
            wanted[name] = value / 10**decimals
    assert json.loads(buf[at:end]) == wanted
    assert not any(buf[:at]) and not any(buf[end:])


@pytest.mark.parametrize("row", QUANTITIES, ids=lambda row: row[0])
def test_a_row_fits_its_bytes(row: tuple[str, str, int, int, int, int]) -> None:
    name, unit, decimals, lowest, highest, size = row
    assert name.isascii() and name.islower() and len(name) <= 14 and unit
    assert 0 <= decimals <= 3 and 1 <= size <= 3
    values = [None] * len(QUANTITIES)
    for value in (lowest, highest):
        record = bytearray(telemetry.RECORD_BYTES)
        values[QUANTITIES.index(row)] = value  # type: ignore[call-overload]
        telemetry.pack(record, 0, 0, values)
        buf = bytearray(telemetry.TEXT_BYTES + 1)
        text = buf[: telemetry.write_json(buf, 0, framed(record, 1), 0, b"t", ())]
        assert json.loads(text)[name] == value / 10**decimals


def test_every_column_has_every_row() -> None:
    columns = (quantities.UNITS.split(), telemetry.DECIMALS, telemetry.NAMES.split())
    assert {len(column) for column in (*columns, quantities.HYSTERESIS)} == {len(QUANTITIES)}
    assert len(quantities.LIMITS) == 2 * len(QUANTITIES) == 2 * len(telemetry.SIZES)
    assert QUANTITIES[quantities.BATTERY][0] == "battery_v"
    assert several.BLOCKS_AT == 19  # else what is stored in front of an update is not read


def test_what_every_reading_has_comes_first() -> None:
    # `seq` follows the first quantity, in the text as AWS has got it since 0.1.0.
    assert [row[3] < 0 for row in QUANTITIES].index(True) == 0
    assert 4 + sum(row[5] for row in QUANTITIES) == telemetry.RECORD_BYTES


def test_a_record_has_a_size_the_outbox_takes() -> None:
    # docs/outbox.md; the outbox does not look.
    assert 1 <= telemetry.RECORD_BYTES <= 96
