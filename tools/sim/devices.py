"""Makes the device file systems of virtual things: provisioned on a local AWS, then staged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.aws import local
from tools.board import stage

WIFI = [{"ssid": "fieldmouse", "password": "in-the-barn"}]


def names(first: str, count: int) -> list[str]:
    """``count`` thing names: demo-1 gives demo-1, demo-2, …; barn gives barn, barn-2, …"""
    stem, _, number = first.rpartition("-")
    if stem and number.isdecimal():
        return [f"{stem}-{int(number) + i}" if i else first for i in range(count)]
    return [first, *(f"{first}-{i + 2}" for i in range(count - 1))]


def make(iot: Any, cloud: local.Cloud, thing: str, folder: Path, **config: Any) -> Path:
    """Provision ``thing`` on ``cloud`` with the code of real AWS and stage its board.

    ``config`` is merged into its config.json. Returns the device folder, below ``folder``.
    """
    raise NotImplementedError
