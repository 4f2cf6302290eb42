"""A board that was flashed with a claim, against the local AWS: its own key, and then itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.aws import policy
from tools.aws.clients import Clients
from tools.aws.rules import apply
from tools.aws.rules.target import Home
from tools.things import boards
from tools.updates import bench, claim


@pytest.fixture
def home(clients: Clients) -> Iterator[Home]:
    made = apply.home_of(clients, "meadow")
    wanted = claim.Wanted(policy.documents(made.arn("iot", "")))
    list(apply.apply(claim.plan(made, wanted)))
    yield made
    list(claim.remove(made))


@pytest.fixture
def flashed(home: Home, cloud: Any, tmp_path: Path) -> Callable[..., Path]:
    """What the bench writes onto a board."""

    def make(thing: str, **config: Any) -> Path:
        info = cloud.info
        raw = {"endpoint": info.endpoint, "port": info.mqtt_port, "wifi": [{"ssid": "virtual"}]}
        claims = bench.Claims(
            home.clients.iot, "meadow", {**raw, **config}, info.ca_file.read_bytes()
        )
        for path, data in claims.tree(thing, boards.get("esp32")).items():
            file = tmp_path / thing / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return tmp_path / thing

    return make


@pytest.mark.parametrize("bits", [32, 64])
def test_from_the_bench_to_readings(
    home: Home, flashed: Callable[..., Path], boot: Any, listener: Any, bits: int
) -> None:
    thing = f"meadow-{bits}"
    folder = flashed(thing, interval_s=1)
    board = boot(folder, bits=bits, time_scale=1)
    listener.wait(f"devices/{thing}/data", timeout=40)
    board.wait_for("claim: removed from the board", timeout=40)
    left = {p.relative_to(folder).as_posix() for p in (folder / "certs").rglob("*.*")}
    assert left == {"certs/ca.pem", "certs/b/cert.pem", "certs/b/key.pem"}
    assert (folder / "slot").read_text() == "ab"
    iot = home.clients.iot
    (arn,) = iot.list_thing_principals(thingName=thing)["principals"]
    there = iot.describe_certificate(certificateId=arn.rsplit("/", 1)[1])
    own = there["certificateDescription"]["certificatePem"]
    assert (folder / "certs/b/cert.pem").read_text() == own
