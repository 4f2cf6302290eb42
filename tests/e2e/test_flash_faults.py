"""What goes wrong on a bench: one clear error each, and flashing again simply works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.esp import fixtures
from tests.esp.fixtures import cli, firmware_file, plug  # noqa: F401
from tools.board import esptool, image
from tools.errors import ToolError
from tools.sim.esp import images


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    return fixtures.tree(tmp_path / "staged")


@pytest.fixture
def order(firmware_file: Path, staged: Path) -> tuple[str | Path, ...]:
    """The arguments of a flash with small, made files; the port is to be added."""
    return ("flash", "barn-1", "--firmware", firmware_file, "--tree", staged)


def test_wrong_chip_is_refused_before_anything_is_erased(plug, cli, order):
    server = plug(chip_name="esp32c3")
    before = server.board.flash.read(0, 4 << 20)
    said = cli.refused(*order, "--port", server.url)
    assert "ESP32-C3, not an esp32" in said
    assert "BOARD=esp32c3" in said
    assert server.board.flash.erased == 0
    assert server.board.flash.read(0, 4 << 20) == before


def test_firmware_for_another_chip(plug, cli, staged):
    server = plug(chip_name="esp32c3")
    stock = images.stock("esp32")
    args = ("--tree", staged, "--board", "esp32c3", "--port", server.url)
    said = cli.refused("flash", "barn-1", "--firmware", stock, *args)
    assert "made for esp32, not for esp32c3" in said
    assert server.received == 0  # said before the port was even opened


def test_tree_too_large_for_the_partition(plug, cli, staged, tmp_path):
    firmware = tmp_path / "small.bin"
    firmware.write_bytes(images.firmware(vfs=(0x200000, 0x8000)))
    server = plug()
    args = ("--firmware", firmware, "--tree", staged, "--port", server.url)
    said = cli.refused("flash", "barn-1", *args)
    assert re.search(r"do not fit the 32,768 bytes", said)
    assert server.board.flash.erased == 0


def test_port_that_asks_for_a_password(plug, cli, order):
    server = plug(password=True)
    said = cli.refused(*order, "--port", server.url)
    assert "does not speak RFC 2217" in said
    assert "password" in said


def test_board_that_does_not_answer(plug, cli, order):
    server = plug()
    server.board.faults.silent = True
    said = cli.refused(*order, "--port", server.url)
    assert "does not answer" in said
    assert "BOOT" in said


def test_no_such_port(cli, order):
    said = cli.refused(*order, "--port", "/dev/ttyNONE7")
    assert "there is no port /dev/ttyNONE7" in said
    said = cli.refused(*order, "--port", "rfc2217://127.0.0.1:1")
    assert "cannot be opened" in said


def test_power_lost_at_half_then_again(plug, cli, order, staged):
    server = plug()
    files = image.tree(staged) | {"data/outbox": b"reading " * 500}
    fixtures.put(server, images.firmware(seed=9), files)
    server.board.flash.programmed = 0
    server.board.faults.power_cut_after = 50_000  # about half
    said = cli.refused(*order, "--port", server.url, "--baud", "115200")
    assert "connection failed" in said or "does not answer" in said
    assert server.board.flash.programmed < 100_000
    saved = list((cli.things / "barn-1" / "rescued").rglob("outbox"))
    assert [path.read_bytes() for path in saved] == [b"reading " * 500]
    server.board.faults.silent = False  # the power is back
    server.do(server.board.power_on)
    said = cli.ok(*order, "--port", server.url)
    assert "interrupted run" in said
    assert fixtures.files_of(server) == files
    assert not list((cli.things / "barn-1" / "rescued").glob("*"))


def test_port_vanishes_in_the_middle(plug, cli, order):
    server = plug()
    server.board.faults.vanish_after = 40_000
    said = cli.refused(*order, "--port", server.url, "--baud", "115200")
    assert "cannot be opened" in said or "connection failed" in said


def test_falls_back_to_115200_when_the_fast_rate_fails(plug, cli, order, staged):
    server = plug()
    server.board.faults.max_baud = 500_000
    said = cli.ok(*order, "--port", server.url)
    assert "once more at 115200" in said
    assert "verified at 115200 baud" in said
    assert fixtures.files_of(server) == image.tree(staged)


def test_board_that_gives_no_repl_is_read_by_esptool(plug, cli, order, staged):
    server = plug()
    deaf = b"import micropython, time\nmicropython.kbd_intr(-1)\nprint('deaf')\n"
    files = {"main.py": deaf + b"while True:\n    time.sleep(1)\n"}
    files |= {"config.json": b'{"thing_name": "barn-1"}', "data/outbox": b"reading " * 99}
    vfs = (0x200000, 0x20000)
    fixtures.put(server, images.firmware(vfs=vfs), files)
    server.wait_for("deaf")
    said = cli.ok(*order, "--port", server.url)
    assert "reading the flash instead" in said
    assert "read from the flash" in said
    assert fixtures.files_of(server)["data/outbox"] == b"reading " * 99


def test_board_of_another_thing_keeps_its_readings_on_the_host(plug, cli, order, staged):
    for _ in range(3):  # a busy machine may not have booted it in time: then the flash is read
        server = plug()
        files = {
            "main.py": b"",
            "config.json": b'{"thing_name": "shed-9"}',
            "data/outbox": b"shed",
        }
        fixtures.put(server, images.firmware(), files)
        server.wait_for(">>> ")
        said = cli.ok(*order, "--port", server.url)
        assert "the board was shed-9" in said
        rescued = cli.things / "shed-9/rescued/246f28aabbcc/data/outbox"
        assert rescued.read_bytes() == b"shed"
        assert "data/outbox" not in fixtures.files_of(server)
        if "reading the flash instead" not in said:  # it gives a REPL
            return
    pytest.fail(said)


def test_keep_no_leaves_readings_behind(plug, cli, order, staged):
    server = plug()
    fixtures.put(server, images.firmware(), image.tree(staged) | {"data/outbox": b"old"})
    cli.ok(*order, "--keep", "no", "--port", server.url)
    assert fixtures.files_of(server) == image.tree(staged)


def test_board_that_boots_but_finds_no_wifi(plug, cli, firmware_file, tmp_path):
    log = "[     0.100] config: barn-1 at localhost\n[     0.200] sensor: mcp9808@0x18\n"
    log += "[     9.000] wifi: not joined barn, wrong password\n"
    staged = fixtures.tree(tmp_path / "lonely", log=log)
    server = plug()
    args = ("--firmware", firmware_file, "--tree", staged, "--port", server.url)
    said = cli.refused("flash", "barn-1", *args, "--timeout", "2")
    assert "barn-1 is flashed, but: Wi-Fi: not joined barn, wrong password" in said
    assert "wifi.0.password" in said


def test_erase_and_read_through_the_real_esptool(plug, cli):
    server = plug()
    server.board.flash.program(0x123000, b"something")
    data = esptool.read(server.url, 0x122000, 0x2000, 115200, lambda part: None)
    assert data == server.board.flash.read(0x122000, 0x2000)
    assert "is erased" in cli.ok("erase", "--port", server.url, "--yes")
    assert server.board.flash.read(0, 4 << 20) == b"\xff" * (4 << 20)
    with pytest.raises(ToolError):
        esptool.read(server.url, 4 << 20, 0x1000, 115200, lambda part: None)
