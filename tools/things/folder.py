"""The folder of a thing on this machine: `things/THING/`.

config.json   what the board gets; yours to edit, never overwritten
certs/        ca.pem cert.pem key.pem; the key is 0600 and never overwritten. No key.pem where the
              board has made its own (`rotate --remote`)
thing.json    names and ARNs in AWS, no secrets
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.things.values import thing_name

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Record:
    """thing.json. ``complete`` turns true when the last step of provisioning is done.

    ``key_on_board``: the board has made its key, so there is none here. ``rotation``: what
    `rotate --remote` has under way.
    """

    thing_name: str
    thing_arn: str
    certificate_id: str
    certificate_arn: str
    policies: tuple[str, ...] = ()
    endpoint: str = ""
    board: str = "esp32"
    complete: bool = False
    key_on_board: bool = False
    rotation: dict[str, Any] = field(default_factory=dict, hash=False)


def check_name(thing: str) -> str:
    """The name, or a ToolError for one that AWS would refuse."""
    wrong = thing_name(thing)
    if wrong:
        raise ToolError(f"thing name {thing!r} {wrong}")
    return thing


def things_dir(local: bool = False) -> Path:
    """Where the folders of all things are: `things/` of this checkout, or `FIELDMOUSE_THINGS`.

    ``local``: those of the local AWS, in `things/` beside the file that announces it:
    `.sim/cloud.json`, or `FIELDMOUSE_CLOUD`.
    """
    if local:
        cloud = os.environ.get("FIELDMOUSE_CLOUD")
        return (Path(cloud).parent if cloud else ROOT / ".sim") / "things"
    return Path(os.environ.get("FIELDMOUSE_THINGS") or ROOT / "things")


class Folder:
    """Reads and writes one such folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.record_file = path / "config.json", path / "thing.json"
        self.certs = path / "certs"
        self.ca, self.cert, self.key = (self.certs / f"{n}.pem" for n in ("ca", "cert", "key"))

    def make(self) -> None:
        """Make the folder, closed to others."""
        self.certs.mkdir(parents=True, exist_ok=True)
        self.certs.chmod(0o700)

    def record(self) -> Record | None:
        """What thing.json says, None without one; ToolError when it is damaged."""
        try:
            fields = json.loads(self.record_file.read_text("utf-8"))
            return Record(**(fields | {"policies": tuple(fields["policies"])}))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as e:
            hint = "move the folder away; `deprovision` finds the rest in AWS by the thing's name"
            raise ToolError(f"{self.record_file} is damaged", hint) from e

    def save(self, record: Record) -> Record:
        """Write thing.json, whole or not at all."""
        self.write(self.record_file, json.dumps(asdict(record), indent=1).encode() + b"\n")
        return record

    def finish(self, record: Record) -> Record:
        """Note that nothing is left to do."""
        return self.save(replace(record, complete=True))

    def write(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        """Replace a file, whole or not at all."""
        scratch = path.with_name(path.name + ".new")
        scratch.unlink(missing_ok=True)
        try:
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise

    def read_config(self) -> dict[str, Any] | None:
        """config.json as it is, None without one; ToolError when it is not JSON."""
        try:
            found = json.loads(self.config.read_text("utf-8-sig"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as e:
            raise ToolError(f"{self.config} is not readable JSON", "mend it or remove it") from e
        return found if isinstance(found, dict) else {}
