"""The claim of a board, interrupted anywhere and refused: on the AWS that knows certificates."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser

from tests.e2e.rotations import WAIT_S, EveryOther, Garden, of_pem
from tests.e2e.updates import THING, Kit
from tools.board.stage import EPOCH_2000

TEMPLATE = "fieldmouse"


class Nursery(Garden):
    """A board with nothing but a claim: ``seed`` is its certificate's id."""

    def __init__(self, kit: Kit, folder: Path, good_s: int = 100_000) -> None:
        super().__init__(kit, folder)
        self.claims.certificates.clear()
        self.claims.things.clear()
        self.claim = kit.ca.client("AWS IoT Certificate")
        self.seed = self.claims.claim(self.claim, [TEMPLATE])
        self.listed = True
        self.claims.template(
            TEMPLATE, {"SerialNumber": None}, "{SerialNumber}", hook=lambda event: self.listed
        )
        about = {"template": TEMPLATE, "parameters": {"SerialNumber": THING}}
        until = int(time.time()) - EPOCH_2000 + good_s
        files = {
            "cert.pem": self.claim.cert,
            "key.pem": self.claim.key,
            "claim.json": json.dumps(about | {"expires_s2000": until}).encode(),
        }
        for name, data in files.items():
            (self.folder / "certs" / name).write_bytes(data)

    def look(self) -> None:
        """There is nothing that works before it has come up."""

    def up(self) -> None:
        """As itself, and nothing of the claim is left."""
        self.broker.wait_for(lambda: self.readings(), WAIT_S)
        self.board.wait_for("claim: removed from the board", WAIT_S)
        self.board.kill()
        left = {path.name for path in (self.folder / "certs").iterdir()}
        assert left == {"ca.pem", "b"} and self.slot() == "ab"
        assert {p.name for p in (self.folder / "certs/b").iterdir()} == {"cert.pem", "key.pem"}
        for secret in (self.claim.cert, self.claim.key):
            body = secret.splitlines()[-3]  # not of the issuer, whom others have as well
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            assert not [path for path in files if body in path.read_bytes()]
        own = of_pem((self.folder / "certs/b/cert.pem").read_bytes())
        assert self.works("b") and own in self.claims.things[THING]
        assert {of_key(self.claims, n) for n in self.claims.things[THING]} == {
            of_key(self.claims, own)
        }
        # It needs the claim no more, and what AWS has of other tries goes by itself.
        self.claims.deactivate(self.seed)
        self.claims.hours(1.1)
        assert self.claims.orphans() == []
        self.board.start()
        self.under(own)
        self.complete()


def of_key(claims: Any, number: str) -> bytes:
    """The public key of a certificate."""
    key = x509.load_pem_x509_certificate(claims.certificates[number].pem.encode()).public_key()
    return key.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def nursery(kit: Kit, tmp_path: Path) -> Iterator[Nursery]:
    with Nursery(kit, tmp_path) as made:
        yield made


def test_the_power_goes_at_each_line(nursery: Nursery) -> None:
    nursery.board.start()
    mark = 0
    for line in (
        *("claim: no certificate yet", "wifi: joining", "wifi: up", "clock: ", "link: .* answers"),
        *("link: up", "has its certificate, restarting", "slot ab on trial", "link: up"),
        *("update: good, ab stays", "claim: removed"),
    ):
        nursery.board.wait_for(line, WAIT_S, mark)
        mark = len(nursery.board.log)
        nursery.cut()
    nursery.up()


@pytest.mark.parametrize("verb", ["create-from-csr", "provision"])
def test_the_power_goes_at_each_message(nursery: Nursery, verb: str) -> None:
    # It was asked, and what AWS has answered does not arrive any more.
    nursery.claims.lose[verb] = 1
    nursery.board.start()
    asked = nursery.claims.requests
    nursery.broker.wait_for(lambda: [one for one in asked if one.verb == verb], WAIT_S)
    nursery.cut()
    nursery.up()


@pytest.mark.parametrize("way", ["lose", "ignore"])
def test_each_message_is_lost_once(nursery: Nursery, way: str) -> None:
    setattr(nursery.claims, way, EveryOther())
    nursery.board.start()
    nursery.up()
    verbs = Counter(one.verb for one in nursery.claims.requests)
    if way == "lose":
        # What AWS has registered in a try of which the board has not heard works as well.
        assert verbs["provision"] == len(nursery.claims.things[THING]) == 2


def test_each_answer_comes_twice(nursery: Nursery) -> None:
    nursery.claims.twice = True
    nursery.board.start()
    nursery.up()
    assert [one.verb for one in nursery.claims.requests] == ["create-from-csr", "provision"]


def test_the_hook_refuses(nursery: Nursery) -> None:
    nursery.listed = False
    nursery.board.start()
    nursery.board.wait_for("link: claim rejected AccessDenied Access Denied", WAIT_S)
    nursery.board.wait_for("claim: refused; flash it again with bench-flash --claim", WAIT_S)
    assert nursery.claims.things == {} and nursery.readings() == []
    nursery.listed = True
    nursery.cut()
    nursery.up()


def test_a_claim_that_has_run_out(kit: Kit, tmp_path: Path) -> None:
    with Nursery(kit, tmp_path, good_s=-1) as nursery:
        nursery.claims.deactivate(nursery.seed)
        nursery.board.start()
        text = "claim: expired; flash it again with bench-flash --claim; next try in"
        nursery.board.wait_for(text, WAIT_S)
        assert nursery.claims.requests == [] and nursery.claims.things == {}
