"""`python -m tools sim` as a user runs it: what it shows, how it ends, and what it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.host.test_sim_board import gone
from tools.sim import folders

ROOT = Path(__file__).resolve().parents[2]
_UNTIL_S = 20.0
READING = re.compile(r"^\d\d:\d\d:\d\d  (\S+)  (-?\d+\.\d\d) °C .* seq (\d+)$")


@pytest.fixture(autouse=True)
def announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test's clouds apart from those of other tests, and of a `make sim` that runs now."""
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(tmp_path / "cloud.json"))


class Sim:
    """A running `python -m tools sim`, without a terminal, and its output line by line."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools", "sim", *options],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    def until(self, pattern: str) -> re.Match[str]:
        """Read on to a line that matches; the end of the output, or of 20 s, is an error."""
        assert self.process.stdout is not None
        limit = threading.Timer(_UNTIL_S, self.process.kill)
        limit.start()
        try:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))
                found = re.search(pattern, self.lines[-1])
                if found:
                    return found
        finally:
            limit.cancel()
        raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.lines) + self.errors())

    def children(self) -> list[int]:
        """Processes that it has started."""
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for file in listed for pid in file.read_text().split()]

    def folder(self) -> Path:
        """The folder that it says its logs are in."""
        found = re.search(r"^Logs and devices: (\S+)\. ", "\n".join(self.lines), re.M)
        assert found
        return ROOT / found[1]

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def work(self, seconds: float) -> None:
        """Wait until it has had so much of a processor: what it does then does not depend on
        what else this machine has to do.
        """
        limit = time.monotonic() + _UNTIL_S
        while time.monotonic() < limit:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            if sum(map(int, stat[11:13])) >= seconds * os.sysconf("SC_CLK_TCK"):
                return
            time.sleep(0.01)

    def interrupt(self) -> None:
        """Ctrl-C, and once more if nothing follows: Python may lose one while it starts."""
        for _ in range(2):
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                return

    def end(self) -> tuple[int, str, str]:
        """Wait for it: exit code, what was left of its output, its errors."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def sim(*options: str) -> Iterator[Sim]:
    made = Sim(*options)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.communicate()


def test_readings_of_every_thing_are_shown_and_ctrl_c_stops_it_all() -> None:
    with sim("--things", "3", "--thing", "barn-7", "--interval", "1") as ran:
        for name in ("barn-7", "barn-8", "barn-9"):
            ran.until(rf"  {name}  \d+\.\d\d °C")
        assert any("tools shadow set barn-7 interval_s=2 --local" in line for line in ran.lines)
        children = ran.children()
        assert len(children) == 4
        folder = ran.folder()
        assert (folder / "barn-9.log").is_file()
        ran.process.send_signal(signal.SIGINT)
        code, out, err = ran.end()
    assert (code, err) == (0, "")
    last = out.splitlines()[-1]
    assert re.fullmatch(r"\d+ readings of 3 things, the first one .* everything is stopped", last)
    assert all(gone(pid) for pid in children)
    assert not folder.exists()


def test_it_follows_sensor_temperature_interval_and_duration(tmp_path: Path) -> None:
    svg = tmp_path / "sim.svg"
    options = ("--sensor", "mcp9808", "--temperature", "-7.5", "--interval", "1")
    with sim(*options, "--duration", "6", "--svg", str(svg)) as ran:
        ran.until("everything is stopped")
        code, _, err = ran.end()
    assert (code, err) == (0, "")
    found = [m for m in map(READING.match, ran.lines) if m]
    assert len(found) >= 3
    assert {m[2] for m in found} == {"-7.50"}
    numbers = [int(m[3]) for m in found]
    assert sorted(set(numbers)) == list(range(1, max(numbers) + 1))
    text = svg.read_text("utf-8")
    assert text.startswith("<svg")
    assert "demo-1" in text
    assert "-7.50" in text


def test_an_esp8266_is_run_as_one() -> None:
    with sim("--board", "esp8266", "--interval", "1") as ran:
        ran.until("hPa  seq 2$")
        certs = ran.folder() / "demo-1" / "board" / "certs"
        assert sorted(path.name for path in certs.iterdir()) == ["ca.der", "cert.der", "key.der"]
        ran.process.send_signal(signal.SIGINT)
        assert ran.end()[0] == 0


def test_ctrl_c_while_it_starts_leaves_nothing() -> None:
    for busy_s in (0.1, 0.25, 0.5):
        with sim() as ran:
            ran.work(busy_s)
            children = ran.children()
            ran.interrupt()
            code, _, err = ran.end()
        assert "Traceback" not in err, err
        # By the signal itself: Python had not begun to run anything of ours.
        assert code in (0, 130, -signal.SIGINT)
        assert all(gone(pid) for pid in children)
        owners = [int(p.read_text()) for p in (ROOT / ".sim").glob("run-*/owner.pid")]
        assert ran.process.pid not in owners


def test_killed_outright_it_takes_its_processes_along_and_the_next_run_tidies_up() -> None:
    with sim() as ran:
        ran.until("link: up")
        children = ran.children()
        left = ran.folder()
        ran.process.kill()
    assert all(gone(pid) for pid in children)
    assert left.is_dir()
    folders.sweep(ROOT / ".sim")
    assert not left.exists()


def test_the_end_of_the_cloud_is_an_error_and_the_boards_end_too() -> None:
    with sim() as ran:
        ran.until("link: up")
        children = ran.children()
        cloud = [
            pid
            for pid in children
            if b"ministack_main.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert len(cloud) == 1
        os.kill(cloud[0], signal.SIGKILL)
        code, _, err = ran.end()
    assert code == 2
    assert err.startswith("error: MiniStack has ended; it said:")
    assert "Traceback" not in err
    assert all(gone(pid) for pid in children)


def test_the_commands_it_prints_change_the_interval() -> None:
    # The second one of two, so that its commands need the longer form.
    with sim() as other:
        other.until("link: up")
        with sim() as ran:
            ran.until("hPa  seq 1$")
            for way, wanted in (("shadow set", 2), ("command", 10)):
                printed = [x for x in ran.lines if f"tools {way} demo-1" in x]
                assert len(printed) == 1
                done = subprocess.run(
                    printed[0], shell=True, cwd=ROOT, capture_output=True, text=True, timeout=30
                )
                assert done.returncode == 0, done.stderr
                ran.until(rf"^demo-1: shadow: interval_s = {wanted}( after 0\.\d\d s)?$")


def test_two_at_a_time_have_clouds_of_their_own() -> None:
    with sim("--interval", "1") as first:
        first.until("link: up")
        with sim("--interval", "1") as second:
            second.until("hPa  seq 1$")
            prefix = r"  FIELDMOUSE_CLOUD=\.sim/cloud-\d+\.json \.venv/bin/python -m tools shadow"
            assert any(re.match(prefix, line) for line in second.lines)
            second.process.send_signal(signal.SIGTERM)
            assert second.end()[0] == 0
        first.until("hPa  seq ")
        first.process.send_signal(signal.SIGINT)
        assert first.end()[0] == 0


def test_chaos_between_board_and_cloud_is_shown_and_survived() -> None:
    plan = "latency=20ms,reset@3s,move@6s/1s"
    with sim("--interval", "1", "--chaos", plan) as ran:
        ran.until(f"The network between boards and cloud: {plan}")
        ran.until("chaos: reset@3s, 1 open")
        ran.until("link: closed")
        ran.until("chaos: move@6s/1s, [01] open")
        ran.until("link: up")
        ran.until("hPa  seq ")
        ran.process.send_signal(signal.SIGINT)
        code, out, _ = ran.end()
    assert code == 0 and "everything is stopped" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--things", "0"), "things: 0 is not 1 to 200"),
        (("--interval", "0"), "interval: 0 is not 1 to 86400"),
        (("--sensor", "foo"), "no chip 'foo'"),
        (("--temperature", "hot"), "hot is not known"),
        (("--thing", "no good"), "thing name 'no good'"),
        (("--board", "esp8267"), "no such board: esp8267"),
        (("--chaos", "rest@10s"), "'rest' is none of"),
    ],
)
def test_bad_options_end_it_before_anything_is_started(
    options: tuple[str, str], said: str
) -> None:
    with sim(*options) as ran:
        code, out, err = ran.end()
    assert code == 2
    assert said in err
    assert "try:" in err or "thing name" in err
    assert "MiniStack" not in out
