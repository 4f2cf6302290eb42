"""Makes a test of a Device Advisor case, and runs the cases of a file side by side.

    @case(keepalive_s=30)                  # settings of config.json
    def test_MQTT_Connect(bench): ...      # the id is the name without test_

A case passes when it returns, is a warning when it called ``bench.warn``, and fails when it
raises. Almost all its time is waiting, so every case that pytest has selected in a file starts
with the file, a few at a time, and its test waits for the outcome. Those with ``series=True``
share one board and run on it one after the other.

With FIELDMOUSE_ADVISOR in the environment each outcome is added to that file as a line of JSON:
what ``python -m tools advisor`` makes its table of.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.advisor.bench import Bench, Kit
from tests.e2e.advisor.grader import FAIL, PASS, WARN

Body = Callable[[Bench], None]
_AT_ONCE = 4


@dataclass
class Outcome:
    """What one case came to; ``seconds`` are ours, ``log`` is the board's."""

    id: str
    result: str = FAIL
    measured: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: BaseException | None = field(default=None, repr=False)
    log: list[str] = field(default_factory=list, repr=False)

    def write(self) -> None:
        """Add it to the file of results, if there is to be one."""
        if path := os.environ.get("FIELDMOUSE_ADVISOR"):
            kept = asdict(self) | {"error": None if self.error is None else str(self.error)}
            with Path(path).open("a", encoding="utf-8") as f:
                f.write(json.dumps(kept) + "\n")


def case(*, series: bool = False, **config: Any) -> Callable[[Body], Callable[..., None]]:
    """Make the test of a case; see the text of the module."""

    def make(body: Body) -> Callable[..., None]:
        def test(advisor: Callable[[Body], Outcome]) -> None:
            outcome = advisor(body)
            print(*outcome.log, sep="\n")
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result == PASS, outcome.notes

        functools.update_wrapper(test, body)
        del test.__wrapped__  # pytest would ask it for fixtures
        body.series, body.config = series, config  # type: ignore[attr-defined]
        test.body = body  # type: ignore[attr-defined]
        return test

    return make


class Runner:
    """The cases of one file, started together."""

    def __init__(self, kit: Kit, folder: Path, bodies: Sequence[Body]) -> None:
        self._kit = kit
        self._folder = folder
        self._shared: Bench | None = None
        self._pools = ThreadPoolExecutor(_AT_ONCE), ThreadPoolExecutor(1)
        self._outcomes: dict[Body, Future[Outcome]] = {
            body: self._pools[body.series].submit(self._run, body)  # type: ignore[attr-defined]
            for body in bodies
        }

    def outcome(self, body: Body) -> Outcome:
        """Wait for one."""
        return self._outcomes[body].result()

    def close(self) -> None:
        """Drop what has not begun, end what has."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        if self._shared:
            self._shared.__exit__()

    def _run(self, body: Body) -> Outcome:
        outcome = Outcome(body.__name__.removeprefix("test_"))
        began = time.monotonic()
        try:
            if body.series:  # type: ignore[attr-defined]
                judge(body, self._series(), outcome)
            else:
                config = body.config  # type: ignore[attr-defined]
                with Bench(self._kit, self._folder / outcome.id, **config) as bench:
                    judge(body, bench, outcome)
        except Exception as e:
            outcome.error = e
        outcome.seconds = round(time.monotonic() - began, 1)
        outcome.write()
        return outcome

    def _series(self) -> Bench:
        self._shared = self._shared or Bench(self._kit, self._folder / "series")
        self._shared.measured, self._shared.warnings = {}, []
        return self._shared


def judge(body: Body, bench: Bench, outcome: Outcome) -> None:
    """Run a case on a bench and fill in what it came to; raises what the case raises."""
    mark = len(bench.board.log)
    try:
        body(bench)
        bench.finish()
        outcome.result = WARN if bench.warnings else PASS
    finally:
        outcome.measured, outcome.notes = bench.measured, bench.warnings
        outcome.log = bench.board.log[mark:]
