"""`make sim UPDATE=1`: the next version, and what the view says of a board on its way to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.board import stage
from tools.errors import ToolError
from tools.sim import updating
from tools.sim.streams import Played
from tools.sim.view import View
from tools.things import boards, signing_keys
from tools.updates import release

MANIFEST = "fieldmouse 1\n\nfirmware/a.mpy 3 00\nfirmware/b.mpy 3 00\nfirmware/c.mpy 3 00\n"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The flash of a board that has the manifest and one file of the release."""
    for folder in ("data", "firmware", "b/firmware"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/release").write_text(MANIFEST + "signature")
    (tmp_path / "b/firmware/a.mpy").write_text("abc")
    return tmp_path


def job(board: Path, state: str) -> None:
    document = {"fieldmouse": "update", "manifest_bytes": len(MANIFEST)}
    (board / "data/job.json").write_text(json.dumps({"state": state, "document": document}))


def test_what_a_board_does_is_read_off_its_flash(board: Path) -> None:
    assert updating.doing(board) == ""
    for state, said in (
        ("manifest", "fetching"),
        ("fetch", "fetching 1 of 3 files"),
        ("check", "checking"),
        ("trial", "on trial"),
        ("result", "reporting"),
    ):
        job(board, state)
        assert updating.doing(board) == said
    (board / "slot").write_text("ba aa 2")
    assert updating.doing(board) == "on trial"
    (board / "slot").write_text("ba")  # b runs: what is fetched goes to a
    job(board, "fetch")
    assert updating.doing(board) == "fetching 0 of 3 files"


def test_what_is_no_job_says_nothing(board: Path) -> None:
    for text in ("", "{", "[]", '{"state": "fetch"}', '{"state": "fetch", "document": {}}'):
        (board / "data/job.json").write_text(text)
        assert updating.doing(board) == ""


def test_the_next_version_differs_in_one_module(tmp_path: Path) -> None:
    keys = updating.new_keys(tmp_path / "keys")
    assert (keys / "release-1.pem").stat().st_mode & 0o777 == 0o600
    made = updating.next_release(tmp_path, keys).release
    release.verify(made, signing_keys.load(keys).values())
    ours, theirs = stage.version_of(stage.ROOT), made.version
    assert release.order(theirs, 0) > release.order(ours, 0)
    before = stage.firmware(stage.ROOT, boards.get("esp32"), keys=keys)
    after = made.contents()
    changed = {path for path, data in after.items() if before.get(path) != data}
    assert changed == {"firmware/updates/trial.mpy", stage.VERSION_FILE}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "releases"]


def test_a_text_that_is_gone_is_named(tmp_path: Path) -> None:
    keys = updating.new_keys(tmp_path / "keys")
    with pytest.raises(ToolError, match="no longer"):
        updating.next_release(tmp_path, keys, edits={"firmware/app.py": ("no such text", "")})


@pytest.mark.parametrize(("board_name", "power"), [("esp8266", "mains"), ("esp32", "battery")])
def test_boards_that_take_no_updates_are_refused(board_name: str, power: str) -> None:
    with pytest.raises(ToolError, match=r"^update: "):
        updating.check(board_name, power)
    updating.check("esp32", "mains")


def test_the_view_says_how_far_each_is(tmp_path: Path) -> None:
    from rich.console import Console

    view = View(["demo-1", "demo-2"])
    for name in view.things:
        view.booted(name, tmp_path / name)
    view.updates = lambda name, folder: {"demo-1": "QUEUED", "demo-2": "on trial"}[name]
    console = Console(width=100, record=True)
    with console.capture() as shown:
        console.print(view.render(100, 24))
    rows = {line.split()[0]: line for line in shown.get().splitlines() if line.startswith("demo")}
    assert "QUEUED" in rows["demo-1"] and "on trial" in rows["demo-2"]


def test_what_was_played_meanwhile() -> None:
    played = Played(1, 40, 3, 4_000)
    before = played.copy()
    played.requests, played.request_bytes = 3, 120
    played.answers, played.answer_bytes = 8, 11_234
    assert str(played.since(before)) == "2 requests, 80 bytes; 5 answers, 7,234 bytes"
