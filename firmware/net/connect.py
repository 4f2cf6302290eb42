# How a session begins, step by step: DNS, TCP, TLS, CONNECT, CONNACK. On demand: it leaves the
# heap again once the session is there. opening() is a generator, each next() a step that returns
# within the time of one handshake computation; only DNS, and axTLS's handshake, block longer.

import gc
import select
import socket

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline
from firmware.net import packets
from firmware.net.transport import READ_S, Transport

CONNECT_MAX_MS = const(30_000)  # board.WDT_MS must be longer; DNS has no limit on any port
TCP_MS = const(10_000)  # one address
HANDSHAKE_MS = const(15_000)  # an ESP32 needs 1 to 4 s, mostly arithmetic
CONNACK_MS = const(10_000)

_NODELAY = const(1)  # TCP_NODELAY where the module lacks the name: unix, ESP32
_IPPROTO_TCP = const(6)
_IN_PROGRESS = (115, 119, 36)  # Linux, lwIP, macOS
_NO_CONNACK = "closed by AWS: policy, client id or certificate"


def opening(link, context, limit_bytes):
    # After the last step CONNACK has been read, and the link is up.
    session, clock = link.session, link.clock
    total, wait = Deadline(clock), Deadline(clock)
    total.start(CONNECT_MAX_MS)
    yield from _tcp(session, clock, limit_bytes, total, wait)
    transport = session.transport
    _secure(session, transport, context)
    context = None
    # The first write is where mbedTLS makes its handshake.
    wait.start(min(HANDSHAKE_MS, total.left_ms()))
    packet = packets.connect(session)
    transport.send(packet, 0, len(packet))
    packet = None
    while not transport.push():
        if not wait.left_ms():
            raise LinkError("timeout", "handshake")
        yield
    wait.start(min(CONNACK_MS, total.left_ms()))
    try:
        while not transport.receive():
            if not wait.left_ms():
                raise LinkError("timeout", "connack")
            yield
    except LinkError as e:
        raise LinkError("no_connack", _NO_CONNACK) if e.reason == "closed" else e
    if transport.op != 0x20 or transport.size != 2:
        raise LinkError("protocol", "connack")
    flags, code = transport.body[0], transport.body[1]
    transport.next()
    if code:
        raise LinkError("refused", code)
    _opened(link, bool(flags & 1))
    yield


def _tcp(session, clock, limit_bytes, total, wait):
    # Every address the name has now, in turn; an ESP32 gives None for one that is IPv6.
    try:
        found = socket.getaddrinfo(session.server, session.port, 0, socket.SOCK_STREAM)
    except OSError as e:
        raise LinkError("dns", e.args[0] if e.args else None)
    found = [info for info in found if info[-1]]
    gc.collect()  # TLS needs one big piece of heap, the sockets of old sessions go first
    error = LinkError("dns")  # also what lwIP gives while there is no network
    while found and total.left_ms():
        wait.start(min(TCP_MS, total.left_ms() // len(found)))
        try:
            session.transport = Transport(_socket(found.pop(0)), clock, limit_bytes)
            while not _connected(session.transport):
                if not wait.left_ms():
                    raise LinkError("tcp", "timeout")
                yield
            return
        except LinkError as e:
            error = e
            session.close()
    raise error


def _secure(session, transport, context):
    # The host name goes out as SNI and is checked. With mbedTLS the handshake is left to the first
    # write, so that it cannot block; axTLS makes it here, under the socket's timeout.
    if context is None:
        from firmware.net import tls

        context = tls.context()
        tls = None
    verified = hasattr(context, "load_verify_locations")
    if not verified:
        session.reserve = None  # this piece of the heap is axTLS's now
        transport.raw.settimeout(READ_S)
    try:
        made = context.wrap_socket(
            transport.raw, server_hostname=session.server, do_handshake_on_connect=not verified
        )
    except (OSError, ValueError, MemoryError) as e:
        from firmware.net import failure

        raise failure.link_error(e)
    transport.over(made, not verified)


def _socket(info):
    raw = None
    try:
        raw = socket.socket(info[0], socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.connect(info[-1])
    except MemoryError:
        raise LinkError("memory", "socket")
    except OSError as e:
        if e.args[0] not in _IN_PROGRESS:
            if raw:
                raw.close()
            raise LinkError("tcp", abs(e.args[0]))
    return raw


def _connected(transport):
    # A TLS server does not speak first: whatever can be read now is an error. An ESP32 does not
    # set POLLERR or POLLHUP then (its modsocket.c).
    flags = transport.wait(0)
    if flags & ~select.POLLOUT:
        try:
            transport.raw.recv(1)  # says why
            raise OSError
        except OSError as e:
            raise LinkError("tcp", abs(e.args[0]) if e.args else None)
    if not flags & select.POLLOUT:
        return False
    try:  # else Nagle holds a small packet back until the one before it is acknowledged
        transport.raw.setsockopt(_IPPROTO_TCP, getattr(socket, "TCP_NODELAY", _NODELAY), 1)
    except (OSError, AttributeError):
        pass  # only slower
    return True


def _opened(link, present):
    session, clock = link.session, link.clock
    packets.begin(session, present)
    session.doubt = session.doubt or not present
    link.down_s += clock.s - link.since_s
    link.since_s = clock.s
    link.sessions += 1
    link.starved = False
    link.log("link: up, session " + ("kept" if present else "new"))
    link.up, link.opening = True, None
    link.on_up(present)
