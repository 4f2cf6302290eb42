"""A fleet on MiniStack through the real command, cut off by Ctrl-C and by the power; continued."""

from __future__ import annotations

import collections
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tools.aws import certificates, local, route
from tools.aws.clients import Clients
from tools.aws.mqtt import Connection

ROOT = Path(__file__).resolve().parents[2]
COUNT = 40


class Fleet:
    """`provision --from fleet.csv --local`, run as a program."""

    def __init__(self, cloud: Any, folder: Path, stem: str) -> None:
        # Of other tests on the same cloud: some detach or revoke on purpose.
        self._others = {c["certificateArn"] for c in _certificates(cloud.clients.iot)}
        self.names = [f"{stem}-{i}" for i in range(COUNT)]
        self.file = folder / "fleet.csv"
        lines = [f"{name},thermometer,north" for name in self.names]
        self.file.write_text("\n".join(["thing,type,site", *lines]) + "\n")
        self.things = folder / "things"
        self._environment = {
            **os.environ,
            "FIELDMOUSE_CLOUD": str(local.write(cloud.info, folder / "cloud.json")),
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> subprocess.Popen[str]:
        words = ["provision", "--from", str(self.file), "--out", str(self.things), "--local"]
        return subprocess.Popen(
            [sys.executable, "-m", "tools", *words],
            env=self._environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def complete(self) -> int:
        return sum('"complete": true' in p.read_text() for p in self.things.glob("*/thing.json"))

    def start_and_stop(self, by: signal.Signals) -> tuple[int, str]:
        running = self.start()
        end = time.monotonic() + 60
        while self.complete() < 5 and time.monotonic() < end:
            time.sleep(0.02)
        running.send_signal(by)
        _, said = running.communicate(timeout=60)
        assert 5 <= self.complete() < COUNT
        return running.returncode, said

    def finish(self) -> None:
        running = self.start()
        out, said = running.communicate(timeout=110)
        assert running.returncode == 0, said
        assert ", 0 failed" in out

    def check(self, iot: Any) -> None:
        """Each thing has one active certificate, and none is without a thing."""
        for name in self.names:
            (arn,) = certificates.of_thing(iot, name)
            found = iot.describe_certificate(certificateId=certificates.id_of(arn))
            assert found["certificateDescription"]["status"] == "ACTIVE"
            assert iot.describe_thing(thingName=name)["attributes"] == {"site": "north"}
        for certificate in _certificates(iot):
            arn = certificate["certificateArn"]
            if certificate["status"] == "ACTIVE" and arn not in self._others:
                assert iot.list_principal_things(principal=arn)["things"], arn


def _certificates(iot: Any) -> list[Any]:
    pages = iot.get_paginator("list_certificates").paginate()
    return [certificate for page in pages for certificate in page["certificates"]]


@pytest.fixture
def fleet(cloud: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Fleet:
    return Fleet(cloud, tmp_path, request.node.name.replace("test_", "").replace("_", "-")[:30])


def test_ctrl_c_and_continue(fleet: Fleet, clients: Clients) -> None:
    code, said = fleet.start_and_stop(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in said
    fleet.finish()
    fleet.check(clients.iot)
    with fleet.file.with_name("fleet-result.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(r["thing"] for r in rows) == sorted(fleet.names)
    status = collections.Counter(r["status"] for r in rows)
    assert status["there"] >= 5
    assert status["there"] + status["made"] == COUNT


def test_power_cut_and_continue(fleet: Fleet, clients: Clients) -> None:
    code, _ = fleet.start_and_stop(signal.SIGKILL)
    assert code == -signal.SIGKILL
    fleet.finish()
    fleet.check(clients.iot)
    name = fleet.names[-1]
    there = route.route(clients, "mqtt", certs_dir=fleet.things / name / "certs")
    with Connection(there, clients, name) as device:
        device.publish(f"devices/{name}/data", b"{}")
