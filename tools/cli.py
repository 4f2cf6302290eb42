"""The command line: each package registers its commands, errors become exit codes here, once."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tools import errors
from tools.errors import ToolError
from tools.options import (
    ABOUT_AWS,
    ACCOUNT,
    Account,
    Profile,
    Region,
    about_board,
    completed,
    which_thing,
    with_account,
)
from tools.toolchain import ROOT

_PACKAGES = tuple(f"tools.{p}.cli" for p in ("sim", "aws", "doctor", "board", "updates", "dev"))
_NAME = "python -m tools"
# Ctrl-C is how these end, and no failure; and these go on where they stopped.
_VIEWS = ("sim", "try-flash", "board", "watch", "subscribe", "logs", "repl")
_SHOWS = (*_VIEWS, "things", "cost")  # their reader may have had enough, as `head` has
_RESUMED = ("provision", "rotate", "deprovision", "flash", "bench-flash", "deploy", "rollout")
_HELP = """\
Fieldmouse: a field thermometer on AWS IoT Core, and everything to build, try and test it.

No board and no AWS account yet? Run: make sim

COMMAND --help says more; make help lists the Make targets.
"""


def version() -> str:
    """Return the release, from the one place it is written: firmware/version.py."""
    text = (ROOT / "firmware" / "version.py").read_text()
    found = re.search(r'^VERSION = "([^"]+)"', text, re.M)
    if not found:
        raise ToolError("firmware/version.py has no VERSION", "git checkout firmware/version.py")
    return found[1]


class Commands(typer.core.TyperGroup):
    """What holds for every command: how it is ended from outside, what it says without a thing."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            name = str(ctx.invoked_subcommand)
            if name in _VIEWS:
                raise typer.Exit(0) from None
            more = "; run it again: it goes on where it stopped" if name in _RESUMED else ""
            typer.echo(f"\ninterrupted{more}", err=True)
            raise typer.Exit(130) from None
        except (BrokenPipeError, SystemExit) as e:  # rich makes one of the other
            pipe = BrokenPipeError in (type(e), type(e.__context__))
            if not pipe or str(ctx.invoked_subcommand) not in _SHOWS:
                raise
            # Python writes out at its end what is left in the buffer.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except Exception as e:
            missing = type(e).__name__ == "MissingParameter" and getattr(e, "param", None)
            made = which_thing(str(ctx.invoked_subcommand))
            if missing and missing.name == "thing" and made.hint.startswith("make "):
                raise made from None
            raise


@functools.cache
def build() -> typer.Typer:
    """Return the application with the commands of every package; imports no heavy library."""
    app = typer.Typer(
        name=_NAME,
        cls=Commands,
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks print local variables: secrets
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in _PACKAGES:
        importlib.import_module(name).register(app)
    for name, command in commands(app):
        # Each paragraph is one line, to be wrapped to the terminal.
        text = inspect.cleandoc(command.help or getattr(command.callback, "__doc__", None) or "")
        command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", text)
        if "local" in getattr(command.callback, "__annotations__", {}):
            ABOUT_AWS[name.split()[0]] = not about_board(command.callback)
            command.callback = with_account(command.callback)
    return app


def commands(app: typer.Typer, group: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its name; a group's as "rules apply"."""
    for command in app.registered_commands:
        yield f"{group} {command.name}".strip(), command
    for below in app.registered_groups:
        if below.typer_instance is not None:
            yield from commands(below.typer_instance, str(below.name))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fieldmouse {version()}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="The release."),
    ] = False,
    profile: Profile = "",
    region: Region = "",
) -> None:
    # What stands before the command.
    ACCOUNT.set(Account(profile, region))


@functools.cache
def _command(app: typer.Typer) -> Any:
    return typer.main.get_command(app)  # as app() does, each time anew: 0.1 s


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    A ToolError, or what botocore raises, becomes two lines on standard error and 2; Ctrl-C is
    130, a closed pipe 1, and both 0 where they end what only shows; anything else is a fault of
    ours and keeps its traceback.
    """
    ACCOUNT.set(Account())
    try:
        _command(build())(args=argv, prog_name=_NAME)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except Exception as e:
        known = _known(e)
        if known is None:
            raise
        known.hint = completed(known.hint)
        print(errors.lines(known), file=sys.stderr)
        return 2
    return 0


def _known(error: Exception) -> ToolError | None:
    if isinstance(error, ToolError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        if package not in ("tools", "firmware", "tests"):  # a fault of ours keeps its traceback
            return ToolError(f"{package} is not installed", "make setup")
    if "botocore" in sys.modules:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, (BotoCoreError, ClientError)):
            from tools.aws.errors import explain

            return explain(error)
    return None
