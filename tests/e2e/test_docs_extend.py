"""docs/extend.md, followed to the letter: its blocks go into a copy of the tree and are run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools.aws import local
from tools.aws.clients import Clients
from tools.toolchain import ROOT

_LIMIT_S = 120
_SECTIONS = re.split(r"^## ", (ROOT / "docs" / "extend.md").read_text("utf-8"), flags=re.M)
PAGE = {part.splitlines()[0]: part for part in _SECTIONS}
SETUP = re.search(r"^```sh\n(.*?)^```", _SECTIONS[0], re.M | re.S)


def blocks(section: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE[section], re.M | re.S)


class Tree:
    """A copy of the tree in which the page is followed."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.touched: set[Path] = set()
        listed = subprocess.check_output(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
        )
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, top / name)
        # What is compiled already is so there too, since the times of the sources are the same.
        for folder in (ROOT / "tools").rglob("__pycache__"):
            shutil.copytree(folder, top / folder.relative_to(ROOT))
        for name in (".venv", ".tools"):
            (top / name).symlink_to(ROOT / name)

    def follow(self, section: str) -> None:
        """Make its new files and its changes."""
        for block in blocks(section, "python"):
            name = block.splitlines()[0].removeprefix("# ")
            assert not (self.top / name).exists(), name
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            self.touched.add(self.top / name)
            (self.top / name).write_text(block.split("\n", 1)[1], "utf-8")
        for block in blocks(section, "diff"):
            for name, lines in re.findall(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", block, re.M | re.S):
                self._change(self.top / name, lines.splitlines())

    def _change(self, path: Path, lines: list[str]) -> None:
        old = "\n".join(line[1:] for line in lines if line[:1] != "+")
        new = "\n".join(line[1:] for line in lines if line[:1] != "-")
        text = path.read_text("utf-8")
        assert old, f"{path.name}: nothing shows where {new!r} goes"
        assert text.count(old) == 1, f"{path.name}: {text.count(old)} times: {old!r}"
        path.write_text(text.replace(old, new), "utf-8")
        self.touched.add(path)

    def run(self, section: str) -> str:
        """Type its commands, one after the other; all they print. The boards end with it."""
        assert SETUP
        return self.type(SETUP[1] + "".join(blocks(section, "sh")))

    def type(self, commands: str) -> str:
        """Type commands; what they print."""
        script = f"set -e\n{commands}"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("FIELDMOUSE_", "AWS_"))}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=self.top,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=(log := (self.top / "log").open("w+b")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(_LIMIT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):  # no board was started
                os.killpg(shell.pid, signal.SIGTERM)
            log.seek(0)
            said = log.read().decode()
            log.close()
        assert code == 0, said
        return said


@pytest.fixture
def tree(tmp_path: Path, clients: Clients) -> Tree:
    assert clients.cloud is not None
    made = Tree(tmp_path / "tree")
    local.write(clients.cloud, made.top / ".sim" / "cloud.json")
    return made


def lint(tree: Tree) -> None:
    """What the page adds is as neat as the rest."""
    ruff = Path(sys.executable).parent / "ruff"
    files = sorted(path for path in tree.touched if path.suffix == ".py")
    for words in (["check", "-q"], ["format", "-q", "--check"]):
        ran = subprocess.run([ruff, *words, *files], cwd=tree.top, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_sensor(tree: Tree) -> None:
    tree.follow("A sensor")
    lint(tree)
    said = tree.run("A sensor")
    assert re.search(r"[12] passed, 0 failed", said), said  # by MicroPython, on 32 and 64 bit
    assert "sensor: adt7420@0x48" in said
    assert re.search(r"shed-1\b.*\b21\.50?\b", said), said
    driver = blocks("A sensor", "python")[0]
    code = [line for line in driver.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 30


_QUANTITY = r"""# heap: 192wk
from fakes_sampler import BOARD
from test_sampling import Chip, bench, harness, payloads, run

VALUES = [2100, 4500, None, None, None, 1100]


def chip(name="sht3x", *rows):
    made = Chip(name, *rows or (VALUES,))
    made.values = [None] * 6
    return made


def test_an_offset():
    b = run(bench(chip(), offset_cdeg={"sht3x": 100}), 1)
    harness.equal(payloads(b), [{"temperature": 22.0, "humidity": 45.0, "dew_spread": 11.0}])


def test_an_alarm_and_a_deadband():
    rows = (VALUES, VALUES[:5] + [180], VALUES[:5] + [170], VALUES[:5] + [200], VALUES)
    b = run(
        bench(
            chip("sht3x", *rows),
            deadband={"dew_spread": 5},
            alarm_low={"dew_spread": 2},
            hysteresis={"dew_spread": 1},
        ),
        41,
    )
    said = [(p["dew_spread"], p.get("alarms")) for p in payloads(b, True)]
    low, normal = {"dew_spread": "low"}, {"dew_spread": "normal"}
    harness.equal(said, [(11.0, None), (1.8, low), (11.0, normal)])


def test_an_alarm_ends_by_its_own_hysteresis():
    rows = (VALUES[:5] + [200], VALUES[:5] + [209], VALUES[:5] + [230])
    b = run(bench(chip("sht3x", *rows), alarm_low={"dew_spread": 2}), 21)
    said = [p.get("alarms", {}).get("dew_spread") for p in payloads(b, True)]
    harness.equal(said, ["low", None, "normal"])


def test_several_sensors_and_the_battery():
    b = bench(chip(), chip("tmp117"), alarm_high={"battery_v": 3.8})
    b.sampler.divider, BOARD.battery_mv = (34, 2000), lambda *args: 3900
    run(b, 1)
    found = payloads(b)[0]
    wanted = {"temperature": 21.0, "humidity": 45.0, "dew_spread": 11.0}
    harness.equal(found.pop("sensors"), {"sht": wanted, "tmp": wanted})
    harness.equal(found, dict(wanted, battery_v=3.9))
    harness.equal(payloads(b, True)[0]["alarms"], {"battery_v": "high"})


def test_a_record_that_was_stored_before():
    b = bench(chip())
    first = b"\0\0\0\x40\x34\x08\0\x32\0" + b"\xff" * 10
    b.stored.append(first + b"\0\1\3sht\0\3tmp\1\xdc\5\0")
    wanted = {"temperature": 21.0, "humidity": 0.5}
    sensors = {"sht": wanted, "tmp": {"temperature": 15.0}}
    harness.equal(payloads(b), [dict(wanted, sensors=sensors)])
    harness.equal(payloads(b, True), [dict(wanted, alarms={"temperature": "high"})])


def test_a_battery_beyond_all_belief():
    b = bench(chip())
    b.sampler.divider, BOARD.battery_mv = (34, 25000), lambda *args: 70000
    b.sampler.apply("battery")
    harness.equal(payloads(run(b, 1))[0]["battery_v"], 60.0)
"""


def test_a_quantity(tree: Tree) -> None:
    tree.follow("A quantity")
    lint(tree)
    said = tree.run("A quantity")
    # 45 %RH: (100 - 45) / 5
    assert re.search(r"shed-2\b.*\b1[01]\.\d+", said), said
    # What else follows from the table, also beside settings that are seldom used.
    (tree.top / "tests" / "device" / "test_quantity.py").write_text(_QUANTITY, "utf-8")
    files = ("quantity", "core_telemetry", "sampling", "wake")
    said = tree.type(
        f"python -m tools test {' '.join(f'tests/device/test_{f}.py' for f in files)}"
    )
    assert re.search(r"\d passed, 0 failed", said), said
    tree.type("python -m pytest -q -p no:cacheprovider tests/host/test_core_telemetry.py")


def test_a_command(tree: Tree) -> None:
    tree.follow("A command")
    lint(tree)
    said = tree.run("A command")
    assert said.count("sensor: sht3x@0x44") == 2, said


def test_a_setting(tree: Tree) -> None:
    tree.follow("A setting")
    lint(tree)
    said = tree.run("A setting")
    assert "command: blinks 3 times" in said, said


def test_a_receiver(tree: Tree, clients: Clients) -> None:
    tree.follow("A receiver of readings")
    lint(tree)
    said = tree.run("A receiver of readings")
    assert "SQS queue shed-queue: made" in said
    assert "sqs:SendMessage" in said
    sqs = clients.client("sqs")
    url = sqs.get_queue_url(QueueName="shed-queue")["QueueUrl"]
    (message, *_) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    assert '"temperature":21.5' in message["Body"].replace(" ", "")
    tree.type("python -m tools rules destroy --name shed --local --yes --with-data")
    assert "shed-queue" not in str(sqs.list_queues().get("QueueUrls", []))


def test_a_page_that_does_not_fit_is_found(tree: Tree) -> None:
    with pytest.raises(AssertionError, match="0 times"):
        tree._change(tree.top / "firmware" / "chip.py", [" no such line", "+x"])
