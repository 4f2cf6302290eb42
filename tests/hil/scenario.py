"""One board through its whole life at the serial port, step by step; real or virtual alike."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.board import boards, mpremote, prepare
from tools.errors import ToolError

Run = Callable[..., "subprocess.CompletedProcess[str]"]  # python -m tools, its arguments


@dataclass(frozen=True)
class Bench:
    """The board under test. ``aws``: the thing is provisioned, so the board must get there."""

    port: str
    thing: str
    folder: Path  # things/THING
    board: str
    firmware: str
    run: Run
    aws: bool


@dataclass(frozen=True)
class Step:
    """A line of the table; ``wrong`` is "" when it passed."""

    name: str
    wrong: str
    seconds: float


class Failed(Exception):
    """A step did not do what it should."""


def steps(bench: Bench) -> Iterator[Step]:
    """Run the scenario, a step at a time; after a failure the later steps still run."""
    for name, work in (
        ("erase", _erase),
        ("flash a bare board", _flash),
        ("files are those staged", _files),
        ("log after a reset", _log),
        ("deploy without a change", _deploy_nothing),
        ("change a setting", _setting),
        ("files through mpremote", _mpremote),
        ("crash log", _crash_log),
        ("flash again, data/ stays", _flash_again),
    ):
        begin = time.monotonic()
        try:
            work(bench)
            wrong = ""
        except (Failed, ToolError, subprocess.TimeoutExpired) as e:
            wrong = str(e) or type(e).__name__
        yield Step(name, wrong, time.monotonic() - begin)


def _must(bench: Bench, *args: str) -> str:
    ran = bench.run(*args, "--port", bench.port)
    if ran.returncode:
        raise Failed((ran.stderr.strip() or ran.stdout.strip() or "no message").splitlines()[0])
    return ran.stdout


def _expect(good: bool, what: str) -> None:
    if not good:
        raise Failed(what)


def _erase(bench: Bench) -> None:
    _must(bench, "erase", "--yes")


def _flash(bench: Bench) -> None:
    own = ["--firmware", bench.firmware] if bench.firmware else []
    wait = [] if bench.aws else ["--no-wait"]
    said = _must(bench, "flash", bench.thing, "--board", bench.board, *own, *wait)
    _expect("written and verified" in said, "not verified")
    record = json.loads((bench.folder / "board.json").read_text())
    _expect(record["mac"].count(":") == 5, "no MAC in board.json")


def _files(bench: Bench) -> None:
    tree = prepare.tree(bench.folder, boards.get(bench.board))
    there, _ = mpremote.listing(bench.port, sorted({path.split("/")[0] for path in tree}))
    _expect(set(there) == set(tree), f"differ: {sorted(set(there) ^ set(tree))[:5]}")


def _log(bench: Bench) -> None:
    said = _must(bench, "logs", "--reset", "--seconds", "3")
    _expect("] app: fieldmouse" in said, "the firmware does not start")
    _expect(f"] config: {bench.thing} at " in said, "the configuration is not found")


def _deploy_nothing(bench: Bench) -> None:
    said = _must(bench, "deploy", bench.thing, "--board", bench.board)
    # The build time in version.py changes with the source tree, nothing else may.
    sent = [line.split()[1] for line in said.splitlines() if line.startswith("sent ")]
    _expect(sent in ([], ["firmware/version.py"]), f"sent {sent}")


def _setting(bench: Bench) -> None:
    _must(bench, "config", bench.thing, "interval_s=42")
    found = mpremote.fetch(bench.port, ["config.json"])["config.json"]
    _expect(json.loads(found)["interval_s"] == 42, "not on the board")


def _mpremote(bench: Bench) -> None:
    code = "with open('hil.bin','wb') as f: f.write(bytes(range(256))*8)"
    mpremote.run(bench.port, ["exec", code, "+", "soft-reset"])
    found = mpremote.fetch(bench.port, ["hil.bin"])["hil.bin"]
    mpremote.run(bench.port, ["rm", ":hil.bin"])
    _expect(found == bytes(range(256)) * 8, "came back different")


def _crash_log(bench: Bench) -> None:
    code = "import os\ntry: os.mkdir('data')\nexcept OSError: pass\n"
    code += "with open('data/crash.log','a') as f: f.write('hil was here\\n')"
    mpremote.run(bench.port, ["exec", code])
    _expect("hil was here" in _must(bench, "crashlog"), "not shown")


def _flash_again(bench: Bench) -> None:
    _flash(bench)
    _expect("hil was here" in _must(bench, "crashlog"), "data/ was lost")
