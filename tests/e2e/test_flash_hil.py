"""The scenario of `make hil`, on a virtual board: the very program that runs on a real one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import hil
from tests.esp import fixtures
from tests.esp.fixtures import firmware_file, plug  # noqa: F401


@pytest.mark.timeout(240)
def test_every_step_passes_on_a_virtual_board(plug, firmware_file):
    server = plug()
    argv = [sys.executable, "-m", "tests.hil", server.url, "--firmware", str(firmware_file)]
    ran = subprocess.run(
        argv,
        cwd=fixtures.ROOT,
        env=fixtures.environment(),
        capture_output=True,
        text=True,
        timeout=220,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [line for line in ran.stdout.splitlines() if line.startswith("ok ")]
    assert len(told) == 9
    assert "FAILED" not in ran.stdout


def test_a_board_that_is_dead_fails_a_step_with_the_reason(tmp_path):
    bench = hil.Bench("/dev/none", tmp_path, "esp32", firmware="", aws=False)
    assert next(hil.steps(bench)).wrong == "error: there is no port /dev/none"
