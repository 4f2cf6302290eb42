"""The MicroPython build: what is in it, and that a wrong or damaged one is refused in time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.board import firmware, partitions
from tools.errors import ToolError, lines
from tools.sim.esp import images
from tools.things import boards

ESP32 = boards.get("esp32")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; with `server.cut`, less than the Content-Length promises."""

    def log_message(self, *args: object) -> None:
        """No log."""

    def do_GET(self) -> None:
        self.server.asked += 1
        if not (cut := self.server.cut):
            super().do_GET()
            return
        data = Path(self.directory, self.path.lstrip("/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:cut])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    """The download site: `site.folder`, requests so far `site.asked`, `site.cut` bytes sent."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    server.folder, server.asked, server.cut = folder, 0, 0
    table = boards.table() | {"url": f"http://127.0.0.1:{server.server_port}/{{file}}"}
    monkeypatch.setattr(boards, "table", lambda: table)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with contextlib.closing(server.socket):
        yield server
        server.shutdown()
        thread.join()


def test_table_is_complete():
    assert boards.names() == ["esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6", "esp8266"]
    offsets = {name: boards.get(name).flash_offset for name in boards.names()}
    assert {n for n, offset in offsets.items() if offset == 0x1000} == {"esp32", "esp32s2"}
    assert {n for n, offset in offsets.items() if offset == 0} == set(offsets) - {
        "esp32",
        "esp32s2",
    }
    small = boards.get("esp8266")
    assert (small.key, small.certs) == ("rsa", "der")
    assert small.romfs is not None
    assert small.romfs.offset + small.romfs.size == 0x100000  # where its file system begins
    assert boards.of_chip("ESP32-S3") == "esp32s3"
    with pytest.raises(ToolError) as e:
        boards.get("esp32-c3x")
    # Each board once, with what it is.
    assert [lines(e.value).count(f"\n  {name:<8}  Micro") for name in boards.names()] == [1] * 6
    assert e.value.hint == "--board esp32c3"


@pytest.mark.parametrize("chip", ["esp32", "esp8266"])
def test_stock_image_is_accepted_and_read(chip):
    found = firmware.obtain(boards.get(chip), local=images.stock(chip))
    assert found.version == "1.25.0"
    assert found.build == f"{chip.upper()}_GENERIC"
    assert not found.has_romfs(boards.get(chip))  # that is another build


def test_pinned_checksum_is_that_of_the_stock_image():
    data = images.stock("esp32").read_bytes()
    assert ESP32.sha256["1.25.0"] == hashlib.sha256(data).hexdigest()
    assert boards.version() == "1.25.0"
    assert boards.file_name(ESP32, "1.25.0") == images.STOCK["esp32"]


def test_stock_partition_table():
    data = images.stock("esp32").read_bytes()
    found = partitions.vfs(data, ESP32, 4 << 20)
    assert (found.offset, found.size) == (0x200000, 0x200000)
    assert [row.name for row in partitions.of_image(data, ESP32)] == [
        "nvs",
        "phy_init",
        "factory",
        "vfs",
    ]


@pytest.mark.parametrize(("flash_mb", "size"), [(4, 0x200000), (8, 0x600000), (16, 0xE00000)])
def test_builds_from_1_26_on_make_the_partition_at_boot(flash_mb, size):
    made = images.firmware(vfs=None)
    found = partitions.vfs(made, ESP32, flash_mb << 20)
    assert (found.offset, found.size) == (0x200000, size)


def test_esp8266_keeps_the_sdk_parameters_free():
    found = partitions.vfs(b"", boards.get("esp8266"), 4 << 20)
    assert (found.offset, found.end) == (0x100000, (4 << 20) - 20480)


@pytest.mark.parametrize(
    ("made", "flash_mb"),
    [
        (images.firmware(), 2),
        (images.firmware(vfs=None), 2),
        (images.firmware(vfs=(1, 9 << 20)), 8),
    ],
)
def test_flash_too_small_for_the_partition(made, flash_mb):
    with pytest.raises(ToolError, match=rf"the board has {flash_mb} MB"):
        partitions.vfs(made, ESP32, flash_mb << 20)


def test_fat_build_is_refused():
    table = images.table([("factory", 0, 0, 0x10000, 0x100000), ("ffat", 1, 0x81, 0x200000, 4096)])
    with pytest.raises(ToolError, match="FAT"):
        partitions.vfs_of(partitions.parse(table), 4 << 20)


def test_damaged_table():
    table = bytearray(images.table([("vfs", 1, 0x81, 0x200000, 0x200000)]))
    table[8] ^= 1
    with pytest.raises(ToolError, match="MD5"):
        partitions.parse(bytes(table))


@pytest.mark.parametrize(
    ("board", "chip", "said"),
    [
        ("esp32c3", "esp32", "made for esp32, not for esp32c3"),
        ("esp32", "esp8266", "made for esp8266, not for esp32"),
        ("esp8266", "esp32", "made for esp32, not for esp8266"),
    ],
)
def test_image_for_another_chip(board, chip, said):
    with pytest.raises(ToolError, match=said):
        firmware.obtain(boards.get(board), local=images.stock(chip))


# One bit wrong in each part of the file, and a file that ends too early.
@pytest.mark.parametrize("at", [0x40, 0x7005, 0x8000, 0x20000, 0x100000, 0x19F8F0])
def test_one_wrong_bit_in_the_stock_image(at, tmp_path):
    data = bytearray(images.stock("esp32").read_bytes())
    if data[at : at + 16] == b"\xff" * 16:
        at = 0x7000  # padding: nothing there can be wrong
    data[at] ^= 0x10
    path = tmp_path / "bad.bin"
    path.write_bytes(data)
    with pytest.raises(ToolError, match=r"damaged|no partition table"):
        firmware.obtain(ESP32, local=path)


@pytest.mark.parametrize("size", [0, 100, 0x8000, 0x9000, 0x100000, 1_702_239])
def test_stock_image_cut_off(size, tmp_path):
    path = tmp_path / "cut.bin"
    path.write_bytes(images.stock("esp32").read_bytes()[:size])
    with pytest.raises(ToolError, match=r"cut off|not a firmware|no application|damaged"):
        firmware.obtain(ESP32, local=path)


def test_one_wrong_bit_in_the_esp8266_image(tmp_path):
    data = bytearray(images.stock("esp8266").read_bytes())
    path = tmp_path / "bad.bin"
    for at in (0x100, 0x20000, len(data) - 1):
        path.write_bytes(bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :]))
        with pytest.raises(ToolError, match="damaged"):
            firmware.obtain(boards.get("esp8266"), local=path)


@pytest.mark.parametrize("data", [b"<html>not found</html>" * 4000, b"\x7fELF" + b"\0" * 50000])
def test_what_is_no_firmware_at_all(data, tmp_path):
    path = tmp_path / "page.bin"
    path.write_bytes(data)
    with pytest.raises(ToolError, match="not an Espressif firmware"):
        firmware.obtain(ESP32, local=path)


def test_no_such_file(tmp_path):
    with pytest.raises(ToolError, match="No such file"):
        firmware.obtain(ESP32, local=tmp_path / "nothing.bin")


def test_download_once_then_from_the_cache(site, tmp_path):
    (site.folder / images.STOCK["esp32"]).write_bytes(images.stock("esp32").read_bytes())
    seen: list[tuple[int, int]] = []
    cache = tmp_path / "cache"
    load = lambda done, total: seen.append((done, total))  # noqa: E731
    first = firmware.obtain(ESP32, cache=cache, progress=load)
    again = firmware.obtain(ESP32, cache=cache, progress=load)
    assert first.sha256 == again.sha256 == ESP32.sha256["1.25.0"]
    assert site.asked == 1
    assert seen[-1] == (1_702_240, 1_702_240)
    assert sorted(p.name for p in cache.iterdir()) == [images.STOCK["esp32"], "sha256.json"]


def test_corrupt_download_is_refused_and_not_kept(site, tmp_path):
    data = bytearray(images.stock("esp32").read_bytes())
    data[500_000] ^= 1
    (site.folder / images.STOCK["esp32"]).write_bytes(data)
    cache = tmp_path / "cache"
    with pytest.raises(ToolError, match="SHA-256 differs"):
        firmware.obtain(ESP32, cache=cache)
    assert list(cache.iterdir()) == []


def test_download_that_breaks_off(site, tmp_path):
    (site.folder / images.STOCK["esp32"]).write_bytes(images.stock("esp32").read_bytes())
    site.cut = 300_000
    with pytest.raises(ToolError, match="300,000 of 1,702,240"):
        firmware.obtain(ESP32, cache=tmp_path / "cache")
    site.cut = 0
    assert firmware.obtain(ESP32, cache=tmp_path / "cache").version == "1.25.0"


def test_unpinned_build_is_recorded_on_first_use_and_compared_after(site, tmp_path):
    c3, cache = boards.get("esp32c3"), tmp_path / "cache"
    name = boards.file_name(c3, "1.25.0")
    (site.folder / name).write_bytes(images.firmware(5, 0))
    first = firmware.obtain(c3, cache=cache)
    (cache / name).unlink()
    (site.folder / name).write_bytes(images.firmware(5, 0, seed=2))
    with pytest.raises(ToolError, match="SHA-256 differs"):
        firmware.obtain(c3, cache=cache)
    (site.folder / name).write_bytes(images.firmware(5, 0))
    assert firmware.obtain(c3, cache=cache).sha256 == first.sha256


def test_no_network_says_which_file_to_put_where(site, tmp_path):
    site.shutdown()
    site.socket.close()
    with pytest.raises(ToolError, match="cannot download") as e:
        firmware.obtain(ESP32, cache=tmp_path / "cache")
    assert images.STOCK["esp32"] in e.value.hint
    assert str(tmp_path / "cache") in e.value.hint


def test_file_put_into_the_cache_by_hand(site, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / images.STOCK["esp32"]).write_bytes(images.stock("esp32").read_bytes())
    assert firmware.obtain(ESP32, cache=cache).version == "1.25.0"
    assert site.asked == 0


def test_release_that_is_not_in_the_table(tmp_path):
    with pytest.raises(ToolError, match=r"9\.9\.9") as e:
        firmware.obtain(ESP32, "9.9.9", cache=tmp_path)
    assert "FIRMWARE=" in e.value.hint


def test_without_a_network_there_is_a_stand_in_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(firmware, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    path, what = images.of(ESP32, tmp_path)
    assert what.startswith("a stand-in, valid but without MicroPython in it (pip cannot download")
    assert firmware.obtain(ESP32, local=path).version == "1.25.0"
    with pytest.raises(ToolError, match="pip cannot download"):
        images.of(boards.get("esp8266"), tmp_path)
