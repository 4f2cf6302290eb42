# How a session begins, step by step: DNS, TCP, TLS, CONNECT, CONNACK. On demand: it leaves the
# heap again once the session is there. opening() is a generator, each next() a step that returns
# within the time of one handshake computation; only DNS, and axTLS's handshake, block longer.

import gc
import select
import socket

from micropython import const

from firmware import loading
from firmware.core.errors import LinkError
from firmware.core.timing import Deadline
from firmware.net.transport import READ_S, Transport

CONNECT_MAX_MS = const(30_000)  # board.WDT_MS must be longer; DNS has no limit on any port
TCP_MS = const(10_000)  # one address
HANDSHAKE_MS = const(15_000)  # an ESP32 needs 1 to 4 s, mostly arithmetic
CONNACK_MS = const(10_000)

_IN_PROGRESS = const((115, 119, 36))  # Linux, lwIP, macOS
_NO_CONNACK = const("closed by AWS: policy, client id or certificate")


def opening(connection, context, limit_bytes):
    # In the end CONNACK has been read; the value of the StopIteration says whether the broker
    # still has our session.
    session, total = connection.session, Deadline(connection.clock)
    total.start(CONNECT_MAX_MS)
    yield from _tcp(connection, limit_bytes, total)
    _secure(session, context)
    from firmware.net import packets  # after axTLS's handshake, which has no memory to spare

    packet = packets.connect(session)
    transport = session.transport
    transport.send(packet, 0, len(packet))  # mbedTLS's handshake is its first write
    packet = None
    yield from _until(Transport.push, connection, total, HANDSHAKE_MS, "timeout", "handshake")
    try:
        yield from _until(Transport.receive, connection, total, CONNACK_MS, "timeout", "connack")
    except LinkError as e:
        raise LinkError("no_connack", _NO_CONNACK) if e.args[0] == "closed" else e
    if transport.op != 0x20 or transport.size != 2:
        raise LinkError("protocol", "connack")
    present, code = bool(transport.body[0] & 1), transport.body[1]
    transport.next()
    if code:
        raise LinkError("refused", code)
    _opened(connection, packets, present)
    return present


def _until(step, connection, total, limit_ms, *why):
    wait = Deadline(connection.clock)
    wait.start(min(limit_ms, total.left_ms()))
    while not step(connection.session.transport):
        if not wait.left_ms():
            raise LinkError(*why)
        yield


def _tcp(connection, limit_bytes, total):
    # Every address the name has now, in turn; an ESP32 gives None for one that is IPv6.
    session = connection.session
    try:
        found = socket.getaddrinfo(session.server, session.port, 0, socket.SOCK_STREAM)
    except OSError as e:
        raise LinkError("dns", *e.args)
    found = [info for info in found if info[-1]]
    error = LinkError("dns")  # also what lwIP gives while there is no network
    while found and total.left_ms():
        limit_ms = min(TCP_MS, total.left_ms() // len(found))
        info = found.pop(0)
        try:
            raw = socket.socket(info[0], socket.SOCK_STREAM)
            session.transport = Transport(raw, connection.clock, limit_bytes)
            _start(raw, info[-1])
            yield from _until(_connected, connection, total, limit_ms, "tcp", "timeout")
            return
        except OSError as e:
            error = LinkError("tcp", abs(e.args[0]))
        except LinkError as e:
            error = e
        session.close()
    raise error


def _start(raw, addr):
    raw.setblocking(False)
    # Else Nagle holds a small packet back until the one before it is acknowledged. IPPROTO_TCP;
    # unix and ESP32 lack the name of the option.
    raw.setsockopt(6, getattr(socket, "TCP_NODELAY", 1), 1)
    try:
        raw.connect(addr)
    except OSError as e:
        if e.args[0] not in _IN_PROGRESS:
            raise


def _connected(transport):
    # A TLS server does not speak first: whatever can be read now is an error. An ESP32 does not
    # set POLLERR or POLLHUP then (its modsocket.c).
    flags = transport.wait(0)
    if flags & ~select.POLLOUT:
        transport.raw.read(1)  # raises what it is
        raise LinkError("tcp", "closed")
    return flags


def _secure(session, context):
    # The host name goes out as SNI and is checked. With mbedTLS the handshake is left to the first
    # write, so that it cannot block; axTLS makes it here, under the socket's timeout, out of this
    # heap: what it can do without leaves first.
    if context is None:
        from firmware.net import tls

        context = tls.context()
        tls = None
        loading.unload()
    blocks = not hasattr(context, "load_verify_locations")
    transport = session.transport
    if blocks:
        session.reserve = None  # this piece of the heap is axTLS's now
        transport.raw.settimeout(READ_S)
    gc.collect()
    try:
        made = context.wrap_socket(
            transport.raw, server_hostname=session.server, do_handshake_on_connect=blocks
        )
    except (OSError, ValueError, MemoryError) as e:
        raise transport.link_error(e)
    transport.begin(made, blocks)


def _opened(connection, packets, present):
    session, clock = connection.session, connection.clock
    packets.begin(session, present)
    connection.doubt = connection.doubt or not present
    if connection.doubt:
        packets.subscribe(session)
    connection.down_s += connection.outage_s()
    connection.since_s = clock.s
    connection.sessions += 1
    connection.starved = False
    connection.log("link: up, session " + ("kept" if present else "new"))
