"""Runs each tests/device/test_*.py inside the unix MicroPython, on both word sizes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tools import toolchain
from tools.errors import ToolError

ROOT = toolchain.ROOT
DEVICE_TESTS = ROOT / "tests" / "device"
FILES = sorted(DEVICE_TESTS.glob("test_*.py"))
HEAP = "36wk"  # an ESP8266's heap; "w" scales it to this machine's word size
# What does not fit from source together with its fakes says so: `# heap: 96wk` in the first line.
HEAP_LINE = re.compile(r"# heap: (\d+wk)\n")
# sys.path begins with the folder it is in, which tests leave for the flash they mount.
RUN = "import sys; sys.path.pop(0); import harness; harness.run(__import__('{}').__dict__)"


def _interpreter(bits: int) -> list[str]:
    try:
        return toolchain.micropython(bits)
    except ToolError as e:
        # Setup says so when a machine cannot run 32-bit programs; 64 bits are never optional.
        refused = toolchain.micropython_folder(32).with_name("32-not-here").exists()
        if bits == 32 and refused and not os.environ.get("CI"):
            pytest.skip(f"{e}")
        pytest.fail(f"{e}; try: {e.hint}")


@pytest.fixture(scope="session")
def release_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key for releases, which MicroPython would be long in making."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=3072).private_numbers()
    path = tmp_path_factory.mktemp("keys") / "release.json"
    path.write_text(json.dumps({"n": f"{made.public_numbers.n:0768x}", "d": f"{made.d:x}"}))
    return path


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_device(path: Path, bits: int, umqtt_dir: Path, release_key: Path) -> None:
    asked = HEAP_LINE.match(path.read_text())
    heap = asked[1] if asked else HEAP
    ran = subprocess.run(
        [*_interpreter(bits), "-X", f"heapsize={heap}", "-c", RUN.format(path.stem)],
        env={
            "MICROPYPATH": f"{ROOT}:{DEVICE_TESTS}:{umqtt_dir}",
            "FIELDMOUSE_RELEASE_KEY": str(release_key),
        },
        capture_output=True,
        text=True,
        errors="replace",
        timeout=110,
    )
    report = ran.stdout + ran.stderr
    # The exit code alone is not enough: a file may end the program by itself.
    assert re.search(r"^[1-9]\d* passed, 0 failed$", ran.stdout, re.M), report
    assert ran.returncode == 0, report


def test_there_are_device_tests() -> None:
    assert len(FILES) > 10
