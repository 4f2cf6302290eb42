"""`python -m tests.hil PORT`: the scenario on a real board, as a table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.hil.scenario import Bench, Step, steps
from tests.host import pki
from tools.aws import folder as things
from tools.toolchain import ROOT


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
        env = os.environ | {"FIELDMOUSE_THINGS": str(root)}

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            argv = [sys.executable, "-m", "tools", *words]
            return subprocess.run(
                argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
            )

        bench = Bench(
            port=args.port,
            thing=folder.name,
            folder=folder,
            board=args.board,
            firmware=args.firmware,
            run=run,
            aws=bool(args.thing),
        )
        done: list[Step] = []
        for step in steps(bench):
            print(f"{'FAILED' if step.wrong else 'ok':<7}{step.name}", flush=True)
            done.append(step)
    Console(highlight=False).print(table(done))
    return 1 if any(step.wrong for step in done) else 0


if __name__ == "__main__":
    sys.exit(main())
