"""The options and arguments that commands of several packages take, each written once."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import ToolError

Thing = Annotated[str, typer.Argument(metavar="THING", help="thing name, also the MQTT client id")]
Local = Annotated[
    bool, typer.Option("--local", help="the local AWS of a running `make sim`, not your account")
]
Where = Annotated[
    str, typer.Option("--filter", metavar="TERMS", help="as 'state=late version<1.2 name~green*'")
]
Port = Annotated[
    str,
    typer.Option(
        "--port", "-p", metavar="PORT", help="device or rfc2217://host:port; default: the only one"
    ),
]
Wait = Annotated[
    bool, typer.Option(help="ten minutes for a port that is not there: a board that sleeps")
]
BoardName = Annotated[
    str, typer.Option("--board", "-b", metavar="BOARD", help="default: as provisioned, or esp32")
]

Profile = Annotated[str, typer.Option("--profile", metavar="NAME", help="as the AWS CLI has it")]
Region = Annotated[str, typer.Option("--region", metavar="NAME", help="as the AWS CLI has it")]
Pairs = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="value as JSON or text")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


@dataclass(frozen=True)
class Account:
    """Whose AWS a command works with; "" where the places that boto3 knows decide."""

    profile: str = ""
    region: str = ""
    local: bool = False

    def words(self) -> list[str]:
        """The options that choose its profile and region."""
        given = {"--profile": self.profile, "--region": self.region}
        return [word for name, value in given.items() if value for word in (name, value)]


# Set by `with_account` for the command that runs.
ACCOUNT: ContextVar[Account] = ContextVar("ACCOUNT", default=Account())  # noqa: B039
# Commands that take --local -> also --profile and --region; tools/cli.py knows them.
ABOUT_AWS: dict[str, bool] = {}


def completed(hint: str) -> str:
    """``hint`` with each command in it for the account of the command that runs."""
    account = ACCOUNT.get()
    # Each as an option, and as a variable of make.
    extra = [("--local", "LOCAL=1")] if account.local else []
    for name, value in (("profile", account.profile), ("region", account.region)):
        if value:
            quoted = shlex.quote(value)
            extra.append((f"--{name} {quoted}", f"AWS_{name.upper()}={quoted}"))

    def whole(found: re.Match[str]) -> str:
        takes = found[3] in ABOUT_AWS and (account.local or ABOUT_AWS[found[3]])
        words = [pair[found[2] is None] for pair in extra if takes]
        line = found[0].rstrip()
        missing = [w for w in words if re.split("[ =]", w)[0] not in re.split("[ =]", line)]
        return " ".join([line, *missing]) + found[0][len(line) :]

    return re.sub(r"\b((python -m tools)|make) ([a-z-]+)[^;,()`]*", whole, hint)


def about_board(command: Callable[..., Any]) -> bool:
    """It asks no AWS: --local says where the thing's folder is."""
    return command.__module__.startswith("tools.board")


def deploy(thing: str, port: str = "...") -> str:
    """What brings a thing's folder onto its board, for what the command that runs says."""
    return f"make deploy THING={thing} PORT={port}" + " LOCAL=1" * ACCOUNT.get().local


def with_account(command: Callable[..., Any]) -> Callable[..., Any]:
    """``command``, which has ``local``, with --profile and --region where it is about AWS."""

    @functools.wraps(command)
    def run(*args: Any, profile: str = "", region: str = "", **given: Any) -> Any:
        before, local = ACCOUNT.get(), given["local"]
        account = Account(profile or before.profile, region or before.region, local)
        if local and (account.profile or account.region):
            raise ToolError("--local has neither profile nor region", "one or the other")
        ACCOUNT.set(account)
        return command(*args, **given)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default="", annotation=kind)
        for name, kind in (("profile", Profile), ("region", Region))
        if not about_board(command)
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "profile": Profile, "region": Region}
    return run


def which_thing(command: str, fleet: bool = False) -> ToolError:
    """The error for a missing thing, spelled as the caller has called: by make, or not."""
    by_make = os.environ.get("FIELDMOUSE_TARGET") == command
    one = f"make {command} THING=" if by_make else f"python -m tools {command} "
    many = ", or FLEET=fleet.csv" if by_make else ", or --from fleet.csv"
    return ToolError("which thing?", f"{one}greenhouse-1{many if fleet else ''}")


def terminal() -> bool:
    """True when somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def sure(question: str, yes: bool) -> None:
    """Return when ``question`` is answered with yes, or need not be asked; else ToolError."""
    if yes:
        return
    if not terminal():
        target = os.environ.get("FIELDMOUSE_TARGET")  # of make, which has no such option
        hint = f"python -m tools {target} … --yes" if target else "--yes to not be asked"
        raise ToolError("this cannot be undone and asks first", hint)
    if not typer.confirm(question, err=True):
        raise ToolError("nothing was changed")


@contextlib.contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something is being waited for; nothing where there is no terminal.

    Yields a function that changes the text.
    """
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


def home(thing: str, out: Path | None = None, local: bool = False) -> Path:
    """The folder of a thing: ``out``, or things/THING; .sim/things/THING for the local AWS.

    ToolError for a name that AWS would refuse.
    """
    from tools.things.folder import check_name, things_dir

    check_name(thing)
    return out or things_dir(local) / thing


def seconds(text: str) -> int:
    """``1d``, ``12h``, ``30min``, ``0`` as seconds; ToolError for anything else."""
    got = re.fullmatch(r"(\d{1,6})(s|m|min|h|d|)", text.strip())
    if not got:
        raise ToolError(f"{text!r} is no time", "as 1d, 12h, 30min, 0")
    return int(got[1]) * {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}[got[2]]
