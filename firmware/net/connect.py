# How a session begins, step by step: DNS, TCP, TLS, CONNECT, CONNACK. On demand: it leaves the
# heap again once the session is there. opening() is a generator, each next() a step that returns
# within the time of one handshake computation; only DNS, and axTLS's handshake, block longer.

import gc
import select
import socket
from micropython import const

from firmware.core.errors import LinkError
from firmware.net.transport import READ_S, Transport

CONNECT_MAX_MS = const(30_000)  # board.WDT_MS must be longer; DNS has no limit on any port
TCP_MS = const(10_000)  # one address
HANDSHAKE_MS = const(15_000)  # an ESP32 needs 1 to 4 s, mostly arithmetic
CONNACK_MS = const(10_000)


def opening(link):
    # After the last step CONNACK has been read, and the link is up.
    link.wait_in.start(CONNECT_MAX_MS)
    yield from _addresses(link)
    session, transport = link.session, link.session.transport
    _secure(link, transport)
    from firmware.net import packets  # after axTLS's handshake, which has no memory to spare

    packet = packets.connect(session)
    transport.send(packet, 0, len(packet))  # mbedTLS's handshake is its first write
    yield from _until(link, HANDSHAKE_MS, ("timeout", "handshake"), transport.push)
    # Against MQTT 3.2.0-1 a broker may deliver before CONNACK (MiniStack what is retained). Passed
    # over: without PUBACK it comes again.
    packet = lambda: transport.receive() and transport.op >> 4 != 3  # noqa: E731
    yield from _until(link, CONNACK_MS, ("timeout", "connack"), packet)
    if transport.op != 0x20 or transport.size != 2:
        raise LinkError("protocol", "connack")
    if transport.body[1]:
        raise LinkError("refused", transport.body[1])
    opened(link, bool(transport.body[0] & 1))
    yield


def _until(link, limit_ms, why, step, *args):
    end_ms = max(0, link.wait_in.left_ms() - limit_ms)
    while not step(*args):
        if link.wait_in.left_ms() <= end_ms:
            raise LinkError(*why)
        yield


def _addresses(link):
    # Every address the name has now, in turn. An ESP32 does not look at the family that is asked
    # for, and gives None for an address that is IPv6 (its modsocket.c).
    session = link.session
    args = session.server, session.port, socket.AF_INET, socket.SOCK_STREAM
    try:
        found = [info for info in socket.getaddrinfo(*args) if info[-1]]
    except OSError as e:
        raise LinkError("dns", *e.args)
    error = LinkError("dns", "no IPv4 address")  # lwIP has none either while there is no network
    while found and link.wait_in.left_ms():
        limit_ms = min(TCP_MS, link.wait_in.left_ms() // len(found))
        try:
            return (yield from _tcp(link, found.pop(0), limit_ms))
        except (OSError, LinkError) as e:
            error = e if isinstance(e, LinkError) else LinkError("tcp", abs(e.args[0]))
        session.close()
    raise error


def _tcp(link, info, limit_ms):
    raw = socket.socket(info[0], socket.SOCK_STREAM)
    transport = link.session.transport = Transport(raw, link.clock, link.limit_bytes, link.short)
    raw.setblocking(False)
    try:  # else Nagle holds small packets back; IPPROTO_TCP, TCP_NODELAY: lwIP, Linux and macOS
        raw.setsockopt(6, 1, 1)
    except (OSError, ValueError, AttributeError):
        pass  # only slower
    began = link.clock.now()
    try:
        raw.connect(info[-1])
    except OSError as e:
        if e.args[0] not in (115, 119, 36):  # EINPROGRESS: Linux, lwIP, macOS
            raise
    yield from _until(link, limit_ms, ("tcp", "timeout"), transport.wait, 0)
    # A TLS server does not speak first: whatever can be read now is an error. An ESP32 does not
    # set POLLERR or POLLHUP then (its modsocket.c).
    if transport.wait(0) & ~select.POLLOUT:
        raw.read(1)  # raises what it is
        raise LinkError("tcp", "closed")
    address = info[-1][0]
    if isinstance(info[-1], bytearray):  # unix port: family, port, IPv4 (its modsocket.c)
        address = ".".join([str(byte) for byte in info[-1][4:8]])
    # Said now: kept until the link is up, it would be in axTLS's way.
    took_ms = link.clock.diff(link.clock.now(), began)
    link.log("link: {} answers, round trip {} ms".format(address, took_ms))


def _secure(link, transport):
    # The host name goes out as SNI and is checked. mbedTLS leaves the handshake to the first
    # write, which does not block; axTLS makes it here, from this heap: what can leave goes first.
    context = link.context
    if not context:
        link.make_room()
        link.keep_room()  # if there was none as the last session ended
        from firmware.net import tls

        context = tls.context()
        tls = None
        link.make_room()  # tls.py
    link.reserve = None
    blocks = not hasattr(context, "load_verify_locations")
    if blocks:
        transport.raw.settimeout(READ_S)
    transport.half_duplex, transport.out, transport.poll = blocks, None, select.poll()
    gc.collect()
    transport.sock = context.wrap_socket(
        transport.raw, server_hostname=link.session.server, do_handshake_on_connect=blocks
    )


def opened(link, present):
    # In a new session all goes out again as new, in a kept one as a repetition.
    session, s = link.session, link.clock.s
    session.sent = bytearray([present and sent > 0 for sent in session.sent])
    session.owed = b""
    session.ping_later()
    session.doubt = session.doubt or not present
    link.down_s += s - link.since_s
    link.since_s = s
    link.sessions += 1
    link.log("link: up, session kept" if present else "link: up, session new")
    link.up, link.opening = True, None
    link.on_up(present)
