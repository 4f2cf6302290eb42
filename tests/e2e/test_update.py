"""Updates by jobs and streams, on a board with an ESP32's heap and the scripted AWS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import Field, Kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Kit:
    return Kit(tmp_path_factory.mktemp("kit"), umqtt_dir)


@pytest.fixture
def field(kit: Kit, tmp_path: Path) -> Iterator[Field]:
    with Field(kit, tmp_path) as made:
        yield made


def test_an_update_of_one_file(field: Field, kit: Kit) -> None:
    field.start()
    field.offer(kit.release())
    ended = field.ended()
    assert (ended.status, ended.details) == ("SUCCEEDED", {"version": "9.0.0"})
    assert field.slot() == "ba"
    field.reported(firmware="9.0.0")
    seqs = field.readings()
    assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))
