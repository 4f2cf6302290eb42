"""A fleet updated under CHAOS, two boards not fit for it: a small `make soak PART=fleet`."""

from __future__ import annotations

from pathlib import Path

from tests.soak import fleet


def test_the_rollout_stops_and_nobody_is_lost(umqtt_dir: Path) -> None:
    done = fleet.run(fleet.SHORT, fleet.SHORT_SCALE, umqtt_dir)
    print(*done.log, sep="\n")
    print(*(f"{what}: {value}" for what, value in fleet.figures(done).items()), sep="\n")
    assert done.problems == []
    assert done.lost == 0 and done.readings > 20 * done.boards
    assert done.stopped.startswith("stopped in the rest: too many have failed")
    assert done.new + done.old == done.boards
    assert done.new >= fleet.CANARIES and done.old >= fleet.BAD + fleet.AWAY
    assert done.gone_back >= 1 and done.faults > 3
