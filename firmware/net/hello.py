# How a session begins: CONNECT with the last will, and what comes back.

from micropython import const

from firmware.core import errors
from firmware.core.errors import LinkError
from firmware.net.packet import CONNACK

CLEAN_SESSION = const(0x02)  # MQTT 3.1.2.3

HANDSHAKE_MS = const(15_000)  # an ESP32 needs 1 to 4 s, mostly arithmetic
CONNACK_MS = const(10_000)

_WILL = const(0x04)
_WILL_QOS1 = const(0x08)
_WILL_RETAIN = const(0x20)
_LOOK_MS = const(1_000)
_NO_CONNACK = "closed by AWS: policy, client id or certificate"


def connect_packet(client, out, flags):
    # Through the client's own _send_str, whose socket `out` is.
    will = client.lw_topic
    size = 12 + len(client.client_id)
    if will:
        flags |= _WILL | (_WILL_QOS1 if client.lw_qos else 0)
        flags |= _WILL_RETAIN if client.lw_retain else 0
        size += 4 + len(will) + len(client.lw_msg)
    out.reset()
    out.head(0x10, size)
    out.write(b"\x00\x04MQTT\x04")
    out.byte(flags)
    out.word(client.keepalive)
    client._send_str(client.client_id)
    if will:
        client._send_str(will)
        client._send_str(client.lw_msg)


def exchange(pipe, out, clock, left_ms):
    # Sends CONNECT, which is where the TLS handshake happens, and waits for CONNACK. True when
    # the broker still has our session.
    pipe.send(out)
    end = min(left_ms, HANDSHAKE_MS)
    start = clock.now()
    while not pipe.push():
        _wait(pipe, end - clock.diff(clock.now(), start), "handshake")
    end = min(left_ms - clock.diff(clock.now(), start), CONNACK_MS)
    start = clock.now()
    while not _answered(pipe):
        _wait(pipe, end - clock.diff(clock.now(), start), "connack")
    present = _session_present(pipe.reader)
    out.reset()
    pipe.next_packet()
    return present


def _wait(pipe, left_ms, what):
    if left_ms <= 0:
        raise LinkError(errors.TIMEOUT, what)
    pipe.wait(min(left_ms, _LOOK_MS))


def _answered(pipe):
    # Exactly one packet: read further, and a refusal would be lost in the end of the connection
    # that follows it.
    try:
        return pipe.read(True)
    except LinkError as e:
        if e.reason == errors.CLOSED:
            raise LinkError(errors.NO_CONNACK, _NO_CONNACK)
        raise


def _session_present(reader):
    if reader.op != CONNACK or reader.size != 2:
        raise LinkError(errors.PROTOCOL, "connack")
    if reader.body[1]:
        raise LinkError(errors.REFUSED, reader.body[1])
    return bool(reader.body[0] & 1)
