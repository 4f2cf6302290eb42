"""A board that hears jobs, on the scripted AWS with jobs and streams, and releases for it.

    with Field(kit, tmp_path) as field:
        field.start()                                # the board has a session, and readings arrive
        field.offer(field.release("9.0.0"))          # a stream and a job
        field.ended()                                # its execution, once it is over

Its releases are the staged firmware with another version, and what a test changes in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e import pki
from tests.e2e.advisor.shadow import Shadow
from tests.e2e.jobs import Execution, Jobs
from tests.e2e.server import Server
from tests.e2e.streams import Streams
from tools.board import stage
from tools.sim.board import VirtualBoard
from tools.sim.devices import WIFI
from tools.things import boards, signing_keys
from tools.updates import release
from tools.updates.signers import FileSigner

THING = "field-1"
SCALE = 10
MICROPYTHON = ("1.25", "1.26", "1.27", "1.28")
_WAIT_S = 90.0


def new_key() -> rsa.RSAPrivateKey:
    """A key for releases; making one takes a moment."""
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    form = ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form)


class Kit:
    """What all cases share: authority, device certificate, keys, and the staged board."""

    def __init__(self, folder: Path, umqtt: Path, **config: Any) -> None:
        self.umqtt = umqtt
        self.ca = pki.Authority()
        self.server = self.ca.server()
        self.keys = [new_key(), new_key()]
        certs, public = folder / "certs", folder / "keys"
        certs.mkdir(parents=True)
        public.mkdir()
        for number, key in enumerate(self.keys):
            (public / f"release-{number}{signing_keys.SUFFIX}").write_bytes(_pem(key))
        self.client = self.ca.client(THING)
        (certs / "ca.pem").write_bytes(self.ca.cert)
        (certs / "cert.pem").write_bytes(self.client.cert)
        (certs / "key.pem").write_bytes(self.client.key)
        known = {"thing_name": THING, "endpoint": pki.HOST, "wifi": WIFI, "interval_s": 4}
        (folder / "config.json").write_text(json.dumps(known | {"updates": True} | config))
        made = stage.stage(folder / "config.json", certs, folder / "device", keys=public)
        self.device, self.built, self.version = made.out, made.build_s2000, made.version

    def firmware(self) -> dict[str, bytes]:
        """The files of the staged firmware, path on the board -> content."""
        found = (path for path in (self.device / "firmware").rglob("*") if path.is_file())
        return {path.relative_to(self.device).as_posix(): path.read_bytes() for path in found}

    def release(
        self,
        version: str = "9.0.0",
        changed: Mapping[str, bytes | None] | None = None,
        key: int | rsa.RSAPrivateKey = 0,
        **fields: Any,
    ) -> release.Release:
        """The staged firmware as ``version``, signed. ``changed``: path -> content, None: gone."""
        kind, files = boards.get("esp32"), self.firmware()
        files = {path: data for path, data in files.items() if path not in (changed or {})}
        files |= {path: data for path, data in (changed or {}).items() if data is not None}
        built = fields.pop("built", self.built + 1)
        files[stage.VERSION_FILE] = stage.version_file(version, built, kind, files)
        known: dict[str, Any] = {
            "version": version,
            "built": built,
            "board": kind.profile,
            "micropython": MICROPYTHON,
            "older": False,
            "files": release.listed(files),
        }
        manifest = release.Manifest(**(known | fields))
        return self.signed(manifest.text(), files, key)

    def signed(
        self, text: bytes, files: Mapping[str, bytes], key: int | rsa.RSAPrivateKey = 0
    ) -> release.Release:
        """A release with any manifest."""
        signer = FileSigner(self.keys[key] if isinstance(key, int) else key)
        return release.parse(text + signer.sign(text) + b"".join(files[p] for p in sorted(files)))

    def forged(
        self, text: bytes, files: Mapping[str, bytes], key: int | rsa.RSAPrivateKey = 0
    ) -> bytes:
        """The same, signed and looked at by nobody: the form need not be one."""
        made = text + FileSigner(self.keys[key] if isinstance(key, int) else key).sign(text)
        return made + b"".join(files[path] for path in sorted(files))


class Field:
    """``broker``, ``jobs``, ``streams``, ``shadow`` and the ``board``. A context manager."""

    def __init__(self, kit: Kit, folder: Path, scale: float = SCALE, **options: Any) -> None:
        self.kit = kit
        self.broker = Server(kit.ca, kit.server, clock=1 / scale)
        self.shadow = Shadow(THING, self.broker)
        self.jobs, self.streams = Jobs(self.broker), Streams(self.broker)
        self.folder = folder / "device"
        shutil.copytree(kit.device, self.folder)
        path = self.folder / "config.json"
        known = json.loads(path.read_text()) | {"port": self.broker.port}
        path.write_text(json.dumps(known, separators=(",", ":")))
        options = {"heap": "esp32", "bits": 32, "time_scale": scale} | options
        self.board = VirtualBoard(self.folder, umqtt=kit.umqtt, **options)

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        self.board.close()
        self.broker.close()
        print(*self.board.log, sep="\n")

    def start(self) -> None:
        """Power on, until readings arrive."""
        self.board.start()
        self.broker.wait_for(lambda: len(self.readings()) > 2, _WAIT_S)

    def readings(self) -> list[int]:
        """The seqs that have arrived, in order of arrival."""
        found = self.broker.published(f"devices/{THING}/data")
        return [json.loads(packet.payload)["seq"] for packet in found]

    def complete(self) -> None:
        """No reading was lost."""
        seqs = self.readings()
        assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))

    def repeated(self) -> list[int]:
        """The seqs that came twice in one session, or later on as if they were new."""
        found: list[int] = []
        seen: set[int] = set()
        for connection in self.broker.connections:
            here: set[int] = set()
            for _, packet in list(connection.packets):
                if packet.topic != f"devices/{THING}/data":
                    continue
                seq = json.loads(packet.payload)["seq"]
                found += [seq] * (seq in here or (seq in seen and not packet.dup))
                here.add(seq)
                seen.add(seq)
        return found

    def offer(self, made: release.Release | bytes, job: str = "job-1", **document: Any) -> None:
        """Put a release into a stream, and make the job."""
        data = made if isinstance(made, bytes) else made.data()
        stream = f"s-{job}"
        self.streams.put(stream, {0: data}, [THING])
        known: dict[str, Any] = {"fieldmouse": "update", "stream": stream}
        if not isinstance(made, bytes):
            known |= {"version": made.version, "manifest_bytes": len(made.manifest)}
        self.jobs.create(THING, job, known | document)

    def ended(self, job: str = "job-1", timeout_s: float = _WAIT_S) -> Execution:
        """The execution, once it is over."""
        found = self.jobs.execution(THING, job)
        self.broker.wait_for(lambda: found.over, timeout_s)
        return found

    def reported(self, **wanted: Any) -> dict[str, Any]:
        """What is reported, once it has ``wanted``."""

        self.broker.wait_for(lambda: self.shadow.reported(**wanted), _WAIT_S)
        return self.shadow.state["reported"]

    def slot(self) -> str:
        """The pointer file."""
        path = self.folder / "slot"
        return path.read_text() if path.exists() else ""
