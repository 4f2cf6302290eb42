"""From a bare board to its first reading in AWS, with the real esptool, mpremote and firmware."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import stored
from tests.e2e.test_main_job import wait_until
from tests.esp import fixtures
from tests.esp.fixtures import Cli, cli, plug  # noqa: F401
from tools.aws import local
from tools.board import image, prepare, stage
from tools.errors import ToolError
from tools.sim.esp import images
from tools.sim.esp.server import Server
from tools.things import boards

SETTINGS = {"sensor": "bme280@0x76", "temperature": 21.5}


@pytest.fixture
def thing(new_device, cli: Cli) -> str:
    """A thing provisioned in the local AWS, its folder in things/."""
    device = new_device(interval_s=1)
    shutil.copytree(device.things, cli.things / device.thing)
    return str(device.thing)


@pytest.fixture
def board(plug: Callable[..., Server]) -> Server:
    """A bare ESP32 with a sensor, in a place with Wi-Fi."""
    return plug(settings=dict(SETTINGS))


def test_bare_board_to_first_reading(board, thing, cli, cloud, listener, tmp_path, monkeypatch):
    stock, folder, staged = images.stock("esp32"), cli.things / thing, tmp_path / "staged"
    stage.stage(folder / "config.json", folder / "certs", staged)
    tree = ("--tree", staged)
    said = cli.ok("flash", thing, "--port", board.url, "--firmware", stock, *tree)
    for step in ("config", "sensor", "Wi-Fi", "time", "AWS"):
        assert f"\n{step} " in said, step
    assert "921600 baud" in said
    reading = listener.wait(f"devices/{thing}/data")
    assert reading["temperature"] == pytest.approx(21.5, abs=0.05)
    data = stock.read_bytes()
    assert board.board.flash.read(0x1000, len(data)) == data
    found = fixtures.files_of(board)
    given = {name: data for name, data in found.items() if not name.startswith("data/")}
    assert given == image.tree(staged)
    record = json.loads((folder / "board.json").read_text())
    assert (record["chip"], record["mac"]) == ("ESP32", "24:6f:28:aa:bb:cc")
    assert record["micropython"]["version"] == "1.25.0"
    # The same board, unchanged, in the hands of the doctor.
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud.info, tmp_path / "cloud.json")))
    said = cli.ok("doctor", thing, "--local", "--out", folder, "--port", board.url)
    for name in ("files", "last crash", "config", "sensor", "Wi-Fi", "time", "AWS"):
        assert f"ok   board: {name}: " in said


def stored_on(board: Server) -> int:
    """How many readings are on its flash; 0 in the middle of a write."""
    try:
        return stored(fixtures.files_of(board))
    except ToolError:
        return 0


def test_readings_that_wait_survive_a_new_flash(board, thing, cli, listener):
    stock, folder = images.stock("esp32"), cli.things / thing
    tree = prepare.tree(folder, boards.get("esp32"))
    config = json.loads(tree["config.json"]) | {"port": 1}  # a wrong port: nobody answers there
    fixtures.put(board, stock.read_bytes(), tree | {"config.json": json.dumps(config).encode()})
    board.wait_for("link: .* next try")
    wait_until(lambda: stored_on(board) >= 3, "three readings that cannot be sent")
    before = time.time()
    said = cli.ok("flash", thing, "--port", board.url, "--firmware", stock)
    # From the flash where a busy machine lets mpremote's ten seconds pass.
    assert re.search(r" files kept \(read (through the REPL|from the flash)\)", said)
    topic = f"devices/{thing}/data"
    listener.wait(topic, lambda m: m["timestamp"] > before + 1)
    found = [(m["seq"], m["timestamp"]) for m in listener.on(topic)]
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    assert found == sorted(found, key=lambda pair: pair[1])
    assert found[0][1] < before
    assert not list((folder / "rescued").glob("*"))


def test_esp8266_gets_der_files_and_the_flash_size_in_its_header(
    new_device,
    plug,
    cli,
    clients,
    tmp_path,
):
    from tools.aws.provision import provision
    from tools.sim.devices import WIFI

    provision(clients, "e2e-small", cli.things / "e2e-small", wifi=WIFI, board="esp8266")
    server = plug(chip_name="esp8266", flash_bytes=4 << 20)
    stock = images.stock("esp8266")
    said = cli.ok("flash", "e2e-small", "--port", server.url, "--firmware", stock, "--no-wait")
    assert "ESP8266" in said
    header = server.board.flash.read(0, 4)
    assert header[3] & 0xF0 == 0x40  # esptool's code for 4 MB: MicroPython goes by that
    assert server.board.flash.read(4, stock.stat().st_size - 4) == stock.read_bytes()[4:]
    found = fixtures.files_of(server)
    assert {"certs/ca.der", "certs/cert.der", "certs/key.der"} <= set(found)
