"""`doctor`: each check of the folder and of the way to AWS, broken alone, and mended as told."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki as authorities
from tests.e2e.ward import WIFI, Ward, quick
from tests.host import pki, tls_front
from tests.host.tls_front import Serve
from tools import cli
from tools.aws.clients import Clients
from tools.aws.provision import Place, provision
from tools.doctor import context, link
from tools.doctor import run as doctor
from tools.doctor.run import OK, UNKNOWN, UNTRIED
from tools.errors import ToolError
from tools.sim import chaos
from tools.sim.chaos_proxy import Proxy
from tools.sim.cloud import free_port
from tools.things.folder import Folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, tmp_path)


@pytest.fixture
def ward(clients: Clients, tmp_path: Path, request: pytest.FixtureRequest) -> Ward:
    # One thing a test: each is broken in its own way.
    return Ward.admit(clients, f"doctor-{abs(hash(request.node.nodeid)) % 10**9}", tmp_path)


def test_all_is_well(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with every wait as it is
    found = doctor.examine(ward.clients, ward.name, ward.folder.path)
    assert [f for f in found if f.state not in (doctor.OK, doctor.UNKNOWN)] == []
    assert list(ward.examine()) == [check.name for check in doctor.CHECKS]


# The folder.


Break = Callable[[Ward], object]


def removed(*names: str) -> Break:
    """The files that are gone: "key", "cert", "ca", "config"."""
    return lambda ward: [getattr(ward.folder, name).unlink() for name in names]


def written(name: str, content: bytes) -> Break:
    """Another content for such a file."""
    return lambda ward: getattr(ward.folder, name).write_bytes(content)


def edited(**fields: Any) -> Break:
    """Another value in config.json; None takes a key out."""
    return lambda ward: ward.edit(**fields)


def dated(start: int, end: int | None = None) -> Break:
    """A certificate that is valid from the day ``start`` to the day ``end``."""

    def make(ward: Ward) -> None:
        ca = ward.folder.ca.read_bytes()
        more = {} if end is None else {"end": pki.NOW + end * pki.DAY}
        pki.folder(ward.folder.certs, start=pki.NOW + start * pki.DAY, **more)
        ward.folder.ca.write_bytes(ca)

    return make


OTHER_KEY = pki.key_pem(pki.key("ec", 7))


@pytest.mark.parametrize(
    ("broken", "check", "text", "remedy", "value"),
    [
        (removed("config"), "config", "is missing", "provision {} --local", ""),
        (written("config", b"{"), "config", "not readable JSON", ".bad && python -m tools", ""),
        (edited(interval_s=0), "config", "interval_s: must be", "config {} ", "60"),
        (edited(intervall_s=9), "config", 'did you mean "interval_s"?', "config {} ", ""),
        (edited(thing_name=None), "config", "thing_name: is missing", "config {} ", ""),
        (edited(endpoint=None), "config", "endpoint: is missing", "config {} ", ""),
        (edited(wifi=[{"ssid": ""}]), "config", "wifi[0].ssid: must be", "config {} ", "barn"),
        (edited(thing_name="other"), "config", "for another thing, other", "config {} ", ""),
        (removed("key"), "files", "key: no such file", "rotate", ""),
        (removed("key", "cert"), "files", "cert: no such file", "rotate", ""),
        (written("key", OTHER_KEY), "files", "does not belong to the key", "rotate", ""),
        (dated(-9, -1), "files", "cert.pem: expired on 2026-11-20", "rotate", ""),
        (removed("ca"), "files", "ca: no such file", "cp ", ""),
        (
            edited(endpoint="abc.iot.eu-west-1.amazonaws.com"),
            "endpoint",
            "is not the ATS endpoint",
            "endpoint=localhost",
            "",
        ),
        (
            edited(endpoint="abc-ats.iot.eu-west-1.amazonaws.com"),
            "endpoint",
            "not this account's endpoint localhost",
            "config",
            "",
        ),
        (edited(port=443), "endpoint", "not 443", "port=", ""),
        (
            written("ca", pki.authority()),
            "TLS",
            "certificate in certificate chain",
            "cp ",
            "",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_broken_is_named_and_mended(
    ward: Ward, broken: Break, check: str, text: str, remedy: str, value: str
) -> None:
    broken(ward)
    ward.mend(ward.assert_broken(check, text, remedy.format(ward.name)), value)


def test_certificate_of_tomorrow(ward: Ward) -> None:
    dated(999)(ward)
    ward.assert_broken("files", "cert.pem: is not yet valid", "timedatectl")


def test_a_broken_key_that_was_not_made_here(ward: Ward, clients: Clients) -> None:
    # The AWS console's files, put there by hand: no thing.json, and no rotation.
    clients.iot.detach_thing_principal(thingName=ward.name, principal=ward.record.certificate_arn)
    ward.folder.record_file.unlink()
    ward.folder.key.write_text("half a")
    ward.mend(ward.assert_broken("files", "key.pem: is not a private key", ".bad && "))


def test_nothing_there(clients: Clients, tmp_path: Path) -> None:
    # A name with a typing error in it, or a thing nobody has made yet.
    ward = Ward.admit(clients, "doctor-there", tmp_path)
    home = Folder(ward.folder.path.parent / "doctor-nil")
    other = replace(ward, name="doctor-nil", folder=home)
    found = other.examine()
    broken = [name for name, finding in found.items() if finding.state == doctor.FAILED]
    assert broken == ["config", "files"]
    assert found["files"].remedy == found["config"].remedy
    other.mend(found["config"])


def test_an_esp8266_has_rsa_and_der(clients: Clients, tmp_path: Path) -> None:
    ward = Ward.admit(clients, "doctor-large", tmp_path)
    home = tmp_path / "things" / "doctor-small"
    made = provision(clients, "doctor-small", home, wifi=WIFI, board="esp8266")
    small = replace(ward, name="doctor-small", folder=made.folder)
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


def test_endpoint_of_another_region(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with AWS_REGION forgotten: everything asked about would be "not there".
    ward.edit(endpoint="abc-ats.iot.eu-west-1.amazonaws.com")
    monkeypatch.setattr(context.Context, "is_local", False)
    text = "is in eu-west-1, and AWS was asked in us-east-1"
    ward.assert_broken("endpoint", text, f"doctor {ward.name} --region eu-west-1")


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


def test_the_port_of_the_chaos_proxy(ward: Ward) -> None:
    assert ward.clients.cloud is not None
    with Proxy(ward.clients.cloud.mqtt_port, chaos.parse("latency=5ms")) as proxy:
        proxy.begin()
        ward.edit(port=proxy.port)
        ward.mend(ward.assert_broken("endpoint", f"not {proxy.port}", "port="))
        announced = replace(ward.clients.cloud, proxy_port=proxy.port)
        ward.edit(port=proxy.port)
        found = ward.examine(Clients(announced))
        assert [f for f in found.values() if f.state not in (OK, UNKNOWN)] == []


@pytest.mark.parametrize(
    ("faults", "check", "text"),
    [
        ("stall=0B@0s/60s,reset@1s*1s", "TLS", "resets the connection"),
        ("stall=0B@0s/60s", "TLS", "no TLS answer within 1.5 s"),
        ("refuse@0s/60s", "TCP", "cannot be reached: Connection refused"),
    ],
)
def test_what_chaos_does_to_a_connection(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, faults: str, check: str, text: str
) -> None:
    monkeypatch.setattr(link, "_HANDSHAKE_S", 1.5)
    assert ward.clients.cloud is not None
    with Proxy(ward.clients.cloud.mqtt_port, chaos.parse(faults)) as proxy:
        ward.edit(port=proxy.port)
        announced = Clients(replace(ward.clients.cloud, proxy_port=proxy.port))
        proxy.begin()
        time.sleep(0.1)
        ward.assert_broken(check, text, "make sim without CHAOS", announced)


Move = Callable[[str, int], None]


@pytest.fixture
def move(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Move:
    """move(host, port): as if the account's endpoint were there, and config.json right."""

    def to(host: str, port: int) -> None:
        ward.edit(endpoint=host, port=port)
        monkeypatch.setattr(context, "place_of", lambda clients: Place(host, port, b""))

    return to


def test_endpoint_that_has_no_address(ward: Ward, move: Move) -> None:
    move("no-such-host.invalid", 8883)
    ward.assert_broken("endpoint", "cannot be resolved", "DNS")


def test_nobody_at_the_port(ward: Ward, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    move("localhost", port)
    ward.assert_broken("TCP", f"localhost:{port} cannot be reached", "make sim")
    monkeypatch.setattr(context.Context, "is_local", False)
    ward.assert_broken("TCP", "cannot be reached", f"open TCP {port}")


def test_wrong_host_name(ward: Ward, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name of this computer that is not in MiniStack's certificate.
    assert ward.clients.cloud is not None
    ask = socket.getaddrinfo

    def resolve(host: str, *args: Any, **words: Any) -> Any:
        return ask("localhost" if host == "elsewhere.example" else host, *args, **words)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    move("elsewhere.example", ward.clients.cloud.mqtt_port)
    found = ward.assert_broken("TLS", "mismatch", "from another network")
    assert "ca.pem" not in found.remedy


@pytest.fixture
def ca(ward: Ward) -> authorities.Authority:
    """The authority that the thing trusts, as a server of the test has one."""
    made = authorities.Authority()
    ward.folder.ca.write_bytes(made.cert)
    return made


def server(identity: authorities.Identity, serve: Serve = lambda link: None, **more: Any) -> Any:
    """A TLS server that does ``serve`` with every connection, then closes it."""
    return tls_front.front(serve, pem=identity.cert + identity.key, **more)


@pytest.mark.parametrize(("days", "text"), [(-800, "expired"), (800, "not yet valid")])
def test_server_certificate_out_of_date(
    ward: Ward, move: Move, ca: authorities.Authority, days: int, text: str
) -> None:
    with server(ca.server(days=days)) as front:
        move("localhost", front.port)
        ward.assert_broken("TLS", text, "timedatectl")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_server_refuses_the_device_certificate(
    ward: Ward, move: Move, ca: authorities.Authority, version: str
) -> None:
    with server(ca.server(), client_ca=ca.cert, tls=version) as front:
        move("localhost", front.port)
        ward.assert_broken("TLS", "refuses the device certificate", "rotate")


def speaks(link: socket.socket) -> None:
    link.sendall(b"220 mail.example.org\r\n")
    link.recv(1)


@pytest.mark.parametrize(
    ("serve", "text"),
    [(lambda link: None, "closes after the handshake"), (speaks, "does not speak MQTT")],
)
def test_server_of_another_kind(
    ward: Ward, move: Move, ca: authorities.Authority, serve: Serve, text: str
) -> None:
    with server(ca.server(), serve) as front:
        move("localhost", front.port)
        ward.assert_broken("TLS", text, "")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        # Each reads the ClientHello first: closed before that, TCP resets the connection.
        (lambda raw: raw.recv(9999) and raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
        (lambda raw: raw.recv(9999), ""),
        (lambda raw: raw.recv(9999) and threading.Event().wait(1.5), "no TLS answer within 0.5 s"),
    ],
    ids=["not TLS", "hangs up", "silent"],
)
def test_something_in_between(
    ward: Ward, move: Move, monkeypatch: pytest.MonkeyPatch, answer: Serve, text: str
) -> None:
    monkeypatch.setattr(link, "_HANDSHAKE_S", 0.5)
    with tls_front.listening(answer) as port:
        move("localhost", port)
        ward.assert_broken("TLS", text, "from another network")


def test_a_reset(ward: Ward, move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(raw: socket.socket) -> None:
        raw.recv(9999)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with tls_front.listening(reset) as port:
        move("localhost", port)
        text = f"localhost:{port} resets the connection"
        ward.assert_broken("TLS", text, "make sim")
        monkeypatch.setattr(context.Context, "is_local", False)
        ward.assert_broken("TLS", text, f"open TCP {port}")


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

    monkeypatch.setattr(context, "place_of", denied)
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
