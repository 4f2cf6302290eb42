"""Gives a thing a new key and certificate, and takes the old one away once the new one is in use.

    next/   the new key and certificate while they are being made
    old/    the former ones, from then until the device has connected with the new ones

Every step may be interrupted; running it again continues.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.aws import certificates, viewer
from tools.aws.clients import Clients
from tools.aws.errors import explained, is_missing
from tools.aws.folder import Folder, Record
from tools.aws.undo import Undo
from tools.board import boards
from tools.errors import ToolError

_POLL_S = 0.5


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
    thing = record.thing_name
    names = _policies(iot, record)
    with Undo() as undo:
        for path in (coming.path, coming.certs):
            if not path.exists():
                undo.path(path)
        coming.make()
        before = coming.record()
        if before is None:
            kind = boards.get(record.board).key
            made = certificates.create(iot, coming, thing, record.thing_arn, kind, undo)
        else:
            made = certificates.find(iot, coming, before, record.thing_arn)
        for name in names:
            iot.attach_policy(policyName=name, target=made.certificate_arn)
        iot.attach_thing_principal(thingName=thing, principal=made.certificate_arn)
        iot.update_certificate(certificateId=made.certificate_id, newStatus="ACTIVE")
        undo.path(coming.ca)
        coming.write(coming.ca, current.ca.read_bytes())
        whole = replace(made, policies=names, endpoint=record.endpoint, board=record.board)
        done = coming.finish(whole)
        undo.keep()
    return done


def _policies(iot: Any, record: Record) -> tuple[str, ...]:
    """Those of the old certificate; what was recorded, if that is gone."""
    try:
        return tuple(certificates.policies_of(iot, record.certificate_arn)) or record.policies
    except Exception as e:
        if not is_missing(e):
            raise
        return record.policies


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
    pairs = zip(_files(source), _files(target), strict=True)
    for here, there in pairs:
        if here.exists():
            here.replace(there)


def _files(folder: Folder) -> tuple[Path, ...]:
    return folder.ca, folder.cert, folder.key, folder.record_file


def wait(clients: Clients, record: Record, timeout_s: float) -> bool:
    """True when the device has connected with the certificate of ``record``, False in time.

    AWS says who connects on `$aws/events/presence/connected/THING` (aws-facts.md 7). A device
    that is connected now is asked to connect again, where AWS's DeleteConnection may be used.
    """
    thing, arrived = record.thing_name, queue.SimpleQueue[bytes]()
    topic = f"$aws/events/presence/connected/{thing}"
    end = time.monotonic() + timeout_s
    with viewer.listening(clients, [topic], lambda _, payload: arrived.put(payload)):
        with contextlib.suppress(Exception):  # not allowed, not connected, not in MiniStack
            clients.data.delete_connection(clientId=thing)
        while time.monotonic() < end:
            with contextlib.suppress(queue.Empty, ValueError, AttributeError):
                event = json.loads(arrived.get(timeout=_POLL_S))
                if event.get("principalIdentifier") == record.certificate_id:
                    return True
    return False


def finish(clients: Clients, path: Path) -> str:
    """Switch the old certificate off, delete it and its files; its id, "" if there is none."""
    old = Folder(path / "old")
    record = old.record()
    if record is None:
        return ""
    with explained():
        try:
            certificates.discard(clients.iot, record.certificate_id, record.certificate_arn)
        except Exception as e:
            if not is_missing(e):
                raise
    for file in _files(old):
        file.unlink(missing_ok=True)
    for folder in (old.certs, old.path):
        with contextlib.suppress(OSError):  # something of the user's is in there
            folder.rmdir()
    return record.certificate_id
