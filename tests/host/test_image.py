"""The LittleFS image: right geometry, right version, the very tree, and MicroPython agrees."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from pathlib import Path

import pytest

from tests.esp import fixtures
from tools import toolchain
from tools.board import image
from tools.errors import ToolError

SIZE = 0x200000
READER = """
import json, os, sys, vfs
class Flash:
    def __init__(self, path): self.f = open(path, "r+b"); self.n = os.stat(path)[6] // 4096
    def readblocks(self, n, buf, at=0): self.f.seek(n * 4096 + at); self.f.readinto(buf)
    def writeblocks(self, n, buf, at=0): self.f.seek(n * 4096 + at); self.f.write(buf)
    def ioctl(self, op, arg):
        if op == 4: return self.n
        if op == 5: return 4096
        if op == 6: self.f.seek(arg * 4096); self.f.write(b"\\xff" * 4096); return 0
def walk(top):
    for name, kind, *_ in os.ilistdir(top):
        path = top + "/" + name
        if kind == 0x4000: walk(path)
        else: found[path[3:]] = [len(open(path, "rb").read()), sum(open(path, "rb").read())]
found = {}
vfs.mount(vfs.VfsLfs2(Flash(sys.argv[1])), "/m")
walk("/m")
with open("/m/data.new", "w") as f: f.write("written by the board")
print(json.dumps({"files": found, "blocks": os.statvfs("/m")[2]}))
"""


def superblock(made: bytes) -> dict[str, int]:
    """The inline struct of the superblock (littlefs SPEC.md): it follows the magic by a tag."""
    at = made.index(b"littlefs") + 12
    names = ("version", "block_size", "block_count", "name_max", "file_max", "attr_max")
    return dict(zip(names, struct.unpack_from("<6I", made, at), strict=True))


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, bytes]:
    noise = random.Random(5).randbytes(70_000)
    return image.tree(fixtures.tree(tmp_path / "tree", data__outbox=noise, empty=b""))


def test_superblock_is_what_every_build_mounts(tree):
    found = superblock(image.FileSystem(tree, SIZE).image())
    assert found["version"] == 0x00020000  # builds up to 1.21 refuse 2.1
    assert (found["block_size"], found["block_count"]) == (4096, SIZE // 4096)
    assert found["name_max"] == 255


@pytest.mark.parametrize("size", [0x200000, 0x100000 - 0x5000, 0x600000])
def test_image_is_exactly_the_partition(tree, size):
    made = image.FileSystem(tree, size).image()
    assert len(made) == size
    assert superblock(made)["block_count"] == size // 4096


def test_what_goes_in_comes_out(tree):
    assert image.read(image.FileSystem(tree, SIZE).image()) == tree


def test_same_tree_same_image(tree):
    assert (
        image.FileSystem(tree, SIZE).image()
        == image.FileSystem(dict(reversed(tree.items())), SIZE).image()
    )


def test_micropython_mounts_it_and_sees_the_same_tree(tree, tmp_path):
    file, reader = tmp_path / "fs.img", tmp_path / "reader.py"
    file.write_bytes(image.FileSystem(tree, SIZE).image())
    reader.write_text(READER)
    argv = [*toolchain.micropython(64), str(reader), str(file)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    said = json.loads(ran.stdout)
    assert said["files"] == {name: [len(data), sum(data)] for name, data in tree.items()}
    assert said["blocks"] == SIZE // 4096
    # MicroPython has written to it, which may raise the disk version: we still read it.
    after = image.read(file.read_bytes())
    assert after.pop("data.new") == b"written by the board"
    assert after == tree


def test_segments_and_erased_flash_make_the_image(tree):
    made = image.FileSystem(tree, SIZE).image()
    parts = image.segments(made)
    flash = bytearray(b"\xff" * SIZE)
    for offset, data in parts:
        assert offset % 4096 == 0
        flash[offset : offset + len(data)] = data
    assert flash == made
    assert sum(len(data) for _, data in parts) < SIZE // 4


def test_too_large_says_by_how_much():
    with pytest.raises(ToolError, match=r"1 files with 3,000,000 bytes do not fit the 2,097,152"):
        image.FileSystem({"data/outbox": b"x" * 3_000_000}, SIZE)


def test_damaged_file_system_is_an_error(tree):
    made = bytearray(image.FileSystem(tree, SIZE).image())
    made[0x20:0x60] = b"\0" * 64
    made[0x1020:0x1060] = b"\0" * 64
    with pytest.raises(ToolError, match="damaged"):
        image.read(bytes(made))


@pytest.mark.parametrize("start", [b"\xff" * 8192, b"", b"\0" * 8192])
def test_no_file_system_is_seen_as_none(start):
    assert not image.has_filesystem(start)
    with pytest.raises(ToolError, match="no LittleFS"):
        image.read(start)


def test_second_superblock_block_is_enough(tree):
    made = bytearray(image.FileSystem(tree, SIZE).image())
    made[:4096] = b"\xff" * 4096
    assert image.has_filesystem(bytes(made[:8192]))


def test_folder_that_was_not_staged(tmp_path):
    with pytest.raises(ToolError, match="not a staged"):
        image.tree(tmp_path)
