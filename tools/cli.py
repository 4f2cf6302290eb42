"""The command line: each package registers its commands, errors become exit codes here, once."""

from __future__ import annotations

import importlib
import re
import sys
from typing import Annotated

import typer

from tools import errors
from tools.errors import ToolError
from tools.toolchain import ROOT

_PACKAGES = ("tools.sim.cli", "tools.aws.cli", "tools.board.cli", "tools.dev.cli")
_NAME = "python -m tools"
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


def build() -> typer.Typer:
    """Return the application with the commands of every package; imports no heavy library."""
    app = typer.Typer(
        name=_NAME,
        help=_HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # its tracebacks print local variables: secrets
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in _PACKAGES:
        importlib.import_module(name).register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fieldmouse {version()}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="The release."),
    ] = False,
) -> None:
    pass


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    A ToolError, or what botocore raises, becomes two lines on standard error and 2; Ctrl-C is
    130; anything else is a fault of ours and keeps its traceback.
    """
    try:
        build()(args=argv, prog_name=_NAME)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except Exception as e:
        known = _known(e)
        if known is None:
            raise
        print(errors.lines(known), file=sys.stderr)
        return 2
    return 0


def _known(error: Exception) -> ToolError | None:
    if isinstance(error, ToolError):
        return error
    if "botocore" in sys.modules:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, (BotoCoreError, ClientError)):
            from tools.aws.errors import explain

            return explain(error)
    return None
