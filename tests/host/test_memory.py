"""What the firmware's code takes of the heap: printed, never more than it did (docs/memory.md)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tools import toolchain
from tools.board import bytecode
from tools.errors import ToolError
from tools.sim import launch

# Bytes on 32 bits, as last measured. They may only fall: lower them when they have.
RESIDENT = 82_700  # app, parts, one driver; umqtt.simple and the shims do not count
SELDOM = 20_800  # all that seldom.py takes out again, should it be in at the same time
SLACK = 1.05  # another interpreter, another umqtt

MEASURE = """
import gc, json, sys
import time, machine, network, socket, ntptime, esp32, umqtt.simple

def used():
    gc.collect()
    return gc.mem_alloc()

bare = used()
import firmware.app, firmware.parts, firmware.drivers.bme280
from firmware import seldom
seldom.forget()
resident = used()
for name in seldom.MODULES:
    __import__(name)
seldom_bytes = used() - resident
seldom.forget()
left = [name for name in seldom.MODULES if name in sys.modules]
print(json.dumps([resident - bare, seldom_bytes, used() - resident, left]))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    try:
        program = toolchain.micropython(32)
    except ToolError as e:
        if os.environ.get("CI"):
            pytest.fail(f"{e}; try: {e.hint}")
        pytest.skip(f"{e}")
    folder = tmp_path_factory.mktemp("memory")
    code = sorted((toolchain.ROOT / "firmware").rglob("*.py"))
    files = {path.relative_to(toolchain.ROOT).as_posix(): path.read_bytes() for path in code}
    for name, data in bytecode.compile_all(files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "measure.py").write_text(MEASURE)
    path = [str(p) for p in ("", launch.SHIMS, launch.SHIMS.parent, toolchain.umqtt_dir())]
    ran = subprocess.run(
        [*program, "-X", "heapsize=400k", "measure.py"],
        cwd=folder,
        env={"MICROPYPATH": ":".join(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: list[int] = json.loads(ran.stdout.strip().splitlines()[-1])
    print(f"resident {found[0]:,} bytes, seldom {found[1]:,}, left by the seldom {found[2]:,}")
    return found


def test_resident_code(measured: list[int]) -> None:
    assert measured[0] <= RESIDENT * SLACK, "the number may only fall"


def test_seldom_code(measured: list[int]) -> None:
    assert measured[1] <= SELDOM * SLACK, "the number may only fall"


def test_the_seldom_code_leaves(measured: list[int]) -> None:
    # Names stay for good (MicroPython never forgets one), the code must not.
    assert measured[3] == []  # type: ignore[comparison-overlap]
    assert measured[2] < SELDOM // 3


def test_every_module_named_there_exists() -> None:
    from firmware import seldom

    for name in seldom.MODULES:
        assert Path(toolchain.ROOT, *name.split(".")).with_suffix(".py").is_file(), name
