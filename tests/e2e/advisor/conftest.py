"""The fixtures of the cases: `advisor` runs those of a file, `kit` is what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.advisor.bench import Kit
from tests.e2e.advisor.case import Body, Outcome, Runner


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Kit:
    return Kit(tmp_path_factory.mktemp("advisor"), umqtt_dir)


@pytest.fixture(scope="module")
def advisor(
    request: pytest.FixtureRequest, kit: Kit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Body], Outcome]]:
    """advisor(body of a case) -> its outcome."""
    functions = (getattr(item, "obj", None) for item in request.session.items)
    bodies = [
        function.body
        for function in functions
        if hasattr(function, "body") and function.__module__ == request.module.__name__
    ]
    folder = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    runner = Runner(kit, folder, bodies)
    yield runner.outcome
    runner.close()
