"""A board whose certificates the scripted AWS knows, and may refuse: new ones by jobs.

    with Garden(kit, tmp_path) as garden:
        garden.start()
        garden.rotate()                              # as `rotate --remote` does it
        assert garden.faults == []                   # looked at with every line of the log

A fault: neither the certificates in the slot that `slot` names, nor, on trial, those it goes back
to, can open a session: a key and a certificate for it, and ACTIVE in AWS as this thing.

A Nursery is one whose board was flashed with a claim.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.claims import Claims, number_of
from tests.e2e.updates import THING, Field, Kit
from tools.aws import csr
from tools.board.stage import EPOCH_2000
from tools.things.certs import belong_together

WAIT_S = 60.0
TEMPLATE = "fieldmouse"


class EveryOther(Counter[str]):
    """For `ignore` and `lose`: the first one of each kind, the third, the fifth …"""

    def __getitem__(self, kind: str) -> int:
        left = self.get(kind, 1)
        if not left:
            self[kind] = 1
        return left


G = TypeVar("G", bound="Garden")


class Garden(Field):
    """A Field with `claims`: ``number`` is the certificate that the board should be using."""

    def __init__(self, kit: Kit, folder: Path, scale: float = 20, **options: Any) -> None:
        self.faults: list[str] = []
        super().__init__(kit, folder, scale, on_line=self._look, **options)
        self.claims = Claims(self.broker, kit.ca)
        self.number = self.claims.known(kit.client, THING)
        self._jobs = 0

    def __enter__(self: G) -> G:
        return self

    def job(self, **document: str) -> str:
        """Make a job; its id."""
        self._jobs += 1
        name = f"job-{self._jobs}"
        self.jobs.create(THING, name, document)
        return name

    def prepare(self) -> None:
        """A key and its request, as of an earlier try; the board takes seconds for its own."""
        folder = self.folder / "certs" / ("" if self.slot()[1:2] == "b" else "b")
        folder.mkdir(exist_ok=True)
        (folder / "cert.pem").unlink(missing_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        form = ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
        (folder / "key.pem").write_bytes(key.private_bytes(*form))
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, THING)])
        asked = x509.CertificateSigningRequestBuilder().subject_name(name)
        made = asked.sign(key, hashes.SHA256())
        (folder / "csr.der").write_bytes(made.public_bytes(ser.Encoding.DER))

    def request(self, prepared: bool = False) -> x509.CertificateSigningRequest:
        """What the board answers to a job `csr`, checked as the host does."""
        if prepared:
            self.prepare()
        done = self.ended(self.job(fieldmouse="csr"), WAIT_S)
        assert done.status == "SUCCEEDED", done.details
        return csr.check(done.details["csr"], THING)

    def bring(self, number: str) -> str:
        """Make the job `certificate`; its id."""
        pem = self.claims.certificates[number].pem
        return self.job(fieldmouse="certificate", certificate=pem)

    def rotate(self, prepared: bool = False) -> str:
        """All of it, the old certificate INACTIVE at the end; the id of the new one."""
        new = self.claims.issue(self.request(prepared), THING)
        self.moved(self.bring(new), new)
        return new

    def moved(self, job: str, new: str) -> None:
        """Wait for the job's good end; then the old certificate is switched off."""
        done = self.ended(job, WAIT_S)
        assert (done.status, done.details) == ("SUCCEEDED", {})
        self.under(new)
        self.claims.deactivate(self.number, kick=True)
        self.number = new

    def under(self, number: str) -> None:
        """Wait for a session under this certificate."""
        self.broker.wait_for(
            lambda: [c for c in self.broker.live(THING) if number_of(c.certificate) == number],
            WAIT_S,
        )

    def arrive(self, more: int = 2) -> None:
        """Wait for readings that are newer than what has arrived."""
        newest = max(self.readings(), default=0) + more
        self.broker.wait_for(lambda: max(self.readings(), default=0) >= newest, WAIT_S)

    def works(self, letter: str) -> bool:
        """Whether the certificates in a slot can open a session."""
        folder = self.folder / "certs" / ("b" if letter == "b" else "")
        try:
            pem = (folder / "cert.pem").read_bytes()
            key = ser.load_pem_private_key((folder / "key.pem").read_bytes(), None)
            found = self.claims.certificates.get(of_pem(pem))
            whole = belong_together(x509.load_pem_x509_certificate(pem), key)  # type: ignore[arg-type]
        except (OSError, ValueError):
            return False
        return bool(whole and found and found.status == "ACTIVE" and found.thing == THING)

    def look(self) -> None:
        """Note a fault."""
        words = self.slot().split() or ["aa"]
        usable = words[:2] if words[2:] and words[2].isdigit() else words[:1]
        if not any(self.works(word[1]) for word in usable):
            self.faults.append(f"slot {' '.join(words)!r}: none of {usable} works")

    def _look(self, line: str) -> None:
        count = len(self.faults)
        self.look()
        self.faults[count:] = [f"{fault}, at {line!r}" for fault in self.faults[count:]]

    def cut(self) -> None:
        """The power goes, and comes back."""
        self.board.kill()
        self.look()
        self.board.start()

    def crash(self) -> None:
        """The watchdog ends it: a start that counts."""
        pid = self.board.pid
        if pid is not None:  # else it is restarting already
            os.kill(pid, signal.SIGALRM)
        self.look()


class Nursery(Garden):
    """A board with nothing but a claim: ``seed`` is its certificate's id."""

    def __init__(self, kit: Kit, folder: Path, good_s: int = 100_000, **options: Any) -> None:
        super().__init__(kit, folder, **options)
        self.claims.certificates.clear()
        self.claims.things.clear()
        self.claim = kit.ca.client("AWS IoT Certificate")
        self.seed = self.claims.claim(self.claim, [TEMPLATE])
        self.listed = True
        self.claims.template(
            TEMPLATE, {"SerialNumber": None}, "{SerialNumber}", hook=lambda event: self.listed
        )
        about = {"template": TEMPLATE, "parameters": {"SerialNumber": THING}}
        until = int(time.time()) - EPOCH_2000 + good_s
        files = {
            "cert.pem": self.claim.cert,
            "key.pem": self.claim.key,
            "claim.json": json.dumps(about | {"expires_s2000": until}).encode(),
        }
        for name, data in files.items():
            (self.folder / "certs" / name).write_bytes(data)

    def look(self) -> None:
        """There is nothing that works before it has come up."""

    def up(self) -> None:
        """As itself, and nothing of the claim is left."""
        self.broker.wait_for(lambda: self.readings(), WAIT_S)
        self.board.wait_for("claim: removed from the board", WAIT_S)
        self.board.kill()
        left = {path.name for path in (self.folder / "certs").iterdir()}
        assert left == {"ca.pem", "b"} and self.slot() == "ab"
        assert {p.name for p in (self.folder / "certs/b").iterdir()} == {"cert.pem", "key.pem"}
        for secret in (self.claim.cert, self.claim.key):
            body = secret.splitlines()[-3]  # not of the issuer, whom others have as well
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            assert not [path for path in files if body in path.read_bytes()]
        own = of_pem((self.folder / "certs/b/cert.pem").read_bytes())
        assert self.works("b") and own in self.claims.things[THING]
        assert {of_key(self.claims, n) for n in self.claims.things[THING]} == {
            of_key(self.claims, own)
        }
        # It needs the claim no more, and what AWS has of other tries goes by itself.
        self.claims.deactivate(self.seed)
        self.claims.hours(1.1)
        assert self.claims.orphans() == []
        self.board.start()
        self.under(own)
        self.complete()


def of_pem(pem: bytes) -> str:
    """The id of a certificate."""
    return number_of(x509.load_pem_x509_certificate(pem).public_bytes(ser.Encoding.DER))


def of_key(claims: Any, number: str) -> bytes:
    """The public key of a certificate."""
    key = x509.load_pem_x509_certificate(claims.certificates[number].pem.encode()).public_key()
    return key.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
