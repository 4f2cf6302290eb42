"""`stage`: what it writes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import json
import os
import runpy
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser

from firmware.core import optional, schema
from tests.host import pki
from tools import cli
from tools.board import groups, stage
from tools.board.image import files_in
from tools.errors import ToolError
from tools.things import boards
from tools.things import config as thing_config

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a secret that must not show"
CONFIG = {
    "thing_name": "greenhouse-1",
    "endpoint": "abc-ats.iot.eu-west-1.amazonaws.com",
    "wifi": [{"ssid": "Gewächs\N{POTTED PLANT}haus", "password": PASSWORD}],
}


class Setting:
    """A firmware of three files, a config and certificates, all in one temporary folder."""

    def __init__(self, root: Path) -> None:
        self.source, self.out = root / "source", root / "out"
        self.config, self.certs = root / "config.json", root / "certs"
        core = self.source / "firmware" / "core"
        (core / "__pycache__").mkdir(parents=True)
        (core / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"\0")
        (core / "__pycache__" / "x.py").write_text("stale")
        (core / "x.py").write_text("X = 1\n")
        (core / "notes.txt").write_text("not for the board")
        (self.source / "firmware" / "version.py").write_text(
            'VERSION = "1.2.3"\nBUILD_S2000 = 1\n'
        )
        (self.source / "boot.py").write_text("# boot\n")
        (self.source / "main.py").write_text("# main\n")
        self.write(CONFIG)
        pki.folder(self.certs)

    def write(self, config: object) -> None:
        self.config.write_text(json.dumps(config), "utf-8")

    def stage(self, board: str = "esp32", sensors: Sequence[str] = ()) -> stage.Staged:
        return stage.stage(
            self.config, self.certs, self.out, board, self.source, pki.NOW, sensors=sensors
        )

    def refused(self, board: str = "esp32", sensors: Sequence[str] = ()) -> str:
        with pytest.raises(ToolError) as caught:
            self.stage(board, sensors)
        return str(caught.value)

    def written(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "config.json").read_text("utf-8"))
        return found

    def drivers(self) -> set[str]:
        return {path.stem for path in (self.out / "firmware" / "drivers").iterdir()}


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(stage.EPOCH_2000 + 800_000_000))
    return Setting(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_the_file_system_of_a_board(setting: Setting) -> None:
    made = setting.stage()
    assert set(files_in(setting.out)) == {
        "boot.py",
        "main.py",
        "config.json",
        "certs/ca.pem",
        "certs/cert.pem",
        "certs/key.pem",
        "firmware/core/x.mpy",
        "firmware/version.py",
    }
    assert made.files == tuple(sorted(files_in(setting.out)))
    # Settings that most boards do not have are left out.
    assert setting.written().items() <= made.config.items()
    left = {k: v for k, v in made.config.items() if k not in setting.written()}
    usual = {"power": "mains", "battery": None, "updates": False}
    assert left == {**optional.DEFAULTS, **usual}
    assert made.config["interval_s"] == 60


# What differs by board: boards.json.


@pytest.mark.parametrize("board", boards.names())
def test_the_board_gets_a_complete_configuration(setting: Setting, board: str) -> None:
    kind = boards.get(board)
    pki.folder(setting.certs, kind.key)
    setting.stage(board)
    found = setting.written()
    assert set(found) == {*schema.DEFAULTS, *schema.KEYS.split()} - {"log_level"}
    assert found["thing_name"] == CONFIG["thing_name"]
    assert found["wifi"] == CONFIG["wifi"]
    assert found["i2c"] == {**kind.i2c, "freq_hz": 100000}
    complete, problems = thing_config.check(found)
    assert (complete or {}).items() >= found.items() and not problems


@pytest.mark.parametrize(("board", "sda"), [("esp32", 11), ("esp32c3", 18), ("esp8266", 16)])
def test_a_pin_that_the_board_cannot_use_is_refused(
    setting: Setting, board: str, sda: int
) -> None:
    pki.folder(setting.certs, boards.get(board).key)
    setting.write(CONFIG | {"i2c": {"sda": sda}})
    with pytest.raises(ToolError, match="sda: is not free on this chip"):
        setting.stage(board)


@pytest.fixture
def with_drivers(setting: Setting) -> Setting:
    for name in ("__init__", "bme280", "sht3x", "mcp9808"):
        path = setting.source / "firmware" / "drivers" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name} = 1\n")
    pki.folder(setting.certs, "rsa")
    return setting


def test_an_esp32_gets_every_driver(with_drivers: Setting) -> None:
    for sensor in ("auto", "sht3x@0x44"):
        with_drivers.write(CONFIG | {"sensor": sensor})
        with_drivers.stage()
        assert with_drivers.drivers() == {"__init__", "bme280", "sht3x", "mcp9808"}


@pytest.mark.parametrize(
    ("sensor", "asked", "drivers"),
    [
        ("auto", [], {"bme280"}),
        ("bmp280@0x76", [], {"bme280"}),
        ("sht3x", [], {"sht3x"}),
        ("mcp9808@0x18", [], {"mcp9808"}),
        ("auto", ["sht3x", "mcp9808"], {"sht3x", "mcp9808"}),
        ("bme280", ["bmp280"], {"bme280"}),
        ("sht3x@0x45", ["bme280", "sht3x"], {"bme280", "sht3x"}),
    ],
)
def test_an_esp8266_gets_the_drivers_it_needs(
    with_drivers: Setting, sensor: str, asked: list[str], drivers: set[str]
) -> None:
    with_drivers.write(CONFIG | {"sensor": sensor})
    with_drivers.stage("esp8266", asked)
    assert with_drivers.drivers() == {"__init__", *drivers}
    assert on_an_esp8266("firmware/core/x.py") in files_in(with_drivers.out)


def on_an_esp8266(path: str) -> str:
    """What a file of the firmware is called there, when it is the only one."""
    flat = groups.flat_groups([path], boards.table()["together"])
    name = next(target for target, members in flat.items() if members == [path])
    return f"{name[:-3]}.mpy"


def test_a_driver_that_cannot_be_is_a_problem(with_drivers: Setting) -> None:
    text = with_drivers.refused("esp8266", ["dht22", "sht3x"])
    assert f"no such sensor: dht22; use {', '.join(boards.drivers())}" in text
    with_drivers.write(CONFIG | {"sensor": "bme280"})
    text = with_drivers.refused("esp8266", ["sht3x"])
    assert "sensor: is bme280, and its driver is not asked for" in text


def test_the_command_line_takes_sensors(tmp_path: Path) -> None:
    config, out = tmp_path / "config.json", tmp_path / "out"
    config.write_text(json.dumps(CONFIG), "utf-8")
    pki.folder(tmp_path / "certs", "rsa")
    where = ["--config", str(config), "--certs", str(tmp_path / "certs"), "--out", str(out)]
    assert cli.main(["stage", *where, "--board", "esp8266", "--sensor", "sht3x"]) == 0
    found = {path.stem for path in (out / "firmware" / "drivers").iterdir()}
    assert found == {"__init__", "sht3x"}


def test_the_table_has_the_driver_of_every_sensor() -> None:
    drivers = boards.drivers()
    assert list(drivers) == schema.SENSORS.split()
    found = {f"firmware/drivers/{p.name}" for p in (ROOT / "firmware" / "drivers").glob("*.py")}
    assert found == {"firmware/drivers/__init__.py", *drivers.values()}
    for name in boards.names():
        assert set(boards.get(name).sensors) <= set(drivers)


def test_an_emoji_is_written_as_utf8_because_micropython_reads_no_surrogate_pairs(
    setting: Setting,
) -> None:
    setting.stage()
    assert "\N{POTTED PLANT}".encode() in (setting.out / "config.json").read_bytes()


def test_secrets_are_for_the_owner_only(setting: Setting) -> None:
    before = os.umask(0)
    try:
        setting.stage()
    finally:
        os.umask(before)
    assert mode(setting.out) == mode(setting.out / "certs") == 0o700
    assert mode(setting.out / "certs" / "key.pem") == mode(setting.out / "config.json") == 0o600


def test_version_py_carries_version_and_build_time(setting: Setting) -> None:
    made = setting.stage()
    names = runpy.run_path(str(setting.out / "firmware" / "version.py"))
    assert (names["VERSION"], names["BUILD_S2000"]) == ("1.2.3", 800_000_000)
    assert (made.version, made.build_s2000) == ("1.2.3", 800_000_000)


def test_the_same_input_gives_the_same_bytes(setting: Setting) -> None:
    setting.stage()
    first = files_in(setting.out)
    setting.out = setting.out.with_name("again")
    setting.stage()
    assert files_in(setting.out) == first


def test_build_time_is_the_commit_of_a_clean_tree_and_the_newest_file_of_a_changed_one(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    when = stage.EPOCH_2000 + 700_000_000
    dates = {f"GIT_{who}_DATE": f"{when} +0000" for who in ("AUTHOR", "COMMITTER")}
    git = ["git", "-C", str(setting.source), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    (setting.source / ".gitignore").write_text("__pycache__/\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "t"], check=True, env={**os.environ, **dates})
    assert stage.build_s2000(setting.source, pki.NOW) == 700_000_000
    changed = setting.source / "main.py"
    changed.write_text("# changed\n")
    newest = stage.EPOCH_2000 + 750_000_000
    for path in setting.source.rglob("*.py"):
        os.utime(path, (newest - 50, newest - 50))
    os.utime(changed, (newest, newest))
    assert stage.build_s2000(setting.source, pki.NOW) == 750_000_000


def test_build_time_is_never_ahead_of_the_clock(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A board whose floor lies in the future would refuse the right time.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(pki.NOW.timestamp()) + 1000))
    assert stage.build_s2000(setting.source, pki.NOW) == pki.NOW.timestamp() - stage.EPOCH_2000


def test_esp8266_gets_der_with_a_pkcs1_key(setting: Setting) -> None:
    pki.folder(setting.certs, "rsa")
    setting.stage("esp8266")
    folder = setting.out / "certs"
    assert sorted(p.name for p in folder.iterdir()) == ["ca.der", "cert.der", "key.der"]
    x509.load_der_x509_certificate((folder / "ca.der").read_bytes())
    wanted = pki.key("rsa").private_bytes(
        ser.Encoding.DER, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption()
    )
    assert (folder / "key.der").read_bytes() == wanted
    assert mode(folder / "key.der") == 0o600


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_pkcs8_key_becomes_the_traditional_form(setting: Setting, kind: str) -> None:
    pki.folder(setting.certs, kind)
    setting.stage()
    written = (setting.out / "certs" / "key.pem").read_bytes()
    assert written == pki.key_pem(pki.key(kind), pki.TRADITIONAL)


# Names that people have.

CONSOLE = ("AmazonRootCA1.pem", "1f2e-certificate.pem.crt", "1f2e-private.pem.key")


@pytest.mark.parametrize(
    "names",
    [
        CONSOLE,
        ("root-CA.crt", "greenhouse.cert.pem", "greenhouse.private.key"),
        ("ca.pem", "certificate.pem.crt", "private.pem.key"),
        ("ca.pem", "certificate.pem.crt", "private.key"),
        ("AMAZONROOTCA3.PEM", "CERT.PEM", "KEY.PEM"),
    ],
)
def test_names_that_people_have(setting: Setting, names: tuple[str, str, str]) -> None:
    for old, new in zip(("ca.pem", "cert.pem", "key.pem"), names, strict=True):
        (setting.certs / old).rename(setting.certs / new)
    (setting.certs / "1f2e-public.pem.key").write_bytes(b"the console gives this too")
    setting.stage()
    assert (setting.out / "certs" / "ca.pem").read_bytes() == pki.authority()


def test_both_amazon_roots_reach_the_board(setting: Setting) -> None:
    (setting.certs / "ca.pem").rename(setting.certs / "AmazonRootCA1.pem")
    (setting.certs / "AmazonRootCA3.pem").write_bytes(pki.authority(8))
    setting.stage()
    both = (setting.out / "certs" / "ca.pem").read_bytes()
    assert both == pki.authority() + pki.authority(8)


@pytest.mark.parametrize(
    ("role", "file", "rival"),
    [("cert", "cert.pem", "ab-certificate.pem.crt"), ("key", "key.pem", "private.key")],
)
def test_two_candidates_are_named_unless_they_are_equal(
    setting: Setting, role: str, file: str, rival: str
) -> None:
    (setting.certs / rival).write_bytes((setting.certs / file).read_bytes())
    setting.stage()
    (setting.certs / rival).write_bytes(b"something else")
    text = setting.refused()
    assert f"{role}: several files could be it" in text
    assert file in text
    assert rival in text


# Refusals.


def test_every_problem_at_once_by_key_and_never_by_value(setting: Setting) -> None:
    setting.write(CONFIG | {"intervall_s": PASSWORD, "interval_s": 0, "port": PASSWORD})
    (setting.certs / "cert.pem").unlink()
    (setting.certs / "key.pem").write_text(PASSWORD)
    text = setting.refused()
    for key in ("intervall_s", "interval_s", "port", "cert", "key.pem"):
        assert f"{key}: " in text
    assert "did you mean" in text
    assert "*-certificate.pem.crt" in text  # what was looked for
    assert PASSWORD not in text
    assert not setting.out.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not JSON"),
        (b"{", "line 1 column 2"),
        (b"[]", "must be an object"),
        (b'{"port": NaN}', "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"port": 1, "port": 2}', "port: is given twice"),
    ],
)
def test_a_malformed_config(setting: Setting, content: bytes, expected: str) -> None:
    setting.config.write_bytes(content)
    assert expected in setting.refused()


def test_a_missing_config_and_a_missing_folder(setting: Setting) -> None:
    setting.config.unlink()
    setting.certs = setting.certs / "nowhere"
    text = setting.refused()
    assert "config.json: No such file" in text
    assert "nowhere is not a folder" in text


def test_a_byte_order_mark_is_fine(setting: Setting) -> None:
    setting.config.write_bytes(b"\xef\xbb\xbf" + json.dumps(CONFIG).encode())
    setting.stage()


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({"start": pki.NOW + pki.DAY}, "cert.pem: is not yet valid, not before 2026-11-22 12:00"),
        ({"end": pki.NOW - pki.DAY / 2}, "cert.pem: expired on 2026-11-21"),
    ],
)
def test_dates_of_the_certificate(
    setting: Setting, dates: dict[str, object], expected: str
) -> None:
    pki.folder(setting.certs, **dates)
    assert expected in setting.refused()


def test_a_certificate_of_another_key(setting: Setting) -> None:
    (setting.certs / "key.pem").write_bytes(pki.key_pem(pki.key("ec", 5)))
    assert "cert.pem: does not belong to the key key.pem" in setting.refused()


@pytest.mark.parametrize(
    ("kind", "board", "expected"),
    [
        ("ec", "esp8266", "key.pem: is an EC key; the ESP8266"),
        ("rsa3072", "esp8266", "is RSA-3072; the ESP8266 needs RSA-2048"),
        ("rsa1024", "esp32", "is RSA-1024; AWS IoT takes 2048 bits or more"),
        ("p384", "esp32", "uses the curve secp384r1"),
    ],
)
def test_keys_the_board_cannot_use(setting: Setting, kind: str, board: str, expected: str) -> None:
    pki.folder(setting.certs, kind)
    assert expected in setting.refused(board)


@pytest.mark.parametrize("form", [pki.PKCS8, pki.TRADITIONAL])
def test_a_key_with_a_passphrase_is_refused_with_the_remedy(
    setting: Setting, form: object
) -> None:
    locked = pki.key_pem(pki.key("rsa"), form, b"pass")
    (setting.certs / "key.pem").write_bytes(locked)
    assert "openssl pkey -in OLD -out key.pem" in setting.refused()


def test_a_key_behind_ec_parameters_is_read(setting: Setting) -> None:
    # What `openssl ecparam -genkey` writes.
    head = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = head + pki.key_pem(pki.key("ec"), pki.TRADITIONAL)
    (setting.certs / "key.pem").write_bytes(pem)
    setting.stage()


def public_pem() -> bytes:
    form = ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo
    return bytes(pki.key("ec").public_key().public_bytes(*form))


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("key.pem", lambda: b"", "key.pem: is empty"),
        ("key.pem", public_pem, "key.pem: holds a public key"),
        ("key.pem", pki.authority, "key.pem: holds no private key"),
        ("key.pem", lambda: b"x" * 70_000, "key.pem: is larger than 64 KB"),
        ("cert.pem", lambda: b"junk", "cert.pem: is not a certificate"),
        ("cert.pem", lambda: pki.key_pem(pki.key("ec")), "cert.pem: holds a private key"),
        (
            "cert.pem",
            lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----",
            "cert.pem: holds a certificate request (CSR)",
        ),
        (
            "ca.pem",
            lambda: pki.certificate(pki.key("ec")).public_bytes(pki.PEM),
            "ca.pem: is not the certificate of an authority",
        ),
    ],
)
def test_files_that_are_something_else(
    setting: Setting, file: str, content: object, expected: str
) -> None:
    (setting.certs / file).write_bytes(content())  # type: ignore[operator]
    assert expected in setting.refused()


# The output folder.


def test_a_second_stage_replaces_exactly_what_the_first_wrote(setting: Setting) -> None:
    setting.stage()
    kept = {"data/outbox.0": b"readings", "firmware/mine.py": b"mine", "notes.txt": b"notes"}
    for name, content in kept.items():
        (setting.out / name).parent.mkdir(exist_ok=True)
        (setting.out / name).write_bytes(content)
    (setting.source / "firmware" / "core" / "x.py").unlink()
    (setting.source / "firmware" / "y.py").write_text("Y = 1\n")
    pki.folder(setting.certs, "rsa")
    setting.stage("esp8266")
    found = files_in(setting.out)
    assert kept.items() <= found.items()
    assert set(found) - set(kept) == {
        "boot.py",
        "main.py",
        "config.json",
        "certs/ca.der",
        "certs/cert.der",
        "certs/key.der",
        on_an_esp8266("firmware/y.py"),
        "firmware/version.py",
    }
    assert not (setting.out / "firmware" / "core").exists()


def test_a_refused_stage_leaves_the_former_output_untouched(setting: Setting) -> None:
    setting.stage()
    before = files_in(setting.out)
    setting.write(CONFIG | {"port": 0})
    setting.refused()
    assert files_in(setting.out) == before


def test_a_stage_that_fails_while_moving_in_leaves_the_former_output_untouched(
    setting: Setting, tmp_path: Path
) -> None:
    setting.stage()
    (setting.out / "main.py").unlink()
    (setting.out / "main.py" / "in the way").mkdir(parents=True)
    before = files_in(setting.out)
    (setting.source / "boot.py").write_text("# new\n")
    assert "cannot write" in setting.refused()
    assert files_in(setting.out) == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_folder_that_is_not_a_stage_output_is_refused(setting: Setting) -> None:
    setting.out.mkdir()
    (setting.out / "thesis.tex").write_text("years of work")
    assert "is not empty, and no stage wrote it" in setting.refused()
    assert set(files_in(setting.out)) == {"thesis.tex"}


def test_the_source_tree_is_not_a_stage_output(setting: Setting) -> None:
    setting.out = setting.source
    assert "no stage wrote it" in setting.refused()


def test_an_empty_folder_is_used_and_a_file_is_not(setting: Setting) -> None:
    setting.out.mkdir()
    setting.stage()
    setting.out = setting.out.with_name("file")
    setting.out.write_text("x")
    assert "is not a folder" in setting.refused()


def test_the_list_of_files_cannot_lead_out_of_the_folder(setting: Setting) -> None:
    setting.stage()
    victim = setting.out.parent / "victim"
    victim.write_text("keep me")
    (setting.out / "data").mkdir()
    (setting.out / "data" / "outbox").write_text("keep me")
    version = setting.out / "firmware" / "version.py"
    version.write_text(f"# files: ../victim {victim} data/outbox firmware/core/x.py\n")
    setting.stage()
    assert victim.read_text() == (setting.out / "data" / "outbox").read_text() == "keep me"


def test_an_unknown_board_and_a_firmware_with_holes(setting: Setting) -> None:
    said = setting.refused("esp9")
    assert "no such board: esp9" in said
    for name in boards.names():  # each with what it is
        assert f"\n  {name:<8}  MicroPython's {boards.get(name).build}, " in said
    (setting.source / "main.py").unlink()
    assert "the firmware is incomplete" in setting.refused()


def test_the_real_firmware_stages(setting: Setting) -> None:
    setting.source = ROOT
    made = setting.stage()
    assert {"firmware/core/schema.mpy", "firmware/drivers/sht3x.mpy"} <= set(made.files)
    assert all(name.endswith((".py", ".mpy", ".json", ".pem")) for name in made.files)


def test_py_keeps_the_sources_and_replaces_what_was_compiled(setting: Setting) -> None:
    setting.stage()
    stage.stage(setting.config, setting.certs, setting.out, source=setting.source, compiled=False)
    assert "firmware/core/x.py" in files_in(setting.out)
    assert "firmware/core/x.mpy" not in files_in(setting.out)
