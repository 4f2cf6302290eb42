"""The claim of a board, interrupted anywhere and refused: on the AWS that knows certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rotations import WAIT_S, EveryOther, Nursery
from tests.e2e.updates import THING, Kit


@pytest.fixture
def nursery(kit: Kit, tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(kit, tmp_path) as made:
        yield made


def test_the_power_goes_at_each_line(nursery: Nursery) -> None:
    nursery.board.start()
    mark = 0
    for line in (
        *("claim: no certificate yet", "wifi: joining", "wifi: up", "clock: ", "link: .* answers"),
        *("link: up", "has its certificate, restarting", "slot ab on trial", "link: up"),
        *("update: good, ab stays", "claim: removed"),
    ):
        nursery.board.wait_for(line, WAIT_S, mark)
        mark = len(nursery.board.log)
        nursery.cut()
    nursery.up()


@pytest.mark.parametrize("verb", ["create-from-csr", "provision"])
def test_the_power_goes_at_each_message(nursery: Nursery, verb: str) -> None:
    # It was asked, and what AWS has answered does not arrive any more.
    nursery.claims.lose[verb] = 1
    nursery.board.start()
    asked = nursery.claims.requests
    nursery.broker.wait_for(lambda: [one for one in asked if one.verb == verb], WAIT_S)
    nursery.cut()
    nursery.up()


@pytest.mark.parametrize("way", ["lose", "ignore"])
def test_each_message_is_lost_once(nursery: Nursery, way: str) -> None:
    setattr(nursery.claims, way, EveryOther())
    nursery.board.start()
    nursery.up()
    verbs = Counter(one.verb for one in nursery.claims.requests)
    if way == "lose":
        # What AWS has registered in a try of which the board has not heard works as well.
        assert verbs["provision"] == len(nursery.claims.things[THING]) == 2


def test_each_answer_comes_twice(nursery: Nursery) -> None:
    nursery.claims.twice = True
    nursery.board.start()
    nursery.up()
    assert [one.verb for one in nursery.claims.requests] == ["create-from-csr", "provision"]


def test_the_hook_refuses(nursery: Nursery) -> None:
    nursery.listed = False
    nursery.board.start()
    nursery.board.wait_for("link: claim rejected AccessDenied Access Denied", WAIT_S)
    nursery.board.wait_for("claim: refused; flash it again with bench-flash --claim", WAIT_S)
    assert nursery.claims.things == {} and nursery.readings() == []
    nursery.listed = True
    nursery.cut()
    nursery.up()


def test_a_claim_that_has_run_out(kit: Kit, tmp_path: Path) -> None:
    with Nursery(kit, tmp_path, good_s=-1) as nursery:
        nursery.claims.deactivate(nursery.seed)
        nursery.board.start()
        text = "claim: expired; flash it again with bench-flash --claim; next try in"
        nursery.board.wait_for(text, WAIT_S)
        assert nursery.claims.requests == [] and nursery.claims.things == {}
