"""The scripted broker is as strict as AWS: an offence closes the connection and is noted."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from pathlib import Path
from typing import ClassVar

import pytest

from tests.e2e import pki
from tests.e2e.server import Server


class Raw:
    """A client that sends what it is told."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(
        self,
        broker: Server,
        ca: pki.Authority,
        folder: Path,
        identity: pki.Identity | None = None,
        **tls: bool,
    ) -> None:
        context = ssl.create_default_context(cadata=ca.cert.decode())
        if tls.get("certificate", True):
            context.load_cert_chain(*(identity or ca.client()).write(folder, "raw"))
        name = pki.HOST if tls.get("sni", True) else None
        context.check_hostname = name is not None
        raw = socket.create_connection(("127.0.0.1", broker.port))
        raw.settimeout(5)
        Raw.opened.append(raw)
        self.sock = context.wrap_socket(raw, server_hostname=name)
        Raw.opened.append(self.sock)

    def send(self, *packets: bytes) -> Raw:
        for packet in packets:
            self.sock.sendall(packet)
        return self

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.sock.recv(size - len(data))):
            data += more
        return data

    def closed(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while self.sock.recv(4096):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def framed(first: int, body: bytes) -> bytes:
    length, out = len(body), bytearray((first,))
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + body


def connect(
    client_id: str = "raw", flags: int = 0, keepalive_s: int = 60, rest: bytes = b""
) -> bytes:
    head = b"\x00\x04MQTT\x04" + bytes((flags,)) + struct.pack("!H", keepalive_s)
    return framed(0x10, head + text(client_id) + rest)


def publish(topic: str, payload: bytes = b"x", packet_id: int = 1, first: int = 0x32) -> bytes:
    identifier = struct.pack("!H", packet_id) if first & 6 else b""
    return framed(first, text(topic) + identifier + payload)


def subscribe(*filters: str, packet_id: int = 1, qos: int = 1, first: int = 0x82) -> bytes:
    body = b"".join(text(name) + bytes((qos,)) for name in filters)
    return framed(first, struct.pack("!H", packet_id) + body)


def violation(broker: Server) -> str:
    return broker.wait_for(lambda: broker.violations)[0]


CONNACK = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (publish("t", packet_id=0), "packet id 0"),
        (subscribe("t", packet_id=0), "packet id 0"),
        (publish("t", bytes(128 * 1024 + 1)), "payload of 131073 bytes"),
        (subscribe(*"abcdefghi"), "9 filters"),
        (subscribe(), "0 filters"),
        (publish("a/b/c/d/e/f/g/h/i"), "more than 7 slashes"),
        (subscribe("a/b/c/d/e/f/g/h/i"), "more than 7 slashes"),
        (publish("t" * 257), "more than 256 bytes"),
        (connect(), "CONNECT at the wrong time"),
        (publish("$SYS/x"), "publish to $SYS/x"),
        (publish("$aws/things/t/shadow/update/delta"), "publish to $aws/things/t"),
        (publish("$aws/things/t/shadow/update", first=0x33), "retain on $aws"),
        (publish("a/+"), "publish to 'a/+'"),
        (publish("a/#"), "publish to 'a/#'"),
        (publish(""), "publish to ''"),
        (subscribe("a/#/b"), "filter 'a/#/b'"),
        (subscribe("a#"), "filter 'a#'"),
        (subscribe("a+/b"), "filter 'a+/b'"),
        (subscribe(""), "empty filter"),
        (subscribe("t", first=0x80), "flags 0"),
        (subscribe("t", qos=3), "QoS 3"),
        (publish("t", first=0x38), "DUP on QoS 0"),
        (b"\x30\xff\xff\xff\xff\x01", "remaining length"),
        (b"\x32\x03\x00\x09t", "malformed PUBLISH"),
        (b"\x40\x02\x00\x07", "PUBACK for 7"),
        (b"\xc0\x01\x00", "bytes left over"),
        (b"\x20\x02\x00\x00", "packet type 2"),
        (b"\x50\x02\x00\x01", "packet type 5"),
        (b"\xf0\x00", "packet type 15"),
    ],
)
def test_an_offence_closes(
    broker: Server, ca: pki.Authority, tmp_path: Path, packet: bytes, reason: str
) -> None:
    raw = Raw(broker, ca, tmp_path).send(connect())
    assert raw.read(4) == CONNACK
    raw.send(packet)
    assert reason in violation(broker)
    assert raw.closed()


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (publish("t"), "PUBLISH at the wrong time"),
        (connect(""), "client id ''"),
        (connect("$t"), "client id"),
        (connect("t" * 129), "client id too long"),
        (connect(flags=1), "flags"),
        (connect(flags=0x14, rest=text("w") + text("x")), "flags"),  # a will of QoS 2
        (connect(flags=0x04, rest=text("$SYS/w") + text("x")), "publish to $SYS"),
        (connect(flags=0x08), "flags"),
        (framed(0x10, b"\x00\x04MQTT\x05\x00\x00\x3c" + text("t")), "not MQTT 3.1.1"),
        (framed(0x10, connect()[2:] + b"x"), "bytes left over"),
    ],
)
def test_a_bad_beginning_gets_no_connack(
    broker: Server, ca: pki.Authority, tmp_path: Path, packet: bytes, reason: str
) -> None:
    raw = Raw(broker, ca, tmp_path).send(packet)
    assert reason in violation(broker)
    assert raw.closed()
    assert broker.connections[0].connack is None


def test_no_client_certificate(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    try:
        assert Raw(broker, ca, tmp_path, certificate=False).send(connect()).closed()
    except ssl.SSLError:
        pass
    broker.wait_for(lambda: broker.connections[0].closed)
    assert broker.connections[0].connect is None


def test_no_server_name(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Raw(broker, ca, tmp_path, sni=False)
    assert violation(broker) == "no SNI"


@pytest.mark.parametrize(
    ("keepalive_s", "limit_s"), [(60, 90.0), (10, 45.0), (0, 1800.0), (5000, 1800.0)]
)
def test_keep_alive_is_clamped_and_enforced(
    ca: pki.Authority, tmp_path: Path, keepalive_s: int, limit_s: float
) -> None:
    clock = 0.5 / limit_s
    with Server(ca, ca.server(), clock=clock) as broker:
        raw = Raw(broker, ca, tmp_path)
        start = time.monotonic()
        raw.send(connect(keepalive_s=keepalive_s))
        assert raw.read(4) == CONNACK
        assert "keep-alive" in violation(broker)
        assert 0.45 < time.monotonic() - start < 1.5


def test_pings_keep_it_alive(ca: pki.Authority, tmp_path: Path) -> None:
    with Server(ca, ca.server(), clock=0.02) as broker:  # 30 s become 0.9 s
        raw = Raw(broker, ca, tmp_path).send(connect(keepalive_s=30))
        assert raw.read(4) == CONNACK
        for _ in range(5):
            time.sleep(0.2)
            assert raw.send(b"\xc0\x00").read(2) == b"\xd0\x00"
        assert broker.violations == []


def test_qos_2_gets_no_answer(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    raw = Raw(broker, ca, tmp_path).send(connect())
    assert raw.read(4) == CONNACK
    raw.send(publish("t", first=0x34), subscribe("t", qos=2), b"\xc0\x00")
    assert raw.read(2) == b"\xd0\x00"


def test_a_session_is_kept_and_delivered_with_a_new_id(
    broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    raw = Raw(broker, ca, tmp_path).send(connect(), subscribe("a/+"))
    assert raw.read(9) == CONNACK + b"\x90\x03\x00\x01\x01"
    broker.deliver("a/b", b"one")
    first = raw.read(12)
    broker.kick()
    broker.deliver("a/c", b"two")
    raw = Raw(broker, ca, tmp_path).send(connect())
    assert raw.read(4) == b"\x20\x02\x01\x00"
    again, other = raw.read(12), raw.read(12)
    assert (again[0], again[7:9] != first[7:9], again[9:]) == (0x32, True, b"one")
    assert other[9:] == b"two"
    raw.send(b"\x40\x02" + again[7:9], b"\x40\x02" + other[7:9], b"\xe0\x00")
    broker.wait_for(lambda: broker.connections[-1].closed)
    broker.store.expire("raw")
    assert Raw(broker, ca, tmp_path).send(connect()).read(4) == CONNACK


def test_retained_for_exact_filters_only(
    broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    raw = Raw(broker, ca, tmp_path).send(connect(), publish("s/t", b"kept", first=0x33))
    assert raw.read(8) == CONNACK + b"\x40\x02\x00\x01"
    raw.send(subscribe("s/+"), b"\xc0\x00")
    assert raw.read(7) == b"\x90\x03\x00\x01\x01\xd0\x00"
    raw.send(subscribe("s/t"))
    assert raw.read(5) == b"\x90\x03\x00\x01\x01"
    assert raw.read(13)[0] & 1


def test_take_over_and_will(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    will = connect(flags=0x0C, rest=text("s/w") + text("gone"))
    first = Raw(broker, ca, tmp_path).send(will)
    assert first.read(4) == CONNACK
    second = Raw(broker, ca, tmp_path).send(connect())
    assert first.closed()
    assert second.read(4) == b"\x20\x02\x01\x00"
    assert broker.wait_for(lambda: broker.published("s/w"))[0].payload == b"gone"
    assert broker.connections[0].reason == "taken over"


def test_goodbye_has_no_will(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    raw = Raw(broker, ca, tmp_path)
    raw.send(connect(flags=0x0C, rest=text("s/w") + text("gone")), b"\xe0\x00")
    assert raw.closed()
    broker.wait_for(lambda: broker.connections[0].closed)
    assert broker.published("s/w") == []


def test_the_script(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    script = broker.script
    script.withhold.update(PUBACK=1)
    raw = Raw(broker, ca, tmp_path).send(connect(), publish("t"), publish("t", packet_id=2))
    assert raw.read(8) == CONNACK + b"\x40\x02\x00\x02"
    script.stall_after = 1
    raw.send(b"\xc0\x00")
    assert raw.read(1) == b"\xd0"
    script.close_on.update(CONNECT=1)
    assert Raw(broker, ca, tmp_path).send(connect("b")).closed()
    script.connack_code = 5
    assert Raw(broker, ca, tmp_path).send(connect("b")).read(4) == b"\x20\x02\x00\x05"
    script.connack_code = 0
    script.session_present = True
    script.suback_codes["no"] = 0x80
    raw = Raw(broker, ca, tmp_path).send(connect("c"), subscribe("yes", "no"))
    assert raw.read(10) == b"\x20\x02\x01\x00\x90\x04\x00\x01\x01\x80"
    script.forbidden.append("secret/#")
    raw.send(publish("secret/x"))
    assert raw.closed()
    assert broker.violations == ["forbidden: secret/x"]


def test_refused_while_not_listening(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    broker.listen(False)
    with pytest.raises(ConnectionRefusedError):
        Raw(broker, ca, tmp_path)
    broker.listen(True)
    assert Raw(broker, ca, tmp_path).send(connect()).read(4) == CONNACK


def test_responders(broker: Server, ca: pki.Authority, tmp_path: Path) -> None:
    broker.responders.append(lambda _client, topic, payload: [(topic + "/accepted", payload)])
    raw = Raw(broker, ca, tmp_path).send(connect(), subscribe("q/accepted"), publish("q", b"?"))
    assert raw.read(9) == CONNACK + b"\x90\x03\x00\x01\x01"
    answers = raw.read(4 + 4 + 13)
    assert b"\x00\x0aq/accepted" in answers
