"""A bad network end to end: each fault alone, and a few of the mixes that `make soak` tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import faults
from tests.soak.trial import Verdict

CASES = {case.name: case for case in [*faults.singles(), *faults.mixes(4)]}


@pytest.fixture(scope="module")
def verdicts(umqtt_dir: Path) -> dict[str, Verdict]:
    """All trials, several at a time: each test then looks at its own."""
    return {v.name: v for v in faults.run(list(CASES.values()), umqtt_dir)}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_and_the_board_comes_back(verdicts: dict[str, Verdict], name: str) -> None:
    verdict = verdicts[name]
    print(CASES[name], verdict, *verdict.log, sep="\n")
    assert verdict.problems == []
    assert verdict.readings >= 4 and verdict.lost == 0


def test_the_faults_did_bite(verdicts: dict[str, Verdict]) -> None:
    # Else the trials prove nothing: whatever ends a connection has cost the board its session.
    print(faults.figures(list(verdicts.values())))
    for name, verdict in verdicts.items():
        if name.split("=")[0].split("@")[0] in ("halfopen", "reset", "refuse", "silent", "move"):
            assert verdict.drops >= 1, name
    assert verdicts["halfopen=down@3s/5s"].duplicates >= 1  # delivered, but the PUBACK was lost
    assert (
        verdicts["stall=up:37B@3s/40s"].drops >= 1
    )  # longer than the firmware waits for a PUBACK
