"""`doctor`: each check of the folder and of the way to AWS, broken alone, and mended as told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki as authorities
from tests.e2e.ward import WIFI, Ward, quick
from tests.host import pki
from tools import cli
from tools.aws import doctor, doctor_tls, patient
from tools.aws.clients import Clients
from tools.aws.doctor import UNTRIED
from tools.aws.folder import Folder
from tools.aws.provision import Place, provision
from tools.errors import ToolError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, tmp_path)


@pytest.fixture
def ward(clients: Clients, tmp_path: Path, request: pytest.FixtureRequest) -> Ward:
    # One thing a test: each is broken in its own way.
    return Ward.admit(clients, f"patient-{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)


def test_all_is_well(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with every wait as it is
    found = doctor.examine(ward.clients, ward.name, ward.folder.path)
    assert [f for f in found if f.state not in (doctor.OK, doctor.UNKNOWN)] == []
    assert list(ward.examine()) == [check.name for check in doctor.CHECKS]


# The folder.


def test_config_missing(ward: Ward) -> None:
    ward.folder.config.unlink()
    ward.mend(ward.assert_broken("config", "is missing", f"provision {ward.name} --local"))


def test_config_that_is_no_json(ward: Ward) -> None:
    ward.folder.config.write_text("{")
    ward.mend(ward.assert_broken("config", "not readable JSON", ".bad && python -m tools"))


@pytest.mark.parametrize(
    ("fields", "text", "value"),
    [
        ({"interval_s": 0}, "interval_s: must be", "60"),
        ({"intervall_s": 9}, 'unknown key, did you mean "interval_s"?', ""),
        ({"thing_name": None}, "thing_name: is missing", ""),
        ({"endpoint": None}, "endpoint: is missing", ""),
        ({"wifi": [{"ssid": ""}]}, "wifi[0].ssid: must be", "barn"),
        ({"thing_name": "other"}, "for another thing, other", ""),
    ],
)
def test_config_wrong(ward: Ward, fields: dict[str, Any], text: str, value: str) -> None:
    ward.edit(**fields)
    ward.mend(ward.assert_broken("config", text, f"config {ward.name} "), value)


def test_key_missing(ward: Ward) -> None:
    ward.folder.key.unlink()
    ward.mend(ward.assert_broken("files", "key: no such file", "rotate"))


def test_key_and_certificate_missing(ward: Ward) -> None:
    ward.folder.key.unlink()
    ward.folder.cert.unlink()
    ward.mend(ward.assert_broken("files", "cert: no such file", "rotate"))


def test_key_of_another_certificate(ward: Ward) -> None:
    ward.folder.key.write_bytes(pki.key_pem(pki.key("ec", 7)))
    ward.mend(ward.assert_broken("files", "does not belong to the key", "rotate"))


def test_certificate_expired(ward: Ward) -> None:
    ca = ward.folder.ca.read_bytes()
    pki.folder(ward.folder.certs, start=pki.NOW - 9 * pki.DAY, end=pki.NOW - pki.DAY)
    ward.folder.ca.write_bytes(ca)
    ward.mend(ward.assert_broken("files", "cert.pem: expired on 2026-11-20", "rotate"))


def test_certificate_of_tomorrow(ward: Ward) -> None:
    ca = ward.folder.ca.read_bytes()
    pki.folder(ward.folder.certs, start=pki.NOW + 999 * pki.DAY)
    ward.folder.ca.write_bytes(ca)
    ward.assert_broken("files", "cert.pem: is not yet valid", "timedatectl")


def test_authority_missing(ward: Ward) -> None:
    ward.folder.ca.unlink()
    ward.mend(ward.assert_broken("files", "ca: no such file", "cp "))


def test_a_broken_key_that_was_not_made_here(ward: Ward, clients: Clients) -> None:
    # The AWS console's files, put there by hand: no thing.json, and no rotation.
    clients.iot.detach_thing_principal(thingName=ward.name, principal=ward.record.certificate_arn)
    ward.folder.record_file.unlink()
    ward.folder.key.write_text("half a")
    ward.mend(ward.assert_broken("files", "key.pem: is not a private key", ".bad && "))


def test_nothing_there(clients: Clients, tmp_path: Path) -> None:
    # A name with a typing error in it, or a thing nobody has made yet.
    ward = Ward.admit(clients, "patient-there", tmp_path)
    other = Ward(
        clients,
        "patient-nil",
        Folder(ward.folder.path.parent / "patient-nil"),
        *[ward.record, ward.cloud_file],
    )
    found = other.examine()
    broken = [name for name, finding in found.items() if finding.state == doctor.FAILED]
    assert broken == ["config", "files"]
    assert found["files"].remedy == found["config"].remedy
    other.mend(found["config"])


def test_an_esp8266_has_rsa_and_der(clients: Clients, tmp_path: Path) -> None:
    ward = Ward.admit(clients, "patient-large", tmp_path)
    provision(
        clients, "patient-small", tmp_path / "things" / "patient-small", wifi=WIFI, board="esp8266"
    )
    small = Ward(
        clients,
        "patient-small",
        Folder(tmp_path / "things" / "patient-small"),
        *[ward.record, ward.cloud_file],
    )
    small.assert_well()
    small.folder.config.unlink()
    small.mend(small.assert_broken("config", "is missing", "--board esp8266"))
    record = small.folder.record()
    assert record is not None
    assert record.board == "esp8266"


def test_a_folder_elsewhere(clients: Clients, ward: Ward, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a b" / "c"
    elsewhere.parent.mkdir()
    ward.folder.path.rename(elsewhere)
    ward.folder = Folder(elsewhere)
    ward.folder.key.unlink()
    ward.mend(ward.assert_broken("files", "key: no such file", "--out"))
    ward.edit(interval_s=0)
    finding = ward.assert_broken("config", "interval_s", "edit ")
    assert str(ward.folder.config) in finding.remedy


# The way.


def test_not_the_ats_endpoint(ward: Ward) -> None:
    ward.edit(endpoint="abc.iot.eu-west-1.amazonaws.com")
    ward.mend(ward.assert_broken("endpoint", "is not the ATS endpoint", "endpoint=localhost"))


def test_endpoint_of_another_account(ward: Ward) -> None:
    ward.edit(endpoint="abc-ats.iot.eu-west-1.amazonaws.com")
    ward.mend(ward.assert_broken("endpoint", "not this account's endpoint localhost", "config"))


def test_endpoint_of_another_region(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with AWS_REGION forgotten: everything asked about would be "not there".
    ward.edit(endpoint="abc-ats.iot.eu-west-1.amazonaws.com")
    monkeypatch.setattr(patient.Patient, "is_local", False)
    text = "is in eu-west-1, and AWS was asked in us-east-1"
    ward.assert_broken("endpoint", text, "AWS_REGION=eu-west-1 python -m tools doctor")


def test_a_domain_of_ones_own(ward: Ward, clients: Clients, cloud: Any) -> None:
    ward.edit(endpoint="127.0.0.1")  # also in MiniStack's certificate

    class Domains:
        meta = clients.iot.meta

        def list_domain_configurations(self, serviceType: str) -> Any:
            return {"domainConfigurations": [{"domainConfigurationName": "mine"}]}

        def describe_domain_configuration(self, domainConfigurationName: str) -> Any:
            return {"domainName": "127.0.0.1", "domainConfigurationStatus": self.status}

        def __getattr__(self, name: str) -> Any:
            return getattr(clients.iot, name)

    having = Clients(cloud.info)
    having._made["iot"] = domains = Domains()
    domains.status = "ENABLED"
    assert ward.examine(having)["endpoint"].state == doctor.OK
    domains.status = "DISABLED"
    ward.assert_broken("endpoint", "is not this account's endpoint", "config", having)


def test_a_port_that_takes_no_devices(ward: Ward) -> None:
    ward.edit(port=443)
    ward.mend(ward.assert_broken("endpoint", "not 443", "port="))


Move = Callable[[str, int], None]


@pytest.fixture
def move(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Move:
    """move(host, port): as if the account's endpoint were there, and config.json right."""

    def to(host: str, port: int) -> None:
        ward.edit(endpoint=host, port=port)
        monkeypatch.setattr(patient, "place_of", lambda clients: Place(host, port, b""))

    return to


def test_endpoint_that_has_no_address(ward: Ward, move: Move) -> None:
    move("no-such-host.invalid", 8883)
    ward.assert_broken("endpoint", "cannot be resolved", "DNS")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_at_the_port(ward: Ward, move: Move) -> None:
    port = free_port()
    move("localhost", port)
    ward.assert_broken("TCP", f"localhost:{port} cannot be reached", "make sim")


def test_nobody_at_the_port_of_aws(ward: Ward, move: Move, monkeypatch: Any) -> None:
    port = free_port()
    move("localhost", port)
    monkeypatch.setattr(patient.Patient, "is_local", False)
    ward.assert_broken("TCP", "cannot be reached", f"open TCP {port}")


def test_wrong_authority(ward: Ward) -> None:
    ward.folder.ca.write_bytes(pki.authority())
    ward.mend(ward.assert_broken("TLS", "certificate in certificate chain", "cp "))


def test_wrong_host_name(ward: Ward, move: Move) -> None:
    # 127.0.0.2 is this computer, and not in MiniStack's certificate.
    assert ward.clients.cloud is not None
    move("127.0.0.2", ward.clients.cloud.mqtt_port)
    found = ward.assert_broken("TLS", "mismatch", "from another network")
    assert "ca.pem" not in found.remedy


Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """A TCP server that does ``answer`` with every connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                raw, _ = listener.accept()
            except TimeoutError:
                continue
            with raw, contextlib.suppress(OSError):
                answer(raw)

    listener.settimeout(0.05)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        thread.join(10)
        listener.close()


def tls_server(
    folder: Path, identity: authorities.Identity, trusted: bytes = b"", tls: str = ""
) -> Callable[[socket.socket], ssl.SSLSocket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.write(folder, "server"))
    if trusted:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=trusted.decode())
    if tls:
        context.maximum_version = ssl.TLSVersion[tls]
    return lambda raw: context.wrap_socket(raw, server_side=True)


@pytest.mark.parametrize(("days", "text"), [(-800, "expired"), (800, "not yet valid")])
def test_server_certificate_out_of_date(
    ward: Ward, move: Move, tmp_path: Path, days: int, text: str
) -> None:
    ca = authorities.Authority()
    wrap = tls_server(tmp_path, ca.server(days=days))
    ward.folder.ca.write_bytes(ca.cert)
    with answering(lambda raw: wrap(raw).close()) as port:
        move("localhost", port)
        ward.assert_broken("TLS", text, "timedatectl")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_server_refuses_the_device_certificate(
    ward: Ward, move: Move, tmp_path: Path, version: str
) -> None:
    ca = authorities.Authority()
    wrap = tls_server(tmp_path, ca.server(), ca.cert, version)
    ward.folder.ca.write_bytes(ca.cert)
    with answering(lambda raw: wrap(raw).close()) as port:
        move("localhost", port)
        ward.assert_broken("TLS", "refuses the device certificate", "rotate")


def closes(raw: ssl.SSLSocket) -> None:
    raw.close()


def speaks(raw: ssl.SSLSocket) -> None:
    raw.sendall(b"220 mail.example.org\r\n")
    raw.recv(1)
    raw.close()


@pytest.mark.parametrize(
    ("act", "text"), [(closes, "closes after the handshake"), (speaks, "does not speak MQTT")]
)
def test_server_of_another_kind(
    ward: Ward, move: Move, tmp_path: Path, act: Callable[[ssl.SSLSocket], None], text: str
) -> None:
    ca = authorities.Authority()
    wrap = tls_server(tmp_path, ca.server())
    ward.folder.ca.write_bytes(ca.cert)
    with answering(lambda raw: act(wrap(raw))) as port:
        move("localhost", port)
        ward.assert_broken("TLS", text, "")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda raw: raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
        (lambda raw: None, ""),
        (lambda raw: raw.recv(9999) and threading.Event().wait(1.5), "no TLS answer within 0.5 s"),
    ],
    ids=["not TLS", "hangs up", "silent"],
)
def test_something_in_between(
    ward: Ward, move: Move, monkeypatch: pytest.MonkeyPatch, answer: Answer, text: str
) -> None:
    monkeypatch.setattr(doctor_tls, "_HANDSHAKE_S", 0.5)
    with answering(answer) as port:
        move("localhost", port)
        ward.assert_broken("TLS", text, "from another network")


# The command.


def test_the_command(ward: Ward, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", ward.name, "--local"]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "ok   config: " in shown
    assert "FAIL" not in shown
    key = ward.folder.key.read_text()
    ward.folder.key.unlink()
    assert cli.main(words) == 1
    shown = capsys.readouterr().out
    assert "FAIL files: key: no such file" in shown
    assert f"try: python -m tools rotate {ward.name} --local" in shown
    assert "-    TLS: not tried, as files is not good" in shown
    assert key.split("\n")[1] not in shown


def test_damaged_folder_names_no_secret(
    ward: Ward, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.edit(wifi=[{"ssid": "barn", "password": "hush"}], interval_s="hush too")
    assert cli.main(["doctor", ward.name, "--local"]) == 1
    assert "hush" not in "".join(capsys.readouterr())


def test_the_account_does_not_answer(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(clients: Clients) -> Place:
        raise ToolError("no AWS credentials found", "aws configure")

    monkeypatch.setattr(patient, "place_of", denied)
    found = ward.examine()
    # What needs no account is looked at all the same.
    assert [n for n, f in found.items() if f.state == doctor.FAILED] == ["account"]
    assert found["account"].remedy == "aws configure"
    assert [n for n, f in found.items() if f.state == UNTRIED] == [
        "certificate",
        "thing",
        "policies",
        "other client id",
        "last session",
        "last report",
    ]
    assert found["TLS"].state == found["clock"].state == doctor.OK
