"""`release`: the form of the file, who has signed it, and that it is the same each time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.host import mpy, pki
from tools import options
from tools.aws import clients as aws_clients
from tools.board import stage
from tools.errors import ToolError
from tools.things import boards, signing_keys
from tools.updates import making, release, signers
from tools.updates.making import Wanted
from tools.updates.release import File, Manifest, Release
from tools.updates.signers import FileSigner

ROOT = Path(__file__).resolve().parents[2]
COMMIT = 848_000_000  # seconds since 2000
PASSPHRASE = "a secret that must not show"
ARN = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
SIGNER = FileSigner(pki.key("rsa3072"))
PUBLIC = ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo


def public_file(folder: Path, name: str, key: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pub.pem"
    path.write_bytes(key.public_key().public_bytes(*PUBLIC))
    return path


def git(folder: Path, *words: str, when: int = COMMIT) -> None:
    date = f"{when + stage.EPOCH_2000} +0000"
    env = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    argv = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *words]
    subprocess.run(argv, check=True, env=env, capture_output=True)


def committed(folder: Path, when: int = COMMIT) -> Path:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "t", when=when)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real firmware as a commit of its own; not to be changed."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        ROOT / "firmware", folder / "firmware", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("boot.py", "main.py"):
        shutil.copy(ROOT / name, folder / name)
    return committed(folder)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the public key that signs here; not to be changed."""
    folder = tmp_path_factory.mktemp("keys")
    public_file(folder, "release-1", SIGNER.key)
    return folder


@pytest.fixture(scope="module")
def made(source: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> making.Made:
    return making.make(SIGNER, tmp_path_factory.mktemp("out"), Wanted(), source, keys)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A firmware of three files as a commit."""
    folder = tmp_path / "small"
    (folder / "firmware").mkdir(parents=True)
    (folder / "boot.py").write_text("# boot\n")
    (folder / "main.py").write_text("# main\n")
    (folder / "firmware" / "x.py").write_text("X = 1\n")
    (folder / "firmware" / "version.py").write_text('VERSION = "1.2.3"\nBUILD_S2000 = 1\n')
    return committed(folder)


# What a release is, read by nothing of ours.


def test_it_has_the_form_of_the_page(made: making.Made) -> None:
    data = made.file.read_bytes()
    head, _, rest = data.partition(b"\n\n")
    version = stage.version_of(ROOT)
    lines = head.decode("ascii").split("\n")
    assert lines[:-1] == [
        "fieldmouse 1",
        f"version {version}",
        f"built {COMMIT}",
        "board esp32",
        "micropython 1.25 1.26 1.27 1.28",
        "older no",
    ]
    count = int(lines[-1].removeprefix("files "))
    rows = rest.split(b"\n", count)[:count]
    at = len(head) + 2 + sum(len(row) + 1 for row in rows)
    manifest, signature, at = data[:at], data[at : at + 384], at + 384
    paths = []
    for row in rows:
        path, size, digest = row.decode("ascii").split(" ")
        content, at = data[at : at + int(size)], at + int(size)
        assert hashlib.sha256(content).hexdigest() == digest
        paths.append(path)
    assert at == len(data)
    assert paths == sorted(set(paths))
    # PKCS#1 v1.5, RFC 8017 9.2: the whole block as a board builds it.
    numbers = SIGNER.public.public_numbers()
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")
    tail = prefix + hashlib.sha256(manifest).digest()
    block = b"\0\1" + b"\xff" * (384 - 3 - len(tail)) + b"\0" + tail
    found = pow(int.from_bytes(signature, "big"), 65537, numbers.n)
    assert found.to_bytes(384, "big") == block
    assert made.release.manifest == manifest
    assert json.loads(made.beside.read_text()) == {
        "version": version,
        "board": "esp32",
        "bytes": len(data),
        "manifest_bytes": len(manifest),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert made.file.name == f"fieldmouse-{version}-esp32.release"
    assert made.beside.name == f"fieldmouse-{version}-esp32.json"
    assert made.warnings == ()


def test_it_has_what_stage_writes_and_nothing_of_a_thing(
    made: making.Made, source: Path, keys: Path, tmp_path: Path
) -> None:
    config = {"thing_name": "g-1", "endpoint": "x.example.org", "wifi": [{"ssid": "barn"}]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    pki.folder(tmp_path / "certs")
    now = dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone.utc)
    out = tmp_path / "tree"
    stage.stage(tmp_path / "config.json", tmp_path / "certs", out, "esp32", source, now, keys=keys)
    contents = made.release.contents()
    staged = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert {path for path in staged if path.startswith("firmware/")} == set(contents)
    for path in set(contents) - {"firmware/version.py"}:
        assert (out / path).read_bytes() == contents[path], path
    said = contents["firmware/version.py"].decode().splitlines()
    assert said[1:4] == [
        f'VERSION = "{made.release.version}"',
        f"BUILD_S2000 = {COMMIT}",
        'BOARD = "esp32"',
    ]
    assert said[4] == "# files: " + " ".join(sorted(contents))
    assert 'BOARD = "esp32"' in (out / "firmware" / "version.py").read_text().splitlines()


def test_what_is_never_updated_starts_every_release(made: making.Made, source: Path) -> None:
    # main.py stays as it was flashed, for years: what it says here, boards in the field say.
    kept = stage.firmware(source, boards.get("esp32"))
    code = kept["main.py"].decode().split("#")[0].split() + kept["main.py"].decode().split()[-1:]
    assert code == ["from", "firmware.chip", "import", "run", "run()"]
    assert kept["boot.py"] == (source / "boot.py").read_bytes()  # no name in it is another one
    contents = made.release.contents()
    assert "firmware/chip.mpy" in contents and not {"boot.py", "main.py"} & set(contents)
    assert "run" in mpy.names(contents["firmware/chip.mpy"])


def test_it_is_read_and_its_signer_found(made: making.Made) -> None:
    found = release.read(made.file)
    assert found == made.release
    assert found.data() == made.file.read_bytes()
    other = pki.key("rsa3072", 2).public_key()
    key = release.verify(found, [other, SIGNER.public])
    assert signing_keys.same(key, SIGNER.public)
    with pytest.raises(ToolError, match="none of the keys has signed it"):
        release.verify(found, [other])
    changed = found.manifest.replace(b"older no", b"older yes")
    data = changed + found.signature + found.payload
    with pytest.raises(ToolError, match="none of the keys has signed it"):
        release.verify(release.parse(data), [SIGNER.public])


# The same each time.


def test_the_same_commit_gives_the_same_bytes_anywhere(
    made: making.Made,
    source: Path,
    keys: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = shutil.copytree(source, tmp_path / "another" / "folder")
    for number, path in enumerate(sorted(copy.rglob("*.py"))):
        os.utime(path, (1_700_000_000 + number,) * 2)
    renamed = tmp_path / "keys"
    public_file(renamed, "zebra", SIGNER.key)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    monkeypatch.setenv("TZ", "Pacific/Apia")
    monkeypatch.setattr("tools.board.bytecode.CACHE", tmp_path / "cache")
    again = making.make(SIGNER, tmp_path / "out", Wanted(), copy, renamed)
    assert again.file.read_bytes() == made.file.read_bytes()
    assert again.beside.read_bytes() == made.beside.read_bytes()
    # Over the old file, and nothing else is left in the folder.
    making.make(SIGNER, tmp_path / "out", Wanted(), source, keys)
    assert again.file.read_bytes() == made.file.read_bytes()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        made.file.name,
        made.beside.name,
    }


@pytest.mark.parametrize("change", ["edit", "new file", "no checkout"])
def test_what_is_no_commit_is_refused_unless_dirty(
    small: Path, keys: Path, tmp_path: Path, change: str
) -> None:
    if change == "edit":
        (small / "main.py").write_text("# changed\n")
    elif change == "new file":
        (small / "firmware" / "y.py").write_text("Y = 1\n")
    else:
        shutil.rmtree(small / ".git")
    with pytest.raises(ToolError, match=r"no release: (there are changes|this is no git)"):
        making.prepare(Wanted(), small, keys)
    found = making.make(SIGNER, tmp_path / "out", Wanted(dirty=True), small, keys)
    assert "nobody can make this release again" in found.warnings[0]
    assert release.read(found.file).version == "1.2.3"


def test_a_change_elsewhere_does_not_matter(small: Path, keys: Path) -> None:
    (small / "notes.md").write_text("not of the firmware")
    manifest, files, warnings = making.prepare(Wanted(), small, keys)
    assert (manifest.built, warnings) == (COMMIT, [])
    assert set(files) == {"firmware/x.mpy", "firmware/version.py", "firmware/keys.txt"}


def test_a_shallow_clone_gives_the_same_bytes(small: Path, keys: Path, tmp_path: Path) -> None:
    (small / "notes.md").write_text("a commit that is not about the firmware")
    git(small, "add", ".")
    git(small, "commit", "-qm", "t", when=COMMIT + 99)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", small.as_uri(), str(clone))
    first = making.make(SIGNER, tmp_path / "1", Wanted(), small, keys)
    assert first.release.built == COMMIT + 99
    again = making.make(SIGNER, tmp_path / "2", Wanted(), clone, keys)
    assert again.file.read_bytes() == first.file.read_bytes()


# What it is for.


def test_what_is_asked_for_is_in_the_signed_part(small: Path, keys: Path) -> None:
    wanted = Wanted("esp32c3", ["1.26", "1.9", "1.26"], older=True)
    manifest, _, _ = making.prepare(wanted, small, keys)
    assert manifest.board == "esp32"
    assert manifest.micropython == ("1.9", "1.26")
    assert b"\nmicropython 1.9 1.26\nolder yes\n" in manifest.text()


def test_sensors_choose_the_drivers(source: Path, keys: Path) -> None:
    _, files, _ = making.prepare(Wanted(sensors=["sht3x"]), source, keys)
    drivers = {path for path in files if path.startswith("firmware/drivers/")}
    assert drivers == {"firmware/drivers/__init__.mpy", "firmware/drivers/sht3x.mpy"}
    with pytest.raises(ToolError, match="no such sensor: sht99"):
        making.prepare(Wanted(sensors=["sht99"]), source, keys)


def test_an_esp8266_gets_none_and_is_told_why(small: Path, keys: Path) -> None:
    with pytest.raises(ToolError, match=r"ROMFS.*no 3-argument pow.*no key of its own"):
        making.prepare(Wanted("esp8266"), small, keys)


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        (Wanted(micropython=["1.25.0"]), "1.2.3", "'1.25.0' is no version of MicroPython"),
        (Wanted(micropython=["1.25", ""]), "1.2.3", "'' is no version of MicroPython"),
        (Wanted(), "1.2", "1.2 is no version for a release"),
        (Wanted(), "1.2.03", "1.2.03 is no version for a release"),
        (Wanted(), "1.2.3\\n", "is no version for a release"),
    ],
)
def test_versions_that_no_board_can_compare(
    small: Path, keys: Path, wanted: Wanted, version: str, expected: str
) -> None:
    (small / "firmware" / "version.py").write_text(f'VERSION = "{version}"\n')
    with pytest.raises(ToolError, match=re.escape(expected)):
        making.prepare(dataclasses.replace(wanted, dirty=True), small, keys)


def test_newer_is_number_by_number_then_by_the_time() -> None:
    rising = [("0.2.0", 9), ("0.2.0-dev", 10), ("0.9.0", 1), ("0.10.0", 1), ("1.0.0", 0)]
    assert sorted(rising, key=lambda pair: release.order(*pair)) == rising


# Limits of the manifest.


def filled(files: dict[str, bytes]) -> Manifest:
    files = {"firmware/keys.txt": b"k", "firmware/version.py": b"v"} | files
    return Manifest("1.2.3", 1, "esp32", ("1.25",), False, release.listed(files))


@pytest.mark.parametrize(
    "files",
    [
        {"firmware/a.mpy": b"x" * 65_536},
        {f"firmware/{n}.mpy": b"x" * 65_000 for n in range(3)} | {"firmware/z.mpy": b"x" * 4_998},
        {"firmware/a/b/c.mpy": b""},
        {"firmware/drivers/__init__.mpy": b"1"},
    ],
)
def test_what_is_just_allowed(files: dict[str, bytes]) -> None:
    text = filled(files).text()
    assert len(text) <= 16_384
    whole = {"firmware/keys.txt": b"k", "firmware/version.py": b"v"} | files
    payload = b"".join(whole[path] for path in sorted(whole))
    assert release.parse(text + bytes(384) + payload).contents() == whole


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"firmware/a.mpy": b"x" * 65_537}, "65,537 bytes, more than 65,536"),
        (
            {f"firmware/{n}.mpy": b"x" * 50_000 for n in range(4)},
            "the files have 200,002 bytes, more than 200,000",
        ),
        ({f"firmware/f{n:03}.mpy": b"" for n in range(190)}, "more than 16,384|longer than"),
        ({f"firmware/{'a' * 90}.mpy": b""}, "a line has 1.. bytes, more than 160"),
        ({"firmware/a/b/c/d.mpy": b""}, "file 1 of 3 in the manifest is not right"),
        ({"firmware/A.mpy": b""}, "is not right"),
        ({"firmware/a.bin": b""}, "is not right"),
        ({"firmware/../config.txt": b""}, "is not right"),
        ({"config.json": b""}, "is not right"),
        ({"firmware/é.py": b""}, "is not right"),
        ({"b/firmware/a.py": b""}, "is not right"),
        ({"firmware//a.py": b""}, "is not right"),
    ],
)
def test_what_is_beyond_the_limits(files: dict[str, bytes], expected: str) -> None:
    with pytest.raises(ToolError, match=expected):
        filled(files).text()


def test_a_tree_beyond_the_limits_is_not_signed(small: Path, keys: Path) -> None:
    (small / "firmware" / "large.py").write_text(f"X = {'x' * 70_000!r}\n")
    with pytest.raises(ToolError, match=r"large\.mpy has 70,... bytes"):
        making.prepare(Wanted(dirty=True), small, keys)


def test_version_and_keys_are_among_the_files() -> None:
    for path in release.REQUIRED:
        files = tuple(file for file in filled({}).files if file.path != path)
        with pytest.raises(ToolError, match=f"{path} is not among the files"):
            dataclasses.replace(filled({}), files=files).text()


# What is no release.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"fieldmouse 1", b"fieldmouse 2"),
        (b"fieldmouse 1\n", b"fieldmouse 1\r\n"),
        (b"version ", b"version  "),
        (b"version ", b"Version "),
        (b"built 8", b"built 08"),
        (b"built 8", b"built -8"),
        (b"\nboard esp32", b""),
        (b"board esp32\n", b"board esp32\nboard esp32\n"),
        (b"board esp32\n", b"board esp32 esp8266\n"),
        (b" 1.28\n", b" 1.28 \n"),
        (b" 1.28\n", b" 1.27\n"),
        (b" 1.28\n", b" 1.28.1\n"),
        (b"older no", b"older maybe"),
        (b"older no\n", b"older no\ncomment x\n"),
        (b"\nfiles 6", b"\nfiles 7"),
        (b"\nfiles 6", b"\nfiles 5"),
        (b"\n\nfirmware", b"\nfirmware"),
        (b"firmware/app.mpy ", b"firmware/app.mpy  "),
        (b"firmware/app.mpy", b"firmware/zpp.mpy"),
        (b"firmware/app.mpy", b"firmware/../a.py"),
        (b"firmware/app.mpy", b"/firmware/ap.mpy"),
        (b"firmware/board.mpy", b"firmware/app.mpy"),
    ],
)
def test_a_manifest_in_another_form_is_refused(made: making.Made, old: bytes, new: bytes) -> None:
    data = made.file.read_bytes()
    length = len(made.release.manifest)
    assert old in data[:length]
    changed = data[:length].replace(old, new, 1) + data[length:]
    with pytest.raises(ToolError, match="is not a release: "):
        release.parse(changed)


def test_what_is_cut_off_or_added_or_damaged_is_refused(made: making.Made) -> None:
    data = made.file.read_bytes()
    length = len(made.release.manifest)
    ends = {*range(0, len(data), 997), length, length + 383, length + 384, len(data) - 1}
    for end in sorted(ends):
        with pytest.raises(ToolError, match="is not a release"):
            release.parse(data[:end])
    with pytest.raises(ToolError, match=r"is not a release: has .* its manifest says"):
        release.parse(data + b"\n")
    for at in range(length + 384, len(data), 4999):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(ToolError, match=r"is damaged \(SHA-256\)"):
            release.parse(damaged)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"cannot read .*No such file"):
        release.read(tmp_path / "none")
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    with pytest.raises(ToolError, match="large is not a release: has 300,000 bytes"):
        release.read(tmp_path / "large")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(ToolError, match="it does not begin with a manifest"):
        release.read(tmp_path / "binary")


# Keys: the public halves.


def test_keys_txt_has_each_modulus_in_hexadecimal(small: Path, tmp_path: Path) -> None:
    both = [SIGNER.key, pki.key("rsa3072", 2)]
    for number, key in enumerate(both):
        public_file(tmp_path / "keys", f"release-{number}", key)
    _, files, _ = making.prepare(Wanted(), small, tmp_path / "keys")
    text = files["firmware/keys.txt"].decode()
    assert re.fullmatch("(?:[0-9a-f]{768}\n){2}", text)
    assert {int(line, 16) for line in text.split()} == {
        key.public_key().public_numbers().n for key in both
    }


def test_a_third_key_is_refused_by_name(small: Path, tmp_path: Path) -> None:
    for number in range(3):
        public_file(tmp_path / "keys", f"release-{number}", pki.key("rsa3072", number))
    with pytest.raises(ToolError, match=r"release-0.pub.pem, release-1.pub.pem, release-2"):
        making.prepare(Wanted(), small, tmp_path / "keys")


def test_without_public_keys_there_is_no_release(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no board would take it"):
        making.prepare(Wanted(), small, tmp_path / "none")


@pytest.mark.parametrize("kind", ["rsa", "ec", "text", "exponent", "private"])
def test_other_kinds_of_public_keys_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pub.pem"
    if kind == "text":
        path.write_text("ssh-rsa AAAA")
    elif kind == "private":
        path.write_bytes(private(SIGNER.key, b""))
    elif kind == "exponent":
        n = SIGNER.public.public_numbers().n
        path.write_bytes(rsa.RSAPublicNumbers(3, n).public_key().public_bytes(*PUBLIC))
    else:
        public_file(tmp_path, "x", pki.key(kind))
    with pytest.raises(ToolError, match=r"x\.pub\.pem"):
        signing_keys.load(tmp_path)


def test_a_key_that_boards_do_not_have_is_warned_of(
    small: Path, tmp_path: Path, keys: Path
) -> None:
    other = FileSigner(pki.key("rsa3072", 2))
    found = making.make(other, tmp_path / "out", Wanted(), small, keys)
    assert len(found.warnings) == 1
    assert "is not among release-1.pub.pem" in found.warnings[0]
    release.verify(found.release, [other.public])


@pytest.mark.parametrize("board", boards.names())
def test_stage_puts_the_keys_on_boards_that_can_use_them(
    small: Path, keys: Path, tmp_path: Path, board: str
) -> None:
    kind = boards.get(board)
    with_keys = stage.firmware(small, kind, keys=keys)
    without = stage.firmware(small, kind, keys=tmp_path / "none")
    if kind.chip == "esp8266":
        assert with_keys == without
        return
    text = with_keys.pop("firmware/keys.txt")
    assert with_keys == without
    assert int(text, 16) == SIGNER.public.public_numbers().n


# Keys: the private half.


def private(key: Any, passphrase: bytes) -> bytes:
    lock = ser.BestAvailableEncryption(passphrase) if passphrase else ser.NoEncryption()
    return bytes(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, lock))


def nobody() -> NoReturn:
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Somebody at a terminal types the passphrase; how they were asked."""
    monkeypatch.delenv("FIELDMOUSE_KEY_PASSPHRASE", raising=False)
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **how: Any) -> str:
        asked.append({"text": text, **how})
        return PASSPHRASE

    monkeypatch.setattr(options, "terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)
    return asked


def test_new_key_is_private_and_encrypted_and_asked_for_twice(
    tmp_path: Path,
    asks: list[dict[str, Any]],
    said: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIELDMOUSE_KEYS", str(tmp_path / "keys"))
    before = os.umask(0)
    try:
        shown = said("release", "new-key")
    finally:
        os.umask(before)
    path, public = (tmp_path / "keys" / f"release-1{end}" for end in (".pem", ".pub.pem"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [(a["hide_input"], a["confirmation_prompt"]) for a in asks] == [(True, True)]
    assert PASSPHRASE not in shown.out + shown.err
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")  # PKCS #8
    key: Any = ser.load_pem_private_key(path.read_bytes(), PASSPHRASE.encode())
    assert (key.key_size, key.public_key().public_numbers().e) == (3072, 65537)
    (found,) = signing_keys.load(public.parent).values()
    assert signing_keys.same(found, key.public_key())
    # It stays as it is.
    kept = path.read_bytes()
    assert "is there and stays as it is" in said("release", "new-key", code=2).err
    public.unlink()
    assert "is there and stays as it is" in said("release", "new-key", code=2).err
    assert (path.read_bytes(), len(asks)) == (kept, 1)


def test_new_key_without_a_passphrase_or_with_one_of_the_environment(
    tmp_path: Path, said: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.prompt", nobody)
    plain, locked = tmp_path / "a.pem", tmp_path / "b.pem"
    said("release", "new-key", "--out", str(plain), "--no-passphrase")
    assert plain.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    monkeypatch.setenv("FIELDMOUSE_KEY_PASSPHRASE", PASSPHRASE)
    shown = said("release", "new-key", "--out", str(locked))
    assert PASSPHRASE not in shown.out + shown.err
    signers.of_file(locked, lambda: PASSPHRASE)
    signers.of_file(plain, nobody)
    # A third is of no use.
    assert (
        "boards take 2 keys"
        in said("release", "new-key", "--out", f"{tmp_path}/c.pem", code=2).err
    )
    monkeypatch.setenv("FIELDMOUSE_KEY_PASSPHRASE", "short")
    shown = said("release", "new-key", "--out", f"{tmp_path}/d/d.pem", code=2)
    assert "a passphrase has 8 characters or more" in shown.err
    assert not (tmp_path / "d").exists()


def test_nobody_to_ask(
    tmp_path: Path, said: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIELDMOUSE_KEY_PASSPHRASE", raising=False)
    monkeypatch.setattr(options, "terminal", lambda: False)
    shown = said("release", "new-key", "--out", f"{tmp_path}/x.pem", code=2)
    assert "there is nobody to ask" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_key_half_made_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path: Any, *how: Any) -> int:
        if str(path).endswith(".pub.pem"):
            raise OSError(28, "No space left on device", str(path))
        return real(path, *how)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(ToolError, match=r"cannot write .*pub\.pem: No space"):
        signers.new_key(tmp_path / "x.pem", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (lambda: private(SIGNER.key, b"another"), "the passphrase is wrong"),
        (lambda: private(pki.key("rsa"), b""), "is RSA-2048 with exponent 65537"),
        (lambda: private(pki.key(), b""), "is not an RSA key"),
        (lambda: b"", "is not a private key in PEM"),
        (lambda: SIGNER.public.public_bytes(*PUBLIC), "is not a private key in PEM"),
        (None, "No such file"),
    ],
)
def test_private_keys_that_cannot_sign(
    tmp_path: Path, content: Callable[[], bytes] | None, expected: str
) -> None:
    path = tmp_path / "k.pem"
    if content:
        path.write_bytes(content())
    with pytest.raises(ToolError, match=expected) as caught:
        signers.of_file(path, lambda: PASSPHRASE)
    assert PASSPHRASE not in f"{caught.value}{caught.value.hint}"


def test_the_command(
    source: Path,
    keys: Path,
    made: making.Made,
    tmp_path: Path,
    asks: list[dict[str, Any]],
    said: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIELDMOUSE_KEYS", str(keys))
    use(monkeypatch, source)
    key = tmp_path / "k.pem"
    key.write_bytes(private(SIGNER.key, PASSPHRASE.encode()))
    shown = said("release", "--key", str(key), "--out", f"{tmp_path}/out")
    assert f"{made.file.name}: {made.release.version} for esp32, " in shown.out
    assert (tmp_path / "out" / made.file.name).read_bytes() == made.file.read_bytes()
    assert [(a["hide_input"], a["confirmation_prompt"]) for a in asks] == [(True, False)]
    assert PASSPHRASE not in shown.out + shown.err
    words = ("--allow-downgrade", "--micropython", "1.28,1.26", "--board", "esp32s3")
    said("release", "--key", str(key), "--out", f"{tmp_path}/out", *words)
    found = release.read(tmp_path / "out" / made.file.name)
    assert (found.older, found.micropython) == (True, ("1.26", "1.28"))
    assert "--key and --out are needed" in said("release", code=2).err
    before = len(asks)
    other = ("--key", str(key), "--out", f"{tmp_path}/none", "--board", "esp8266")
    assert "no release for an esp8266" in said("release", *other, code=2).err
    assert (len(asks), (tmp_path / "none").exists()) == (before, False)


def use(monkeypatch: pytest.MonkeyPatch, source: Path) -> None:
    """The command works on ``source`` in place of this checkout, which may have changes."""
    prepare: Any = making.prepare
    make: Any = making.make
    monkeypatch.setattr(making, "prepare", lambda w, s=source, k=None: prepare(w, source, k))
    monkeypatch.setattr(making, "make", lambda *given: make(*given, source))


# Keys in KMS.


class Kms:
    """A client of KMS on botocore's own model of it, which refuses what AWS would."""

    def __init__(self) -> None:
        self.client: Any = boto3.client(
            "kms", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.stub = Stubber(self.client)
        self.stub.activate()

    def has(self, key: Any = SIGNER.key, **changed: Any) -> None:
        der = key.public_key().public_bytes(ser.Encoding.DER, PUBLIC[1])
        answer = {
            "KeyId": ARN,
            "PublicKey": der,
            "KeySpec": "RSA_3072",
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256"],
        }
        self.stub.add_response("get_public_key", answer | changed, {"KeyId": ARN})

    def signs(self, manifest: bytes, signature: bytes) -> None:
        algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
        wanted = {
            "KeyId": ARN,
            "Message": hashlib.sha256(manifest).digest(),
            "MessageType": "DIGEST",
            "SigningAlgorithm": algorithm,
        }
        answer = {"KeyId": ARN, "Signature": signature, "SigningAlgorithm": algorithm}
        self.stub.add_response("sign", answer, wanted)


@pytest.fixture
def kms() -> Kms:
    return Kms()


@pytest.mark.parametrize("region", [["--region", "eu-west-1"], []], ids=["asked", "the key's"])
def test_a_key_in_kms_gives_the_same_release(
    kms: Kms,
    region: list[str],
    made: making.Made,
    source: Path,
    keys: Path,
    tmp_path: Path,
    said: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clients:
        def client(self, service: str) -> Any:
            assert service == "kms"
            assert options.ACCOUNT.get() == options.Account("field", "eu-west-1")
            return kms.client

    monkeypatch.setattr(aws_clients, "of", lambda local: Clients())
    monkeypatch.setenv("FIELDMOUSE_KEYS", str(keys))
    use(monkeypatch, source)
    kms.has()
    kms.signs(made.release.manifest, made.release.signature)
    account = ("--profile", "field", *region)
    said("release", "--key", f"kms:{ARN}", "--out", str(tmp_path), *account)
    kms.stub.assert_no_pending_responses()
    assert (tmp_path / made.file.name).read_bytes() == made.file.read_bytes()


def test_a_signature_that_is_not_right_is_not_written(
    kms: Kms, small: Path, keys: Path, tmp_path: Path
) -> None:
    manifest, _, _ = making.prepare(Wanted(), small, keys)
    kms.has()
    kms.signs(manifest.text(), bytes(384))
    with pytest.raises(ToolError, match="none of the keys has signed it"):
        making.make(signers.of_kms(ARN, kms.client), tmp_path / "out", Wanted(), small, keys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"KeySpec": "RSA_2048"},
        {"KeyUsage": "ENCRYPT_DECRYPT"},
        {"SigningAlgorithms": ["RSASSA_PSS_SHA_256"]},
        {"key": "rsa"},
    ],
)
def test_other_keys_of_kms_are_refused(kms: Kms, changed: dict[str, Any]) -> None:
    other = changed.pop("key", None)
    kms.has(pki.key(other) if other else SIGNER.key, **changed)
    with pytest.raises(ToolError, match=r"a board takes RSA.3072"):
        signers.of_kms(ARN, kms.client)


@pytest.mark.parametrize("name", ["", "alias/x", "arn:aws:s3:::bucket", "arn:aws:kms:eu-west-1"])
def test_what_names_no_key_is_refused_before_aws_is_asked(kms: Kms, name: str) -> None:
    with pytest.raises(ToolError, match="names no key"):
        signers.of(f"kms:{name}", lambda: kms.client, nobody)


def test_a_key_of_another_region_and_what_aws_denies(kms: Kms) -> None:
    with pytest.raises(ToolError, match="the key is in us-east-1, not in eu-west-1") as caught:
        signers.of_kms(ARN.replace("eu-west-1", "us-east-1"), kms.client)
    assert caught.value.hint == "--region us-east-1"
    kms.stub.add_client_error(
        "get_public_key", "AccessDeniedException", "perform: kms:GetPublicKey"
    )
    with pytest.raises(ToolError, match="AWS denies kms:GetPublicKey"):
        signers.of_kms(ARN, kms.client)


def test_a_release_says_what_it_is() -> None:
    whole = Release("1.2.3", 1, "esp32", ("1.25",), False, (File("a", 1, ""),), b"m", b"s", b"p")
    assert (whole.data(), whole.contents()) == (b"msp", {"a": b"p"})
