"""New certificates by jobs, on a board with an ESP32's heap and an AWS that knows certificates."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e.rotations import WAIT_S, EveryOther, Garden, of_pem
from tests.e2e.updates import THING, Kit
from tools.aws import csr


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
    number = garden.claims.issue(garden.request(prepared=True), THING)
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
    garden.rotate(prepared=True)  # the next one is good


def test_what_is_not_tried(garden: Garden) -> None:
    garden.start()
    request = garden.request(prepared=True)
    good = garden.claims.certificates[garden.claims.issue(request, THING)].pem
    lines = good.splitlines(keepends=True)
    for pem, why in (
        (garden.kit.ca.client(THING).cert.decode(), "it is for another key"),
        ("", "not one certificate"),
        ("garbage", "not one certificate"),
        ("".join(lines[:3] + lines[4:]), "not one certificate"),
        (good + good, "not one certificate"),
        (lines[0] + "MIIB" * 300 + "\n" + lines[-1], "not one certificate"),
    ):
        done = garden.ended(garden.job(fieldmouse="certificate", certificate=pem), WAIT_S)
        assert (done.status, done.details) == ("FAILED", {"reason": why})
        assert garden.slot() == ""
    done = garden.ended(garden.job(fieldmouse="certificate"), WAIT_S)
    assert done.details == {"reason": "not one certificate"}
    # The one in use, as when the job comes once more than it was answered.
    own = garden.kit.client.cert.decode()
    done = garden.ended(garden.job(fieldmouse="certificate", certificate=own), WAIT_S)
    assert (done.status, garden.slot(), garden.board.boots) == ("SUCCEEDED", "", 1)
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


def test_a_power_cut_in_every_phase(garden: Garden) -> None:
    garden.start()
    job, mark = garden.job(fieldmouse="csr"), 0
    for line in ("update: job .*, csr", "update: SUCCEEDED"):
        garden.board.wait_for(line, WAIT_S, mark)
        mark = len(garden.board.log)
        garden.cut()
    request = csr.check(garden.ended(job, WAIT_S).details["csr"], THING)
    new = garden.claims.issue(request, THING)
    mark = len(garden.board.log)
    job = garden.bring(new)
    for line in (
        *("update: job .*, certificate", "app: update: restarting", "slot ab on trial, 3"),
        *("link: up", "update: good, ab stays", "update: SUCCEEDED"),
    ):
        garden.board.wait_for(line, WAIT_S, mark)
        mark = len(garden.board.log)
        garden.cut()
    garden.moved(job, new)
    assert garden.slot() == "ab"
    garden.arrive()
    garden.complete()


def test_three_starts_and_none_of_them_good(garden: Garden) -> None:
    garden.start()
    new = garden.claims.issue(garden.request(prepared=True), THING)
    mark = len(garden.board.log)
    job = garden.bring(new)
    for left in (2, 1, 0):
        garden.board.wait_for(f"slot ab on trial, {left} more starts", WAIT_S, mark)
        garden.crash()
    done = garden.ended(job, WAIT_S)
    assert (done.status, garden.slot()) == ("FAILED", "aa")
    assert done.details["reason"].startswith("gone back: three starts")
    # The host removes it then, and begins anew.
    del garden.claims.certificates[new]
    garden.rotate(prepared=True)
    garden.complete()


def test_each_message_is_lost_once_or_comes_twice(garden: Garden) -> None:
    garden.start()
    for way in ("lose", "ignore", "twice"):
        setattr(garden.jobs, way, True if way == "twice" else EveryOther())
        garden.rotate(prepared=way != "lose")
        setattr(garden.jobs, way, Counter())
    assert len([u for u in garden.jobs.updates if u.code]) >= 2  # said, and said again
    garden.complete()


def test_the_session_ends_after_each_message(garden: Garden) -> None:
    garden.start()
    job = garden.job(fieldmouse="csr")
    garden.broker.script.close_after = {"PUBLISH": 6}
    request = csr.check(garden.ended(job, WAIT_S).details["csr"], THING)
    new = garden.claims.issue(request, THING)
    garden.broker.script.close_after = {"PUBLISH": 6}
    garden.moved(garden.bring(new), new)
    garden.complete()


def test_nothing_is_said_of_a_certificate_that_is_not_in_use(garden: Garden) -> None:
    # In the middle of the trial somebody makes the board anew, by cable; data/ stays.
    garden.start()
    new = garden.claims.issue(garden.request(prepared=True), THING)
    mark = len(garden.board.log)
    job = garden.bring(new)
    garden.board.wait_for("slot ab on trial", WAIT_S, mark)
    garden.board.kill()
    (garden.folder / "slot").unlink()
    shutil.rmtree(garden.folder / "certs/b")
    garden.board.start()
    done = garden.ended(job, WAIT_S)
    assert (done.status, done.details) == ("FAILED", {"reason": "there is no key for it"})
    garden.under(garden.number)
