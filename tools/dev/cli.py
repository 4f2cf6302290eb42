"""The commands `test`, `check`, `lint` and `bench`: parse, call one function, print its result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import ToolError
from tools.toolchain import ROOT

if TYPE_CHECKING:
    from tools.dev.checks import Outcome

SOAKS = ("publishes", "reconnects", "cuts", "faults", "scenarios", "week", "fleet", "fuzz")
_Umqtt = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="folder with another umqtt/simple.py", exists=True),
]
_Match = Annotated[
    str, typer.Option("-k", metavar="EXPR", help="only tests whose name fits; no lint then")
]
_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="only these files, folders; no lint"),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this package to ``app``."""
    app.command("test")(run_tests)
    app.command("test-pythons")(try_pythons)
    app.command("check")(check)
    app.command("lint")(lint)
    app.command("bench")(bench)
    app.command("advisor")(run_advisor)
    app.command("soak")(soak)
    app.command("reference")(reference)


def run_tests(paths: _Paths = None, match: _Match = "", umqtt: _Umqtt = None) -> None:
    """Run every check: lint, types, device tests, host tests, end-to-end tests."""
    from tools.dev import checks

    chosen = [*(["-k", match] if match else []), *checks.named(paths or [])]
    outcomes = []
    if not chosen:
        with checks.compiled():
            outcomes += checks.lint(typer.echo)
    outcomes.append(checks.tests(typer.echo, chosen, umqtt))
    _finish(outcomes)


def try_pythons() -> None:
    """Run `make sim` on a fresh copy with the system's, the oldest and the newest Python here.

    Each must come to a reading. They are looked for on PATH and where pyenv and uv keep theirs;
    the Python that runs this is left out: `make test` proves it, and with CI=1 does this too.
    """
    from tools.dev import pythons

    others = pythons.chosen(pythons.found())
    if not others:
        typer.echo("no other Python here: make test proves the one there is")
        return
    for path, version in others.items():
        typer.echo(f"to be tried: {path}, {'.'.join(map(str, version))}")
    _finish([pythons.run(others, typer.echo)])


def check() -> None:
    """Run what takes under a minute: lint, types, layout, device tests of changed files."""
    from tools.dev import checks

    _finish(checks.quick(typer.echo))


def soak(
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART", help=f"{', '.join(SOAKS)}; none: all"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of everything drawn by lot")] = 20261121,
    short: Annotated[bool, typer.Option(help="as much as `test` runs of it")] = False,
) -> None:
    """Run the long tests of the link and print what they came to (docs/faults.md)."""
    for part in parts or []:
        if part not in SOAKS:
            raise ToolError(f"soak: there is no part {part}", " or ".join(SOAKS))
    argv = [sys.executable, "-m", "tests.soak", *(parts or []), "--seed", str(seed)]
    raise typer.Exit(subprocess.call([*argv, *(["--short"] if short else [])], cwd=ROOT))


def lint() -> None:
    """Run ruff and mypy --strict over the whole tree."""
    from tools.dev import checks

    _finish(checks.lint(typer.echo))


def bench(
    chosen: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="as in bench/bench_NAME.py; or all")
    ] = None,
) -> None:
    """Measure: the figures of the README, each by its file in bench/."""
    from tools.dev import checks

    codes = [checks.bench(name) for name in chosen or checks.benches()]
    if any(codes):
        raise typer.Exit(1)


def run_advisor(
    match: Annotated[
        str, typer.Option("-k", metavar="TEXT", help="only cases whose id contains it")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="name the cases, run none")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the results there too")
    ] = None,
    umqtt: _Umqtt = None,
) -> None:
    """Run the cases of AWS IoT Device Advisor against a virtual board (docs/advisor.md)."""
    from rich.console import Console

    from tools.dev import advisor

    console = Console()
    if listed:
        console.print(advisor.catalogue())
        return
    with console.status("a minute and a half, for all") as status:
        rows = advisor.run(match, umqtt, lambda row: status.update(f"{row.id}: {row.result}"))
    console.print(advisor.table(rows))
    if json_file:
        advisor.write(rows, json_file)
    count = {word: sum(row.result == word for row in rows) for word in advisor.RESULTS}
    console.print(", ".join(f"{n} {word}" for word, n in count.items()))
    if count[advisor.FAIL]:
        raise typer.Exit(1)


def reference(context: typer.Context) -> None:
    """Write docs/reference.md, the drawings of docs/wiring.md and the tables of sensors anew."""
    from tools.dev import drawings, sensor_page
    from tools.dev import reference as writer

    commands = getattr(context.find_root().command, "commands", {})
    helps = {name: c.get_short_help_str(200) for name, c in sorted(commands.items())}
    pages = {writer.PAGE: writer.page(helps)}
    pages |= {drawings.FOLDER / name: text for name, text in drawings.all_of_them().items()}
    pages[sensor_page.PAGE] = sensor_page.page(sensor_page.PAGE.read_text("utf-8"))
    for path, text in pages.items():
        path.write_text(text, "utf-8")
        typer.echo(f"{path.relative_to(ROOT)} is up to date")


def _finish(outcomes: Sequence[Outcome]) -> None:
    typer.echo()
    for outcome in outcomes:
        word = "ok" if outcome.ok else "FAILED"
        typer.echo(f"{outcome.name:<8}{word:<8}{outcome.seconds:6.1f} s")
    passed, failed = (sum(getattr(o, n) for o in outcomes) for n in ("passed", "failed"))
    typer.echo(f"{passed} passed, {failed} failed")
    if not all(outcome.ok for outcome in outcomes):
        raise typer.Exit(1)
