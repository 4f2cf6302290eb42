"""In CI: `make sim` with each of the machine's other Pythons that is worth it."""

from __future__ import annotations

import os

import pytest

from tools.dev import pythons


@pytest.mark.timeout(450)  # pythons.py gives up before
@pytest.mark.skipif(not os.environ.get("CI"), reason="python -m tools test-pythons, or CI=1")
def test_each_python_comes_to_a_reading() -> None:
    others = pythons.chosen(pythons.found())
    if not others:
        pytest.skip("there is one Python here: this one")
    lines: list[str] = []
    outcome = pythons.run(others, lines.append)
    assert (outcome.passed, outcome.failed) == (len(others), 0), "\n".join(lines)
