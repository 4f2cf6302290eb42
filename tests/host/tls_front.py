"""A TLS server for tests that stands where AWS's ports 443 and 8443 are."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.host import pki

Serve = Callable[[socket.socket], None]


def ca_pem() -> bytes:
    """The authority of the server, and of clients made by ``pki``."""
    return pki.authority()


@dataclass
class Front:
    """A running server; ``alpn`` and ``clients`` say what each connection has shown."""

    port: int
    alpn: list[str | None]
    clients: list[bytes]


def _server(name: str) -> bytes:
    private = pki.key("ec", 3)
    made = pki.certificate(private, start=pki.NOW - 365 * pki.DAY, host=name)
    return made.public_bytes(pki.PEM) + pki.key_pem(private)


@contextlib.contextmanager
def front(
    serve: Serve,
    client_ca: bytes | None = None,
    alpn: list[str] | None = None,
    name: str = "localhost",
    pem: bytes = b"",
    tls: str = "TLSv1_3",
) -> Iterator[Front]:
    """Serve each connection by ``serve`` in a thread; a client certificate of ``client_ca``.

    ``pem``: another certificate and key than the one for ``name``; ``tls``: the newest version.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion[tls]
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem or _server(name))
        file.flush()
        context.load_cert_chain(file.name)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.decode())
    if alpn:
        context.set_alpn_protocols(alpn)
    alpns: list[str | None] = []
    clients: list[bytes] = []

    def serve_tls(raw: socket.socket) -> None:
        with context.wrap_socket(raw, server_side=True) as link:
            alpns.append(link.selected_alpn_protocol())
            clients.append(link.getpeercert(binary_form=True) or b"")
            serve(link)

    with listening(serve_tls) as port:
        yield Front(port, alpns, clients)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each TCP connection in a thread; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw:
            raw.settimeout(20)
            serve(raw)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threading.Thread(target=handle, args=(raw,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def tunnel_to(port: int, asked: list[str]) -> Callable[[socket.socket], None]:
    """An HTTP proxy: whatever it is asked for, it opens a tunnel to ``port``."""

    def serve(raw: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += raw.recv(1)
        asked.append(head.split()[1].decode())
        raw.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        relay_to(lambda: socket.create_connection(("127.0.0.1", port)))(raw)

    return serve


def relay_to(connect: Callable[[], socket.socket]) -> Serve:
    """Pass bytes both ways between the client and what ``connect`` opens."""

    def serve(link: socket.socket) -> None:
        with connect() as up:
            up.settimeout(None)
            link.settimeout(None)
            back = threading.Thread(target=_pump, args=(up, link), daemon=True)
            back.start()
            _pump(link, up)
            back.join(5)

    return serve


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
