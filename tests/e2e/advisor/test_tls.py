"""The TLS cases (aws-facts 9.2). Each is run with TLS 1.2 and with TLS 1.3."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.e2e import hello, pki
from tests.e2e.advisor.bench import THING, Bench
from tests.e2e.advisor.case import case
from tests.e2e.connection import Connection
from tests.e2e.session import Message

VERSIONS = ("1.2", "1.3")
_RECORD = 16 * 1024


def handshakes(bench: Bench) -> None:
    """One session by each version of TLS; the handshake complete, and no alert in it."""
    connection = None
    for version in VERSIONS:
        bench.broker.tls_version = version
        if connection:
            bench.away()
        connection = bench.again(connection) if connection else bench.up()
        assert connection.tls is not None and connection.tls[0] == f"TLSv{version}"
        if connection.tls_error:
            bench.warn(f"alert {connection.tls_error}")
        ms = 1000 * (connection.packets[0][0] - connection.opened)
        bench.measure(**{f"tls{version}": f"{connection.tls[1]} in {ms:.0f} ms of ours"})


@case()
def test_TLS_Connect(bench: Bench) -> None:
    handshakes(bench)


@case()
def test_TLS_Large_Size_Server_Cert(bench: Bench) -> None:
    bench.broker.identity = pki.large(bench.kit.ca, rsa=True)
    handshakes(bench)
    sizes = [_der_bytes(i.cert) for i in (bench.kit.server, bench.broker.identity)]
    assert sizes[1] >= 1.2 * sizes[0]
    bench.measure(certificate=f"{sizes[1]} bytes in place of {sizes[0]}")


def _der_bytes(pem: bytes) -> int:
    return len(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


@case()
def test_TLS_Receive_Maximum_Size_Fragments(bench: Bench) -> None:
    connection = bench.up()
    assert connection.hello is not None and connection.session is not None
    asked = connection.hello.max_fragment  # the broker's OpenSSL would cut records down to it
    assert asked is None or asked >= _RECORD, asked
    bench.wait(lambda: bench.shadow.reported(interval_s=5))
    # Two deltas of 8 KB each fill one record to the last byte; both must be acted on.
    half = _RECORD // 2
    packets = []
    for desired in ({"drain_per_s": 7}, {"interval_s": 4}):
        topic, payload = bench.shadow.desired(**desired)[-1]
        head = 1 + 2 + 2 + len(topic) + 2  # MQTT 3.3: type, length, topic, packet id
        message = Message(topic, payload.ljust(half - head))
        connection.session.pending.append(message)
        packets.append(connection.session.start(message))
    record = b"".join(packets)
    assert len(record) == _RECORD
    connection.send(record)
    bench.wait(lambda: bench.shadow.reported(drain_per_s=7, interval_s=4))
    # And eight full records in a row, the largest message AWS has.
    bench.broker.deliver(bench.commands, b" " * 128 * 1024)
    bench.wait(lambda: not connection.session.pending)
    assert connection.reason is None and len(bench.broker.connections) == 1
    bench.measure(
        records=f"1 of {_RECORD} bytes acted on, {128 * 1024 // _RECORD} in a row acknowledged",
        max_fragment_asked=asked or "no",
    )


@case()
def test_TLS_Support_AWS_IoT_Cipher_Suites(bench: Bench) -> None:
    connection = bench.up()
    assert connection.hello is not None
    offered = set(connection.hello.ciphers)
    good, foreign = offered & hello.RECOMMENDED, offered - hello.SUPPORTED
    bench.measure(
        offered=" ".join(f"{suite:04x}" for suite in connection.hello.ciphers),
        recommended=len(good),
        unsupported=len(foreign),
        sni=connection.hello.server_name,
    )
    assert offered & hello.SUPPORTED, "no suite that AWS IoT has"
    if not good or foreign:
        bench.warn(f"{len(good)} recommended suites, {len(foreign)} that AWS IoT has not")


def refused(bench: Bench, identity: pki.Identity, alert: str, words: str) -> None:
    """The device must end the handshake itself, twice in each version, then find its way back."""
    good, bench.broker.identity = bench.broker.identity, identity
    for version in VERSIONS:
        bench.broker.tls_version = version
        first = len(bench.broker.connections)
        bench.start()
        for connection in _ended(bench, first):
            assert connection.tls is None, f"handshake completed: {connection.tls}"
            assert connection.connect is None and connection.records == []
            if alert not in (connection.tls_error or ""):
                bench.warn(f"TLS {version}: {connection.tls_error} in place of an alert {alert}")
        bench.measure(**{f"tls{version}": str(connection.tls_error)})
    said = [line for line in bench.board.log if f"link: tls {words}" in line]
    assert len(said) >= 2 * len(VERSIONS), bench.board.log[-5:]
    bench.broker.identity = good
    bench.up()
    bench.measure(mqtt_bytes=0, device_says=f"tls {words}", recovered="yes")


def _ended(bench: Bench, first: int) -> list[Connection]:
    def look() -> list[Connection] | None:
        # One that was under way when the version changed does not count.
        tried = bench.broker.connections[first + bool(first) :]
        ended = [c for c in tried if c.closed or c.tls]
        return ended if len(ended) >= 2 or any(c.tls for c in ended) else None

    return bench.wait(look)


@case()
def test_TLS_Unsecure_Server_Cert(bench: Bench) -> None:
    other = pki.Authority(rsa=True)
    refused(bench, other.server(rsa=True), "UNKNOWN_CA", "not trusted")


@case()
def test_TLS_Incorrect_Subject_Name_Server_Cert(bench: Bench) -> None:
    identity = bench.kit.ca.server(f"{THING}.example.org", rsa=True)
    refused(bench, identity, "BAD_CERTIFICATE", "host name")


@case()
def test_TLS_Expired_Server_Cert(bench: Bench) -> None:
    identity = bench.kit.ca.server(rsa=True, days=-800)
    refused(bench, identity, "CERTIFICATE_EXPIRED", "expired")
