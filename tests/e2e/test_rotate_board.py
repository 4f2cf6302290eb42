"""New certificates by jobs, on a board with an ESP32's heap and an AWS that knows certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.rotations import WAIT_S, Garden, of_pem
from tests.e2e.updates import THING, Kit


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, umqtt_dir: Path) -> Kit:
    return Kit(tmp_path_factory.mktemp("kit"), umqtt_dir)


@pytest.fixture
def garden(kit: Kit, tmp_path: Path) -> Iterator[Garden]:
    with Garden(kit, tmp_path) as made:
        yield made
        assert made.faults == []


def test_there_and_back(garden: Garden) -> None:
    garden.start()
    for slot in ("ab", "aa"):
        number = garden.rotate()
        assert garden.slot() == slot
        garden.under(number)  # the old one is INACTIVE, and its session was ended
        garden.arrive()
    garden.complete()


def tried(garden: Garden, number: str) -> str:
    """A new certificate is on trial, in a place where time goes fast; its job."""
    job = garden.bring(number)
    garden.board.wait_for("app: update: restarting", WAIT_S)
    garden.board.kill()
    assert garden.slot().startswith("ab aa ")
    garden.board.set(time_scale=100)
    garden.board.start()
    return job


@pytest.mark.parametrize("why", ["not active", "no policy"])
def test_refused_by_aws(garden: Garden, why: str) -> None:
    garden.start()
    number = garden.claims.issue(garden.request(), THING)
    if why == "no policy":
        garden.claims.certificates[number].mute = True
    else:
        garden.claims.deactivate(number)
    done = garden.ended(tried(garden, number), WAIT_S)
    assert done.status == "FAILED" and "no session that lasts" in done.details["reason"]
    garden.under(garden.number)
    garden.arrive()
    garden.complete()
    waited = [line for line in garden.board.log if "next try" in line]
    assert float(waited[-1][1:].split("]")[0]) > 800
    assert garden.slot() == "aa"
    garden.board.kill()
    garden.board.set(time_scale=20)
    garden.board.start()
    garden.rotate()  # the next one is good


def test_what_is_not_tried(garden: Garden) -> None:
    garden.start()
    request = garden.request()
    good = garden.claims.certificates[garden.claims.issue(request, THING)].pem
    lines = good.splitlines(keepends=True)
    for pem, why in (
        (garden.kit.ca.client(THING).cert.decode(), "it is for another key"),
        (garden.kit.client.cert.decode(), "it is for another key"),
        ("", "not one certificate"),
        ("garbage", "not one certificate"),
        ("".join(lines[:3] + lines[4:]), "not one certificate"),
        (good + good, "not one certificate"),
        (good + "\n" * 3000, "not one certificate"),
    ):
        done = garden.ended(garden.job(fieldmouse="certificate", certificate=pem), WAIT_S)
        assert (done.status, done.details) == ("FAILED", {"reason": why})
        assert garden.slot() == ""
    done = garden.ended(garden.job(fieldmouse="certificate"), WAIT_S)
    assert done.details == {"reason": "not one certificate"}
    assert garden.board.boots == 1
    garden.moved(garden.bring(of_pem(good.encode())), of_pem(good.encode()))
    garden.complete()


def test_a_request_is_made_once(garden: Garden) -> None:
    garden.start()
    first, again = garden.request(), garden.request()
    assert first.public_bytes(Encoding.DER) == again.public_bytes(Encoding.DER)
    new = garden.claims.issue(again, THING)
    garden.moved(garden.bring(new), new)
    # The next one has another key.
    assert garden.request().public_key() != first.public_key()
