"""Commands, waits and bounded JSON on CPython, against its own arithmetic."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core import commands, text, timing
from firmware.core.timing import pause_ms

sys.modules.setdefault("micropython", SimpleNamespace(const=int))  # type: ignore[arg-type]
sys.modules.setdefault("firmware.chip", SimpleNamespace(LED_PIN=2, VERIFIED=True))  # type: ignore[arg-type]

from firmware.command_runner import remember, result  # noqa: E402

KEPT = 16  # ids remembered

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=25,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(JSON, st.integers(1, 6))
def test_depth_is_what_it_is_when_parsed(value: Any, limit: int) -> None:
    payload = json.dumps(value).encode()
    if isinstance(value, dict) and depth(value) <= limit:
        assert text.load(payload, limit) == value
    else:
        with pytest.raises(ValueError):
            text.load(payload, limit)


COMMAND = st.fixed_dictionaries(
    {"action": st.sampled_from(commands.ACTIONS) | JSON},
    optional={"id": JSON | st.integers(0, 20), "interval_seconds": JSON | st.integers(-9, 99999)},
)


@given(st.lists(COMMAND, max_size=30))
def test_commands_act_once_for_each_id(documents_in: list[dict[str, Any]]) -> None:
    seen: Any = None
    done: list[Any] = []
    for document in documents_in:
        command = commands.parse(json.dumps(document).encode(), seen)
        ident, action, value, problem = command
        if problem is True:
            assert ident in done[-KEPT:]
            continue
        told = json.loads(result(ident, action, problem))
        assert told["ok"] is (problem is None)
        if problem:
            continue
        assert action == document["action"]
        if action == "set_reporting_interval":
            assert 1 <= value <= 86400
        if ident is not None:
            assert ident not in done[-KEPT:]
            done.append(ident)
            seen = json.loads(json.dumps(remember(seen, ident)))  # a restart
    assert (seen or []) == done[-KEPT:]


@given(st.binary(max_size=200))
def test_any_bytes_get_a_clean_answer(payload: bytes) -> None:
    command = commands.parse(payload, ())
    assert command is not None
    ident, action, _, problem = command
    told = result(ident, action, problem)
    assert json.loads(told)["ok"] is False or action
    assert len(told.encode()) < 600


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
def test_the_seconds_never_creep(start: int, interval_s: int, steps: list[int]) -> None:
    ticks = Clock(start)
    clock = timing.Clock(ticks.now, ticks.diff)
    for step in steps:
        ticks.ms += step
        gone = ticks.ms - start
        clock.step()
        assert clock.s == gone // 1000
        turn_s = gone // 1000 // interval_s * interval_s + interval_s
        assert clock.left_ms(turn_s) == turn_s * 1000 - gone
        assert clock.left_ms(clock.s) == 0


@given(
    st.lists(st.floats(0, 1, exclude_max=True), max_size=50),
    st.integers(0, 10_000),
    st.integers(10_000, 60_000),
)
def test_a_pause_stays_between_floor_and_ceiling(draws: list[float], base: int, cap: int) -> None:
    for n, draw in enumerate(draws):
        pause = pause_ms(lambda limit, draw=draw: int(draw * limit), n + 1, base, cap)
        assert base // 2 <= pause <= min(cap, base * 2**n)
