"""`doctor --port`: the board's own view, with mpremote and the serial port played."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.host import pki
from tools import options
from tools.board import boot_check, prepare
from tools.doctor import board as doctor_board
from tools.doctor.run import FAILED, OK, UNKNOWN, UNTRIED, Finding
from tools.errors import ToolError
from tools.options import ACCOUNT, Account
from tools.things import boards
from tools.things.folder import Folder

PORT = "rfc2217://localhost:4000"


class Board:
    """Plays mpremote and the serial log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        tree = prepare.tree(folder, boards.get("esp32"))
        carried = {path for path in tree if path == "config.json" or path.startswith("certs/")}
        self.files = {path: hashlib.sha256(tree[path]).hexdigest() for path in carried}
        self.crash = ""
        self.lines = [
            "[     0.028] config: g-1 at localhost",
            "[     0.029] sensor: bme280@0x76",
            "[     1.841] wifi: up 192.168.4.2, -58 dBm",
            "[     1.864] clock: 2026-11-21 10:31:06 UTC from pool.ntp.org",
            "[     1.878] link: up, session new",
        ]
        self.resets = 0
        monkeypatch.setattr(doctor_board.mpremote, "listing", lambda *_: (self.files, set()))
        monkeypatch.setattr(doctor_board.deploy, "crash_log", lambda *_: self.crash)
        monkeypatch.setattr(doctor_board, "SerialLog", lambda *_, **__: self)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pki.folder(tmp_path / "g-1" / "certs")
    config = {"thing_name": "g-1", "endpoint": "localhost", "wifi": [{"ssid": "barn"}]}
    (tmp_path / "g-1" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return tmp_path / "g-1"


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Board:
    made = Board(monkeypatch, folder)
    real = boot_check.watch

    def played(serial: Any, on_step: Any) -> boot_check.Outcome:
        class Log:
            def lines(self, until: float | None = None) -> Any:
                return iter(made.lines)

        return real(Log(), on_step, 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(doctor_board.boot_check, "watch", played)
    return made


def report(folder: Path) -> dict[str, Finding]:
    found = doctor_board.examine(PORT, "g-1", Folder(folder))
    return {finding.check: finding for finding in found}


def test_all_is_well(board: Board, folder: Path) -> None:
    found = report(folder)
    assert {f.state for f in found.values()} == {OK}
    assert found["board: Wi-Fi"].text == "up 192.168.4.2, -58 dBm"
    assert set(found) >= {"board: files", "board: last crash", "board: time", "board: AWS"}
    assert board.resets == 1


@pytest.mark.parametrize("path", ["certs/cert.pem", "certs/key.pem", "config.json"])
def test_other_files(board: Board, folder: Path, path: str) -> None:
    board.files[path] = "0" * 64
    finding = report(folder)["board: files"]
    assert finding.state == FAILED
    assert finding.text.endswith(f": {path}")
    assert finding.remedy == f"make deploy THING=g-1 PORT={PORT}"
    asked = ACCOUNT.set(Account(local=True))
    try:
        assert options.deploy("g-1", PORT) == f"{finding.remedy} LOCAL=1"
    finally:
        ACCOUNT.reset(asked)


@pytest.mark.parametrize("slot", ["certs/", "certs/b/"])
def test_a_key_that_is_on_the_board_only(board: Board, folder: Path, slot: str) -> None:
    # As `rotate --remote` leaves it: the certificate is in either slot, the key in none here.
    digest = board.files["certs/cert.pem"]
    board.files |= {"certs/cert.pem": "0" * 64, "certs/b/cert.pem": "0" * 64}
    (folder / "certs" / "key.pem").unlink()
    (folder / "thing.json").write_text(json.dumps({"key_on_board": True}))
    assert report(folder)["board: files"].text.endswith(": certs/cert.pem")
    board.files[f"{slot}cert.pem"] = digest
    assert report(folder)["board: files"].state == OK


def test_no_files_at_all(board: Board, folder: Path) -> None:
    board.files.clear()
    assert report(folder)["board: files"].text.count(".pem") == 3


@pytest.mark.parametrize("path", ["certs/key.pem", "config.json"])
def test_files_here_that_are_not_good(board: Board, folder: Path, path: str) -> None:
    (folder / path).write_text("{")
    found = report(folder)
    assert found["board: files"].state == UNTRIED
    assert found["board: AWS"].state == OK  # the rest is looked at all the same


def test_a_crash_is_past(board: Board, folder: Path) -> None:
    board.crash = "Traceback:\n  ...\nOSError: [Errno 5] EIO\n"
    finding = report(folder)["board: last crash"]
    assert finding.state == UNKNOWN
    assert "OSError: [Errno 5] EIO" in finding.text
    assert f"make crashlog PORT={PORT}" in finding.text


@pytest.mark.parametrize(
    ("keep", "complaint", "check", "remedy"),
    [
        (1, "[     0.029] sensor: none found", "board: sensor", "config g-1 i2c.sda=N"),
        (2, "[     9.841] wifi: no known network", "board: Wi-Fi", "2.4 GHz"),
        (3, "[     9.864] clock: no answer", "board: time", "UDP port 123"),
        (4, "[     9.878] link: dns, next try in 900 ms", "board: AWS", "name server"),
        (4, "[     9.878] link: tcp 110, next try in 900 ms", "board: AWS", "open TCP 8883"),
        (4, "[     9.878] link: tls -9984, next try in 9 ms", "board: AWS", "make deploy THING=g"),
        (4, "[     9.878] link: no_connack, next try in 9 ms", "board: AWS", "wrong above"),
        (4, "[     9.878] link: refused 5, next try in 9 ms", "board: AWS", "wrong above"),
        (4, "[     9.878] link: closed, next try in 9 ms", "board: AWS", "tools things"),
        (4, "[     9.878] link: timeout, next try in 9 ms", "board: AWS", "make logs PORT="),
        (1, "[     0.029] app: SAFE MODE", "board: boot", "make crashlog"),
        (0, "[     0.029] config: cannot start: wifi: is missing", "board: boot", "config g-1 "),
    ],
)
def test_where_the_boot_stops(
    board: Board, folder: Path, keep: int, complaint: str, check: str, remedy: str
) -> None:
    board.lines = [*board.lines[:keep], complaint]
    finding = report(folder)[check]
    assert finding.state == FAILED
    assert remedy in finding.remedy
    assert "THING " not in finding.remedy  # the name is filled in


def test_a_board_that_says_nothing(board: Board, folder: Path) -> None:
    board.lines = []
    finding = report(folder)["board: config"]
    assert (finding.state, finding.text) == (FAILED, "no log from the board")


def test_a_board_that_does_not_answer(
    board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise ToolError("no board on the port", "python -m tools ports")

    monkeypatch.setattr(doctor_board.mpremote, "listing", gone)
    (finding,) = doctor_board.examine(PORT, "g-1", Folder(folder))
    assert (finding.check, finding.state) == ("board", FAILED)
    assert finding.remedy == "python -m tools ports"


def test_a_board_that_sleeps_is_waited_for(
    board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, woken = folder / "config.json", []
    file.write_text(json.dumps(json.loads(file.read_text()) | {"power": "battery"}))
    tree = prepare.tree(folder, boards.get("esp32"))
    board.files = {path: hashlib.sha256(tree[path]).hexdigest() for path in board.files}
    monkeypatch.setattr(doctor_board.mpremote, "wake", woken.append)
    port = folder / "ttyACM0"
    threading.Timer(0.3, port.touch).start()
    found = list(doctor_board.examine(str(port), "g-1", Folder(folder)))
    assert {finding.state for finding in found} == {OK}
    assert woken == [str(port)]


def test_no_such_port(folder: Path) -> None:
    (finding,) = doctor_board.examine("/dev/no-such-port", "g-1", Folder(folder))
    assert (finding.state, finding.text) == (FAILED, "there is no port /dev/no-such-port")


def test_a_port_that_cannot_reset(
    board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot() -> None:
        raise ToolError("socket://x cannot reset the board", "press EN/RESET")

    monkeypatch.setattr(board, "reset", cannot)
    found = report(folder)
    assert found["board: files"].state == OK
    assert found["board"].remedy == "press EN/RESET"
