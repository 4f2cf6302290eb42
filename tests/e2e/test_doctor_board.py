"""`doctor --port` with the real mpremote and firmware on a virtual ESP32: its own view, broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.esp import fixtures
from tests.esp.fixtures import Cli, cli, plug  # noqa: F401
from tools.board import boot_check, prepare
from tools.doctor import board as doctor_board
from tools.doctor.run import FAILED, OK, UNKNOWN, Finding
from tools.sim.esp import images
from tools.sim.esp.server import Server
from tools.things import boards
from tools.things.folder import Folder

SETTINGS = {"sensor": "bme280@0x76", "temperature": 21.5}
Examine = Callable[[], dict[str, Finding]]


@pytest.fixture
def thing(new_device, cli: Cli) -> str:
    """A thing provisioned in the local AWS, its folder in things/."""
    device = new_device(interval_s=1)
    shutil.copytree(device.things, cli.things / device.thing)
    return str(device.thing)


@pytest.fixture
def put(plug: Callable[..., Server], cli: Cli, thing: str) -> Callable[..., Server]:
    """put(settings, **config) -> a running board; ``config``: how its config.json differs."""

    def make(settings: dict[str, Any], files: dict[str, bytes] | None = None, **config: Any):
        board = plug(settings=SETTINGS | settings)
        tree = prepare.tree(cli.things / thing, boards.get("esp32"))
        own = json.loads(tree["config.json"]) | config
        compact = json.dumps(own, separators=(",", ":")).encode()
        fixtures.put(
            board,
            images.stock("esp32").read_bytes(),
            tree | {"config.json": compact} | (files or {}),
        )
        return board

    return make


@pytest.fixture
def examine(cli: Cli, thing: str, monkeypatch) -> Callable[[Server], dict[str, Finding]]:
    """examine(board) -> every finding by the name of its check; waits 6 s instead of 90."""
    monkeypatch.setattr(boot_check, "watch", partial(boot_check.watch, timeout_s=6.0))

    def ask(board: Server) -> dict[str, Finding]:
        found = doctor_board.examine(board.url, thing, Folder(cli.things / thing))
        return {finding.check: finding for finding in found}

    return ask


def test_another_configuration_then_deploy(put, examine, cli: Cli, thing: str) -> None:
    board = put({}, interval_s=2, files={"data/crash.log": b"after 9 s\nMemoryError: \n"})
    found = examine(board)
    assert (found["board: files"].state, found["board: AWS"].state) == (FAILED, OK)
    assert found["board: files"].text.endswith(": config.json")
    assert found["board: files"].remedy == f"make deploy THING={thing} PORT={board.url}"
    assert found["board: last crash"].state == UNKNOWN
    assert "MemoryError" in found["board: last crash"].text
    cli.ok("deploy", thing, "--port", board.url)
    assert examine(board)["board: files"].state == OK


@pytest.mark.parametrize(
    ("settings", "check", "remedy"),
    [
        ({"sensor": "none"}, "board: sensor", "wiring"),
        (
            {"wifi": {"networks": [{"ssid": "x", "password": "12345678"}]}},
            "board: Wi-Fi",
            "config",
        ),
        ({"ntp": {"up": False}}, "board: time", "UDP port 123"),
    ],
)
def test_what_the_board_sees(
    put, examine, settings: dict[str, Any], check: str, remedy: str
) -> None:
    found = examine(put(settings))
    assert found["board: files"].state == OK
    broken = {name: f for name, f in found.items() if f.state == FAILED}
    assert list(broken) == [check]
    assert remedy in broken[check].remedy


def test_nobody_at_the_endpoint(put, examine) -> None:
    found = examine(put({}, port=1))
    assert found["board: files"].state == FAILED
    assert found["board: AWS"].state == FAILED
    assert "tcp" in found["board: AWS"].text
    assert "firewall" in found["board: AWS"].remedy
