"""A rollout over the jobs of a real cloud: MiniStack's; the boards are played over its data plane.

Nothing is fetched here: test_update_fleet.py has real ones.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.aws import local
from tools.aws.clients import Clients
from tools.updates import jobs

VERSION = "0.4.0"


class Boards(threading.Thread):
    """Take the next job of each thing and end it as ``outcomes`` says, else well."""

    def __init__(self, clients: Clients, names: list[str]) -> None:
        super().__init__(daemon=True)
        self.names, self.outcomes = names, dict[str, str]()
        self.took: list[tuple[str, Any]] = []  # (thing, job document)
        self._jobs = clients.client("iot-jobs-data")
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            for name in self.names:
                self._look(name)

    def _look(self, name: str) -> None:
        found = self._jobs.start_next_pending_job_execution(thingName=name).get("execution")
        if not found:
            return
        self.took.append((name, json.loads(found["jobDocument"])))
        status = self.outcomes.get(name, "SUCCEEDED")
        details = {"reason": "starts"} if status == "FAILED" else {}
        self._jobs.update_job_execution(
            jobId=found["jobId"], thingName=name, status=status, statusDetails=details
        )

    def end(self) -> None:
        self._over.set()
        self.join(10)


@pytest.fixture
def release(tmp_path: Path) -> str:
    path = tmp_path / f"fieldmouse-{VERSION}-esp32.release"
    path.write_bytes(time.monotonic_ns().to_bytes(8, "big"))  # a stream of its own each time
    about = {"version": VERSION, "board": "esp32", "bytes": 8, "manifest_bytes": 7}
    about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(about))
    return str(path)


@pytest.fixture
def boards(
    cloud: Any, clients: Clients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Boards]:
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud.info, tmp_path / "cloud.json")))
    monkeypatch.setattr(jobs, "_POLL_S", 0.2)
    names = [f"roll-{time.monotonic_ns()}-{i}" for i in range(4)]
    for name in names:
        clients.iot.create_thing(thingName=name)
    made = Boards(clients, names)
    made.start()
    yield made
    made.end()


def roll(said: Callable[..., Any], release: str, boards: Boards, *more: str, code: int = 0) -> Any:
    things = ",".join(boards.names)
    return said("rollout", release, "--things", things, "--local", "--yes", *more, code=code)


def test_all_good(said: Any, clients: Clients, release: str, boards: Boards) -> None:
    shown = roll(said, release, boards)
    assert sorted(name for name, _ in boards.took) == boards.names
    assert boards.took[0][0] == boards.names[0]  # the canary
    (stream,) = {document["stream"] for _, document in boards.took}
    wanted = {"fieldmouse": "update", "version": VERSION, "manifest_bytes": 7, "stream": stream}
    assert all(document == wanted for _, document in boards.took)
    key = f"releases/{stream}.release"
    bucket = re.findall(r"fieldmouse-releases-[\w-]+", shown.out)[0]
    there = clients.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert there == Path(release).read_bytes()
    told = said("rollout", "status", f"{stream}-", "--local", code=2)
    assert "no such rollout" in told.err
    name = next(line.split()[1].rstrip(":") for line in shown.out.splitlines() if "goes" in line)
    lines = said("rollout", "status", name, "--local").out.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["1 SUCCEEDED", "3 SUCCEEDED"]
    assert all("COMPLETED" in line for line in lines)


def test_a_canary_fails(said: Any, release: str, boards: Boards) -> None:
    boards.outcomes[boards.names[0]] = "FAILED"
    err = roll(said, release, boards, code=2).err
    assert f"{boards.names[0]}: FAILED: starts" in err
    assert "the rest was not begun" in err
    assert [name for name, _ in boards.took] == boards.names[:1]


def test_the_limit(said: Any, release: str, boards: Boards) -> None:
    boards.outcomes |= dict.fromkeys(boards.names[1:], "FAILED")
    err = roll(said, release, boards, "--per-minute", "1", "--abort-above", "10", code=2).err
    assert "stopped in the rest" in err
    assert len(boards.took) == 2  # at one a minute the others had not begun


def test_interrupted_and_cancelled(
    said: Any, release: str, boards: Boards, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards.end()  # nobody answers
    real = jobs.watch

    def interrupted(*given: Any) -> Any:
        yield next(real(*given))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "watch", interrupted)
        err = roll(said, release, boards, "--canary", "0", code=130).err
    name = re.findall(r"rollout cancel (\S+) --local", err)[0]
    assert "4 QUEUED" in said("rollout", "status", name, "--local").out
    assert said("rollout", "cancel", name, "--local").out == f"{name}-rest: cancelled\n"
    assert "CANCELED, made" in said("rollout", "status", name, "--local").out
