"""ESP8266: the code runs in place from ROMFS, where the build has one."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path

import pytest

from tests.esp import fixtures
from tools import toolchain
from tools.board import bytecode, deploy, firmware, flash, image, mpremote, partitions, romfs
from tools.errors import ToolError
from tools.sim.esp import images
from tools.things import boards

ESP8266 = boards.get("esp8266")
MOUNT = """
import os, sys, vfs
with open(sys.argv[1], "rb") as f: data = f.read()
vfs.mount(vfs.VfsRom(data), "/rom")
sys.path.append("/rom")
import append, firmware.core.x
print(sorted(os.listdir("/rom/firmware")), firmware.core.x.ANSWER, append.ANSWER)
"""


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, bytes]:
    files = image.tree(fixtures.tree(tmp_path / "tree"))
    short = bytecode.compile_all({"append.py": b"ANSWER = 42\n"})  # groups.py
    return files | {"firmware/core/x.py": b"ANSWER = 42\n", "firmware/__init__.py": b""} | short


@pytest.fixture
def build(tmp_path: Path) -> firmware.Firmware:
    """The stock ESP8266 image with the name of the ROMFS build in it, its MD5 made right."""
    data = bytearray(images.stock("esp8266").read_bytes())
    at = data.index(b"ESP8266_GENERIC\0")
    data[at : at + 31] = b"ESP8266_GENERIC-FLASH_2M_ROMFS\0"
    size = struct.unpack_from("<I", data, 0x8FFC)[0]
    data[size : size + 16] = hashlib.md5(data[4:size]).digest()
    path = tmp_path / "romfs.bin"
    path.write_bytes(data)
    return firmware.obtain(ESP8266, local=path)


def test_code_goes_to_romfs_and_the_rest_to_littlefs(build, tree, tmp_path):
    assert build.has_romfs(ESP8266)
    job = flash.Job("shed-1", tmp_path, ESP8266, "/dev/x", tree, build)
    where = partitions.vfs(build.data, ESP8266, 4 << 20)
    files, [(offset, rom)] = flash._filled(job, where)
    assert offset == 0xB0000
    assert rom[:3] == b"\xd2\xcd\x31"  # ROMFS magic
    assert offset + len(rom) <= where.offset
    files.add({"data/outbox": b"kept"})  # as flash does with the readings on the board
    found = image.read(files.image())
    assert not any(name.startswith("firmware/") or name.endswith(".mpy") for name in found)
    assert found["main.py"] == tree["main.py"]
    assert found["data/outbox"] == b"kept"


def test_micropython_imports_from_the_image(tree, tmp_path):
    _, code = romfs.split(tree)
    file, reader = tmp_path / "rom.img", tmp_path / "mount.py"
    file.write_bytes(romfs.build(code, 320 * 1024))
    reader.write_text(MOUNT)
    argv = [*toolchain.micropython(64), str(reader), str(file)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.strip() == "['__init__.mpy', 'core', 'version.py'] 42 42"


def test_code_too_large_for_romfs(tree):
    _, code = romfs.split(tree)
    with pytest.raises(ToolError, match="ROMFS has 64"):
        romfs.build(code, 64)


@pytest.mark.parametrize("same", [True, False])
def test_deploy_renews_romfs_only_when_the_code_differs(tree, monkeypatch, same):
    _, code = romfs.split(tree)
    made = romfs.build(code, ESP8266.romfs.size)
    digest = hashlib.sha256(made if same else b"other").hexdigest()
    ran: list[list[str]] = []
    synced: list[set[str]] = []

    def run(port, args, *rest, **options):
        ran.append(args)
        return f"romfs {digest}\n"

    owned: set[str] = set()

    def sync(port, files, ours, note):
        synced.append(set(files))
        owned.update(ours)
        return [], []

    monkeypatch.setattr(mpremote, "run", run)
    monkeypatch.setattr(mpremote, "sync", sync)
    done = deploy.deploy("/dev/x", ESP8266, tree, print)
    assert done.romfs is not same
    assert [args[:2] for args in ran[1:]] == ([] if same else [["romfs", "deploy"]])
    assert synced == [{n for n in tree if not n.startswith("firmware/") and n != "append.mpy"}]
    assert {"firmware", "append.mpy"} <= owned  # what a build without ROMFS had there
