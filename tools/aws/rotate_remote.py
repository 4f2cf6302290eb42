"""Gives a thing a new certificate for a key that its board makes itself: two jobs, no cable.

The job "csr" makes the key; its request is signed here, the certificate gets the policies, then
the thing, and the job "certificate" has the board try it (docs/updates.md). It succeeds under the
new certificate only. What is under way stands in `rotation` of thing.json, before it is done in
AWS: interrupted anywhere, the same command goes on. The old one is switched off last of all.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser

from tools import wire
from tools.aws import certificates, csr
from tools.aws.clients import Clients
from tools.aws.errors import created, explained, found
from tools.aws.fleet import Limiter
from tools.errors import ToolError
from tools.options import completed
from tools.things import boards, bulk
from tools.things.folder import Folder, Record

_POLL_S = 3.0
_AT_ONCE = 32  # nearly all of their time they wait
_STAMP = "%Y%m%d-%H%M%S"
_CLOCK_S = 3600  # by which this computer's clock may be ahead of AWS's
_UNDER_WAY = ("QUEUED", "IN_PROGRESS")


@dataclass(frozen=True)
class How:
    """The options of the command."""

    timeout_s: float
    grace_s: int = 86_400
    finish: bool = False
    delete_old: bool = False
    per_minute: float = 0  # things begun; 0: no limit
    tell: Callable[[str], object] = lambda text: None  # what is waited for
    stop: threading.Event = field(default_factory=threading.Event)


def rotate(clients: Clients, folders: Mapping[str, Path], how: How) -> None:
    """Rotate all of them, at most ``how.per_minute`` begun in a minute; prints a line for each."""
    Limiter().attach(clients.iot)
    pace = bulk.Pace(how.per_minute, how.stop)
    if len(folders) == 1:
        how = replace(how, tell=partial(typer.echo, err=True))

    def one(thing: str) -> str:
        rotation = Rotation(clients.iot, thing, Folder(folders[thing]), how)
        if rotation.fresh:
            pace.wait()
        return rotation.run()

    bulk.run(list(folders), one, _AT_ONCE, how.stop.set)


class Rotation:
    """That of one thing."""

    def __init__(self, iot: Any, thing: str, folder: Folder, how: How) -> None:
        self.iot, self.thing, self.folder, self.how = iot, thing, folder, how
        record = folder.record()
        if record is None or record.thing_name != thing or not record.complete:
            hint = f"python -m tools provision {thing}"
            raise ToolError(f"{folder.path} is not the whole folder of {thing}", hint)
        if boards.get(record.board).key == "rsa":
            raise ToolError(f"{thing}: an ESP8266 makes no key of its own", self._by_cable)
        if any(Folder(folder.path / name).record() for name in ("next", "old")):
            raise ToolError(f"{thing}: a rotation by cable is under way", self._by_cable)
        if not record.rotation and not (folder.read_config() or {}).get("updates"):
            hint = f"python -m tools provision {thing} --update-policy; then deploy"
            raise ToolError(f"{thing}: updates is not true, so its board takes no jobs", hint)
        self.record: Record = record

    @property
    def _by_cable(self) -> str:
        return f"python -m tools rotate {self.thing}"

    @property
    def _again(self) -> str:
        return f"python -m tools rotate {self.thing} --remote"

    @property
    def fresh(self) -> bool:
        """Nothing is under way."""
        return not self.record.rotation

    def run(self) -> str:
        """Go on from where it is; the line that says how it is now."""
        with explained():
            if self.fresh and self.how.finish:
                return f"{self.thing}: nothing is pending"
            if self.fresh:
                # Random as well: a job of the same name would be an older one's.
                now = dt.datetime.now(dt.timezone.utc).strftime(_STAMP)
                stamp = f"{now}-{secrets.token_hex(2)}"
                self._note(stamp=stamp, old_id=self.record.certificate_id)
            if "confirmed" not in self.record.rotation:
                self._try(self._sign(self._ask()))
            self._settle()
            return self._finish()

    def _note(self, **changes: Any) -> None:
        rotation = {**self.record.rotation, **changes}
        self.record = self.folder.save(replace(self.record, rotation=rotation))

    def _forget(self) -> None:
        self.record = self.folder.save(replace(self.record, rotation={}))

    def _ask(self) -> x509.CertificateSigningRequest:
        """The board's request for its new key."""
        self.how.tell(f"{self.thing}: its board makes a key")
        status, details = self._job("csr", {"fieldmouse": "csr"})
        if status != "SUCCEEDED":
            self._forget()
            why = wire.text(details.get("reason", "")) or status
            raise ToolError(f"{self.thing} has made no key: {why}", self._again)
        try:
            return csr.check(details.get("csr", ""), self.thing)
        except ToolError:
            self._forget()
            raise

    def _sign(self, request: x509.CertificateSigningRequest) -> str:
        """The new certificate, ACTIVE, with the policies and the thing of the old one."""
        old = f"{self.record.certificate_arn.rpartition('/')[0]}/{self.record.rotation['old_id']}"
        names = found(certificates.policies_of, iot=self.iot, arn=old) or self.record.policies
        if not names:
            raise ToolError(f"{self.thing}: its certificate has no policy", "provision it again")
        arn, pem = self._made(request)
        # Policies first: as soon as it belongs to the thing it can do what the old one can.
        for name in names:
            self.iot.attach_policy(policyName=name, target=arn)
        self.iot.attach_thing_principal(thingName=self.thing, principal=arn)
        return pem

    def _made(self, request: x509.CertificateSigningRequest) -> tuple[str, str]:
        rotation = self.record.rotation
        if "new_id" not in rotation and "signing" in rotation:
            self._adopt(request)
        elif "new_id" not in rotation:
            self._note(signing=True)
        if "new_id" not in self.record.rotation:
            form = request.public_bytes(ser.Encoding.PEM).decode()
            made = self.iot.create_certificate_from_csr(
                certificateSigningRequest=form, setAsActive=True
            )
            self._note(new_id=made["certificateId"], new_arn=made["certificateArn"])
            return made["certificateArn"], made["certificatePem"]
        there = self._described()
        if there["status"] != "ACTIVE":
            number = self.record.rotation["new_id"]
            self.iot.update_certificate(certificateId=number, newStatus="ACTIVE")
        return self.record.rotation["new_arn"], there["certificatePem"]

    def _adopt(self, request: x509.CertificateSigningRequest) -> None:
        """Take what a run has made that never came to know of it; remove what is left over."""
        begun = self.record.rotation["stamp"].rpartition("-")[0]
        since = dt.datetime.strptime(begun, _STAMP)
        since = since.replace(tzinfo=dt.timezone.utc) - dt.timedelta(seconds=_CLOCK_S)
        for arn in csr.made_since(self.iot, since):
            number = certificates.id_of(arn)
            there = found(self.iot.describe_certificate, certificateId=number)
            pem = there["certificateDescription"]["certificatePem"].encode() if there else b""
            if not pem or csr.public(x509.load_pem_x509_certificate(pem)) != csr.public(request):
                continue
            if "new_id" not in self.record.rotation:
                self._note(new_id=number, new_arn=arn)
                continue
            certificates.discard(self.iot, number, arn)
            typer.echo(f"{self.thing}: removed {number}, made but never used", err=True)

    def _described(self) -> Any:
        number = self.record.rotation.get("new_id") or self.record.certificate_id
        there = found(self.iot.describe_certificate, certificateId=number)
        if there is None:
            self._forget()
            text = f"{self.thing}: the certificate {number[:10]}… is no longer in AWS"
            raise ToolError(text, self._again)
        return there["certificateDescription"]

    def _try(self, pem: str) -> None:
        """Have the board try it; a board that went back to the old one keeps that."""
        rotation = self.record.rotation
        tries = rotation.get("try", 1)
        document = {"fieldmouse": "certificate", "certificate": pem}
        self.how.tell(f"{self.thing}: its board tries the new certificate")
        status, details = self._job(f"cert{tries}", document)
        why = wire.text(details.get("reason", "")) or status
        if status == "FAILED":  # only the board says so
            number, arn = rotation["new_id"], rotation["new_arn"]
            found(certificates.discard, iot=self.iot, certificate_id=number, arn=arn)
            self._forget()
            raise ToolError(f"{self.thing} has kept its old certificate: {why}", self._again)
        if status != "SUCCEEDED":  # by whom? The board may run under either: both stay
            self._note(**{"try": tries + 1})
            text = f"{self.thing}: its job is {status}; both certificates are valid"
            raise ToolError(text, self._again)
        now = time.time()
        self.record = self.folder.save(
            replace(
                self.record,
                certificate_id=rotation["new_id"],
                certificate_arn=rotation["new_arn"],
                key_on_board=True,
                rotation={
                    "old_id": rotation["old_id"],
                    "confirmed": int(now),
                    "until": int(now) + self.how.grace_s,
                },
            )
        )

    def _settle(self) -> None:
        """The folder as it is now: the certificate in use, and a key that is not here."""
        there = self._described()
        if there["status"] != "ACTIVE":
            text = f"{self.thing}: its certificate is {there['status']}; the old one stays"
            raise ToolError(text, self._by_cable)
        self.folder.write(self.folder.cert, there["certificatePem"].encode())
        self.folder.key.unlink(missing_ok=True)

    def _finish(self) -> str:
        rotation, new = self.record.rotation, self.record.certificate_id
        until = min(rotation["until"], rotation["confirmed"] + self.how.grace_s)
        if not self.how.finish and time.time() < until:
            when = f"{dt.datetime.fromtimestamp(until, dt.timezone.utc):%Y-%m-%d %H:%M} UTC"
            text = f"{self.thing}: runs under {new}; the old certificate is valid until the next"
            return f"{text} `{completed(self._again)}` after {when}"
        number = rotation["old_id"]
        arn = f"{self.record.certificate_arn.rpartition('/')[0]}/{number}"
        there = found(self.iot.describe_certificate, certificateId=number)
        if there and there["certificateDescription"]["status"] == "ACTIVE":
            self.iot.update_certificate(certificateId=number, newStatus="INACTIVE")
        if self.how.delete_old:
            found(certificates.discard, iot=self.iot, certificate_id=number, arn=arn)
        self._forget()
        end = "deleted" if self.how.delete_old else "INACTIVE"
        return f"{self.thing}: runs under {new}; the old certificate {number} is {end}"

    def _job(self, kind: str, document: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Make sure of the job, wait for its end: status and details."""
        number = job_id(kind, self.thing, self.record.rotation["stamp"])
        created(
            self.iot.create_job,
            jobId=number,
            targets=[self.record.thing_arn],
            document=json.dumps(document),
            description=f"python -m tools rotate {self.thing} --remote",
        )
        end = time.monotonic() + self.how.timeout_s
        while True:
            # The execution comes a moment after the job.
            there = found(self.iot.describe_job_execution, jobId=number, thingName=self.thing)
            execution = there["execution"] if there else {}
            status = str(execution.get("status", "QUEUED"))
            if status not in _UNDER_WAY:
                details = execution.get("statusDetails", {}).get("detailsMap", {})
                return status, {str(k): str(v) for k, v in details.items()}
            if time.monotonic() > end:
                text = f"{self.thing}: the job {number} is {status} after {self.how.timeout_s:g} s"
                raise ToolError(f"{text}; its certificate is valid as before", self._again)
            if self.how.stop.wait(_POLL_S):
                raise ToolError(f"{self.thing}: interrupted", self._again)


def job_id(kind: str, thing: str, stamp: str) -> str:
    """The same for the same rotation; at most 64 characters of AWS's alphabet."""
    name = thing
    if len(thing) > 28 or ":" in thing:
        digest = hashlib.sha256(thing.encode()).hexdigest()[:8]
        name = f"{re.sub('[^a-zA-Z0-9_-]', '-', thing)[:19]}-{digest}"
    return f"rotate-{kind}-{name}-{stamp}"
