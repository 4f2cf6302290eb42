"""`deploy` and the slots of a board: its firmware runs afterwards, no key that only it has goes.

Tried at every step of the sync, as a cable that is pulled would end it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from tools.board import deploy, mpremote
from tools.errors import ToolError
from tools.things import boards

ESP32 = boards.get("esp32")
TREE = {
    "boot.py": b"boot",
    "firmware/app.mpy": b"new",
    "config.json": b"{}",
    "certs/ca.pem": b"CA",
    "certs/cert.pem": b"CERT",
    "certs/key.pem": b"KEY",
}
KEYLESS = {path: data for path, data in TREE.items() if path != "certs/key.pem"}
A = {"certs/ca.pem": b"CA", "certs/cert.pem": b"CERT", "certs/key.pem": b"KEY"}
B = {"certs/b/cert.pem": b"CERT of b", "certs/b/key.pem": b"KEY of b"}
FIRMWARE = {
    "boot.py": b"boot",
    "firmware/app.mpy": b"old",
    "firmware/gone.mpy": b"",
    "b/firmware/app.mpy": b"of b",
}


class Board:
    def __init__(self, *files: Mapping[str, bytes], slot: str = "") -> None:
        self.files = {path: data for one in files for path, data in one.items()}
        self.files |= {"slot": slot.encode()} if slot else {}
        self.files["data/outbox/a"] = b"readings"

    def listing(self, _port: str, tops: list[str], *_: Any) -> tuple[dict[str, str], set[str]]:
        found = {
            path: hashlib.sha256(data).hexdigest()
            for path, data in self.files.items()
            if any(path == top or path.startswith(f"{top}/") for top in tops)
        }
        return found, set()

    def fetch(self, _port: str, paths: list[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}

    def run(self, _port: str, args: list[str], *_: Any) -> str:
        for step in " ".join(args).split(" + ") if args else ():
            what, *names = step.split()
            if what == "rm":
                del self.files[names[0].lstrip(":")]
            elif what == "cp":
                with open(names[0], "rb") as file:
                    self.files[names[1].lstrip(":")] = file.read()
        return ""

    @property
    def slot(self) -> str:
        return self.files.get("slot", b"").decode()


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(*files: Mapping[str, bytes], slot: str = "") -> Board:
        board = Board(*files, slot=slot)
        for name in ("listing", "fetch", "run"):
            monkeypatch.setattr(mpremote, name, getattr(board, name))
        return board

    return put


def send(tree: Mapping[str, bytes]) -> deploy.Deployed:
    return deploy.deploy("/dev/x", ESP32, tree, lambda text: None)


def runs_what_was_sent(board: Board) -> None:
    assert board.slot[:1] in ("", "a")
    assert board.files["firmware/app.mpy"] == b"new"
    assert not [p for p in board.files if p.startswith(("b/", "firmware/gone"))]
    assert board.files["data/outbox/a"] == b"readings"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("aa", "aa"),
        ("ab", "ab"),  # a rotation that this computer does not know the end of
        ("ba", "aa"),
        ("bb", "ab"),
        ("ba aa 2", "aa"),  # of the firmware: over with that
        ("bb ab 3", "ab"),
        ("aa ba starts", "aa"),
        ("ab aa 3", "ab aa 3"),  # of certificates: goes on
        ("bb ba 1", "ab aa 1"),
        ("ba bb 0", "aa ab 0"),
        ("aa ab refused", "aa ab refused"),
        ("junk", "aa"),
    ],
)
def test_the_same_certificate(on: Any, before: str, after: str) -> None:
    board = on(FIRMWARE, A, B, {"certs/old.pem": b""}, slot=before)
    send(TREE)
    runs_what_was_sent(board)
    assert board.slot == after
    assert {p: d for p, d in board.files.items() if p.startswith("certs/")} == A | B


def test_another_certificate_by_cable(on: Any) -> None:
    board = on(FIRMWARE, A, B, slot="bb")
    send(TREE | {"certs/cert.pem": b"CERT 2", "certs/key.pem": b"KEY 2"})
    runs_what_was_sent(board)
    assert board.slot == ""
    assert board.files["certs/key.pem"] == b"KEY 2" and not B.keys() & board.files.keys()


@pytest.mark.parametrize("slot", ["ab", "bb", "aa ab 3", "ab aa refused", "bb ab 2"])
def test_the_key_is_on_the_board_only(on: Any, slot: str) -> None:
    other = {"certs/cert.pem": b"other", "certs/key.pem": b"its key", "certs/csr.der": b"asked"}
    board = on(FIRMWARE, {"certs/ca.pem": b"old"}, other, B, slot=slot)
    send(KEYLESS | {"certs/cert.pem": b"CERT of b"})
    runs_what_was_sent(board)
    assert board.slot.split()[0][1] == slot.split()[0][1]
    assert board.files.items() >= (other | B).items()
    assert board.files["certs/ca.pem"] == b"CA"


def test_and_in_slot_a(on: Any) -> None:
    board = on(FIRMWARE, A, B, slot="ba")
    send(KEYLESS)
    runs_what_was_sent(board)
    assert board.slot == "aa" and board.files.items() >= (A | B).items()


@pytest.mark.parametrize("slot", ["", "aa", "ba"])
def test_not_the_board_that_has_the_key(on: Any, slot: str) -> None:
    board = on(FIRMWARE, A, B, slot=slot)
    before = dict(board.files)
    with pytest.raises(ToolError, match="does not run under the certificate in the folder"):
        send(KEYLESS | {"certs/cert.pem": b"CERT of b"})  # it has that, but does not use it
    assert board.files == before


@pytest.mark.parametrize("keyless", [False, True])
def test_the_cable_is_pulled_at_any_step(
    on: Any, monkeypatch: pytest.MonkeyPatch, keyless: bool
) -> None:
    tree = KEYLESS | {"certs/cert.pem": b"CERT of b"} if keyless else TREE
    for stop in range(20):
        board = on(FIRMWARE, A, B, slot="bb")

        def run(port: str, args: list[str], *_: Any, stop: int = stop, on: Any = board) -> str:
            steps = " ".join(args).split(" + ")
            Board.run(on, port, " + ".join(steps[:stop]).split())
            if stop < len(steps):
                raise ToolError("gone")
            return ""

        monkeypatch.setattr(mpremote, "run", run)
        try:
            send(tree)
        except ToolError:
            assert board.slot[1:] == "b" and board.files.items() >= B.items()
            monkeypatch.setattr(mpremote, "run", board.run)
            send(tree)
        runs_what_was_sent(board)
        assert board.slot == "ab" and board.files.items() >= B.items()
