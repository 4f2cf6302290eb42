"""The device tests that make up their own input, with as much of it as wanted."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.host.test_device import DEVICE_TESTS, HEAP, HEAP_LINE, RUN
from tools import toolchain

# File -> inputs it needs for one of each kind: the packet test draws two of eight samples a turn,
# the shadow test one of five kinds of message.
KINDS = {
    "test_mqtt_fuzz": 4,
    "test_core_fuzz": 5,
}
_INPUT_S = 0.02  # far more than any takes: beyond it is a hang


@dataclass
class Result:
    """One file on one word size."""

    name: str
    bits: int
    inputs: int
    ok: bool
    seconds: float
    said: str


def run(name: str, mutations: int, umqtt: Path, bits: int, seed: int) -> Result:
    """Run one file with ``mutations`` of each kind; it fails by itself when the heap grows."""
    path = DEVICE_TESTS / f"{name}.py"
    asked = HEAP_LINE.match(path.read_text())
    heap = asked[1] if asked else HEAP
    inputs = mutations * KINDS.get(name, 1)
    program = RUN.format(name)
    search = f"{toolchain.ROOT}:{DEVICE_TESTS}:{umqtt}"
    env = {"FIELDMOUSE_FUZZ": str(inputs), "FIELDMOUSE_SEED": str(seed), "MICROPYPATH": search}
    began = time.monotonic()
    try:
        ran = subprocess.run(
            [*toolchain.micropython(bits), "-X", f"heapsize={heap}", "-c", program],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60 + inputs * _INPUT_S,
        )
    except subprocess.TimeoutExpired as e:
        return Result(name, bits, inputs, False, time.monotonic() - began, f"hangs: {e}")
    said = ran.stdout + ran.stderr
    ok = ran.returncode == 0 and bool(re.search(r"^[1-9]\d* passed, 0 failed$", said, re.M))
    return Result(name, bits, inputs, ok, time.monotonic() - began, said)
