"""How `things` and `watch` judge real boards: one that is well, one without a sensor, one dead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware.version import VERSION
from tools import cli
from tools.aws import local
from tools.aws.clients import Clients


@pytest.fixture
def here(cloud: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `--local` finds."""
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud.info, tmp_path / "cloud.json")))


def things(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["things", *words, "--json", "--local"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {one["thing"]: one for one in found}


def test_a_dead_sensor_and_a_dead_board_are_seen(
    here: None,
    clients: Clients,
    new_device: Any,
    boot: Any,
    listener: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    well, blind, dead = (new_device(interval_s=4) for _ in range(3))
    names = [device.thing for device in (well, blind, dead)]
    boards = [boot(well), boot(blind, sensor="none"), boot(dead)]
    for name in names:
        listener.wait(f"devices/{name}/status", lambda m: m.get("online"), 30)
    listener.wait(f"devices/{well.thing}/data")
    listener.wait(f"devices/{dead.thing}/data")
    boards[2].kill()
    listener.wait(f"devices/{dead.thing}/status", lambda m: not m["online"], 30)
    found = things(capsys, *names)
    assert list(found) == [dead.thing, blind.thing, well.thing]  # worst first
    states = {name: (one["state"], one["healthy"]) for name, one in found.items()}
    assert states[well.thing] == ("online", True)
    assert states[blind.thing] == ("late", False)
    assert states[dead.thing] == ("offline", False)
    assert found[blind.thing]["sensor"] == "none"
    assert "no known sensor found" in found[blind.thing]["problems"][0]["text"]
    ours = found[well.thing]
    assert ours["last_reading_age_s"] < 60 and ours["temperature"] is not None
    assert (ours["version"], ours["clock"]) == (VERSION, "known")
    assert ours["certificates"][0]["status"] == "ACTIVE"
    assert ours["unknown"] == {}
    chosen = things(capsys, *names, "--filter", "healthy=no problem=sensor", "--listen", "0")
    assert list(chosen) == [blind.thing]
