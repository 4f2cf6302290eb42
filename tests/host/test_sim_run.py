"""`python -m tools sim` as a user runs it: what it shows, how it ends, and what it leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
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
from tools.aws import local
from tools.sim import folders

ROOT = Path(__file__).resolve().parents[2]
_UNTIL_S = 60.0  # only for what hangs: a busy machine may take 20 s to make a release
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
        """Read on to a line that matches; the end of the output, or of a minute, is an error."""
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

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """End it by a signal, as it should; what was left of its output."""
        self.process.send_signal(number)
        code, out, err = self.end()
        assert (code, err) == (0, "")
        return out

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
        with made.process:
            made.process.kill()


def test_a_reader_that_has_had_enough_ends_it() -> None:
    with sim("--interval", "1") as ran:
        ran.until(READING.pattern)
        children = ran.children()
        assert ran.process.stdout is not None
        ran.process.stdout.close()
        assert (ran.process.wait(30), ran.errors()) == (0, "")
        assert all(gone(pid) for pid in children)


def test_readings_of_every_thing_are_shown_and_ctrl_c_stops_it_all() -> None:
    with sim("--things", "3", "--thing", "barn-7", "--interval", "1") as ran:
        for name in ("barn-7", "barn-8", "barn-9"):
            ran.until(rf"  {name}  \d+\.\d\d °C")
        assert any("tools shadow set barn-7 interval_s=2 --local" in line for line in ran.lines)
        assert any(re.search(r"MQTT is on port \d+, on this machine only", x) for x in ran.lines)
        children = ran.children()
        assert len(children) == 4
        folder = ran.folder()
        assert (folder / "barn-9.log").is_file()
        last = ran.stop().splitlines()[-1]
    assert re.fullmatch(
        r"\d+ readings of 3 things, 0 lost, the first one .* everything is stopped", last
    )
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


def test_a_scene_is_played_and_a_mistake_in_it_is_an_error_at_once() -> None:
    options = ("--sensor", "mcp9808", "--temperature", "ramp(4, 5, 0, 1)")
    with sim(*options, "--scene", "unplug@4..9", "--interval", "1") as ran:
        ran.until("demo-1: .*sensor: no .* found; on the bus: nothing")
        ran.until("demo-1: .*sensor: reads again")
        ran.until(READING.pattern)
        ran.stop()
    with sim("--scene", "unplug@4:0x44") as ran:
        code, _, err = ran.end()
    assert code == 2
    assert err.startswith("error: scene: unplug@4:0x44: no chip there; chips: 0x76\n  try: ")


def test_an_esp8266_is_run_as_one_with_the_driver_of_its_sensor() -> None:
    with sim("--board", "esp8266", "--sensor", "sht3x", "--interval", "1") as ran:
        ran.until("sensor: sht3x@0x44")
        ran.until("%RH  seq 2$")
        certs = ran.folder() / "demo-1" / "board" / "certs"
        assert sorted(path.name for path in certs.iterdir()) == ["ca.der", "cert.der", "key.der"]
        ran.stop()


def test_a_board_that_sleeps_reads_all_its_sensors() -> None:
    options = ("--sensor", "tmp117,sht4x", "--interval", "1", "--power", "battery")
    with sim(*options) as ran:
        ran.until("sensor: tmp117 is tmp117@0x48")
        ran.until("sensor: sht4x is sht4x@0x44")
        ran.until("seq 9$")
        ran.until("power: done, asleep until .*; connects in 6 readings")
        ran.until(r"board: reset \(deep sleep\)")
        ran.stop()


def test_ctrl_c_while_it_starts_leaves_nothing() -> None:
    for busy_s in (0.1, 0.25, 0.5):
        with sim() as ran:
            ran.work(busy_s)
            children = ran.children()
            ran.interrupt()
            code, _, err = ran.end()
        assert "Traceback" not in err, err
        # By the signal itself: so Python ends when it came within exec() of a text, a dataclass's.
        assert code in (0, 130, -signal.SIGINT)
        assert all(gone(pid) for pid in children)
        assert list((ROOT / ".sim").glob(f"run-{ran.process.pid}_*")) == []


def test_the_end_of_the_cloud_is_an_error_and_the_boards_end_too() -> None:
    with sim() as ran:
        ran.until("link: up")
        children = ran.children()
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        (cloud,) = [pid for pid, line in lines.items() if b"ministack_main.py" in line]
        os.kill(cloud, signal.SIGKILL)
        code, _, err = ran.end()
    assert code == 2
    assert err.startswith("error: MiniStack has ended; it said:")
    assert "Traceback" not in err
    assert all(gone(pid) for pid in children)


def test_two_at_a_time_have_clouds_of_their_own_and_commands_that_reach_them() -> None:
    with sim("--interval", "1") as first:
        first.until("link: up")
        with sim() as second:
            second.until("hPa  seq 1$")
            prefix = r"  FIELDMOUSE_CLOUD=\S+/run-\w+/cloud\.json \.venv/bin/python -m tools "
            for way, wanted in (("shadow set", 2), ("command", 10)):
                (printed,) = [x for x in second.lines if re.match(f"{prefix}{way} demo-1", x)]
                done = subprocess.run(
                    printed, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=30
                )
                assert done.returncode == 0, done.stderr
                second.until(rf"^demo-1: shadow: interval_s = {wanted}( after 0\.\d\d s)?$")
            second.stop(signal.SIGTERM)
        first.until("hPa  seq ")
        first.stop()


def test_chaos_between_board_and_cloud_is_shown_and_survived() -> None:
    plan = "latency=20ms,reset@3s,move@6s/1s"
    with sim("--interval", "1", "--chaos", plan) as ran:
        ran.until(f"The network between boards and cloud: {plan}")
        ran.until("chaos: reset@3s, 1 open")
        ran.until("link: closed")
        ran.until("chaos: move@6s/1s, [01] open")
        ran.until("link: up")
        ran.until("hPa  seq ")
        assert "everything is stopped" in ran.stop()


def tool(*arguments: str) -> str:
    """The output of one of the tools, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "tools", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_things_are_where_the_tools_look_with_local(tmp_path: Path) -> None:
    home = tmp_path / "things" / "demo-1"
    certs, config = str(home / "certs"), str(home / "config.json")
    with sim("--chaos", "latency=5ms") as ran:
        ran.until("hPa  seq 1$")
        assert (home / "certs" / "key.pem").stat().st_mode & 0o777 == 0o600
        cloud = local.read()
        port = json.loads(Path(config).read_text())["port"]
        assert port == cloud.proxy_port
        assert "FAIL" not in tool("doctor", "demo-1", "--local")
        tool("stage", "--config", config, "--certs", certs, "--out", str(tmp_path / "staged"))
        tool("shadow", "set", "demo-1", "interval_s=2", "--local")
        tool("command", "demo-1", "read_now", "--local")
        tool("provision", "other", "--local")
        said = ("-t", "devices/other/data", "-m", "{}", "--client-id", "other", "--local")
        tool("publish", "-C", str(tmp_path / "things" / "other" / "certs"), *said)
        ran.stop()


def test_killed_outright_it_takes_its_processes_along_and_the_next_run_tidies_up(
    tmp_path: Path,
) -> None:
    other = tmp_path / "things" / "other"
    with sim() as ran:
        ran.until("link: up")
        before = local.read()
        board = json.loads((tmp_path / "things" / "demo-1" / "config.json").read_text())
        assert board["port"] == before.mqtt_port
        old = (tmp_path / "things" / "demo-1" / "certs" / "cert.pem").read_bytes()
        tool("provision", "other", "--local")
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps(config | {"interval_s": 7, "port": 1234}))
        children, left = ran.children(), ran.folder()
        ran.process.kill()
    assert all(gone(pid) for pid in children)
    assert left.is_dir()
    with sim() as ran:
        ran.until("other is of an earlier local AWS; to use it again: .* provision other --local$")
        ran.until("hPa  seq 1$")
        assert not left.exists()
        now = local.read()
        assert (now.gateway_url, now.mqtt_port) == (before.gateway_url, before.mqtt_port)
        assert (tmp_path / "things" / "demo-1" / "certs" / "cert.pem").read_bytes() != old
        assert sorted(path.name for path in other.iterdir()) == ["config.json"]
        again = next(line for line in ran.lines if line.startswith("other is of"))
        tool(*shlex.split(again.partition("-m tools ")[2]))
        mended = json.loads((other / "config.json").read_text())
        assert mended == config | {"interval_s": 7, "port": now.mqtt_port}
        assert "FAIL" not in tool("doctor", "other", "--local")


def test_many_things_of_an_earlier_local_aws_are_one_line() -> None:
    file = local.ROOT / ".sim" / "cloud.json"
    assert len(folders.outlived(["a", "b", "c"], file)) == 3
    said = folders.outlived([f"demo-{n}" for n in range(2, 21)], file)
    assert said == [
        "19 things (demo-2, demo-3, …) are of an earlier local AWS; to use one again:"
        " .venv/bin/python -m tools provision THING --local"
    ]
    assert folders.outlived([], file) == []


def test_the_local_network_is_let_in_when_asked() -> None:
    with sim("--lan", "--duration", "0.1") as ran:
        ran.until(r"MQTT is on port \d+, open to the local network")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--things", "0"), "things: 0 is not 1 to 200"),
        (("--interval", "0"), "interval: 0 is not 1 to 86400"),
        (("--sensor", "foo"), "no chip 'foo'"),
        (("--temperature", "hot"), "hot is not known"),
        (("--thing", "no good"), "thing name 'no good'"),
        (("--board", "esp8267"), "no such board: esp8267"),
        (("--power", "solar"), "power: solar is neither mains nor battery"),
        (("--chaos", "rest@10s"), "'rest' is none of"),
        (("--svg", "/no/such/folder/sim.svg"), "cannot write /no/such/folder/sim.svg"),
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


def test_an_update_goes_out_to_all_of_them() -> None:
    with sim("--things", "2", "--interval", "1", "--update") as ran:
        ran.until(r"^update: \d+\.\d+\.\d+, [\d,]+ bytes, goes to 2 boards, one of them first$")
        ran.until("^update: demo-1: SUCCEEDED$")
        ran.until("^update: demo-2: SUCCEEDED$")
        ran.until(READING.pattern)
        folder = ran.folder()
        assert (folder / "keys" / "release-1.pem").stat().st_mode & 0o777 == 0o600
        *_, told, last = ran.stop().splitlines()
    assert re.fullmatch(
        r"update: 2 boards updated to \d+\.\d+\.\d+ in \d+ s; streams: "
        r"\d+ requests, [\d,]+ bytes; \d+ answers, [\d,]+ bytes",
        told,
    )
    assert re.fullmatch(r"\d+ readings of 2 things, 0 lost, .* everything is stopped", last)
    assert not folder.exists()
