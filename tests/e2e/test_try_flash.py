"""`make try-flash` as a user runs it, and the commands for its board from another terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.esp import fixtures
from tools.toolchain import ROOT

pytestmark = pytest.mark.timeout(300)
_LIMIT_S = 200


@dataclass
class Trial:
    """A running try-flash; ``home`` is where its cloud is announced and its things are."""

    process: subprocess.Popen[str]
    said: str
    port: str
    home: Path

    def begin(self, *args: str) -> subprocess.Popen[str]:
        """A command in another terminal."""
        return start(self.home, *args)

    def ok(self, *args: str) -> str:
        """A command that must succeed; what it said."""
        with self.begin(*args) as process:
            said, _ = process.communicate(timeout=90)
            assert process.returncode == 0, said
            return str(said)


def start(home: Path, *args: str) -> subprocess.Popen[str]:
    """A command, with its own place for cloud and things."""
    return subprocess.Popen(
        [sys.executable, "-m", "tools", *args],
        cwd=ROOT,
        env=fixtures.environment() | {"FIELDMOUSE_CLOUD": str(home / "cloud.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def trying(home: Path, *options: str) -> Iterator[Trial]:
    """A try-flash whose board is flashed; it ends with the context, if it has not before."""
    with start(home, "try-flash", *options) as process:
        clock = threading.Timer(_LIMIT_S, process.kill)
        clock.start()
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C stops"):
                break
        clock.cancel()
        try:
            found = re.search(r"make logs PORT=(\S+)", said)
            assert found, said
            yield Trial(process, said, found[1], home)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """One for several tests, where a killed run has left something; the last of them ends it."""
    home = tmp_path_factory.mktemp("try")
    folder = home / "things" / "try-1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("what a killed run has left")
    with trying(home) as trial:
        yield trial


def test_a_board_is_flashed(it):
    steps = re.findall(r"^(\S+) ", it.said, re.M)
    wanted = ["cloud", "thing", "board", "firmware", "$", "chip", "image", "write", "boot"]
    assert [step for step in dict.fromkeys(steps) if step in wanted] == wanted
    for step in ("config", "sensor", "Wi-Fi", "time", "AWS"):
        assert re.search(rf"^{step} .*✓$", it.said, re.M), it.said
    assert "the stock build" in it.said
    assert "reports to AWS" in it.said
    key = it.home / "things" / "try-1" / "certs" / "key.pem"
    assert key.stat().st_mode & 0o77 == 0


def test_every_command_works_on_it(it):
    assert "try-1" in it.ok("watch", "try-1", "--local", "-n", "1")  # a reading has arrived
    on_board = ("--port", it.port, "--local")
    assert "sent; the board restarts" in it.ok("config", "try-1", "interval_s=2", *on_board)
    assert "0 sent" in it.ok("deploy", "try-1", *on_board)
    with it.begin("rotate", "try-1", "--local") as rotating:  # waits for the board
        assert rotating.stdout is not None
        while "make deploy" not in rotating.stdout.readline():
            pass
        assert "sent     certs/cert.pem" in it.ok("deploy", "try-1", *on_board)
        assert rotating.wait(60) == 0
    assert "no crash is recorded" in it.ok("crashlog", "--port", it.port)
    said = it.ok("logs", "--port", it.port, "--reset", "--seconds", "8")
    assert said.startswith(f"following {it.port}; Ctrl-C ends")
    assert "link: up" in said


def test_repl_shows_a_prompt_at_once_and_the_firmware_starts_again(it):
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "tools", "repl", "--port", it.port]
    with subprocess.Popen(argv, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave) as repl:
        os.close(slave)
        clock = threading.Timer(60, repl.kill)
        clock.start()
        fixtures.until(master, b">>> ")
        os.write(master, b"6*7\r")
        fixtures.until(master, b"42")
        os.write(master, b"\x1d")  # Ctrl-]
        assert repl.wait(20) == 0
        clock.cancel()
    os.close(master)
    # It was stopped, and reads again.
    assert "try-1" in it.ok("watch", "try-1", "--local", "-n", "1")


def test_ctrl_c_ends_it_and_nothing_is_left(it):
    it.process.send_signal(signal.SIGINT)
    assert "everything is stopped" in it.process.communicate(timeout=30)[0]
    assert it.process.returncode == 0
    assert not (it.home / "things" / "try-1").exists()
    assert not (it.home / "cloud.json").exists()


@pytest.mark.parametrize("board", ["esp32c3", "esp8266"])
def test_other_boards(tmp_path, board):
    with trying(tmp_path, "--board", board, "--thing", "barn-1") as trial:
        assert re.search(r"^AWS .*✓$", trial.said, re.M), trial.said
        assert ("a stand-in" in trial.said) == (board == "esp32c3")


def test_what_cannot_be_is_said_before_anything_starts(tmp_path):
    def refused(*options: str) -> str:
        process = start(tmp_path, "try-flash", *options)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 2, said
        return str(said)

    assert "BOARD=esp32 or BOARD=" in refused("--board", "esp32s2")
    assert "svg" in refused("--svg", str(tmp_path / "none" / "x.svg")).lower()


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path):
    with start(tmp_path, "try-flash") as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("chip"):
            pass
        processes = _below(process.pid)
        try:
            for _ in range(2):  # Python may lose one, in the middle of a callback
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=20)
                    break
        finally:
            process.kill()
    assert process.returncode == 0
    assert len(processes) >= 1
    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []
    assert list((tmp_path / "things").iterdir()) == []
    assert not (tmp_path / "cloud.json").exists()


def _below(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found
