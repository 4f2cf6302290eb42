"""The table of boards, boards.json: which MicroPython build, where it goes, pins and profile.

`chip` is esptool's name, `chip_id` the number in the header of its images (ESP-IDF,
esp_app_format.h); `sha256` holds only checksums of files that were in our hands.
A profile is what a family of boards can do: the kind of key, the form of the certificates, the
files of the firmware (patterns over paths, in which `*` takes in `/`), the sensors whose drivers
are among them unless others are asked for (all, where it names none), and the values config.json
gets where it has none.
`together`: files of the firmware that become one on a board (merge.py), under its path;
`together_battery`: the same where `power` is "battery", so that a wake loads little;
`battery_only`: files that go on only then, as their names would cost memory elsewhere.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from firmware.drivers import ROWS
from tools.errors import ToolError

TABLE = Path(__file__).with_name("boards.json")


@dataclass(frozen=True)
class Romfs:
    """Where a build keeps code that runs in place, in bytes of flash; ``build`` names it."""

    build: str
    offset: int
    size: int


@dataclass(frozen=True)
class Board:
    """One row of the table. ``flash_bytes`` is the least flash the build can do with."""

    name: str
    chip: str
    chip_id: int | None
    build: str
    flash_offset: int
    flash_bytes: int
    i2c: dict[str, int]
    profile: str
    sha256: dict[str, str]
    romfs: Romfs | None

    @property
    def key(self) -> str:
        """The kind of key made for it: "ec" or "rsa". One that is made "rsa" can take no other."""
        return str(_profile(self)["key"])

    @property
    def certs(self) -> str:
        """The form of its certificates and key: "pem" or "der"."""
        return str(_profile(self)["certs"])

    @property
    def flat(self) -> bool:
        """Whether the firmware's files get short names there (groups.py)."""
        return bool(_profile(self)["flat"])

    @property
    def updates(self) -> bool:
        """Whether its firmware can be updated by AWS: what lies in ROMFS cannot."""
        return self.romfs is None

    @property
    def defaults(self) -> dict[str, Any]:
        """What config.json gets on this board where it says nothing."""
        return {"i2c": dict(self.i2c), **_profile(self)["config"]}

    @property
    def sensors(self) -> list[str]:
        """The sensors whose drivers it gets unless others are asked for; by default all."""
        return list(_profile(self).get("sensors", drivers()))

    def takes(self, path: str, sensors: Collection[str], power: str = "mains") -> bool:
        """Whether the firmware's file ``path`` goes on, with drivers for ``sensors`` alone."""
        if power == "mains" and path in table()["battery_only"]:
            return False
        if path in drivers().values():
            return path in [drivers()[name] for name in sensors]
        wanted, unwanted = (
            any(fnmatch.fnmatchcase(path, pattern) for pattern in _profile(self)[key])
            for key in ("files", "without")
        )
        return wanted and not unwanted


def together(power: str = "mains") -> dict[str, list[str]]:
    """The files that become one on a board with that ``power``."""
    found: dict[str, list[str]] = table()["together" if power == "mains" else "together_battery"]
    return found


@cache
def table() -> dict[str, Any]:
    """The file as it is."""
    loaded: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return loaded


@cache
def chips() -> dict[str, tuple[str, list[int]]]:
    """Sensor -> its driver's module, and its addresses: the table of firmware/drivers."""
    rows = [row.split() for row in ROWS.splitlines()]
    return {
        chip: (file, [int(place, 16) for place in places.split(",")])
        for file, places, *named in rows
        for chip in named
    }


@cache
def drivers() -> dict[str, str]:
    """Sensor -> the file of its driver."""
    return {chip: f"firmware/drivers/{file}.py" for chip, (file, _) in chips().items()}


def _profile(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = table()["profiles"][board.profile]
    return found


def names() -> list[str]:
    """Every board we know, in the order of the table."""
    return list(table()["boards"])


def get(name: str) -> Board:
    """Return the row of ``name``; ToolError with all there are, and the nearest, if none is."""
    rows = table()["boards"]
    if name not in rows:
        near = difflib.get_close_matches(name.lower().replace("-", ""), rows, 1)
        listed = (
            f"{board:<8}  MicroPython's {row['build']}, {row['flash_bytes'] >> 20} MB of flash,"
            f" {table()['profiles'][row['profile']]['key'].upper()} key"
            for board, row in rows.items()
        )
        known = "\n  ".join([f"no such board: {name}; there are:", *listed])
        raise ToolError(known, f"--board {near[0]}" if near else "")
    row = dict(rows[name])
    rom = row.pop("romfs", None)
    sums = row.pop("sha256", {})
    romfs = Romfs(rom["build"], rom["offset"], rom["bytes"]) if rom else None
    return Board(name=name, sha256=sums, romfs=romfs, **row)


def of_chip(chip: str) -> str | None:
    """The board for esptool's name of a chip ("ESP32-S3"), or None."""
    plain = chip.lower().replace("-", "")
    return next((n for n, row in table()["boards"].items() if row["chip"] == plain), None)


def version() -> str:
    """The MicroPython version that `make flash` installs unless told otherwise."""
    pinned: str = table()["micropython"]
    return pinned


def file_name(board: Board, wanted: str) -> str:
    """The file of a release on the download site; ToolError for a release not in the table."""
    files: dict[str, str] = table()["files"]
    if wanted not in files:
        known = ", ".join(files)
        hint = f"FIRMWARE=file.bin with a file you downloaded, or VERSION={known}"
        raise ToolError(f"MicroPython {wanted} is not in tools/things/boards.json", hint)
    return files[wanted].format(build=board.build)


def url(file: str) -> str:
    """Where the official site has that file."""
    address: str = table()["url"]
    return address.format(file=file)
