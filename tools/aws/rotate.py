"""Gives a thing a new key and certificate, and takes the old one away once the new one is in use.

    next/   the new key and certificate while they are being made
    old/    the former ones, from then until the device has connected with the new ones

Every step may be interrupted; running it again continues.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from tools import options, wire
from tools.aws import certificates, viewer
from tools.aws.clients import Clients
from tools.aws.errors import explained, found
from tools.aws.fleet import Limiter
from tools.aws.undo import undoing
from tools.errors import ToolError
from tools.things import boards, bulk
from tools.things.folder import Folder, Record

_POLL_S = 0.5


def rotate(clients: Clients, folders: Mapping[str, Path], timeout_s: float, now: bool) -> None:
    """Rotate all at once: every new certificate first, then each old one as its device is back.

    ``folders``: of each thing; ``now``: do not wait for the devices.
    """
    Limiter().attach(clients.iot)
    records: dict[str, Record] = {}

    def new(thing: str) -> str:
        made = records[thing] = begin(clients, thing, folders[thing])
        return f"{thing}: the new certificate {made.certificate_id} is in {folders[thing]}"

    def gone(thing: str) -> str:
        return f"{thing}: the old certificate {finish(clients, folders[thing])} is deleted"

    names = list(folders)
    if now:

        def at_once(thing: str) -> str:
            typer.echo(new(thing))  # said even if what follows fails
            return gone(thing)

        bulk.run(names, at_once)
        return
    try:
        bulk.run(names, new)
    except ToolError:
        if not records:
            raise
    left = _wait(clients, list(records.values()), timeout_s, gone)
    if len(names) == 1 and left:
        raise ToolError(
            f"{names[0]} has not connected with the new certificate within {timeout_s:g} s; "
            "both are valid",
            f"bring it onto the board, then: python -m tools rotate {names[0]}",
        )
    failed = [f"{thing}: has no new certificate" for thing in names if thing not in records]
    failed += [f"{thing}: not connected within {timeout_s:g} s; both are valid" for thing in left]
    if len(names) > 1:
        bulk.finish(len(names) - len(failed), failed)


def _wait(
    clients: Clients, records: Sequence[Record], timeout_s: float, gone: Callable[[str], str]
) -> list[str]:
    """Print ``gone`` of each thing that has connected; those that have not."""
    left = [record.thing_name for record in records]
    deploy = options.deploy(left[0] if len(left) == 1 else "...")
    typer.echo(f"now: {deploy} (in another terminal)")
    typer.echo(
        f"waiting up to {timeout_s:g} s for {bulk.counted(left)} to connect with the new "
        "certificate; Ctrl-C ends only the wait: the old one stays valid",
        err=True,
    )
    coming = iter(connected(clients, records, timeout_s))
    while True:
        with options.spinner(f"waiting for {bulk.counted(left)}"):
            record = next(coming, None)
        if record is None:
            return left
        left.remove(record.thing_name)
        typer.echo(gone(record.thing_name))


def begin(clients: Clients, thing: str, path: Path) -> Record:
    """Make the new certificate beside the old one and put it into the thing's folder.

    Both are valid then. Does nothing when a rotation is under way already; the new record.
    """
    current, coming, old = Folder(path), Folder(path / "next"), Folder(path / "old")
    record = current.record()
    if record is not None and old.record() is not None and coming.record() is None:
        return record  # made and in place; it is the device's turn
    try:
        with explained():
            made = coming.record()
            if made is None or not made.complete:
                if record is not None and "confirmed" in record.rotation:
                    hint = f"python -m tools rotate {thing} --remote --finish"
                    raise ToolError(f"{thing}: an older certificate is still valid", hint)
                if record is None or record.thing_name != thing or not record.complete:
                    raise ToolError(
                        f"{path} is not the whole folder of {thing}",
                        f"python -m tools provision {thing}",
                    )
                made = _make(clients.iot, record, current, coming)
        _swap(current, coming, old)
    except OSError as e:
        raise ToolError(f"cannot write {e.filename or path}: {e.strerror}") from e
    return made


def _make(iot: Any, record: Record, current: Folder, coming: Folder) -> Record:
    # Those of the old certificate; what was recorded, if that is gone.
    arn = record.certificate_arn
    names = tuple(found(certificates.policies_of, iot=iot, arn=arn) or record.policies)
    kind, owner = boards.get(record.board).key, (record.thing_name, record.thing_arn)
    with undoing() as undo:
        made = certificates.ensure(iot, coming, owner, kind, names, undo)
        undo.path(coming.ca)
        coming.write(coming.ca, current.ca.read_bytes())
        whole = replace(made, policies=names, endpoint=record.endpoint, board=record.board)
        return coming.finish(whole)


def _swap(current: Folder, coming: Folder, old: Folder) -> None:
    # thing.json moves last each time: where it lies says how far an interrupted swap came.
    if old.record() is None:
        old.make()
        _move(current, old)
    current.make()
    _move(coming, current)
    for path in (coming.certs, coming.path):
        path.rmdir()


def _move(source: Folder, target: Folder) -> None:
    for name in ("ca", "cert", "key", "record_file"):
        here: Path = getattr(source, name)
        if here.exists():
            here.replace(getattr(target, name))


def connected(clients: Clients, records: Sequence[Record], timeout_s: float) -> Iterator[Record]:
    """Each of ``records`` as soon as its device has connected with it; ends with all, or in time.

    AWS says who connects on `$aws/events/presence/connected/THING` (aws-facts.md 7). A device
    that is connected now is asked to connect again, where AWS's DeleteConnection may be used.
    """
    waiting = {record.certificate_id: record for record in records}
    only = records[0].thing_name if len(records) == 1 else "+"
    arrived = queue.SimpleQueue[bytes]()
    topic = f"$aws/events/presence/connected/{only}"
    end = time.monotonic() + timeout_s
    with viewer.listening(clients, [topic], lambda _, payload: arrived.put(payload)):
        for thing in (record.thing_name for record in records):
            with contextlib.suppress(Exception):  # not allowed, not connected, not in MiniStack
                clients.data.delete_connection(clientId=thing)
        while waiting and time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                event = wire.document(arrived.get(timeout=_POLL_S)) or {}
                record = waiting.pop(str(event.get("principalIdentifier")), None)
                if record is not None:
                    yield record


def finish(clients: Clients, path: Path) -> str:
    """Switch the old certificate off, delete it and its files; its id, "" if there is none."""
    old = Folder(path / "old")
    record = old.record()
    if record is None:
        return ""
    with explained():
        number, arn = record.certificate_id, record.certificate_arn
        found(certificates.discard, iot=clients.iot, certificate_id=number, arn=arn)
        if "new_id" in record.rotation:  # `rotate --remote` did not come to its end
            number, arn = record.rotation["new_id"], record.rotation["new_arn"]
            found(certificates.discard, iot=clients.iot, certificate_id=number, arn=arn)
    certificates.remove_files(old)
    return record.certificate_id
