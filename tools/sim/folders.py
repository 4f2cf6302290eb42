"""Where a local AWS is, for `--local` and for people; the folders of `make sim`.

.sim/cloud.json   where the local AWS is (tools/aws/local.py); beside it, of the run that has it:
.sim/things/      its things, each as `provision --local` makes it; they outlive the run, but their
                  certificates do not: the next local AWS has another authority
.sim/ports.json   the ports of that run, for the next one
.sim/run-*/       devices and logs of one run; a second run at a time has its cloud.json and its
                  things in there too

Several can run at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.aws import local
from tools.errors import ToolError
from tools.things.folder import Folder, things_dir

_FEW = 3


def temporary(kind: str, base: Path | None = None, keep: bool = False) -> Path:
    """A new folder in ``base`` (else where temporary files are), named after this process.

    Those of the same kind go whose process was killed before it could remove them, but for those
    that were made to ``keep``.
    """
    base = base or Path(tempfile.gettempdir())
    for folder in base.glob(f"{kind}-*"):
        owner = re.match(r"(\d{1,9})_", folder.name[len(kind) + 1 :])
        with contextlib.suppress(OSError):  # somebody else's process; or the folder has just gone
            if owner and folder.lstat().st_uid == os.getuid():
                try:
                    os.kill(int(owner[1]), 0)
                except ProcessLookupError:
                    shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-{'kept' if keep else os.getpid()}_", dir=base))


@contextlib.contextmanager
def scratch(keep: bool) -> Iterator[Path]:
    """A new folder for one run, removed at the end unless ``keep``."""
    base = local.ROOT / ".sim"
    base.mkdir(exist_ok=True)
    (base / ".gitignore").write_text("*\n")
    folder = temporary("run", base, keep)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def place(run: Path) -> Iterator[Path]:
    """Where a run may announce its cloud: `local.path()`, or in ``run`` while another has that."""
    usual = local.path()
    if (usual.parent / "things").resolve() == things_dir().resolve():  # renew() takes their keys
        raise ToolError(
            f"FIELDMOUSE_CLOUD={usual}: the things beside it are those of your AWS account",
            "FIELDMOUSE_CLOUD in a folder of its own, or none",
        )
    usual.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for file in (usual, run / "cloud.json"):
            lock = stack.enter_context(file.with_suffix(".lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                continue
        yield file


def last_ports(cloud_file: Path) -> dict[str, int]:
    """The ports of the last run there, by name; empty without one."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        found = json.loads(cloud_file.with_name("ports.json").read_text("utf-8"))
        return {name: port for name, port in found.items() if type(port) is int and port > 0}
    return {}


def save_ports(cloud_file: Path, ports: Mapping[str, int]) -> None:
    cloud_file.with_name("ports.json").write_text(json.dumps(ports), "utf-8")


def renew(things: Path, cloud: local.Cloud) -> list[str]:
    """Take from every thing in ``things`` what a local AWS that is gone has given it.

    The names of those that had something. What is left is a config.json that names ``cloud``:
    `provision --local` completes it.
    """
    renewed = []
    for folder in (Folder(path) for path in sorted(things.glob("*")) if path.is_dir()):
        if folder.certs.exists() or folder.record_file.exists():
            renewed.append(folder.path.name)
        shutil.rmtree(folder.certs, ignore_errors=True)
        folder.record_file.unlink(missing_ok=True)
        with contextlib.suppress(ToolError):  # not JSON: whoever edits it is told so
            config: dict[str, Any] = folder.read_config() or {}
            now = config | {"endpoint": cloud.endpoint, "port": cloud.mqtt_port}
            if config and config != now:
                text = json.dumps(now, ensure_ascii=False, indent=2) + "\n"
                folder.write(folder.config, text.encode(), 0o600)
    return renewed


def prefix(file: Path) -> str:
    """What a command in another terminal needs in front to reach the cloud that ``file`` names."""
    if file == local.ROOT / ".sim" / "cloud.json":
        return ""
    return f"FIELDMOUSE_CLOUD={shlex.quote(_shown(file))} "


def intro(cloud: local.Cloud, file: Path, thing: str, folder: Path, lan: bool = False) -> str:
    """What one can do while it runs, to be printed unwrapped so that commands can be copied.

    ``file`` announces ``cloud``; ``folder`` has devices and logs; ``lan``: MQTT is open to it.
    """
    tools = f"{prefix(file)}.venv/bin/python -m tools"
    reach = "on this machine only"
    if lan:
        reach = f"open to the local network as {socket.gethostname()}, for its certificates"
    return "\n".join(
        [
            "Change the interval from another terminal, by shadow or by command:",
            f"  {tools} shadow set {thing} interval_s=2 --local",
            f"  {tools} command {thing} set_reporting_interval interval_seconds=10 --local",
            f"The AWS APIs are on 127.0.0.1:{cloud.gateway_port};"
            f" MQTT is on port {cloud.mqtt_port}, {reach}.",
            f"Things, with certificates: {_shown(file.parent / 'things')}.",
            f"Logs and devices: {_shown(folder)}. Ctrl-C stops everything.",
        ]
    )


def outlived(things: list[str], file: Path) -> list[str]:
    """The lines about ``things`` of an earlier local AWS: one each, or one for many."""
    again = f"{prefix(file)}.venv/bin/python -m tools provision"
    if len(things) > _FEW:
        named = f"{len(things)} things ({things[0]}, {things[1]}, …) are of an earlier local AWS"
        return [f"{named}; to use one again: {again} THING --local"]
    said = "is of an earlier local AWS; to use it again"
    return [f"{thing} {said}: {again} {thing} --local" for thing in things]


@contextlib.contextmanager
def announced(cloud: local.Cloud, file: Path) -> Iterator[None]:
    """Let `--local` find ``cloud`` by ``file``."""
    local.write(cloud, file)
    try:
        yield
    finally:
        with contextlib.suppress(ToolError):
            if local.read(file) == cloud:
                local.forget(file)


def _shown(path: Path) -> str:
    return str(path.relative_to(local.ROOT) if path.is_relative_to(local.ROOT) else path)
