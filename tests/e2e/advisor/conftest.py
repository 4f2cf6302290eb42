"""The fixture of the cases: `advisor` runs those of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.advisor.bench import Kit
from tests.e2e.advisor.case import Body, Outcome, Runner


@pytest.fixture(scope="module")
def advisor(
    request: pytest.FixtureRequest,
    kits: Callable[[str], Kit],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Body], Outcome]]:
    """advisor(body of a case) -> its outcome."""
    functions = (getattr(item, "obj", None) for item in request.session.items)
    bodies = [
        function.body
        for function in functions
        if hasattr(function, "body") and function.__module__ == request.module.__name__
    ]
    folder = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    runner = Runner(kits("esp32"), folder, bodies)
    yield runner.outcome
    runner.close()
