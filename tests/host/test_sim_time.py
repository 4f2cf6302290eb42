"""What a virtual board is told about the time: NTP servers, certificates, AWS's answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e import pki
from tests.e2e.server import Server
from tests.host.sim_device import Workbench

ASK = """
    import socket, time
    while True:
        for host in ("a", "b"):
            try:
                found = socket.getaddrinfo(host, 123, socket.AF_INET)[0][-1]
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                udp.settimeout(0.05)
                question = bytearray(48)
                question[0] = 0x23
                question[40:48] = b"question"
                udp.sendto(question, found)
                got, sender = udp.recvfrom(48)
                udp.close()
                s = int.from_bytes(got[40:44], "big") - 2208988800
                print("ntp", host, s, got[0], got[1], bytes(got[24:32]), sender == found)
            except OSError as e:
                print("ntp", host, "errno", e.errno)
        time.sleep_ms(20)
"""


def test_ntp_servers_answer_as_the_world_says(bench: Workbench) -> None:
    board = bench.board(ASK, ntp={"hosts": ["b"], "offset_s": -3600, "offsets": {"b": 7200}})
    board.wait_for("ntp a errno 110")
    answer = board.wait_for(r"ntp b (\d+) 36 2 b'question' True")
    assert abs(int(answer[1]) - 3600 - time.time()) < 5
    board.set(ntp={"stratum": 16, "leap": 3})
    board.wait_for(r"ntp a \d+ 228 16 b'question' True")
    board.set(ntp={"forged": True})
    board.wait_for(r"ntp a \d+ 36 2 b'[^q]uestion' True")
    for silence in ({"ntp": {"up": False}}, {"ntp": None, "wifi": {"up": False}}):
        board.set(**silence)
        board.wait_for("ntp b errno 110", after=len(board.log))
    board.set(ntp=None, wifi=None, hosts={"b": [], "a": ["192.0.2.1"]})
    board.wait_for("ntp b errno -2", after=len(board.log))
    board.wait_for(r"ntp a \d+ 36 2", after=len(board.log))


def test_other_datagrams_are_the_hosts(bench: Workbench) -> None:
    board = bench.board(
        """
        import socket
        to = socket.getaddrinfo("127.0.0.1", 9, 0, socket.SOCK_DGRAM)[0][-1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        print("sent", udp.sendto(b"x", to), udp.fileno() > 0)
        """
    )
    board.wait_for("sent 1 True")


HANDSHAKE = """
    import machine, select, socket, tls

    machine.RTC().datetime(({date}, 0, 0, 0, 0, 0))
    print("has", hasattr(tls.SSLContext, "load_verify_locations"))
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    for name, load in (("ca", context.load_verify_locations),):
        with open(name + ".pem", "rb") as f:
            load(f.read())
    with open("cert.pem", "rb") as c, open("key.pem", "rb") as k:
        context.load_cert_chain(c.read(), k.read())
    seen = []

    def look(cert, depth):
        seen.append((depth, len(bytes(cert)) > 200))
        return 0

    print("shows", hasattr(context, "verify_callback"))
    if hasattr(context, "verify_callback"):
        context.verify_callback = look
    raw = socket.socket()
    raw.connect(socket.getaddrinfo("127.0.0.1", {port})[0][-1])
    try:
        sock = context.wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=False)
        print("written", sock.write(b"x"))
    except ValueError as e:
        print("refused", str(e).replace("\\n", "/"))
    print("seen", seen)
    raw.close()
"""


@pytest.fixture
def shake(bench: Workbench) -> Callable[..., list[str]]:
    """shake(ca, server's identity, days by which the RTC is off, settings) -> the board's log."""

    def run(ca: pki.Authority, identity: pki.Identity, days: int, **settings: Any) -> list[str]:
        date = time.strftime("%Y, %m, %d", time.gmtime(time.time() + days * 86400))
        date = date.replace(" 0", " ")
        with Server(ca, identity, tls="1.2") as broker:
            folder = bench.device(HANDSHAKE.format(date=date, port=broker.port))
            client = ca.client()
            for name, data in (("ca", ca.cert), ("cert", client.cert), ("key", client.key)):
                (folder / f"{name}.pem").write_bytes(data)
            board = bench.run(folder, **settings)
            board.wait_for("^seen ")
            return [line for line in board.log if not line.startswith("board: ")]

    return run


BOTH = "seen [(1, True), (0, True)]"
FUTURE = "refused /The certificate validity starts in the future/"
EXPIRED = "refused /The certificate validity has expired/"


@pytest.mark.parametrize(
    ("days", "said"), [(0, "written 1"), (-7300, FUTURE), (7300, EXPIRED)], ids=str
)
def test_dates_are_checked_against_the_rtc(
    shake: Callable[..., list[str]], days: int, said: str
) -> None:
    ca = pki.Authority()
    log = shake(ca, ca.server(), days)
    assert log == ["has True", "shows True", said, BOTH]


def test_an_untrusted_server_stays_untrusted(shake: Callable[..., list[str]]) -> None:
    ca = pki.Authority()
    log = shake(ca, pki.Authority().server(), -7300)
    assert log[2] == "refused /The certificate is not correctly signed by the trusted CA/"


def test_without_a_callback_the_dates_are_checked_all_the_same(
    shake: Callable[..., list[str]],
) -> None:
    ca = pki.Authority()
    log = shake(ca, ca.server(), -7300, verify_callback=False)
    assert log == ["has True", "shows False", FUTURE, "seen []"]


def test_aws_tells_the_time_of_a_faster_world(bench: Workbench) -> None:
    board = bench.board(
        """
        import json, time
        from time import sleep
        for unix_s in (1000, 1100):
            text = json.dumps({"timestamp": unix_s, "clientToken": "x", "version": 1})
            print("said", json.loads(text)["timestamp"])
        print("else", json.loads('{"timestamp": 1100}'), json.loads("[1]"))
        """,
        time_scale=10,
        time_anchor_s=1000,
    )
    board.wait_for("said 1000")
    board.wait_for("said 2000")
    board.wait_for(r"else \{'timestamp': 1100\} \[1\]")


# Its seconds may be shorter than ours: `time_scale`.


@pytest.mark.parametrize("bits", [64, 32])
def test_all_that_waits_or_counts_is_faster(bench: Workbench, bits: int) -> None:
    board = bench.board(
        """
        import ntptime, select, socket, time
        ntptime.settime()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        poll = select.poll()
        poll.register(sock, select.POLLIN)

        def count(name, wait):
            wall, ntp, ms = time.time(), ntptime.time(), time.ticks_ms()
            print("begin", name)
            wait()
            took_ms = time.ticks_diff(time.ticks_ms(), ms)
            print(name, took_ms, time.time() - wall, ntptime.time() - ntp)

        for name, wait in (
            ("sleep_ms", lambda: time.sleep_ms(5000)),
            ("sleep", lambda: time.sleep(5)),
            ("poll", lambda: poll.poll(5000)),
        ):
            count(name, wait)
        """,
        bits=bits,
        time_scale=10,
    )
    for name in ("sleep_ms", "sleep", "poll"):
        board.wait_for(f"begin {name}$", timeout=20)
        began = time.monotonic()
        found = board.wait_for(rf"^{name} (\d+) (\d+) (\d+)", timeout=20)
        took_s = time.monotonic() - began
        assert 4990 <= int(found[1]) <= 12000, found[0]
        assert 4 <= int(found[2]) <= 12, found[0]
        assert 4 <= int(found[3]) <= 12, found[0]
        assert took_s <= 1.5, name


def test_the_watchdog_is_as_much_faster(bench: Workbench) -> None:
    seen_s: dict[str, float] = {}
    board = bench.board(
        """
        import machine, time
        dog = machine.WDT(timeout=10000)
        for _ in range(4):
            time.sleep(5)
            dog.feed()
        print("fed")
        while True:
            pass
        """,
        time_scale=10,
        on_line=lambda line: seen_s.setdefault(line, time.monotonic()),
    )
    board.wait_for("fed", timeout=20)
    board.wait_for(r"reset \(watchdog\)", timeout=8)
    board.wait_for("fed", timeout=20, after=board.log.index("board: reset (watchdog)"))
    assert 0.8 <= seen_s["board: reset (watchdog)"] - seen_s["fed"] <= 5
    assert board.cause == "watchdog"


def test_the_time_goes_on_after_a_power_cut(bench: Workbench) -> None:
    board = bench.board(
        """
        import ntptime, time
        ntptime.settime()
        print("now", time.time())
        time.sleep(30)
        """,
        time_scale=10,
        epoch=1970,
    )
    first = int(board.wait_for(r"now (\d+)")[1])
    time.sleep(0.5)
    board.kill()
    mark = len(board.log)
    board.start()
    second = int(board.wait_for(r"now (\d+)", after=mark)[1])
    assert 4 <= second - first <= 60
