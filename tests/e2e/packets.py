"""MQTT 3.1.1 as AWS IoT Core takes it: bytes to packets and back, and every rule about one packet.

``parse`` raises ``Violation`` with the reason for which AWS ends the session.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

NAMES = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 8: "SUBSCRIBE", 9: "SUBACK",
    10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT",
}  # fmt: skip

MAX_PAYLOAD = 128 * 1024
MAX_FILTERS = 8
MAX_SLASHES = 7
MAX_TOPIC_BYTES = 256
MAX_CLIENT_ID_BYTES = 128

_FLAGS = {1: 0, 4: 0, 8: 2, 10: 2, 12: 0, 14: 0}
_RESERVED = re.compile(
    r"\$aws/(things/[^/]+/(shadow/(name/[^/]+/)?(get|update|delete)"
    r"|jobs/(get|start-next|[^/]+/(get|update))|defender/metrics/(json|cbor)"
    r"|streams/[^/]+/(get|describe)/(json|cbor))"
    r"|certificates/create(-from-csr)?/(json|cbor)"
    r"|provisioning-templates/[^/]+/provision/(json|cbor)|rules/[^/]+/.+)"
)


class Violation(Exception):
    """The client did something for which AWS closes the connection."""


@dataclass
class Packet:
    """One packet. Fields that its kind does not have keep their defaults."""

    kind: str
    packet_id: int = 0
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    filters: list[tuple[str, int]] = field(default_factory=list)
    client_id: str = ""
    clean: bool = False
    keepalive_s: int = 0
    will: Packet | None = None
    size: int = 0
    """Bytes on the wire (of MQTT, not of TLS)."""


def split(data: bytes) -> tuple[int, bytes, int] | None:
    """The first packet in ``data``: (first byte, body, bytes used); None while not whole."""
    length, shift = 0, 0
    for at in range(1, 5):
        if at >= len(data):
            return None
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            end = at + 1 + length
            return (data[0], data[at + 1 : end], end) if len(data) >= end else None
    raise Violation("remaining length of more than four bytes")


def parse(first: int, body: bytes) -> Packet:
    """One packet from a client."""
    kind, flags = first >> 4, first & 15
    if kind != 3 and _FLAGS.get(kind) != flags:
        raise Violation(f"packet type {kind} with flags {flags}")
    try:
        packet = _PARSERS[kind](flags, body)
    except (IndexError, struct.error, UnicodeDecodeError) as e:
        raise Violation(f"malformed {NAMES[kind]}: {e}") from e
    packet.size = len(body) + 2 + (len(body) > 127) + (len(body) > 16383)
    return packet


def _connect(_flags: int, body: bytes) -> Packet:
    if body[:7] != b"\x00\x04MQTT\x04":
        raise Violation("not MQTT 3.1.1")
    flags = body[7]
    if flags & 1 or (not flags & 4 and flags & 0x38) or (flags >> 3) & 3 > 1:
        raise Violation(f"CONNECT flags {flags:#x}")
    (keepalive_s,) = struct.unpack_from("!H", body, 8)
    client_id, at = _text(body, 10)
    if not client_id or client_id.startswith("$"):
        raise Violation(f"client id {client_id!r}")
    if len(client_id.encode()) > MAX_CLIENT_ID_BYTES:
        raise Violation("client id too long")
    will = None
    if flags & 4:
        topic, at = _text(body, at)
        payload, at = _bytes(body, at)
        will = Packet("PUBLISH", topic=topic, payload=payload, qos=flags >> 3 & 3)
        will.retain = bool(flags & 0x20)
        check_publish(will)
    for bit in (0x80, 0x40):
        if flags & bit:
            _, at = _bytes(body, at)
    _all_used(body, at)
    return Packet(
        "CONNECT", client_id=client_id, clean=bool(flags & 2), keepalive_s=keepalive_s, will=will
    )


def _publish(flags: int, body: bytes) -> Packet:
    qos = flags >> 1 & 3
    topic, at = _text(body, 0)
    packet_id = 0
    if qos:
        (packet_id,) = struct.unpack_from("!H", body, at)
        at += 2
        if packet_id == 0:
            raise Violation("packet id 0")
    elif flags & 8:
        raise Violation("DUP on QoS 0")
    packet = Packet("PUBLISH", packet_id, topic, body[at:], qos, bool(flags & 1), bool(flags & 8))
    check_publish(packet)
    return packet


def _puback(_flags: int, body: bytes) -> Packet:
    (packet_id,) = struct.unpack("!H", body)
    return Packet("PUBACK", packet_id)


def _subscribe(_flags: int, body: bytes) -> Packet:
    packet_id, filters, at = _filters(body, with_qos=True)
    for topic_filter, qos in filters:
        if qos > 2:
            raise Violation(f"SUBSCRIBE with QoS {qos}")
        check_filter(topic_filter)
    _all_used(body, at)
    return Packet("SUBSCRIBE", packet_id, filters=filters)


def _unsubscribe(_flags: int, body: bytes) -> Packet:
    packet_id, filters, at = _filters(body, with_qos=False)
    _all_used(body, at)
    return Packet("UNSUBSCRIBE", packet_id, filters=filters)


def _empty(kind: str, body: bytes) -> Packet:
    _all_used(body, 0)
    return Packet(kind)


_PARSERS = {
    1: _connect, 3: _publish, 4: _puback, 8: _subscribe, 10: _unsubscribe,
    12: lambda _flags, body: _empty("PINGREQ", body),
    14: lambda _flags, body: _empty("DISCONNECT", body),
}  # fmt: skip


def _filters(body: bytes, with_qos: bool) -> tuple[int, list[tuple[str, int]], int]:
    (packet_id,) = struct.unpack_from("!H", body, 0)
    if packet_id == 0:
        raise Violation("packet id 0")
    filters, at = [], 2
    while at < len(body):
        topic_filter, at = _text(body, at)
        qos = body[at] if with_qos else 0
        at += with_qos
        filters.append((topic_filter, qos))
    if not 0 < len(filters) <= MAX_FILTERS:
        raise Violation(f"{len(filters)} filters in one packet")
    return packet_id, filters, at


def check_publish(packet: Packet) -> None:
    """The rules for a PUBLISH or a last will."""
    topic = packet.topic
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        raise Violation(f"publish to {topic!r}")
    _check_size(re.sub(r"^\$aws/rules/[^/]+/", "", topic))
    if len(packet.payload) > MAX_PAYLOAD:
        raise Violation(f"payload of {len(packet.payload)} bytes")
    if topic.startswith("$"):
        if not _RESERVED.fullmatch(topic):
            raise Violation(f"publish to {topic}")
        if packet.retain:
            raise Violation(f"retain on {topic}")


def check_filter(topic_filter: str) -> None:
    """The rules for a topic filter."""
    levels = topic_filter.split("/")
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        if ("#" in level and (level != "#" or not last)) or ("+" in level and level != "+"):
            raise Violation(f"filter {topic_filter!r}")
    if not topic_filter:
        raise Violation("empty filter")
    _check_size(topic_filter)


def matches(topic_filter: str, topic: str) -> bool:
    """As AWS does: ``a/#`` does not match ``a``; a leading wildcard does not match ``$...``."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(
        w in ("+", g) for w, g in zip(wanted, given, strict=True)
    )


def _check_size(topic: str) -> None:
    if topic.count("/") > MAX_SLASHES:
        raise Violation(f"more than {MAX_SLASHES} slashes: {topic}")
    if len(topic.encode()) > MAX_TOPIC_BYTES:
        raise Violation("topic of more than 256 bytes")


def _bytes(body: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("!H", body, at)
    if at + 2 + size > len(body):
        raise IndexError("text beyond the end")
    return body[at + 2 : at + 2 + size], at + 2 + size


def _text(body: bytes, at: int) -> tuple[str, int]:
    data, at = _bytes(body, at)
    return data.decode(), at


def _all_used(body: bytes, at: int) -> None:
    if at != len(body):
        raise Violation("bytes left over")


def connack(code: int, session_present: bool) -> bytes:
    return bytes((0x20, 2, int(session_present), code))


def puback(packet_id: int) -> bytes:
    return struct.pack("!BBH", 0x40, 2, packet_id)


def suback(packet_id: int, codes: list[int]) -> bytes:
    return _framed(0x90, struct.pack("!H", packet_id) + bytes(codes))


def unsuback(packet_id: int) -> bytes:
    return struct.pack("!BBH", 0xB0, 2, packet_id)


PINGRESP = b"\xd0\x00"


def publish(
    topic: str, payload: bytes, qos: int, packet_id: int, retain: bool = False, dup: bool = False
) -> bytes:
    name = topic.encode()
    head = struct.pack("!H", len(name)) + name
    if qos:
        head += struct.pack("!H", packet_id)
    return _framed(0x30 | dup << 3 | qos << 1 | retain, head + payload)


def _framed(first: int, body: bytes) -> bytes:
    length, out = len(body), bytearray((first,))
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + body
