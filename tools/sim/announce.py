"""Tells `--local`, and people, where the local AWS of this checkout is; two can run at a time."""

from __future__ import annotations

import contextlib
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tools.aws import local
from tools.errors import ToolError


def prefix(cloud: local.Cloud) -> str:
    """What a command needs in front to reach ``cloud``; nothing when it is the one announced."""
    with contextlib.suppress(ToolError):
        if local.read() == cloud:
            return ""
    return f"FIELDMOUSE_CLOUD={_own_file(cloud).relative_to(local.ROOT)} "


def intro(cloud: local.Cloud, thing: str, folder: Path, chaos: str = "") -> str:
    """What one can do while it runs, to be printed unwrapped so that commands can be copied."""
    tools = f"{prefix(cloud)}.venv/bin/python -m tools"
    port = urllib.parse.urlsplit(cloud.gateway_url).port
    lines = [
        "Change the interval from another terminal, by shadow or by command:",
        f"  {tools} shadow set {thing} interval_s=2 --local",
        f"  {tools} command {thing} set_reporting_interval interval_seconds=10 --local",
        f"The AWS APIs are on 127.0.0.1:{port}; MQTT is on port {cloud.mqtt_port},"
        " which the local network can reach.",
        f"Logs and devices: {folder.relative_to(local.ROOT)}. Ctrl-C stops everything.",
    ]
    if chaos:
        lines.insert(0, f"The network between boards and cloud: {chaos}")
    return "\n".join(lines)


@contextlib.contextmanager
def announced(cloud: local.Cloud) -> Iterator[None]:
    """Let `--local` find ``cloud``: under the usual name, unless another one is alive there."""
    for stale in (local.ROOT / ".sim").glob("cloud-*.json"):
        if not _is_alive(stale):  # its run was killed
            stale.unlink(missing_ok=True)
    file = _own_file(cloud) if _is_alive(local.path()) else local.path()
    local.write(cloud, file)
    try:
        yield
    finally:
        with contextlib.suppress(ToolError):
            if local.read(file) == cloud:
                local.forget(file)


def _own_file(cloud: local.Cloud) -> Path:
    return local.ROOT / ".sim" / f"cloud-{cloud.mqtt_port}.json"


def _is_alive(file: Path) -> bool:
    """Whether the cloud that ``file`` announces still answers."""
    try:
        port = urllib.parse.urlsplit(local.read(file).gateway_url).port or 0
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except (ToolError, OSError, ValueError):
        return False
    return True
