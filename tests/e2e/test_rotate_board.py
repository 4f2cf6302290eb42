"""New certificates by jobs, on a board with an ESP32's heap and an AWS that knows certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rotations import Garden
from tests.e2e.updates import Kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Kit:
    return Kit(tmp_path_factory.mktemp("kit"), umqtt_dir)


@pytest.fixture
def garden(kit: Kit, tmp_path: Path) -> Iterator[Garden]:
    with Garden(kit, tmp_path) as made:
        yield made
        assert made.faults == []


def test_there_and_back(garden: Garden) -> None:
    garden.start()
    for slot in ("ab", "aa"):
        number = garden.rotate()
        assert garden.slot() == slot
        garden.under(number)  # the old one is INACTIVE, and its session was ended
        garden.arrive()
    garden.complete()
