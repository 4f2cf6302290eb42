"""What the tests on a virtual ESP32 share: boards on ports, staged trees, the command line."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.esp import images
from tests.esp.board import Board
from tests.esp.server import Server
from tools import toolchain
from tools.board import boards, image

ROOT = Path(__file__).resolve().parents[2]
# What our firmware says when all is well, from a main.py that needs nothing.
GOOD_LOG = """\
[     0.100] config: {thing} at localhost
[     0.200] sensor: bme280@0x76
[     0.300] wifi: joining barn
[     0.400] wifi: up 192.168.4.2 rssi -60
[     0.500] clock: 847000000 s2000 from pool.ntp.org
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
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def frozen(folder: Path) -> Path:
    """What a board of ours has built in: the simulated hardware, and umqtt."""
    sim = ROOT / "tools" / "sim"
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("shims", "chips"):
        shutil.copytree(sim / name, folder / "sim" / name, ignore=ignore)
    shutil.copytree(toolchain.umqtt_dir(), folder / "lib", ignore=ignore)
    return folder


def put(server: Server, firmware: bytes, files: dict[str, bytes]) -> None:
    """Write flash behind the board's back, as an earlier flash would have left it, and boot."""
    board = server.board

    def write() -> None:
        board.power_off()
        board.flash.program(boards.get(board.chip_name).flash_offset, firmware)
        start, size = board.filesystem()
        board.flash.program(start, image.build(files, size))
        board.power_on()

    server.do(write)  # by the board's own thread: it may be about to boot


def files_of(server: Server) -> dict[str, bytes]:
    """Every file in the flash of the board."""
    return image.read(server.board.flash.read(*server.board.filesystem()))


def environment() -> dict[str, str]:
    """What every program of these tests gets: short waits (quick/), few attempts, no colour."""
    quick = Path(__file__).with_name("quick")
    return os.environ | {
        "PYTHONPATH": str(quick),
        "ESPTOOL_CFGFILE": str(quick / "esptool.cfg"),
        "NO_COLOR": "1",
    }


class Cli:
    """`python -m tools …` as a user runs it, with its own things/."""

    def __init__(self, things: Path) -> None:
        self.things = things

    def __call__(
        self, *args: str | Path, timeout: float = 110
    ) -> subprocess.CompletedProcess[str]:
        env = environment() | {"FIELDMOUSE_THINGS": str(self.things)}
        argv = [sys.executable, "-m", "tools", *map(str, args)]
        ran = subprocess.run(
            argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout
        )
        print(f"$ {' '.join(map(str, args))} -> {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran

    def ok(self, *args: str | Path, timeout: float = 110) -> str:
        """Run it; it must succeed. Returns what it said."""
        ran = self(*args, timeout=timeout)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def refused(self, *args: str | Path, timeout: float = 110) -> str:
        """Run it; it must end with exit code 2 and no traceback. Returns what it complained."""
        ran = self(*args, timeout=timeout)
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
        built_in = frozen(tmp_path / "frozen")

        def make(timed: bool = False, password: bool = False, **options: Any) -> Server:
            folder = tmp_path / f"board-{len(list(tmp_path.glob('board-*')))}"
            board = Board(folder, toolchain.micropython(64), frozen=built_in, **options)
            server = stack.enter_context(Server(board, timed=timed, password=password))
            stack.callback(lambda: print(f"--- {folder.name}", bytes(server.log[-1500:])))
            return server

        yield make


@pytest.fixture
def firmware_file(tmp_path: Path) -> Path:
    """A small valid firmware for an ESP32."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(images.firmware())
    return path
