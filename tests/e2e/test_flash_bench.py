"""A bench of boards: several at once, failures named and done again, nothing given twice."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.esp import fixtures
from tests.esp.fixtures import cli, firmware_file, plug  # noqa: F401
from tests.host import pki
from tools.board import image


@pytest.fixture
def fleet(cli, tmp_path: Path) -> Path:
    """Three provisioned things and a fleet.csv with them."""
    for name in ("barn-1", "barn-2", "barn-3"):
        folder = cli.things / name
        pki.folder(folder / "certs")
        config = {"thing_name": name, "endpoint": "localhost", "wifi": [{"ssid": "barn"}]}
        (folder / "config.json").write_text(json.dumps(config))
    path = tmp_path / "fleet.csv"
    path.write_text("thing,place\nbarn-1,north\nbarn-2,south\nbarn-3,east\n")
    return path


def record(fleet: Path) -> list[dict[str, str]]:
    with (fleet.parent / "fleet-flashed" / "flashed.csv").open() as file:
        return list(csv.DictReader(file))


def thing_on(server) -> str:
    return json.loads(fixtures.files_of(server)["config.json"])["thing_name"]


def test_bench(plug, cli, fleet, firmware_file):
    macs = [bytes([0x24, 0x6F, 0x28, 0, 0, n]) for n in (1, 2, 3)]
    servers = [plug(mac=mac) for mac in macs]
    servers[1].board.faults.silent = True
    ports = [arg for server in servers for arg in ("--port", server.url)]
    order = ("bench-flash", "--fleet", fleet, "--firmware", firmware_file, "--once")
    ran = cli(*order, *ports)
    assert ran.returncode == 1, ran.stderr
    assert "2 flashed, 1 failed, 1 things left" in ran.stdout
    assert re.search(rf"{servers[1].url}  failed: the board .* does not answer", ran.stdout)
    done = {row["mac"]: row["thing"] for row in record(fleet)}
    assert set(done.values()) == {"barn-1", "barn-2"}
    for server in (servers[0], servers[2]):
        assert thing_on(server) == done[server.board.mac.hex(":")]
        assert image.has_filesystem(server.board.flash.read(0x200000, 8192))
    for mac, thing in done.items():
        assert f"label  {thing}  {mac}" in ran.stdout
        assert (fleet.parent / "fleet-flashed" / f"{thing}.svg").read_text().startswith("<?xml")

    # The same bench again, the bad board mended: it gets the thing that was left, no other does.
    before = [server.board.flash.erased for server in servers]
    servers[1].board.faults.silent = False
    said = cli.ok(*order, *ports)
    assert "1 flashed, 0 failed, 0 things left" in said
    assert f"24:6f:28:00:00:01 is {done['24:6f:28:00:00:01']} already" in said
    assert [s.board.flash.erased for s in servers][::2] == before[::2]
    assert {row["thing"] for row in record(fleet)} == {"barn-1", "barn-2", "barn-3"}
    assert thing_on(servers[1]) == "barn-3"


def test_bad_fleet_file(cli, fleet):
    fleet.write_text("thing\nbarn-1\n\nbarn-1\n")
    said = cli.refused("bench-flash", "--fleet", fleet, "--once")
    assert "line 4: barn-1 is on line 2 already" in said
    fleet.write_text("name_of_it\nbarn-1\n")
    assert "no column named thing" in cli.refused("bench-flash", "--fleet", fleet, "--once")
