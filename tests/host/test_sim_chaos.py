"""The language of CHAOS=, and the proxy by what two plain sockets see through it."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.host import tls_front
from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import chaos
from tools.sim.chaos_proxy import NAME, Proxy

EXAMPLE = (
    "latency=200ms,jitter=100ms,reset@10s,stall=37B@20s,halfopen=down@30s/5s,refuse@60s/10s*2m"
)


def test_the_example_of_the_documentation() -> None:
    plan = chaos.parse(EXAMPLE)
    assert [f.kind for f in plan.faults] == [
        "latency", "jitter", "reset", "stall", "halfopen", "refuse",
    ]  # fmt: skip
    assert plan.faults[0] == chaos.Fault("latency", amount=0.2)
    assert plan.faults[3] == chaos.Fault("stall", 20.0, 10.0, None, 37.0, ("down",))
    assert plan.faults[5].every_s == 120.0
    assert EXAMPLE in (chaos.__doc__ or "")


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "bandwidth=2KB@1s/3s",
        "stall=up:0B@500ms/1m",
        "halfopen=both@1.5s",
        "silent,move@3s/4s,nodns@2s",
        "reset@1s/3s",
    ],
)
def test_a_plan_reads_what_it_prints(text: str) -> None:
    plan = chaos.parse(text)
    assert chaos.parse(str(plan)) == plan


def test_a_mix_reads_what_it_prints_and_ends() -> None:
    for seed in range(500):
        plan = chaos.mix(seed)
        assert chaos.parse(str(plan)).faults == plan.faults
        assert chaos.mix(seed) == plan
        assert plan.end_s <= 60 and len(plan.faults) >= 2
        assert chaos.parse(f"random:{seed}").end_s == math.inf
    assert len({str(chaos.mix(seed)) for seed in range(500)}) == 500


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot read ''"),
        ("reset,,reset", "cannot read ''"),
        ("rest@10s", "'rest' is none of"),
        ("latency", "'' in 'latency='"),
        ("latency=fast", "'fast'"),
        ("latency=200", "'200'"),
        ("latency=-1s", "'-1s'"),
        ("latency=2d", "'2d'"),
        ("latency=99999s", "up to a day"),
        ("bandwidth=0B", "0 bytes"),
        ("bandwidth=2", "bandwidth=2 is no size"),
        ("bandwidth=up:2KB", "no size"),
        ("stall@3s", "stall= is no size"),
        ("halfopen", "up, down or both"),
        ("halfopen=left", "halfopen=left"),
        ("reset=3", "reset takes no value"),
        ("reset@", "'' in 'reset@'"),
        ("reset@10s/", "is no time"),
        ("refuse@10s/20s*5s", "before it is over"),
        ("reset@10s@20s", "'10s@20s'"),
        ("random:", "no seed"),
        ("random:x", "no seed"),
        ("RESET", "cannot read"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ToolError) as caught:
        chaos.parse(text)
    assert says in str(caught.value) and caught.value.hint


def test_windows_and_beginnings() -> None:
    fault = chaos.parse("refuse@10s/5s*30s").faults[0]
    assert [fault.window(t) for t in (9.9, 10, 14.9, 15, 39, 40, 44, 45, 70)] == [
        None, 0, 0, None, None, 1, 1, None, 2,
    ]  # fmt: skip
    assert [fault.begun(t) for t in (-1, 9.9, 10, 39, 40, 71)] == [0, 0, 1, 1, 2, 3]
    quick = fault.faster(10)
    assert (quick.start_s, quick.length_s, quick.every_s) == (1.0, 0.5, 3.0)
    assert chaos.parse("latency=200ms,bandwidth=2KB").faster(10).faults == (
        chaos.Fault("latency", amount=0.02),
        chaos.Fault("bandwidth", amount=20480.0),
    )


def test_an_endless_plan_can_be_given_an_end() -> None:
    plan = chaos.parse("latency=2s,reset@3s*8s,silent@1s/2s").until(20)
    assert str(plan) == "latency=2s/20s,reset@3s,reset@11s,reset@19s,silent@1s/2s"
    assert plan.end_s < 21


class Line:
    """An echo behind a proxy; ``streams`` is what each connection said, ``ends`` how it ended."""

    def __init__(self, text: str, stack: contextlib.ExitStack) -> None:
        self.streams: list[bytearray] = []
        self.ends: list[str] = []
        self.hosts: list[dict[str, list[str]]] = []
        self._stack = stack
        port = stack.enter_context(tls_front.listening(self._echo))
        self.proxy = Proxy(port, chaos.parse(text), on_hosts=self.hosts.append)
        stack.enter_context(self.proxy)

    def connect(self, address: str = "127.0.0.1", timeout_s: float = 5.0) -> socket.socket:
        end = socket.create_connection((address, self.proxy.port), timeout_s)
        return self._stack.enter_context(end)

    def _echo(self, end: socket.socket) -> None:
        stream = bytearray()
        self.streams.append(stream)
        try:
            while data := end.recv(4096):
                stream += data
                end.sendall(data)
            self.ends.append("end")
        except OSError as e:
            self.ends.append(type(e).__name__)


Make = Callable[[str], Line]


@pytest.fixture
def line() -> Iterator[Make]:
    """line(plan) -> Line"""
    with contextlib.ExitStack() as stack:
        yield lambda text: Line(text, stack)


def said(end: socket.socket, data: bytes) -> bytes:
    """Send, and read as much again; shorter when the connection ends or the timeout strikes."""
    end.sendall(data)
    return heard(end, len(data))


def heard(end: socket.socket, size: int) -> bytes:
    got = b""
    with contextlib.suppress(OSError):
        while len(got) < size and (data := end.recv(65536)):
            got += data
    return got


def soon(look: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not look():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_before_the_plan_begins_everything_passes_untouched(line: Make) -> None:
    made = line("silent,latency=5s,bandwidth=1B")
    data = bytes(range(256)) * 4000
    end = made.connect()
    threading.Thread(target=end.sendall, args=(data,)).start()
    assert heard(end, len(data)) == data
    end.shutdown(socket.SHUT_WR)
    assert end.recv(1) == b""
    soon(lambda: made.ends == ["end"])


def test_latency_both_ways(line: Make) -> None:
    made = line("latency=150ms,jitter=50ms")
    made.proxy.begin()
    end = made.connect()
    began = time.monotonic()
    assert said(end, b"x") == b"x"
    assert 0.3 <= time.monotonic() - began < 1.0


def test_jitter_keeps_the_order(line: Make) -> None:
    made = line("jitter=50ms")
    made.proxy.begin()
    end = made.connect()
    data = b"".join(bytes([n]) for n in range(100))
    for n in range(100):
        end.sendall(data[n : n + 1])
        time.sleep(0.001)
    assert heard(end, 100) == data


def test_bandwidth(line: Make) -> None:
    made = line("bandwidth=10KB")
    made.proxy.begin()
    began = time.monotonic()
    assert said(made.connect(), bytes(5120)) == bytes(5120)
    assert 0.45 <= time.monotonic() - began < 2.0


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_stall_lets_so_many_bytes_pass_and_the_rest_later(line: Make, way: str) -> None:
    made = line(f"stall={way}:37B@200ms/800ms")
    end = made.connect()
    made.proxy.begin()
    time.sleep(0.3)
    end.settimeout(0.3)
    assert said(end, bytes(100)) == bytes(37)
    assert len(made.streams[0]) == (37 if way == "up" else 100)
    end.settimeout(5)
    assert heard(end, 63) == bytes(63)
    assert said(end, b"more") == b"more"


@pytest.mark.parametrize("way", ["up", "down", "both"])
def test_half_open_is_for_ever_for_a_connection_that_lost_bytes(line: Make, way: str) -> None:
    made = line(f"halfopen={way}@200ms/300ms")
    idle, busy = made.connect(), made.connect()
    assert said(busy, b"a") == b"a"
    made.proxy.begin()
    time.sleep(0.3)
    busy.settimeout(0.4)
    assert said(busy, b"lost") == b""  # outlasts the fault
    assert said(busy, b"and after") == b""
    heard_up = [bytes(s) for s in made.streams if s]
    assert heard_up == [b"alostand after" if way == "down" else b"a"]
    assert said(idle, b"x") == b"x" and said(made.connect(), b"y") == b"y"
    busy.close()
    time.sleep(0.1)
    assert made.ends == (["end"] if way == "down" else [])  # else the broker never learns


def test_reset_is_seen_by_both_sides(line: Make) -> None:
    made = line("reset@100ms/300ms")
    end = made.connect()
    assert said(end, b"a") == b"a"
    made.proxy.begin()
    with pytest.raises(ConnectionResetError):
        end.recv(1)
    soon(lambda: made.ends == ["ConnectionResetError"])
    with pytest.raises(ConnectionResetError):
        made.connect().recv(1)
    time.sleep(0.4)
    assert said(made.connect(), b"b") == b"b"


def test_refuse(line: Make) -> None:
    made = line("refuse@100ms/2s")
    end = made.connect()
    made.proxy.begin()
    with pytest.raises(ConnectionResetError):
        end.recv(1)
    with pytest.raises(ConnectionRefusedError):
        made.connect()
    time.sleep(2.1)
    assert said(made.connect(), b"b") == b"b"


def test_silent(line: Make) -> None:
    made = line("silent@100ms/900ms")
    end = made.connect()
    made.proxy.begin()
    time.sleep(0.2)
    end.settimeout(0.2)
    assert said(end, b"lost") == b""
    with pytest.raises(TimeoutError):
        made.connect(timeout_s=0.3)
    time.sleep(0.6)
    assert said(made.connect(), b"b") == b"b"


def test_move(line: Make) -> None:
    made = line("move@100ms/300ms")
    end = made.connect()
    assert made.proxy.hosts() == {NAME: ["127.0.0.1"]}
    with pytest.raises(ConnectionRefusedError):
        made.connect("127.0.0.2")
    made.proxy.begin()
    with pytest.raises(ConnectionResetError):
        end.recv(1)
    with pytest.raises(ConnectionRefusedError):
        made.connect()
    assert said(made.connect("127.0.0.2"), b"b") == b"b"
    assert made.proxy.hosts() == {NAME: ["127.0.0.1"]}
    time.sleep(0.4)
    assert made.hosts == [{NAME: ["127.0.0.1", "127.0.0.2"]}]


def test_nodns(line: Make) -> None:
    made = line("nodns@100ms/200ms")
    made.proxy.begin()
    soon(lambda: len(made.hosts) == 2)
    assert made.hosts == [{NAME: []}, {NAME: ["127.0.0.1"]}]


def test_a_dead_broker_looks_dead(line: Make) -> None:
    made = line("latency=1ms")
    made.proxy._target_port = 1  # nobody listens there
    with pytest.raises(ConnectionResetError):
        made.connect().recv(1)


def test_events_tell_what_happened(line: Make) -> None:
    made = line("reset@50ms/50ms*100ms")
    end = made.connect()
    assert said(end, b"a") == b"a"
    made.proxy.begin()
    soon(lambda: len(made.proxy.events) >= 3)
    assert made.proxy.events[0][1] == "reset@50ms/50ms*100ms, 1 open"
    assert made.proxy.taken == 1


def test_nothing_is_left_behind() -> None:
    with contextlib.ExitStack() as stack:
        made = Line("silent@50ms", stack)
        made.connect()
        made.proxy.begin()
        time.sleep(0.2)
        port = made.proxy.port
    assert not [t for t in threading.enumerate() if t.name == "chaos"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


@pytest.mark.parametrize("time_scale", [1, 10])
def test_a_name_resolves_as_the_board_s_world_says(bench: Workbench, time_scale: int) -> None:
    board = bench.board(
        """
        import socket, time
        while True:
            try:
                found = socket.getaddrinfo("broker", 8883, 0, socket.SOCK_STREAM)
                print("at", [tuple(info[-1][4:8]) for info in found])
            except OSError as e:
                print("errno", e.errno)
            time.sleep(0.1)
        """,
        hosts={"broker": ["127.0.0.3", "127.0.0.1"]},
        time_scale=time_scale,
    )
    board.wait_for(r"at \[\(127, 0, 0, 3\), \(127, 0, 0, 1\)\]")
    board.set(hosts={"broker": ["127.0.0.2"]})
    board.wait_for(r"at \[\(127, 0, 0, 2\)\]")
    board.set(hosts={"broker": []})
    board.wait_for(r"errno -2")
