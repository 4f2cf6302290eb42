"""The board's own view for `doctor --port`: what it carries, its last crash, and how it boots."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator

from tools.aws.doctor import FAILED, OK, UNTRIED, Finding
from tools.aws.folder import Folder
from tools.board import boot_check, certs, deploy, mpremote
from tools.board.serial_log import SerialLog
from tools.errors import ToolError


def examine(port: str, thing: str, folder: Folder) -> Iterator[Finding]:
    """Ask the board over mpremote, then restart it and follow its log until it has reached AWS."""
    try:
        yield _certificates(port, thing, folder)
        yield _crash(port)
    except ToolError as e:
        yield Finding("board", FAILED, " ".join(e.message.split()), e.hint)
        return
    yield from _boot(port)


def _certificates(port: str, thing: str, folder: Folder) -> Finding:
    record = folder.record()
    kind = "esp8266" if record and record.board == "esp8266" else "esp32"
    wanted, _ = certs.load(folder.certs, kind, dt.datetime.now(dt.timezone.utc))
    there, _ = mpremote.listing(port, ["certs"])
    if wanted is None:
        return Finding("board: certificates", UNTRIED, "not tried, as those here are not good")
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in wanted.files().items()}
    differs = sorted(path for path, digest in digests.items() if there.get(path) != digest)
    if differs:
        text = f"other ones than in {folder.certs}: {', '.join(differs)}"
        return Finding(
            "board: certificates", FAILED, text, f"make deploy THING={thing} PORT={port}"
        )
    return Finding("board: certificates", OK, f"those of {thing}")


def _crash(port: str) -> Finding:
    log = deploy.crash_log(port).strip()
    if log:
        return Finding(
            "board: last crash", FAILED, log.splitlines()[-1], f"make crashlog PORT={port}"
        )
    return Finding("board: last crash", OK, "none")


def _boot(port: str) -> Iterator[Finding]:
    with SerialLog(port, patience_s=5.0) as log:
        log.reset()
        outcome = boot_check.watch(log, lambda step, text, good: None)
    for step, text in outcome.passed:
        yield Finding(f"board: {step}", OK, text)
    if not outcome.ok:
        yield Finding(f"board: {outcome.failed}", FAILED, outcome.why, outcome.remedy)
