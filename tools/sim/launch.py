"""What it takes to start a virtual board: the interpreter, its path, heap and environment."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.sim import expression

SHIMS = Path(__file__).resolve().parent / "shims"
DEFAULT_SENSOR = "bme280@0x76"
DEFAULT_TEMPERATURE = "21 + 2*sin(t/60)"
# Bytes on a 32-bit chip. ESP8266: fixed (ports/esp8266/main.c). ESP32: free and used together as
# measured with Wi-Fi and one TLS session up, without PSRAM (peterhinch/micropython-mqtt issue 132:
# 129,360 + 21,552); it grows to that from 64 KB.
HEAPS = {"esp32": 147 * 1024, "esp8266": 38 * 1024}
_LEAST_HEAP = 8 * 1024
_MOST_HEAP = 1024**3
_MOST_SCALE = 100  # a TLS handshake would take longer than the firmware allows
_HEAP = re.compile(r"(\d{1,12})(w?)([km]?)")
_MEASURE_HEAP = "8m"


@dataclass(frozen=True)
class Launch:
    """How to start it: ``argv`` is ``program`` with its heap, ``env`` the whole environment."""

    program: tuple[str, ...]
    argv: tuple[str, ...]
    env: dict[str, str]


def staged(folder: Path) -> Path:
    """Return ``folder``, absolute; ToolError if it is not a device file system."""
    hint = f"python -m tools stage --config config.json --certs CERTS --out {folder}"
    if not folder.is_dir():
        raise ToolError(f"{folder}: no such folder", hint)
    missing = [n for n in ("main.py", "config.json", "firmware") if not (folder / n).exists()]
    if missing:
        raise ToolError(f"{folder} is not a staged device: it has no {', '.join(missing)}", hint)
    return folder.resolve()


def settings(values: dict[str, Any]) -> dict[str, Any]:
    """Check the expressions among the settings of a virtual board (all keys: shims/*.py)."""
    checked = dict(values)
    limits = {"temperature": (-60, 160), "humidity": (0, 100), "pressure": (100, 1200)}
    for name, (low, high) in limits.items():
        if isinstance(checked.get(name), str):
            checked[name] = expression.check(checked[name], name, low, high)
    scale = checked.get("time_scale", 1)
    if type(scale) not in (int, float) or not 1 <= scale <= _MOST_SCALE:
        raise ToolError(f"time_scale: {scale!r} is not 1 to {_MOST_SCALE}", "time_scale=10")
    return checked


def heap_bytes(text: str, bits: int) -> int:
    """Bytes of heap for a chip's name, scaled to the word of this build, or for a number.

    A number may end in k or m, and have a w before it to be scaled too: MicroPython's own way.
    """
    if text in HEAPS:
        return HEAPS[text] * bits // 32
    found = _HEAP.fullmatch(text.lower())
    size = int(found[1]) * {"": 1, "k": 1024, "m": 1024**2}[found[3]] if found else 0
    if found and found[2]:
        size = size * bits // 32
    if not _LEAST_HEAP <= size <= _MOST_HEAP:
        raise ToolError(
            f"heap: {text!r} is not esp32, esp8266 or bytes from {_LEAST_HEAP} to {_MOST_HEAP}",
            "--heap esp8266, or --heap 64k",
        )
    return size


def prepare(
    micropython: Path | None, bits: int, umqtt: Path | None, heap: str, sensor: str
) -> Launch:
    """Find the interpreter and the libraries and work out the heap.

    ``heap`` is what the firmware gets: what the simulated hardware takes of the interpreter's heap
    is measured and added, as a real board has that outside its heap.
    """
    program = _interpreter(micropython, bits)
    # In front of these come the shims (the folder of the script) and the device (_start.py).
    path = [str(_umqtt(umqtt)), ".frozen", "lib"]
    env = {"MICROPYPATH": ":".join(path), "TZ": "UTC", "HOME": "/nonexistent"}
    size = heap_bytes(heap, bits) + hardware_bytes(program, sensor)
    return Launch(program, (*program, "-X", f"heapsize={size}"), env)


def _interpreter(micropython: Path | None, bits: int) -> tuple[str, ...]:
    if bits not in (32, 64):
        raise ToolError(f"bits: {bits} is not 32 or 64", "--bits 64")
    if micropython is None:
        from tools import toolchain

        return tuple(toolchain.micropython(bits))
    if not os.access(micropython, os.X_OK) or micropython.is_dir():
        raise ToolError(f"{micropython} is not a program", "give --micropython the unix port")
    return (str(micropython.resolve()),)


def _umqtt(given: Path | None) -> Path:
    if given is None:
        from tools import toolchain

        given = toolchain.umqtt_dir()
    folder = given
    for root in (folder, folder.parent):
        if any((root / "umqtt" / f"simple.{kind}").is_file() for kind in ("py", "mpy")):
            return root.resolve()
    raise ToolError(f"{folder} holds no umqtt/simple.py", "give --umqtt the folder above umqtt/")


@functools.lru_cache
def hardware_bytes(program: tuple[str, ...], sensor: str) -> int:
    """Heap taken by shims and chips once loaded; it differs with the word size and the version.

    Raises ToolError when the interpreter does not run, or ``sensor`` is not
    ``CHIP[@ADDR]``, several of them joined by commas, or ``none`` (chips/__init__.py decides).
    """
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        control = Path(scratch, "sim.json")
        control.write_text(json.dumps({"sensor": sensor}))
        command = [
            *program,
            "-X",
            f"heapsize={_MEASURE_HEAP}",
            str(SHIMS / "_start.py"),
            "measure",
        ]
        env = {"MICROPYPATH": ".frozen", "FIELDMOUSE_SIM": str(control), "TZ": "UTC"}
        try:
            ran = subprocess.run(
                command, env=env, cwd=scratch, capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise ToolError(f"{program[0]} does not run: {e}", "make setup") from e
    if ran.returncode == 0 and ran.stdout.strip().isdecimal():
        return int(ran.stdout)
    said = ((ran.stderr + ran.stdout).strip().splitlines() or ["nothing"])[-1]
    if said.startswith("ValueError: "):
        why = said.removeprefix("ValueError: ")
        raise ToolError(f"sensor {sensor!r}: {why}", "--sensor bme280@0x76, or --sensor none")
    raise ToolError(
        f"{program[0]} cannot run the virtual board; it said: {said}",
        "make setup, or give --micropython a unix port of 1.26 or newer",
    )
