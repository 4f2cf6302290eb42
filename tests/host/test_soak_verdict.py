"""The judge of the trials: each kind of fault in what arrived is seen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak.verdict import COLDEST, RISE, Verdict, judge


def reading(seq: int, uptime_s: float | None = None, on: int = 1000) -> dict[str, Any]:
    uptime_s = seq * 1.0 if uptime_s is None else uptime_s
    temperature = round(COLDEST + uptime_s / RISE, 2)
    return {"seq": seq, "timestamp": int(on + uptime_s), "temperature": temperature}


def verdict(arrived: list[dict[str, Any]], boots: int = 1, lives: int = 1) -> Verdict:
    made = Verdict("x", 1, boots=boots)
    judge(arrived, made, lives)
    return made


GOOD = [reading(n) for n in range(1, 60)]


def test_a_good_row_passes_with_its_duplicates_and_its_gap() -> None:
    found = verdict([*GOOD[:30], *GOOD[20:], *[reading(60, 75.0)]])
    assert found.problems == []
    assert (found.readings, found.lost, found.duplicates, found.gap_s) == (60, 0, 10, 16)


def test_power_cuts_are_lives() -> None:
    second = [reading(n, n - 60 + 1.0, on=1065) for n in range(60, 90)]
    assert verdict([*GOOD, *second], boots=2, lives=2).problems == []
    assert any("timestamps off" in p for p in verdict([*GOOD, *second]).problems)


@pytest.mark.parametrize(
    ("arrived", "says"),
    [
        (GOOD[:10] + GOOD[11:], "lost: [11]"),
        (GOOD[1:], "lost: [1]"),
        ([*GOOD[:9], GOOD[10], GOOD[9], *GOOD[11:]], "out of order: [10]"),
        ([*GOOD[:30], reading(31, 37.0) | {"timestamp": 1031}, *GOOD[31:]], "timestamps off"),
        ([*GOOD, GOOD[5] | {"temperature": 3.0}], "seq 6 came with two contents"),
        ([*GOOD[:30], GOOD[30] | {"timestamp": 1028}, *GOOD[31:]], "timestamps run backwards"),
    ],
)
def test_each_fault_is_seen(arrived: list[dict[str, Any]], says: str) -> None:
    assert any(says in problem for problem in verdict(arrived).problems)


def test_a_boot_too_many_is_seen() -> None:
    assert verdict(GOOD, boots=2).problems == ["2 boots"]
