"""Readings, commands, schedules and bounded JSON on CPython, against its own arithmetic."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from firmware.core import commands, config, documents, telemetry
from firmware.core.backoff import Backoff
from firmware.core.schedule import Schedule

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=25,
)
U32 = st.integers(0, 2**32 - 1)


@given(
    s2000=U32,
    cdeg=st.integers(-(2**23), 2**23 - 1),
    cpct=st.none() | st.integers(0, 65534),
    pa=st.none() | st.integers(0, 16777214),
    seq=U32,
    thing=st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True),
)
def test_a_reading_comes_back_from_its_json(
    s2000: int, cdeg: int, cpct: int | None, pa: int | None, seq: int, thing: str
) -> None:
    record = bytearray(telemetry.RECORD_BYTES)
    telemetry.pack(record, s2000, cdeg, cpct, pa)
    buf = bytearray(telemetry.text_bytes(thing))
    size = telemetry.write_json(buf, record, seq, thing.encode())
    wanted = {
        "device_id": thing,
        "timestamp": s2000 + 946684800,
        "temperature": cdeg / 100,
        "seq": seq,
        "humidity": None if cpct is None else cpct / 100,
        "pressure": None if pa is None else pa / 100,
    }
    assert json.loads(buf[:size]) == {k: v for k, v in wanted.items() if v is not None}
    assert not any(buf[size:])


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(JSON, st.integers(1, 6))
def test_depth_is_what_it_is_when_parsed(value: Any, limit: int) -> None:
    payload = json.dumps(value).encode()
    assert documents.nested_well(payload, limit) == (depth(value) <= limit)
    loaded = documents.load(payload, 10_000, limit)
    fits = isinstance(value, dict) and depth(value) <= limit and len(payload) <= 10_000
    assert loaded == (value if fits else None)


def check(key: str, value: Any) -> Any:
    return config.check_setting(key, value, {})


COMMAND = st.fixed_dictionaries(
    {"action": st.sampled_from(commands.ACTIONS) | JSON},
    optional={"id": JSON | st.integers(0, 20), "interval_seconds": JSON | st.integers(-9, 99999)},
)


@given(st.lists(COMMAND, max_size=30))
def test_commands_act_once_for_each_id(documents_in: list[dict[str, Any]]) -> None:
    desk = commands.Commands(check)
    done: list[Any] = []
    for document in documents_in:
        command = desk.receive(json.dumps(document).encode())
        if command is None:
            assert document["id"] in done
            continue
        told = json.loads(commands.result(command))
        assert told["ok"] is (command.problem is None)
        if command.problem:
            continue
        assert command.action == document["action"]
        if command.action == commands.SET_INTERVAL:
            assert 1 <= command.interval_s <= 86400
        if command.ident is not None:
            assert command.ident not in done[-commands.KEPT :]
            done.append(command.ident)
        desk.remember(command)
        desk = commands.Commands(check, json.loads(json.dumps(desk.seen)))  # a restart
    assert desk.seen == done[-commands.KEPT :]


@given(st.binary(max_size=200))
def test_any_bytes_get_a_clean_answer(payload: bytes) -> None:
    desk = commands.Commands(check)
    command = desk.receive(payload)
    assert json.loads(commands.result(command))["ok"] is False or command.action
    assert len(commands.result(command)) < 600


class Clock:
    """Ticks of a board: milliseconds that wrap at 2^30."""

    def __init__(self, start: int) -> None:
        self.ms = start

    def now(self) -> int:
        return self.ms % 2**30

    def diff(self, a: int, b: int) -> int:
        return (a - b + 2**29) % 2**30 - 2**29


@given(
    st.integers(0, 2**30 - 1),
    st.integers(1, 86400),
    st.lists(st.integers(0, 200_000_000), max_size=30),
)
def test_a_schedule_never_creeps(start: int, interval_s: int, steps: list[int]) -> None:
    clock = Clock(start)
    schedule = Schedule(clock, interval_s)
    assert schedule.due()
    turns = 0  # of the clock, gone by when last asked
    for step in steps:
        clock.ms += step
        gone = (clock.ms - start) // (interval_s * 1000)
        left = (gone + 1) * interval_s * 1000 - (clock.ms - start)
        assert schedule.due() is (gone > turns)
        assert schedule.left_ms() == left
        turns = gone


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=50))
def test_backoff_stays_between_floor_and_ceiling(draws: list[float]) -> None:
    rest = iter(draws)
    backoff = Backoff(lambda limit: int(next(rest) * limit))
    for n in range(len(draws)):
        assert 500 <= backoff.failed() <= min(60_000, 1000 * 2**n)
