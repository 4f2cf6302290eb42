"""Boards whose NTP servers are silent or wrong, over real TLS: who is believed, and how soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware.core import telemetry
from tests.e2e import pki
from tests.e2e.advisor.shadow import Shadow
from tests.e2e.conftest import SCALE, is_now
from tests.e2e.server import Server
from tools.board.stage import EPOCH_2000, stage
from tools.sim.board import VirtualBoard
from tools.sim.devices import WIFI

THING = "clock-1"
DAY_S = 86400
SILENT = {"up": False}
Boot = Callable[..., VirtualBoard]


class Site:
    """A broker that `ca` has signed, and a staged board that was built ``age_days`` ago."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, board: str) -> None:
        self.folder, self.kind, self.rsa = folder, board, board == "esp8266"
        self.ca = pki.Authority(rsa=self.rsa)
        self.broker = Server(self.ca, self.ca.server(rsa=self.rsa), clock=1 / SCALE)
        self.shadow = Shadow(THING, self.broker)
        self.began = time.time()
        self._monkeypatch = monkeypatch

    def staged(self, age_days: int, good_days: int | None = None, **config: Any) -> Path:
        """What to boot; ``good_days``: the last good time on its flash, from now."""
        certs = self.folder / "certs"
        certs.mkdir()
        made = self.ca.client(THING, rsa=self.rsa)
        for name, data in (("ca", self.ca.cert), ("cert", made.cert), ("key", made.key)):
            (certs / f"{name}.pem").write_bytes(data)
        known = {"thing_name": THING, "endpoint": pki.HOST, "wifi": WIFI, "interval_s": 1}
        known |= {"port": self.broker.port} | config
        (self.folder / "config.json").write_text(json.dumps(known))
        build = str(int(self.began - age_days * DAY_S))
        self._monkeypatch.setenv("SOURCE_DATE_EPOCH", build)
        out = self.folder / "device"
        stage(self.folder / "config.json", certs, out, self.kind)
        if good_days is not None:
            s2000 = int(self.began) + good_days * DAY_S - EPOCH_2000
            settings = out / "data" / "settings.json"
            settings.parent.mkdir()
            data = json.dumps({"values": {}, "state": {"clock": s2000}})
            crc = telemetry.crc16(data.encode(), 0, len(data))
            settings.write_text(f'{{"crc": "{crc:04x}", "data": {data}}}')
        return out

    def readings(self) -> list[dict[str, Any]]:
        """Every reading that has arrived."""
        found = self.broker.published(f"devices/{THING}/data")
        return [json.loads(packet.payload) for packet in found]

    def first(self, timeout_s: float = 40) -> dict[str, Any]:
        """The first reading."""
        return self.broker.wait_for(self.readings, timeout_s)[0]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(board: str = "esp32") -> Site:
        made.append(Site(tmp_path, monkeypatch, board))
        return made[-1]

    yield make
    for one in made:
        one.broker.close()


def said(board: VirtualBoard, text: str) -> list[str]:
    return [line for line in board.log if text in line]


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("epoch", [2000, 1970])
def test_without_ntp_aws_tells_the_time(site: Any, boot: Boot, bits: int, epoch: int) -> None:
    # The server's certificate is of yesterday, the firmware of two months ago.
    here = site()
    board = boot(here.staged(60), ntp=SILENT, bits=bits, epoch=epoch)
    reading = here.first()
    print(f"first reading at {board.log[-1].split(']')[0]} of the board's clock")
    assert is_now(reading["timestamp"], here.began)
    board.wait_for("clock: no NTP server answers, trying TLS at a provisional time")
    board.wait_for("UTC from aws")
    assert len(said(board, "tls not yet valid")) == 1
    assert len(said(board, "UTC from aws")) == 1
    assert here.broker.violations == []


def test_until_aws_has_answered_no_reading_is_sent(site: Any, boot: Boot) -> None:
    here = site()
    silent, here.broker.responders[:] = list(here.broker.responders), []
    board = boot(here.staged(60), ntp=SILENT)
    board.wait_for("link: up", timeout=30)
    board.wait_for("shadow: no answer, subscribing again", timeout=30)
    assert here.readings() == []
    here.broker.responders[:] = silent
    assert is_now(here.first(60)["timestamp"], here.began)
    assert len(said(board, "link: up")) == 1


def test_in_steps_where_the_port_shows_no_certificates(site: Any, boot: Boot) -> None:
    here = site()
    board = boot(here.staged(75), ntp=SILENT, verify_callback=False)
    assert is_now(here.first(60)["timestamp"], here.began)
    assert len(said(board, "tls not yet valid")) == 3  # 75, 45, 15 days ago


def test_a_host_of_another_ca_moves_nothing_and_learns_nothing(site: Any, boot: Boot) -> None:
    # It has a certificate of the same names, and shows our CA above its own.
    here = site()
    here.broker.identity = pki.Authority().server()
    board = boot(here.staged(60), ntp=SILENT)
    here.broker.wait_for(lambda: len(here.broker.connections) > 3, 40)
    assert len(said(board, "tls not trusted")) >= 2
    assert said(board, "tls not yet valid") == []
    assert len({line.split("time, ")[1] for line in said(board, "provisional time, ")}) == 1
    assert all(connection.packets == [] for connection in here.broker.connections)


def test_another_host_is_refused_at_a_provisional_time(site: Any, boot: Boot) -> None:
    here = site()
    here.broker.identity = here.ca.server("other.example")
    board = boot(here.staged(0), ntp=SILENT)
    board.wait_for("link: tls", timeout=30)
    here.broker.wait_for(lambda: len(here.broker.connections) > 2, 40)
    assert all(connection.packets == [] for connection in here.broker.connections)


def test_a_last_good_time_that_was_wrong_does_not_lock_it_out(site: Any, boot: Boot) -> None:
    here = site()
    board = boot(here.staged(60, good_days=800), ntp=SILENT)
    assert is_now(here.first(60)["timestamp"], here.began)
    assert [bool(said(board, text)) for text in ("tls expired", "tls not yet valid")] == [True] * 2
    state = json.loads((here.folder / "device/data/settings.json").read_text())
    assert is_now(state["data"]["state"]["clock"] + EPOCH_2000, here.began)


def test_one_wrong_ntp_server_is_overruled_by_two(site: Any, boot: Boot) -> None:
    # It was asked first, and believed: the certificate has expired, so others are asked at once.
    # Measured before: +2 years for six hours.
    here = site()
    wrong = {"offsets": {"one.example": 2 * 365 * DAY_S}}
    ntp = ["one.example", "two.example", "three.example"]
    board = boot(here.staged(0, ntp=ntp), ntp=wrong)

    def right() -> list[bool]:
        return [is_now(reading["timestamp"], here.began) for reading in here.readings()]

    # Those of the first seconds have the time that was believed then.
    here.broker.wait_for(lambda: right().count(True) > 4, 30)
    # What was stored before any time was known is dated by the one that is right.
    found = right()
    stamped = found[found.index(False) :] if False in found else []
    assert stamped == sorted(stamped)
    board.wait_for("tls expired")
    board.wait_for("clock: two.example: ")
    # Or AWS was faster: by a second refusal the wrong time is dropped.
    board.wait_for(r"UTC from (three\.example|aws)")


@pytest.mark.parametrize("years", [2, -1])
def test_when_every_ntp_server_is_wrong_aws_is_asked(site: Any, boot: Boot, years: int) -> None:
    # They confirm each other; TLS refuses the certificate at that time.
    here = site()
    ntp = ["one.example", "two.example", "three.example"]
    wrong = {"offset_s": years * 365 * DAY_S}
    board = boot(here.staged(400, ntp=ntp), ntp=wrong)
    here.broker.wait_for(
        lambda: [is_now(r["timestamp"], here.began) for r in here.readings()].count(True) > 4, 60
    )
    board.wait_for("tls expired" if years > 0 else "tls not yet valid")
    board.wait_for("trying TLS at a provisional time")
    board.wait_for("UTC from aws")
    assert board.boots == 1


def test_an_ntp_server_that_is_wrong_by_minutes_is_overruled_by_aws(site: Any, boot: Boot) -> None:
    here = site()
    board = boot(here.staged(0, ntp=["one.example"]), ntp={"offset_s": 600})
    board.wait_for("s from what ntp said", timeout=30)
    here.broker.wait_for(
        lambda: any(is_now(r["timestamp"], here.began) for r in here.readings()), 30
    )


@pytest.mark.parametrize(
    "ntp", [{"forged": True}, {"stratum": 16}, {"leap": 3}, {"offset_s": -(10**9)}], ids=str
)
def test_answers_that_are_none_count_as_silence(
    site: Any, boot: Boot, ntp: dict[str, Any]
) -> None:
    here = site()
    board = boot(here.staged(10), ntp=ntp)
    assert is_now(here.first()["timestamp"], here.began)
    board.wait_for("UTC from aws")


def test_an_esp8266_goes_ahead_after_three_silent_questions(site: Any, boot: Boot) -> None:
    here = site("esp8266")
    board = boot(here.staged(60), heap="esp8266", ntp=SILENT, bits=32)
    assert is_now(here.first(60)["timestamp"], here.began)
    board.wait_for("UTC from aws")
    assert said(board, "provisional") == []
