"""`outbox_bytes` against the file system: what is refused, and that what is taken really fits."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

from tests.host import pki
from tools.board import flash, image, partitions, prepare, romfs, room, stage
from tools.board.partitions import Partition
from tools.errors import ToolError
from tools.things import boards
from tools.things.boards import Board

CONFIG = {"thing_name": "g-1", "endpoint": "x.example.org", "wifi": [{"ssid": "barn"}]}
_SEQS = 200  # readings in a segment, about


def staged(folder: Path, board: str, compiled: bool = False, **settings: Any) -> dict[str, bytes]:
    """The staged tree, of the real firmware, for a board; as sources that takes no time."""
    config = folder / "config.json"
    config.write_text(json.dumps(CONFIG | settings), "utf-8")
    pki.folder(folder / "certs", boards.get(board).key)
    out = folder / board
    stage.stage(config, folder / "certs", out, board, now=pki.NOW, compiled=compiled)
    return image.tree(out)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Profile -> what is on such a board, as bytecode."""
    folder = tmp_path_factory.mktemp("trees")
    return {name: staged(folder, name, compiled=True) for name in ("esp32", "esp8266")}


def on_board(tree: dict[str, bytes], board: Board) -> dict[str, bytes]:
    """What of it lies on LittleFS."""
    return romfs.split(tree)[0] if board.romfs else tree


class Flash:
    """A file system of a board in use, on the real LittleFS."""

    def __init__(self, files: dict[str, bytes], size: int) -> None:
        self.fs = image.FileSystem(files, size)._fs
        self.blocks = size // image.BLOCK
        self.fs.makedirs("data/outbox", exist_ok=True)

    def write(self, path: str, data: bytes) -> None:
        with self.fs.open(path, "wb") as file:
            file.write(data)

    @property
    def free(self) -> int:
        return self.blocks - int(self.fs.used_block_count)

    def replace(self, path: str, data: bytes) -> None:
        self.write(path + ".new", data)
        self.fs.rename(path + ".new", path)


def full(flash_: Flash, outbox_bytes: int, rounds: int) -> int:
    """Fill the outbox and go on; settings and crashes are written too. The least blocks free."""
    segments, seq, least = list[int](), 1, flash_.free
    for number in range(outbox_bytes // image.BLOCK + rounds):
        if len(segments) == outbox_bytes // image.BLOCK:
            flash_.fs.remove(f"data/outbox/{segments.pop(0):08x}")
        flash_.write(f"data/outbox/{seq:08x}", b"r" * image.BLOCK)
        segments.append(seq)
        seq += _SEQS
        flash_.write(f"data/outbox/{'ab'[number % 2]}", b"n" * 128)
        if number % 40 == 0:
            flash_.replace("data/settings.json", b"s" * 3072)
            flash_.write("data/crash.log", b"c" * 5000)
            flash_.write("data/crash.log.old", b"c" * 5000)
            flash_.replace("data/crash.log.runs", b"0 1 2")
            least = min(least, flash_.free)  # to count takes as long as all else
    return min(least, flash_.free)


@pytest.mark.parametrize("name", ["esp32", "esp8266"])
def test_the_largest_that_is_taken_leaves_four_blocks_free(
    trees: dict[str, dict[str, bytes]], name: str
) -> None:
    board = boards.get(name)
    size = partitions.least_bytes(board)
    tree = on_board(trees[name], board)
    most = room.largest(image.FileSystem(tree, size))
    assert most > 512 * 1024
    flash_ = Flash(tree, size)
    assert full(flash_, most, 600) >= room.FREE_BLOCKS
    # And `deploy` can still replace the largest file.
    path = max(tree, key=lambda path: len(tree[path]))
    flash_.write(path, tree[path][::-1])


@pytest.mark.parametrize("name", ["esp32", "esp8266"])
def test_a_larger_one_is_refused_with_the_largest_that_fits(tmp_path: Path, name: str) -> None:
    board = boards.get(name)
    tree = on_board(staged(tmp_path, name), board)
    most = room.largest(image.FileSystem(tree, partitions.least_bytes(board)))
    with pytest.raises(ToolError, match=f"outbox_bytes: .* at most {most:,}"):
        staged(tmp_path, name, outbox_bytes=most + 1)
    before = (tmp_path / name / "config.json").read_bytes()
    with pytest.raises(ToolError, match="nothing was staged"):
        staged(tmp_path, name, outbox_bytes=2097152)
    assert (tmp_path / name / "config.json").read_bytes() == before
    taken = json.loads(staged(tmp_path, name, outbox_bytes=most)["config.json"])
    assert taken["outbox_bytes"] == most


@pytest.mark.parametrize("name", boards.names())
def test_the_default_fits_every_board(trees: dict[str, dict[str, bytes]], name: str) -> None:
    board = boards.get(name)
    tree = on_board(trees[board.profile], board)
    wanted = board.defaults["outbox_bytes"]
    files = image.FileSystem(tree, partitions.least_bytes(board))
    assert room.problem(wanted, files) == ""
    assert room.largest(files) > 4 * wanted


def test_a_board_with_updates_keeps_room_for_a_second_firmware(
    trees: dict[str, dict[str, bytes]],
) -> None:
    board = boards.get("esp32")
    tree, size = trees["esp32"], partitions.least_bytes(board)
    files = image.FileSystem(tree, size)
    kept, most = room.for_updates(files), room.largest(files, updates=True)
    assert most < room.largest(files)
    assert most > 4 * board.defaults["outbox_bytes"]
    flash_ = Flash(tree, size)
    free = flash_.free
    arrives(flash_, tree, percent=10)
    assert free - flash_.free <= kept
    assert full(flash_, most, 600) >= room.FREE_BLOCKS
    path = max(tree, key=lambda path: len(tree[path]))
    flash_.write(path, tree[path][::-1])


def arrives(flash_: Flash, tree: dict[str, bytes], percent: int) -> None:
    """All that an update and a new certificate write at once, the firmware larger by that."""
    firmware = {path: data for path, data in tree.items() if path.startswith("firmware/")}
    total = sum(map(len, firmware.values()))
    firmware["firmware/new.mpy"] = b"n" * (total * percent // 100)
    for folder in sorted({f"b/{path}".rpartition("/")[0] for path in firmware}):
        flash_.fs.makedirs(folder, exist_ok=True)
    for path, data in firmware.items():
        flash_.write(f"b/{path}", data)
    flash_.write("b/manifest", b"m" * (16_384 + 384))
    flash_.fs.makedirs("certs/b", exist_ok=True)
    flash_.fs.makedirs("data", exist_ok=True)
    for path, size in (("certs/b/cert.pem", 1500), ("certs/b/key.pem", 300), ("slot", 9)):
        flash_.write(path, b"p" * size)
    for path, size in (("data/job.json", 2500), ("certs/b/cert.pem", 1500), ("slot", 9)):
        flash_.replace(path, b"j" * size)
    # A cut of the power leaves a copy behind.
    flash_.write("data/job.json.new", b"j" * 2500)
    flash_.write("certs/b/cert.pem.new", b"c" * 1500)


def test_an_outbox_that_leaves_no_room_for_updates_is_refused(
    trees: dict[str, dict[str, bytes]],
) -> None:
    board = boards.get("esp32")
    files = image.FileSystem(trees["esp32"], partitions.least_bytes(board))
    most, kept = room.largest(files, updates=True), room.for_updates(files) * image.BLOCK
    assert room.problem(most, files, updates=True) == room.problem(most + 1, files) == ""
    assert room.problem(most + 1, files, updates=True).endswith(
        f"at most {most:,}, beside {kept:,} kept for a second firmware (updates)"
    )


def test_updates_in_the_configuration_are_what_stage_and_flash_go_by(
    tmp_path: Path, trees: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def problem(wanted: int, fs: image.FileSystem, updates: bool = False) -> str:
        asked.append(updates)
        return ""

    monkeypatch.setattr(room, "problem", problem)
    for name, updates, expected in (
        ("esp32", {}, False),
        ("esp32", {"updates": False}, False),
        ("esp32", {"updates": True}, True),
        ("esp8266", {"updates": True}, False),  # which refuses them
    ):
        board = boards.get(name)
        tree = on_board(trees[name], board)
        stage._check_room(board, {"outbox_bytes": 8192, **updates}, trees[name])
        config = json.dumps({"outbox_bytes": 8192, **updates}).encode()
        job: Any = types.SimpleNamespace(
            tree=tree | {"config.json": config},
            board=board,
            thing="g-1",
            firmware=types.SimpleNamespace(has_romfs=lambda b: False),
        )
        flash._filled(job, Partition("vfs", 1, 0x81, 0x200000, partitions.least_bytes(board)))
        assert asked == [expected] * 2, (name, updates)
        asked.clear()


def test_flash_asks_the_partition_that_is_there(tmp_path: Path) -> None:
    # A build with two places for its own code leaves 960 KB; stage has no firmware to look into.
    board = boards.get("esp32")
    tree = staged(tmp_path, "esp32", outbox_bytes=1_000_000)
    job: Any = types.SimpleNamespace(
        tree=tree,
        board=board,
        thing="g-1",
        firmware=types.SimpleNamespace(has_romfs=lambda b: False),
    )
    flash._filled(job, Partition("vfs", 1, 0x81, 0x200000, 0x200000))
    with pytest.raises(ToolError, match="at most") as caught:
        flash._filled(job, Partition("vfs", 1, 0x81, 0x310000, 0xF0000))
    assert "outbox_bytes=" in caught.value.hint
    assert prepare.board_of(tmp_path, "esp32") == board


def test_where_nothing_is_left() -> None:
    assert room.largest(image.FileSystem({"x": b"x" * 90_000}, 30 * image.BLOCK)) == 0
