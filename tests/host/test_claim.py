"""Claims on the host: the documents, the hook's list, and that a bench keeps no claim's key."""

from __future__ import annotations

import datetime as dt
import io
import json
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.host import pki
from tools import cli
from tools.aws.rules.target import Home
from tools.board import bench_flash, prepare
from tools.board.bench_flash import Bench
from tools.board.boot_check import Outcome
from tools.errors import ToolError
from tools.things import boards
from tools.updates import bench, claim, claim_function, claim_hook

CONFIG = {"endpoint": "a.example", "wifi": [{"ssid": "barn", "password": "not for the screen"}]}
EXPIRES = dt.datetime(2026, 11, 23, 12, 5, tzinfo=dt.timezone.utc)
HOME = Home(SimpleNamespace(), "orchard", "aws", "eu-west-1", "123456789012")  # type: ignore[arg-type]


class Iot:
    """AWS, which gives claims; ``made`` has the templates it was asked for."""

    def __init__(self, folder: Path) -> None:
        pki.folder(folder, "rsa")
        self.key = (folder / "key.pem").read_text()
        self.cert = (folder / "cert.pem").read_text()
        self.ca = (folder / "ca.pem").read_bytes()
        self.made: list[str] = []

    def create_provisioning_claim(self, templateName: str) -> dict[str, Any]:
        self.made.append(templateName)
        keys = {"PrivateKey": self.key, "PublicKey": ""}
        return {"certificatePem": self.cert, "keyPair": keys, "expiration": EXPIRES}


@pytest.fixture
def iot(tmp_path: Path) -> Iot:
    return Iot(tmp_path / "pki")


@pytest.fixture
def claims(iot: Iot) -> bench.Claims:
    return bench.Claims(iot, "orchard", CONFIG, iot.ca)


def test_the_template_is_exactly_this() -> None:
    assert claim.body(["b", "a"]) == {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "SerialNumber"}},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "Active",
                },
            },
            "policy0": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "a"}},
            "policy1": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "b"}},
        },
    }


def test_the_bench_may_do_one_thing() -> None:
    arn = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/orchard"
    (statement,) = claim.bench_policy(HOME)["Statement"]
    action = "iot:CreateProvisioningClaim"
    assert statement == {"Effect": "Allow", "Action": action, "Resource": arn}


def test_the_role_can_delete_and_detach_nothing() -> None:
    actions = [a for s in claim.rights(HOME, ["p"]) for a in s["Action"]]
    resources = [r for s in claim.rights(HOME, ["p"]) for r in s["Resource"]]
    assert not [a for a in actions if "Delete" in a or "Detach" in a or "*" in a]
    assert all(r.startswith("arn:aws:iot:eu-west-1:123456789012:") for r in resources)


@pytest.mark.parametrize("name", ["", "a b", "x" * 37, "a/b", "ä"])
def test_bad_template_names(name: str) -> None:
    with pytest.raises(ToolError, match="is no name for a template"):
        claim.check_name(name)


def test_the_hook_allows_its_list_letter_by_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = claim_function.bundle(["pear-2", "pear-1"])
    assert package == claim_function.bundle(["pear-1", "pear-2"])
    assert package != claim_function.bundle(["pear-1"])
    zipfile.ZipFile(io.BytesIO(package)).extractall(tmp_path)
    monkeypatch.setattr(claim_hook, "__file__", str(tmp_path / "claim_hook.py"))

    def allows(event: Any) -> bool:
        return claim_hook.handler(event, None)["allowProvisioning"]

    assert allows({"parameters": {"SerialNumber": "pear-1"}})
    for serial in ("pear", "pear-1 ", "PEAR-1", "", "pear-1\npear-2", None, ["pear-1"], 1):
        assert not allows({"parameters": {"SerialNumber": serial}})
    for event in ({}, {"parameters": None}, {"parameters": {}}):
        assert not allows(event)
    (tmp_path / "serials.txt").unlink()
    with pytest.raises(FileNotFoundError):  # AWS IoT refuses then
        allows({"parameters": {"SerialNumber": "pear-1"}})


def test_a_board_gets_the_claim(iot: Iot, claims: bench.Claims) -> None:
    tree = claims.tree("pear-1", boards.get("esp32"))
    assert json.loads(tree["certs/claim.json"]) == {
        "template": "orchard",
        "parameters": {"SerialNumber": "pear-1"},
        "expires_s2000": 848_750_700,
    }
    assert json.loads(tree["config.json"])["thing_name"] == "pear-1"
    assert b"RSA PRIVATE KEY" in tree["certs/key.pem"]
    assert "firmware/updates/claim.mpy" in tree
    assert iot.made == ["orchard"]


def test_the_key_is_closed_to_others_and_goes(
    claims: bench.Claims, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Path] = []

    def tree(folder: Path, board: Any) -> dict[str, bytes]:
        key = folder / "certs" / "key.pem"
        seen.append(folder)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        raise ToolError("does not fit")

    monkeypatch.setattr(prepare, "tree", tree)
    with pytest.raises(ToolError, match="does not fit"):
        claims.tree("pear-1", boards.get("esp32"))
    assert len(seen) == 1 and not seen[0].exists()


def test_what_cannot_be_is_said_before_a_claim_is_made(iot: Iot, claims: bench.Claims) -> None:
    with pytest.raises(ToolError, match="an esp8266 makes no key of its own"):
        claims.tree("pear-1", boards.get("esp8266"))
    with pytest.raises(ToolError):
        bench.Claims(iot, "orchard", {}, iot.ca).tree("pear-1", boards.get("esp32"))
    assert iot.made == []


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({**CONFIG, "thing_name": "x"})])
def test_the_configuration_of_a_bench(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(ToolError):
        bench.configuration(path)
    path.write_text(json.dumps(CONFIG))
    assert bench.configuration(path) == CONFIG


def test_a_bench_with_claims(
    iot: Iot,
    claims: bench.Claims,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet, things = tmp_path / "fleet.csv", tmp_path / "things"
    fleet.write_text("thing\npear-1\npear-2\n")
    chip = SimpleNamespace(name="ESP32", mac="24:6f:28:00:00:01", flash_bytes=1 << 22)
    jobs: list[Any] = []

    def flash(job: Any, view: Any, chip: Any) -> Any:
        jobs.append(job)
        return SimpleNamespace(chip=chip, outcome=Outcome())

    monkeypatch.setattr(bench_flash.esptool, "identify", lambda port: chip)
    monkeypatch.setattr(bench_flash.flash, "flash", flash)
    built = SimpleNamespace(version="1.25.0")
    monkeypatch.setattr(bench_flash.firmware, "obtain", lambda *_: built)
    made = Bench(
        fleet,
        tmp_path / "out",
        things,
        ports=("/dev/null",),
        once=True,
        claim=claims.tree,
    )
    made.run()
    assert (made.flashed, made.failed) == (1, 0)
    (job,) = jobs
    assert (job.thing, job.board.name, job.until) == ("pear-1", "esp32", "config")
    assert job.wait_s > 60
    # The claim's key is on the board, and nowhere else.
    kept = [p for root in (things, tmp_path / "out") for p in root.rglob("*") if p.is_file()]
    secret = job.tree["certs/key.pem"].decode().split("\n")[5]
    assert kept and not [p for p in kept if secret.encode() in p.read_bytes()]
    said = capsys.readouterr()
    assert secret not in said.out + said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["claim", "template", "--hook"], "--hook and --serials go together"),
        (["claim", "template", "--serials", "x.csv"], "--hook and --serials go together"),
        (["bench-flash", "--fleet", "x", "--claim", "a"], "--claim and --config go together"),
        (["bench-flash", "--fleet", "x", "--config", "a"], "--claim and --config go together"),
    ],
)
def test_options(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert text in capsys.readouterr().err
