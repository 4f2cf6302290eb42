"""What the tests on a virtual ESP32 share: boards on ports, staged trees, the command line."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tools.board import image
from tools.cli import main
from tools.sim.esp import images
from tools.sim.esp.board import Board
from tools.sim.esp.server import QUICK, Server
from tools.things import boards

ROOT = Path(__file__).resolve().parents[2]
# What our firmware says when all is well, from a main.py that needs nothing.
GOOD_LOG = """\
[     0.100] config: {thing} at localhost
[     0.200] sensor: bme280@0x76
[     0.300] wifi: joining barn
[     0.400] wifi: up 192.168.4.2, -60 dBm
[     0.500] clock: 2026-11-03 05:46:40 UTC from pool.ntp.org
[     0.600] link: up, session new
"""


def tree(folder: Path, thing: str = "barn-1", log: str = GOOD_LOG, **files: bytes) -> Path:
    """Make a staged folder by hand: its main.py prints ``log``, then runs on; adds ``files``."""
    said = log.format(thing=thing)
    contents = {
        "boot.py": b"import gc\n",
        "main.py": f"import time\nprint({said!r})\nwhile True:\n    time.sleep(1)\n".encode(),
        "config.json": f'{{"thing_name":"{thing}"}}'.encode(),
        "firmware/version.py": b'VERSION = "0.1.0"\n',
        "firmware/core/rules.py": b"# rules\n" * 700,
        "certs/ca.pem": b"-----BEGIN CERTIFICATE-----\n",
        **{name.replace("__", "/"): data for name, data in files.items()},
    }
    image.write_files(folder, contents)
    return folder


def put(server: Server, firmware: bytes, files: dict[str, bytes]) -> None:
    """Write flash behind the board's back, as an earlier flash would have left it, and boot."""
    board = server.board

    def write() -> None:
        board.power_off()
        board.flash.program(boards.get(board.chip_name).flash_offset, firmware)
        start, size = board.filesystem()
        board.flash.program(start, image.FileSystem(files, size).image())
        board.power_on()

    server.do(write)  # by the board's own thread: it may be about to boot


def files_of(server: Server) -> dict[str, bytes]:
    """Every file in the flash of the board."""
    return image.read(server.board.flash.read(*server.board.filesystem()))


def environment() -> dict[str, str]:
    """What every program of these tests gets: short waits (quick/), few attempts, no colour."""
    return os.environ | {
        "PYTHONPATH": str(QUICK),
        "ESPTOOL_CFGFILE": str(QUICK / "esptool.cfg"),
        "NO_COLOR": "1",
    }


def until(fd: int, text: bytes) -> bytes:
    """What a program on a terminal says, up to ``text``."""
    said = b""
    while text not in said:
        try:
            chunk = os.read(fd, 4096)
        except OSError as e:  # the program has ended
            raise AssertionError(f"{text!r} did not come, but {said!r}") from e
        said += chunk
    return said


class Cli:
    """`python -m tools …` with its own things/, but in this process: a start takes half a second.

    As a program of its own it runs in test_try_flash.py.
    """

    def __init__(self, things: Path) -> None:
        self.things = things

    def __call__(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [str(arg) for arg in args]
        out, err = io.StringIO(), io.StringIO()
        env = environment() | {"FIELDMOUSE_THINGS": str(self.things)}
        with (
            mock.patch.dict(os.environ, env),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(argv)
        ran = subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())
        print(f"$ {' '.join(argv)} -> {code}\n{ran.stdout}{ran.stderr}")
        return ran

    def ok(self, *args: str | Path) -> str:
        """Run it; it must succeed. Returns what it said."""
        ran = self(*args)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def refused(self, *args: str | Path) -> str:
        """Run it; it must end with exit code 2. Returns what it complained."""
        ran = self(*args)
        assert ran.returncode == 2, (ran.returncode, ran.stdout, ran.stderr)
        assert ran.stderr.startswith("error: ")
        assert "Traceback" not in ran.stderr + ran.stdout
        return ran.stderr


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The command line; `cli.things` is its things/."""
    return Cli(tmp_path / "things")


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """plug(**options of Board) -> a running board behind `server.url`, unplugged at the end."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    with contextlib.ExitStack() as stack:

        def make(timed: bool = False, password: bool = False, **options: Any) -> Server:
            folder = tmp_path / f"board-{len(list(tmp_path.glob('board-*')))}"
            server = stack.enter_context(
                Server(Board(folder, **options), timed=timed, password=password)
            )
            stack.callback(lambda: print(f"--- {folder.name}", bytes(server.log[-1500:])))
            return server

        yield make


@pytest.fixture
def firmware_file(tmp_path: Path) -> Path:
    """A small valid firmware for an ESP32."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(images.firmware())
    return path
