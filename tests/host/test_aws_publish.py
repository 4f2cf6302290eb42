"""Ways to the data plane that can be proved without a broker: HTTPS, routes, topics, refusals."""

from __future__ import annotations

import http.client
import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from moto.backends import get_backend

from tests.host import pki, tls_front
from tests.host.aws_fakes import ACCOUNT, REGION, environment
from tools.aws import local, publish, shadow, tls
from tools.aws.clients import Clients
from tools.aws.mqtt import Connection
from tools.aws.route import Route, identity, route
from tools.errors import ToolError


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    return pki.folder(tmp_path / "certs")


# HTTPS with a certificate: the exact request, as MiniStack has no port 8443.


class Gateway:
    """Answers every request the same way and keeps what was asked."""

    def __init__(self, status: str = "200 OK", body: bytes = b'{"message":"OK"}') -> None:
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = head.encode() + body
        self.requests: list[tuple[str, bytes]] = []

    def serve(self, link: socket.socket) -> None:
        with link.makefile("rb") as file:
            line = file.readline().decode().strip()
            length = http.client.parse_headers(file)["Content-Length"]
            if line:  # else the client has gone after the handshake
                self.requests.append((line, file.read(int(length or 0))))
                link.sendall(self.answer)


def over_https(port: int, certs: Path) -> Route:
    return Route("https", "localhost", port, tls_front.ca_pem(), identity(certs))


def test_publish_by_https(clients: Clients, certs: Path) -> None:
    gateway = Gateway()
    with (
        tls_front.front(gateway.serve, client_ca=pki.authority()) as front,
        publish.sender(over_https(front.port, certs), clients, qos=1, retain=True) as send,
    ):
        send("devices/ä b/data", b'{"a": 1}')
    path = "/topics/devices%2F%C3%A4%20b%2Fdata?qos=1&retain=true"
    assert gateway.requests == [(f"POST {path} HTTP/1.1", b'{"a": 1}')]
    wanted = pki.certificate(pki.key("ec")).public_key()
    assert x509.load_der_x509_certificate(front.clients[0]).public_key() == wanted


def test_the_shadow_by_https(certs: Path) -> None:
    gateway = Gateway(body=b'{"state": {"reported": {}}, "version": 4}')
    with (
        tls_front.front(gateway.serve, client_ca=pki.authority()) as front,
        tls.device_data(over_https(front.port, certs)) as data,
    ):
        assert shadow.get(data, "g-1") == {"state": {"reported": {}}, "version": 4}
        assert shadow.desire(data, "g-1", {"a": 1}, "my notes") == 4
        assert shadow.delete(data, "g-1")
    assert gateway.requests == [
        ("GET /things/g-1/shadow HTTP/1.1", b""),
        ("POST /things/g-1/shadow?name=my%20notes HTTP/1.1", b'{"state": {"desired": {"a": 1}}}'),
        ("DELETE /things/g-1/shadow HTTP/1.1", b""),
    ]


def test_the_shadow_command_by_https(clients: Clients, certs: Path, said: Any) -> None:
    gateway = Gateway(body=b'{"state": {"reported": {"interval_s": 5}}, "version": 3}')
    with tls_front.front(gateway.serve, client_ca=pki.authority()) as front:
        way = ["--http", "-C", str(certs), "-e", "localhost", "--port", str(front.port)]
        assert '"interval_s": 5' in said("shadow", "get", "g-1", *way).out
        assert "interval_s is 5" in said("shadow", "set", "g-1", "interval_s=5", *way).out
        said("shadow", "delete", "g-1", *way)
    asked = " ".join(line.split()[0] for line, _ in gateway.requests)
    assert asked == "GET GET POST GET DELETE"
    assert json.loads(gateway.requests[2][1]) == {"state": {"desired": {"interval_s": 5}}}


def send(clients: Clients, port: int, certs: Path) -> None:
    with publish.sender(over_https(port, certs), clients) as sending:
        sending("t", b"")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("403 Forbidden", b'{"message":"Forbidden","traceId":"x"}', "AWS denies Publish"),
        ("413 Too Large", b'{"message":"Too large"}', "Publish: Too large"),
        ("500 Oops", b"<html>", "Publish: Internal Server Error"),
    ],
)
def test_https_refused(
    clients: Clients, certs: Path, status: str, body: bytes, expected: str
) -> None:
    gateway = Gateway(status, body)
    with (
        tls_front.front(gateway.serve) as front,
        pytest.raises(ToolError, match=expected) as caught,
    ):
        send(clients, front.port, certs)
    assert ("the policy of the certificate" in caught.value.hint) == status.startswith("403")


def test_a_shadow_that_is_not_there_is_none(certs: Path) -> None:
    gateway = Gateway("404 Not Found", b'{"message":"No shadow exists"}')
    with (
        tls_front.front(gateway.serve) as front,
        tls.device_data(over_https(front.port, certs)) as data,
    ):
        assert shadow.get(data, "g-1") is None
        assert not shadow.delete(data, "g-1")


def test_https_to_another_server_or_to_none(clients: Clients, certs: Path) -> None:
    gateway = Gateway()
    with tls_front.front(gateway.serve, name="elsewhere.example") as front:
        with pytest.raises(ToolError, match="the TLS connection to AWS failed"):
            send(clients, front.port, certs)
        gone = front.port
    with pytest.raises(ToolError, match=f"cannot reach localhost:{gone}"):
        send(clients, gone, certs)
    assert gateway.requests == []


# MQTT that cannot even begin.


def test_mqtt_to_no_server_and_to_another(
    clients: Clients, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # awscrt waits up to 30 s after a failed handshake, on purpose.
    monkeypatch.setattr("tools.aws.mqtt._CONNECT_S", 2.0)
    own = identity(certs)
    with tls_front.listening(lambda raw: None) as port:
        pass
    there = Route("mqtt", "localhost", port, own.ca, own)
    with pytest.raises(ToolError, match="it cannot be reached"):
        Connection(there, clients).open()
    ours = pki.authority()
    with tls_front.front(lambda link: None, ours, name="elsewhere.example") as front:
        there = Route("mqtt", "localhost", front.port, tls_front.ca_pem(), own)
        with pytest.raises(ToolError, match="the server's certificate: Hostname mismatch"):
            Connection(there, clients).open()
    with tls_front.front(lambda link: None, ours) as front:
        there = Route("mqtt", "localhost", front.port, tls_front.ca_pem(), own)
        with pytest.raises(ToolError, match="closed the connection without an answer"):
            Connection(there, clients).open()
    there = Route("mqtt", "no-such-host.invalid", 8883, own.ca, own)
    with pytest.raises(ToolError, match=r"its name cannot be resolved|Name or service not known"):
        Connection(there, clients).open()


def test_the_protocol_on_443_is_announced(clients: Clients, certs: Path) -> None:
    own, name, asked = identity(certs), "aws.example", list[str]()
    protocols = ["x-amzn-mqtt-ca", "http/1.1"]
    with (
        tls_front.front(lambda link: None, pki.authority(), protocols, name) as front,
        tls_front.listening(tls_front.tunnel_to(front.port, asked)) as proxy,
    ):
        there = Route("mqtt443", name, 443, tls_front.ca_pem(), own, ("127.0.0.1", proxy))
        with pytest.raises(ToolError):
            Connection(there, clients).open()
        assert set(front.alpn) == {"x-amzn-mqtt-ca"}
    assert set(asked) == {f"{name}:443"}


# Routes.


@pytest.mark.parametrize(
    ("via", "port"),
    [("mqtt", 8883), ("mqtt443", 443), ("websocket", 443), ("https", 8443), ("https-sigv4", 443)],
)
def test_the_ports_of_aws(clients: Clients, certs: Path, via: str, port: int) -> None:
    made = route(clients, via, certs_dir=certs)
    assert made.port == port
    # boto3 knows the address for SigV4 itself.
    own = "" if via == "https-sigv4" else "-ats.iot.eu-west-1.amazonaws.com"
    assert made.endpoint.endswith(own)
    assert bool(made.endpoint) == bool(own)
    assert made.proxy is None


def test_a_given_endpoint_needs_no_aws_account(
    monkeypatch: pytest.MonkeyPatch, certs: Path
) -> None:
    environment(monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    made = route(Clients(), "mqtt", "abc.example", certs_dir=certs)
    assert (made.endpoint, made.port) == ("abc.example", 8883)
    assert made.identity is not None
    assert made.ca == made.identity.ca == pki.authority()


def test_the_local_cloud_has_its_own_port_and_authority(tmp_path: Path, certs: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pki.authority(8))
    made = route(Clients(local.Cloud("http://127.0.0.1:1", 18883, ca)), "mqtt", certs_dir=certs)
    assert (made.endpoint, made.port) == ("localhost", 18883)


def test_a_proxy_is_used_on_443_unless_excluded(
    clients: Clients, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user@proxy.example:8080")
    assert route(clients, "websocket", "a.example").proxy == ("proxy.example", 8080)
    assert route(clients, "mqtt443", "a.example", certs_dir=certs).proxy == ("proxy.example", 8080)
    assert route(clients, "mqtt", "a.example", certs_dir=certs).proxy is None
    monkeypatch.setenv("NO_PROXY", "a.example")
    assert route(clients, "websocket", "a.example").proxy is None


def test_refusals(clients: Clients, certs: Path) -> None:
    with pytest.raises(ToolError, match="no such way: carrier-pigeon"):
        route(clients, "carrier-pigeon")
    for via in ("mqtt", "mqtt443", "https"):
        with pytest.raises(ToolError, match="needs a certificate"):
            route(clients, via)
    with pytest.raises(ToolError, match="mqtt443 is MQTT on port 443"):
        route(clients, "mqtt443", "a.example", 8443, certs)
    (certs / "key.pem").unlink()
    with pytest.raises(ToolError, match="key: no such file"):
        route(clients, "mqtt", certs_dir=certs)


@pytest.mark.parametrize("via", ["https", "https-sigv4", "smtp"])
def test_ways_that_cannot_subscribe(clients: Clients, said: Any, via: str) -> None:
    shown = said("subscribe", "-t", "#", "--via", via, code=2).err
    assert f"--via {via} cannot subscribe" in shown


@pytest.mark.parametrize(
    ("via", "lacks"),
    [
        ("mqtt443", "MQTT on port 443"),
        ("websocket", "WebSocket with TLS"),
        ("https", "HTTPS with certificates"),
    ],
)
def test_what_the_local_aws_lacks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any, via: str, lacks: str
) -> None:
    cloud = local.Cloud("http://127.0.0.1:1", 1, tmp_path / "ca.pem")
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud, tmp_path / "cloud.json")))
    words = ["--local", "-t", "a/b", "--via", via]
    assert (
        said("publish", *words, "-m", "x", code=2).err
        == f"error: the local AWS has no {lacks}\n  try: --via mqtt\n"
    )
    if via != "https":
        assert f"the local AWS has no {lacks}" in said("subscribe", *words, code=2).err
    assert "leave --http out" in said("shadow", "get", "g-1", "--http", "--local", code=2).err


# Topics and sizes that AWS would drop the connection for.


@pytest.mark.parametrize(
    "topic",
    [
        "a/b",
        "1/2/3/4/5/6/7/8",
        "x" * 256,
        "$aws/rules/r/1/2/3/4/5/6/7/8",
        "$aws/rules/r/" + "x" * 256,
    ],
)
def test_good_topics(topic: str) -> None:
    publish.check_topic(topic)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "1/2/3/4/5/6/7/8/9", "x" * 257, "ä" * 129])
def test_bad_topics(topic: str) -> None:
    with pytest.raises(ToolError, match="topic"):
        publish.check_topic(topic)


def test_the_publish_command(clients: Clients, said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("publish", "--via", "https-sigv4", "-t", "a/b", "-m")
    assert "2/2 a/b: 5 bytes by https-sigv4" in said(*words, "hello", "-n", "2").out
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    said(*words, "-")
    sent = get_backend("iot-data")[ACCOUNT][REGION].published_payloads
    assert [payload for _, payload in sent] == [b"hello", b"hello", b"from a pipe"]
    too_long = said(*words, "x" * (128 * 1024 + 1), code=2).err
    assert "131073 bytes are more than AWS takes" in too_long
