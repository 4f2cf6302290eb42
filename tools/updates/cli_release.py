"""`release` and `release new-key`: parse, ask for a passphrase, print what was made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools import options
from tools.errors import ToolError
from tools.options import Local

if TYPE_CHECKING:
    from tools.updates.making import Wanted

PASSPHRASE = "FIELDMOUSE_KEY_PASSPHRASE"
_USAGE = "python -m tools release --key keys/release-1.pem --out releases"
_HELP = (
    "Make a release: the firmware of this commit as one signed file, for `rollout`.\n\n"
    "The same commit and the same keys give the same file, byte for byte. It has the public keys "
    "in keys/ and nothing else that is yours: no configuration, no certificate. An encrypted key "
    f"asks for its passphrase, or has it from {PASSPHRASE}. See docs/updates.md."
)


def register(app: typer.Typer) -> None:
    """Add `release` to ``app``: a command that has one below it."""
    group = typer.Typer(invoke_without_command=True, help=_HELP)
    group.callback()(options.with_account(release))
    group.command("new-key")(new_key)
    app.add_typer(group, name="release")


def release(
    context: typer.Context,
    key: Annotated[
        str, typer.Option(metavar="FILE|kms:ARN", help="the private key that signs")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="gets fieldmouse-VERSION-BOARD.release")
    ] = None,
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="boards may go back to it from a newer one")
    ] = False,
    micropython: Annotated[
        str, typer.Option(metavar="1.25,1.26,…", help="runs on these; default: 1.25 to 1.28")
    ] = "",
    board: Annotated[str, typer.Option("--board", "-b", metavar="BOARD")] = "esp32",
    sensor: Annotated[
        list[str] | None,
        typer.Option(metavar="CHIP", help="whose drivers are in it; default: all"),
    ] = None,
    dirty: Annotated[
        bool, typer.Option("--dirty", help="also from files that are not committed, for a try")
    ] = False,
    local: Local = False,
) -> None:
    if context.invoked_subcommand:
        return
    if not key or out is None:
        raise ToolError("--key and --out are needed", _USAGE)
    from tools.updates import making

    wanted = making.Wanted(
        board=board,
        micropython=micropython.split(",") if micropython else making.MICROPYTHON,
        older=allow_downgrade,
        sensors=sensor or (),
        dirty=dirty,
    )
    _make(key, out, wanted, local)


def _make(key: str, out: Path, wanted: Wanted, local: bool) -> None:
    from tools.aws import clients
    from tools.updates import making, signers

    with options.spinner("compiling"):
        making.prepare(wanted)  # before anybody types a passphrase
    account = options.ACCOUNT.get()
    if not account.region:
        options.ACCOUNT.set(replace(account, region=signers.region_of(key)))
    signer = signers.of(key, lambda: clients.of(local).client("kms"), lambda: _asked(key))
    with options.spinner("signing"):
        made = making.make(signer, out, wanted)
    for warning in made.warnings:
        typer.echo(f"warning: {warning}", err=True)
    whole = made.release
    typer.echo(
        f"{made.file}: {whole.version} for {whole.board}, {len(whole.files)} files, "
        f"{len(whole.data()):,} bytes, manifest {len(whole.manifest):,}"
    )


def new_key(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="default: keys/release-1.pem")
    ] = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="whoever has the file can sign")
    ] = False,
) -> None:
    """Make a key that signs releases, and its public half beside it, for the boards.

    RSA of 3072 bits, readable by you alone, encrypted with a passphrase that is asked for twice
    or taken from FIELDMOUSE_KEY_PASSPHRASE. Keep a copy where this computer's end is not its end.
    """
    from tools.things import signing_keys
    from tools.updates import signers

    path = out or signing_keys.keys_dir() / "release-1.pem"
    signers.check_free(path)  # before anybody types a passphrase
    passphrase = "" if no_passphrase else _asked(str(path), twice=True)
    if not no_passphrase and len(passphrase) < signers.LEAST_PASSPHRASE:
        raise ToolError(
            f"a passphrase has {signers.LEAST_PASSPHRASE} characters or more",
            "or --no-passphrase",
        )
    public = signers.new_key(path, passphrase)
    typer.echo(f"{path}: the private key{' as it is' * no_passphrase}; keep it safe")
    typer.echo(f"{public}: goes onto every board that is flashed from now on")


def _asked(path: str, twice: bool = False) -> str:
    """The passphrase of the key in ``path``: never an argument, which others could see."""
    given = os.environ.get(PASSPHRASE, "")
    if given:
        return given
    if not options.terminal():
        raise ToolError(f"{path} needs a passphrase, and there is nobody to ask", f"{PASSPHRASE}=")
    answer: Any = typer.prompt(
        f"Passphrase of {path}", hide_input=True, confirmation_prompt=twice, err=True
    )
    return str(answer)
