"""The judge of the week: each kind of fault in what arrived is seen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.soak.week_verdict import LOWEST_HPA, RISE_S, WEEK_S, Week, figures, judge
from tests.soak.writes import Writes

ON = 1_000_000.0
CUT = ON + 400_000  # a power cut
DARK = (ON + 200_000, ON + 200_000 + 26 * 3600)


def reading(seq: int, at_s: float, on_s: float = ON) -> dict[str, Any]:
    hpa = round(LOWEST_HPA + (at_s - on_s) / RISE_S, 2)
    return {"seq": seq, "timestamp": int(at_s), "pressure": hpa}


def week() -> Week:
    first = [ON + 2 + n * 600.0 for n in range(int((CUT - ON) // 600) + 1)]
    second = [CUT + 2 + n * 600.0 for n in range(int((ON + WEEK_S - CUT) // 600) + 1)]
    readings = [reading(n + 1, s) for n, s in enumerate(first)]
    readings += [reading(len(first) + n + 1, s, CUT) for n, s in enumerate(second)]
    births = [s + 5 for s in [*first[::6], *second[::6]] if not DARK[0] < s < DARK[1]]
    alarms = [{"timestamp": int(births[9]) + 1200, "alarms": {"temperature": "high"}}]
    alarms += [{"timestamp": int(births[9]) + 2400, "alarms": {"temperature": "normal"}}]
    births += [alarm["timestamp"] + 3 for alarm in alarms]
    births.sort()
    return Week(
        on_s=[ON, CUT],
        end_s=second[-1],
        dark_s=[DARK],
        readings=readings,
        births_s=births,
        alarms=alarms,
        asked_s=births[4] - 1000,
        answered_s=births[4],
        desired_s=births[5] - 3000,
        applied_s=births[5],
        awake_s=1_400,
        vain=2,
    )


GOOD = week()


def test_a_good_week_passes_with_its_figures() -> None:
    twice = replace(GOOD, readings=[*GOOD.readings[:30], *GOOD.readings[20:]], writes=1_400)
    assert judge(twice) == []
    found = figures(twice)
    assert found["readings"] == f"{len(GOOD.readings):,} in 7.00 days"
    assert (found["lost"], found["duplicates"]) == ("0", "10")
    assert found["files written, renamed or removed"] == "200 a day"
    assert found["awake"] == "200 s a day"


def changed(at: int, **more: Any) -> Callable[[Week], Week]:
    def change(good: Week) -> Week:
        rows = good.readings
        return replace(good, readings=[*rows[:at], rows[at] | more, *rows[at + 1 :]])

    return change


R = GOOD.readings
B = GOOD.births_s


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: replace(w, readings=R[:50] + R[51:]), "lost: [51]"),
        (lambda w: replace(w, readings=R[1:]), "lost: [1]"),
        (lambda w: replace(w, readings=[*R[:9], R[10], R[9], *R[11:]]), "out of order: [10]"),
        (lambda w: replace(w, readings=[*R, R[5] | {"pressure": 1.0}]), "two contents: [6]"),
        (lambda w: replace(w, readings=R[:900]), "900 readings, not"),
        (changed(300, timestamp=R[300]["timestamp"] + 60), "seq 301: its time is"),
        (changed(300, timestamp=R[299]["timestamp"] - 9), "timestamps run backwards"),
        (lambda w: replace(w, on_s=[ON]), "not on the grid: "),
        (
            lambda w: replace(w, readings=[*R[:300], *(shifted(r) for r in R[300:])]),
            "no reading for 1900 s",
        ),
        (lambda w: replace(w, births_s=sorted([*B, *(s + 30 for s in B)])), "connects, not"),
        (lambda w: replace(w, vain=0), "0 times back to"),
        (lambda w: replace(w, vain=5), "5 times back to"),
        (lambda w: replace(w, failed=20), "20 connects failed"),
        (lambda w: replace(w, births_s=B[:20] + B[21:]), "no connect for 7"),
        (lambda w: replace(w, answered_s=0.0), "the command was not answered"),
        (lambda w: replace(w, answered_s=w.asked_s + 7200), "the command was not answered"),
        (lambda w: replace(w, applied_s=w.desired_s + 7200), "the desired value was not applied"),
        (lambda w: replace(w, alarms=w.alarms[:1]), "alarms: "),
        (
            lambda w: replace(w, births_s=[s for s in B if s != w.alarms[0]["timestamp"] + 3]),
            "did not connect at once",
        ),
    ],
)
def test_each_fault_is_seen(change: Callable[[Week], Week], says: str) -> None:
    assert any(says in problem for problem in judge(change(GOOD))), judge(change(GOOD))


def shifted(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"timestamp": row["timestamp"] + 1300}


@pytest.mark.skipif(sys.platform != "linux", reason="it is the kernel's inotify")
def test_every_change_of_a_folder_is_counted(tmp_path: Path) -> None:
    writes = Writes([tmp_path])
    assert writes.count() == 0
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").read_bytes()
    assert writes.count() == 2
    (tmp_path / "b").unlink()
    assert writes.count() == 3
    writes.close()
