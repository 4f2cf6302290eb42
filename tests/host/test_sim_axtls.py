"""The ESP8266 of the virtual board: its TLS library, which is not mbedTLS, its code, its chip."""

from __future__ import annotations

import socket
import ssl
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser

from tests.e2e import pki
from tests.host.sim_device import Workbench

_WAIT_S = 10.0
HELD, PEAK, BUFFER = 13_024, 15_616, 5_368  # shared/memory-facts.md 5


@cache
def authority() -> pki.Authority:
    return pki.Authority(rsa=True)


def der(identity: pki.Identity) -> tuple[bytes, bytes, bytes]:
    """Certificate, key as PKCS#1 (or SEC 1), key as PKCS#8."""
    cert = x509.load_pem_x509_certificate(identity.cert).public_bytes(ser.Encoding.DER)
    key = ser.load_pem_private_key(identity.key, None)
    forms = (ser.PrivateFormat.TraditionalOpenSSL, ser.PrivateFormat.PKCS8)
    keys = [key.private_bytes(ser.Encoding.DER, form, ser.NoEncryption()) for form in forms]
    return cert, keys[0], keys[1]


@cache
def files() -> dict[str, bytes]:
    """What a device finds in its folder."""
    rsa, ec = authority().client(rsa=True), authority().client()
    cert, key, pkcs8 = der(rsa)
    ec_cert, ec_key, _ = der(ec)
    return {
        "cert.der": cert,
        "key.der": key,
        "pkcs8.der": pkcs8,
        "key.pem": rsa.key,
        "ec-cert.der": ec_cert,
        "ec-key.der": ec_key,
    }


class Peer:
    """A TLS server for one connection that sends records in whatever pieces a test wants."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        server = authority().server("someone.else", rsa=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*server.write(folder, "server"))
        (folder / "ca.pem").write_bytes(authority().cert)
        self._context.load_verify_locations(folder / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_WAIT_S)
        self.port = self._listener.getsockname()[1]
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._sock: socket.socket | None = None

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection there is."""
        if self._sock is not None:
            self._sock.close()

    def answer(self) -> None:
        """The connection, and not a byte to it."""
        self._sock = self._listener.accept()[0]
        self._sock.settimeout(_WAIT_S)

    def accept(self) -> None:
        """The connection, up to the end of the handshake."""
        self.answer()
        self._tls = self._context.wrap_bio(self._in, self._out, server_side=True)
        self._pump(lambda: self._tls.do_handshake() or True)

    def record(self, *texts: bytes) -> bytes:
        """Each text as one record, not sent."""
        for text in texts:
            self._tls.write(text)
        return self._out.read()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self) -> bytes:
        """What the device has written."""
        return bytes(self._pump(lambda: self._tls.read(4096)))

    def _pump(self, step: Any) -> Any:
        while True:
            try:
                found = step()
            except ssl.SSLWantReadError:
                found = None
            if waiting := self._out.read():
                self._sock.sendall(waiting)
            if found is not None:
                return found
            data = self._sock.recv(65536)
            if not data:
                raise EOFError("the device has gone")
            self._in.write(data)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    with Peer(tmp_path / "peer") as made:
        yield made


def start(bench: Workbench, main: str, port: int = 0, **options: Any) -> Any:
    """A running ESP8266 whose main.py opens with the usual ways to a connection."""
    head = """
        import gc, select, socket, time, tls
        gc.collect()

        def data(name):
            with open(name, "rb") as f:
                return f.read()

        def context(cert="cert.der", key="key.der"):
            made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            made.load_cert_chain(data(cert), data(key))
            return made

        def tcp(timeout_s=5):
            raw = socket.socket()
            raw.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
            raw.settimeout(timeout_s)
            return raw

        def fault(call, *args):
            try:
                return call(*args)
            except Exception as e:
                return type(e).__name__ + repr(e.args)
    """.replace("PORT", str(port))
    code = textwrap.dedent(head) + textwrap.dedent(main) + "\nprint('over')\ntime.sleep(600)\n"
    device = bench.device(code)
    for name, content in files().items():
        (device / name).write_bytes(content)
    return bench.run(device, **({"heap": "esp8266"} | options))


def test_it_says_it_is_an_esp8266_and_has_what_that_has(bench: Workbench) -> None:
    board = start(
        bench,
        """
        import machine, network, ssl, sys
        print("is", sys.platform, tls is ssl, machine.reset_cause(), len(machine.unique_id()))
        names = ("load_verify_locations", "set_ciphers", "load_cert_chain")
        print("tls", [hasattr(tls.SSLContext, name) for name in names])
        try:
            import esp32
        except ImportError:
            print("no esp32")
        bus = machine.I2C(scl=machine.Pin(5), sda=machine.Pin(4), freq=100000)
        print("scan", bus.scan(), fault(machine.I2C, 0), fault(machine.Pin, 17))
        wlan = network.WLAN(network.STA_IF)
        print("ap", network.WLAN(network.AP_IF).active(), wlan.status())
        wlan.active(True)
        wlan.connect("barn", "x")
        while not wlan.isconnected():
            time.sleep_ms(10)
        print("up", wlan.status(), fault(machine.WDT, 0, 8000))
        """,
    )
    board.wait_for("is esp8266 True 0 4")
    board.wait_for(r"tls \[False, False, True\]")
    board.wait_for("no esp32")
    board.wait_for(r"scan \[118\] ValueError.* ValueError")
    board.wait_for("ap True 0")
    board.wait_for("up 5 ValueError")


def test_the_timer_comes_back_and_can_restart_the_chip(bench: Workbench) -> None:
    board = start(
        bench,
        """
        import machine
        left = [3]
        def check(timer):
            left[0] -= 1
            print("left", left[0])
            if not left[0]:
                machine.RTC().memory(b"bitten")
                machine.reset()
        print("cause", machine.reset_cause(), machine.RTC().memory(), time.gmtime()[:2])
        machine.RTC().datetime((2026, 11, 21, 0, 1, 2, 3, 0))
        if machine.reset_cause() != 4:
            machine.Timer(-1).init(period=300, mode=machine.Timer.PERIODIC, callback=check)
            while True:
                pass
        """,
        time_scale=2,
    )
    board.wait_for(r"cause 0 b'' \(2000, 1\)")
    board.wait_for("left 0")
    board.wait_for(r"board: reset \(machine.reset\)")
    # Its RTC counts from 0 after a reset: what is left is the time it was set to.
    board.wait_for(r"cause 4 b'bitten' \(2026, 11\)")


def test_it_takes_der_and_rsa_only(bench: Workbench) -> None:
    board = start(
        bench,
        """
        for cert, key in (
            ("cert.der", "key.pem"),
            ("cert.der", "pkcs8.der"),
            ("cert.der", "ec-key.der"),
            ("ec-cert.der", "key.der"),
            ("key.pem", "key.der"),
        ):
            print(cert, key, fault(context(cert, key).wrap_socket, socket.socket()))
        """,
    )
    board.wait_for("over")
    said = [line.split(" ", 2)[2] for line in board.log if ".der" in line]
    assert said == ["ValueError('invalid key',)"] * 3 + ["ValueError('invalid cert',)"] * 2


@pytest.mark.parametrize(("bits", "outside"), [(32, False), (64, False), (32, True)])
def test_the_bytes_of_axtls_are_held_while_connected(
    bench: Workbench, peer: Peer, bits: int, outside: bool
) -> None:
    board = start(
        bench,
        """
        made = context()
        raw = tcp()
        gc.collect()
        before = gc.mem_free()
        sock = made.wrap_socket(raw, server_hostname="localhost")
        gc.collect()
        print("held", before - gc.mem_free())
        sock.write(b"hello")
        sock.close()
        made = raw = sock = None
        gc.collect()
        print("back", gc.mem_free() - before)
        """,
        peer.port,
        bits=bits,
        tls_outside=outside,
    )
    peer.accept()
    assert peer.read() == b"hello"
    scale = bits // 32
    held = int(board.wait_for(r"held (\d+)")[1])
    if outside:
        assert held < 1200
        return
    assert (HELD - 800) * scale <= held <= (HELD + 200) * scale
    assert -200 * scale <= int(board.wait_for(r"back (-?\d+)")[1])


@pytest.mark.parametrize(("size", "good"), [(PEAK + 600, True), (PEAK - 1200, False)])
def test_a_handshake_needs_its_peak(bench: Workbench, peer: Peer, size: int, good: bool) -> None:
    board = start(
        bench,
        f"""
        import machine
        print("cause", machine.reset_cause())
        made, raw, free = context(), tcp(), []
        wrap = made.wrap_socket
        gc.collect()
        ballast = bytearray(gc.mem_free() - {size})
        sock = wrap(raw)
        print("connected")
        """,
        peer.port,
        bits=32,
    )
    if good:
        peer.accept()
        board.wait_for("connected")
        return
    board.wait_for("axTLS: no .* an ESP8266 crashes here")
    board.wait_for(r"board: reset \(crash, an exception in C\)")
    board.wait_for("cause 2")
    assert "connected" not in board.log


def test_a_connect_needs_its_buffer_in_one_piece(bench: Workbench, peer: Peer) -> None:
    board = start(
        bench,
        f"""
        made, raw = context(), tcp()
        cells = [None] * 3000
        gc.collect()
        count = 0
        try:
            while True:
                cells[count] = (count,)  # one block
                count += 1
        except MemoryError:
            pass
        for at in range(count):
            if at % ({BUFFER} // 16):
                cells[at] = None
        gc.collect()
        print("free", gc.mem_free())
        made.wrap_socket(raw)
        """,
        peer.port,
        bits=32,
    )
    assert int(board.wait_for(r"free (\d+)")[1]) > PEAK + 2000
    board.wait_for(f"axTLS: no {BUFFER} bytes in one piece")


def test_reading_comes_before_writing(bench: Workbench, peer: Peer) -> None:
    board = start(
        bench,
        """
        sock = context().wrap_socket(tcp(), server_hostname="localhost")
        print("poll", fault(select.poll().register, sock))
        sock.write(b"go")
        print("part", sock.read(2), fault(sock.write, b"x"))
        print("rest", sock.read(1), sock.write(b"-now-", 1, 3))
        into = bytearray(8)
        print("next", sock.readinto(into, 3), into)
        sock.setblocking(False)
        print("none", sock.read(4))
        sock.setblocking(True)
        sock.write(b"half")
        while True:
            sock.setblocking(False)
            found = sock.read(5)
            if fault(sock.write, b"y") == "RuntimeError('axTLS: written with 20 bytes unread',)":
                print("spoilt")
                break
        print("half", found)
        sock.setblocking(True)
        print("whole", sock.read(5), sock.write(b"end"))
        """,
        peer.port,
    )
    peer.accept()
    assert peer.read() == b"go"
    peer.send(peer.record(b"abc", b"def"))
    board.wait_for(r"poll OSError")
    board.wait_for(r"part b'ab' RuntimeError\('axTLS: written with 1 bytes unread',\)")
    board.wait_for("rest b'c' 3")
    assert peer.read() == b"now"
    board.wait_for(r"next 3 bytearray\(b'def")
    board.wait_for("none None")
    assert peer.read() == b"half"
    whole = peer.record(b"12345")
    peer.send(whole[:-20])
    board.wait_for("spoilt")
    peer.send(whole[-20:])
    board.wait_for("whole b'12345' 3")


def test_a_long_record_ends_the_connection(bench: Workbench, peer: Peer) -> None:
    board = start(
        bench,
        """
        sock = context().wrap_socket(tcp(), server_hostname="localhost")
        sock.write(b"go")
        print("long", len(sock.read(5000)))
        print("longer", fault(sock.read, 10))
        print("dead", sock.read(1), sock.write(b"x"))
        """,
        peer.port,
    )
    peer.accept()
    assert peer.read() == b"go"
    peer.send(peer.record(bytes(5000), bytes(5200)))
    board.wait_for("long 5000")
    board.wait_for(r"longer OSError\(-257, 'RECORD_OVERFLOW'\)")
    board.wait_for("dead b'' 0")


def test_silence_and_the_end_look_the_same(bench: Workbench, peer: Peer) -> None:
    board = start(
        bench,
        """
        raw = tcp(1)
        print("mute", fault(context().wrap_socket, raw))
        raw.close()
        sock = context().wrap_socket(tcp(1), server_hostname="localhost")
        print("silent", sock.read(3))
        sock.close()
        print("closed", fault(sock.read, 1))
        """,
        peer.port,
    )
    peer.answer()
    board.wait_for(r"mute OSError\(-256, 'CONN_LOST'\)")
    peer.hang_up()
    peer.accept()
    board.wait_for("silent b''")
    board.wait_for(r"closed OSError\(9,\)")


def test_the_code_lies_in_rom_and_the_folder_stays_as_it_is(bench: Workbench) -> None:
    device = bench.device("from firmware.big import TEXT, here\nprint('from', here(), len(TEXT))")
    code = f"TEXT = {'x' * 3000!r}\ndef here():\n    return __file__\n"
    (device / "firmware" / "big.py").write_text(code)
    before = {p.name: p.read_bytes() for p in device.rglob("*") if p.is_file()}
    board = bench.run(device, heap="esp8266:8k", bits=32)
    board.wait_for("from /rom/firmware/big.* 3000")
    assert {p.name: p.read_bytes() for p in device.rglob("*") if p.is_file()} == before
