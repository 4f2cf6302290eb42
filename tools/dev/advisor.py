"""Runs the Device Advisor cases of tests/e2e/advisor/ and collects what each measured.

The cases are pytest tests; their conftest writes one line of JSON a case to the file named by
FIELDMOUSE_ADVISOR, and this module reads it while they run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.dev.advisor_cases import CASES, Case
from tools.errors import ToolError
from tools.toolchain import ROOT

if TYPE_CHECKING:
    from rich.table import Table

PASS, WARN, FAIL = "PASS", "PASS_WITH_WARNINGS", "FAIL"
RESULTS = (PASS, WARN, FAIL)
_FOLDER = "tests/e2e/advisor"
_COLOURS = {PASS: "green", WARN: "yellow", FAIL: "bold red"}
_POLL_S = 0.2


@dataclass(frozen=True)
class Row:
    """One case: ``result`` as AWS names it, what was ``measured``, warnings or the failure."""

    id: str
    category: str
    result: str
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def chosen(match: str) -> list[Case]:
    """Return the cases whose id contains ``match``, in any case; ToolError if there is none."""
    found = [case for case in CASES if match.lower() in case.id.lower()]
    if not found:
        raise ToolError(f"no case is called {match!r}", "python -m tools advisor --list")
    return found


def run(match: str, umqtt: Path | None, on_row: Callable[[Row], None]) -> list[Row]:
    """Run the chosen cases and return their rows in the order of the list.

    ``on_row`` gets each as it ends. Raises ToolError when the tests do not run at all.
    """
    cases = {case.id: case for case in chosen(match)}
    names = " or ".join(f"test_{id}" for id in cases)
    with tempfile.TemporaryDirectory(prefix="fieldmouse-advisor-") as scratch:
        results, output = Path(scratch, "results"), Path(scratch, "output")
        results.touch()
        env = {**os.environ, "FIELDMOUSE_ADVISOR": str(results)}
        if umqtt:
            env["UMQTT"] = str(umqtt.resolve())
        argv = ["pytest", "-q", "-n", "2", "--dist", "loadfile", "-k", names, _FOLDER]
        with output.open("wb") as out:
            ran = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
            try:
                rows = dict(_follow(ran, results, cases, on_row))
            finally:
                ran.terminate()
                ran.wait()
        if not rows:
            end = output.read_text("utf-8", "replace").strip().splitlines()[-15:]
            raise ToolError("\n".join(["the cases did not run:", *end]), "make setup")
    return [rows.get(id) or _silent(case) for id, case in cases.items()]


def _follow(
    ran: subprocess.Popen[bytes],
    results: Path,
    cases: dict[str, Case],
    on_row: Callable[[Row], None],
) -> Iterator[tuple[str, Row]]:
    with results.open(encoding="utf-8") as lines:
        text, over = "", False
        while not over:
            over = ran.poll() is not None
            text += lines.read()
            *whole, text = text.split("\n")
            for line in whole:
                row = _row(json.loads(line))
                if row.id in cases:
                    on_row(row)
                    yield row.id, row
            if not over:
                time.sleep(_POLL_S)


def _row(said: dict[str, Any]) -> Row:
    notes = list(said["notes"])
    if said["error"] is not None:
        notes.append((said["error"].strip().splitlines() or ["failed"])[0])
    category = Case(said["id"], "").category
    return Row(said["id"], category, said["result"], said["measured"], notes, said["seconds"])


def _silent(case: Case) -> Row:
    return Row(case.id, case.category, FAIL, notes=["ended without a result"])


def table(rows: list[Row]) -> Table:
    """The rows for a terminal."""
    from rich.markup import escape
    from rich.table import Table as RichTable

    made = RichTable(title="Device Advisor, on the desk", title_justify="left")
    made.add_column("case", overflow="fold")
    made.add_column("result")
    made.add_column("measured", overflow="fold", min_width=36)
    for row in rows:
        colour = _COLOURS[row.result]
        said = [f"{key} {_text(value)}" for key, value in row.measured.items()]
        text = escape("; ".join(said))
        if row.notes:
            text += f"\n[{colour}]{escape('; '.join(row.notes))}[/]"
        made.add_row(row.id, f"[{colour}]{row.result}[/]", text)
    return made


def catalogue() -> Table:
    """The cases, without running them."""
    from rich.table import Table as RichTable

    made = RichTable(title=f"{len(CASES)} cases of AWS IoT Device Advisor", title_justify="left")
    for name in ("case", "category", "the device"):
        made.add_column(name)
    for case in CASES:
        made.add_row(case.id, case.category, case.asks)
    return made


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
