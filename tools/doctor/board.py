"""The board's own view for `doctor --port`: what it carries, its last crash, and how it boots."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any

import typer

from tools import options
from tools.board import boot_check, deploy, mpremote, prepare
from tools.board.boot_check import Outcome
from tools.board.serial_log import SerialLog
from tools.doctor.run import FAILED, OK, UNKNOWN, UNTRIED, Finding
from tools.errors import ToolError
from tools.things import certs
from tools.things import config as thing_config
from tools.things.folder import Folder

# What the log says of a link that fails (docs/troubleshooting.md) -> what to do; {0}: deploy.
_LINK = {
    "dns": "give the board's network a name server and a way to the internet",
    "tcp": "open TCP 8883 in the firewall of the board's network",
    "tls": "{0}",
    "no_connack": "mend what is wrong above; if nothing is: {0}",
    "refused": "mend what is wrong above; if nothing is: {0}",
    "closed": "is another board called the same? python -m tools things",
}


def examine(port: str, thing: str, folder: Folder) -> Iterator[Finding]:
    """Ask the board over mpremote, then restart it and follow its log until it has reached AWS."""
    try:
        where = deploy.reach(port, _config(folder), lambda text: typer.echo(text, err=True))
        yield _files(where, thing, folder)
        yield _crash(where)
        yield from _boot(where, thing)
    except ToolError as e:
        yield Finding("board", FAILED, " ".join(e.message.split()), e.hint)


def _config(folder: Folder) -> dict[str, Any]:
    with contextlib.suppress(ToolError):  # damaged: _files() says so
        return folder.read_config() or {}
    return {}


def _files(port: str, thing: str, folder: Folder) -> Finding:
    """Are configuration and certificates on the board those in the thing's folder?"""
    name = "board: files"
    board = prepare.board_of(folder.path, "")
    keyless = prepare.is_keyless(folder.path)
    found, _ = certs.load(folder.certs, board.name, dt.datetime.now(dt.timezone.utc), keyless)
    try:
        config, _ = thing_config.check(folder.read_config(), board.defaults)
    except ToolError:
        config = None
    if found is None or config is None:
        return Finding(name, UNTRIED, "not tried, as those here are not good")
    # As stage writes it; `deploy` brings it to the board byte for byte.
    wanted = {"config.json": thing_config.for_board(config), **found.files()}
    there, _ = mpremote.listing(port, ["config.json", "certs"])
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in wanted.items()}
    differs = {path for path, digest in digests.items() if there.get(path) != digest}
    if keyless and there.get("certs/b/cert.pem") == digests["certs/cert.pem"]:
        differs.discard("certs/cert.pem")  # in the other of its two slots (docs/updates.md)
    if differs:
        text = f"other ones than in {folder.path}: {', '.join(sorted(differs))}"
        return Finding(name, FAILED, text, options.deploy(thing, port))
    return Finding(name, OK, f"configuration and certificates are those of {thing}")


def _crash(port: str) -> Finding:
    """What is in the crash log is past; a board that keeps crashing says so when it boots."""
    lines = deploy.crash_log(port).strip().splitlines()
    if lines:
        text = f"{lines[-1]} (all of it: make crashlog PORT={port})"
        return Finding("board: last crash", UNKNOWN, text)
    return Finding("board: last crash", OK, "none")


def _boot(port: str, thing: str) -> Iterator[Finding]:
    with SerialLog(port, patience_s=5.0) as log:
        log.reset()
        outcome = boot_check.watch(log, lambda step, text, good: None)
    for step, text in outcome.passed:
        yield Finding(f"board: {step}", OK, text)
    if not outcome.ok:
        remedy = _remedy(outcome, port, thing)
        yield Finding(f"board: {outcome.failed}", FAILED, outcome.why, remedy)


def _remedy(outcome: Outcome, port: str, thing: str) -> str:
    deploying = options.deploy(thing, port)
    if outcome.failed == "AWS":
        reason = outcome.why.split(",")[0].split(" ")[0]
        return _LINK.get(reason, f"make logs PORT={port}").format(deploying)
    if "THING key" in outcome.remedy or "THING " in outcome.remedy:
        changed = outcome.remedy.replace("THING", thing)
        return f"{changed} --port {port}" if changed.startswith("python") else changed
    return outcome.remedy
