"""docs/consume.md: its programs, as they stand there, on the readings of a virtual board."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.aws import local
from tools.aws.clients import Clients
from tools.toolchain import ROOT

_LIMIT_S = 60
_INTRODUCTION, *_SECTIONS = re.split(
    r"^## ", (ROOT / "docs" / "consume.md").read_text("utf-8"), flags=re.M
)


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


class Desk:
    """A folder with the page's programs, where its commands are typed."""

    def __init__(self, folder: Path, cloud_file: Path) -> None:
        self.folder = folder
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self._env["PATH"] = f"{Path(sys.executable).parent}:{self._env['PATH']}"
        self._env["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        self._env["FIELDMOUSE_CLOUD"] = str(cloud_file)
        for block in (b for part in _SECTIONS for b in blocks(part, "python")):
            name = block.split("\n", 1)[0].removeprefix("# ")
            (folder / name).write_text(block, "utf-8")

    def start(self, commands: str) -> subprocess.Popen[str]:
        """Type commands after those of the page's introduction."""
        (setup,) = blocks(_INTRODUCTION, "sh")
        return subprocess.Popen(
            ["/bin/sh", "-c", f"set -e\n{setup}\n{commands}"],
            cwd=self.folder,
            env=self._env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, commands: str) -> str:
        """Type commands; what they print. They must end well."""
        process = self.start(commands)
        try:
            said, _ = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            end(process)
            raise
        assert process.returncode == 0, said
        return said


def end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.communicate()


def commands_of(heading: str) -> str:
    (section,) = [part for part in _SECTIONS if part.startswith(heading)]
    return "".join(blocks(section, "sh"))


@pytest.fixture
def desk(tmp_path: Path, clients: Clients) -> Desk:
    assert clients.cloud is not None
    folder = tmp_path / "desk"
    (folder / ".sim").mkdir(parents=True)
    return Desk(folder, local.write(clients.cloud, folder / ".sim" / "cloud.json"))


@pytest.fixture
def thing(new_device: Any, boot: Any) -> str:
    """The name of a thing whose board sends 21.5 °C every second."""
    device = new_device(interval_s=1)
    board = boot(device, temperature=21.5)
    board.wait_for("link: up", timeout=20)
    return str(device.thing)


def test_subscribing_with_awsiotsdk(desk: Desk, thing: str) -> None:
    process = desk.start(commands_of("Subscribe"))
    try:
        assert process.stdout
        lines = [line for line, _ in zip(process.stdout, range(4), strict=False)]
    finally:
        end(process)
    own = [line.split() for line in lines if line.startswith(f"{thing} ")]
    assert own, lines
    assert {line[2] for line in own} == {"21.5"}
    times = [line[1] for line in own]
    assert times == sorted(set(times))
    assert (desk.folder / "reader" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_its_certificate_can_do_nothing_else(desk: Desk, clients: Clients) -> None:
    policy = re.search(r"^ALLOWED = ({.*?^})", (desk.folder / "enrol.py").read_text(), re.M | re.S)
    assert policy
    assert re.findall(r'"(iot:\w+)"', policy[1]) == ["iot:Connect", "iot:Subscribe", "iot:Receive"]
    assert '"*"' not in policy[1]


def test_a_table_and_a_data_frame(
    desk: Desk, thing: str, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = commands_of("Ask").replace("--dynamodb", "--local --dynamodb")
    apply, table, frame = commands.replace("greenhouse-1", thing).strip().splitlines()
    assert "table readings" in desk.run(apply)
    said = ""
    for _ in range(20):
        said = desk.run(f"sleep 1; {table}")
        if said.count("\n") >= 3:
            break
    rows = [line.split() for line in said.splitlines()]
    assert len(rows) >= 3, said
    assert {row[1] for row in rows} == {"21.5"}
    assert rows == sorted(rows)
    if importlib.util.find_spec("pandas") is None:
        pytest.skip("pandas is not installed: the data frame of docs/consume.md was NOT tried")
    said = desk.run(frame)
    assert re.search(r"temperature\s+humidity\s+pressure", said), said
    assert re.search(r"\+00:00 +21\.5 +4\d\.\d+ +101\d\.\d+", said), said


def test_a_pipe(desk: Desk, thing: str) -> None:
    lines = desk.run(commands_of("A pipe")).splitlines()
    assert f"{thing} 21.5" in lines
    assert len(lines) == 3
