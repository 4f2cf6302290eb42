"""`python -m tests.hil PORT`: one board through its whole life at the serial port, as a table.

The tests do the same with a virtual board.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.host import pki
from tools.board import mpremote, prepare
from tools.errors import ToolError
from tools.things import boards
from tools.things import folder as things
from tools.toolchain import ROOT


@dataclass(frozen=True)
class Bench:
    """The board under test. ``aws``: the thing is provisioned, so the board must get there."""

    port: str
    folder: Path  # things/THING
    board: str
    firmware: str
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
    argv = [sys.executable, "-m", "tools", *args, "--port", bench.port]
    env = os.environ | {"FIELDMOUSE_THINGS": str(bench.folder.parent)}
    ran = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
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
    said = _must(bench, "flash", bench.folder.name, "--board", bench.board, *own, *wait)
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
    _expect(f"] config: {bench.folder.name} at " in said, "the configuration is not found")


def _deploy_nothing(bench: Bench) -> None:
    said = _must(bench, "deploy", bench.folder.name, "--board", bench.board)
    # The build time in version.py changes with the source tree, nothing else may.
    sent = [line.split()[1] for line in said.splitlines() if line.startswith("sent ")]
    _expect(sent in ([], ["firmware/version.py"]), f"sent {sent}")


def _setting(bench: Bench) -> None:
    _must(bench, "config", bench.folder.name, "interval_s=42")
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


def made_thing(folder: Path, board: str) -> None:
    """A thing that no AWS knows: enough to flash and to boot."""
    pki.folder(folder / "certs", "rsa" if board == "esp8266" else "ec")
    config = {"thing_name": folder.name, "endpoint": "localhost", "wifi": [{"ssid": "none"}]}
    (folder / "config.json").write_text(json.dumps(config))


def table(done: list[Step]) -> Table:
    """The steps as lines."""
    made = Table("step", "result", "seconds", box=None)
    for step in done:
        result = f"[red]FAILED: {step.wrong}" if step.wrong else "[green]ok"
        made.add_row(step.name, result, f"{step.seconds:.1f}")
    return made


def main() -> int:
    """Run it; 1 if a step failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.hil")
    parser.add_argument("port")
    parser.add_argument("--thing", default="")
    parser.add_argument("--board", default="esp32")
    parser.add_argument("--firmware", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        root = things.things_dir() if args.thing else Path(scratch)
        folder = root / (args.thing or "hil-1")
        if not args.thing:
            made_thing(folder, args.board)
        bench = Bench(args.port, folder, args.board, args.firmware, bool(args.thing))
        done: list[Step] = []
        for step in steps(bench):
            print(f"{'FAILED' if step.wrong else 'ok':<7}{step.name}", flush=True)
            done.append(step)
    Console(highlight=False).print(table(done))
    return 1 if any(step.wrong for step in done) else 0


if __name__ == "__main__":
    sys.exit(main())
