"""The firmware's QoS 1 link and plain umqtt.simple, in turn, in one run on this machine.

Both run in the unix MicroPython (upy_link.py) over mutual TLS 1.2, against the strict broker of
tests/e2e, through a proxy that delays what passes and counts what goes up. Per second: from the
first PUBACK to the last. Bytes, records: TLS application data, a long session less a short one.
Round trips: from socket() to the first PUBACK, what a second 100 ms of round trip add (computing
cancels out). The proxy ends TCP: it adds TCP's round trip and cannot delay TCP's acknowledgements,
so a packet in five writes, as umqtt sends it, costs less than on a real line. The broker is no
limit: one that only answers gave the same rates. Other work on the machine lowers the first row.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from select import select
from statistics import median

from tests.e2e import pki
from tests.e2e.server import Server
from tools import toolchain

RTT_MS, WINDOW, ROUNDS = 100, 8, 3
READINGS = {("ours", 0): 3000, ("umqtt", 0): 50, ("ours", RTT_MS): 160, ("umqtt", RTT_MS): 20}
ROWS = (
    ("publishes per second, loopback", ",.0f"),
    (f"publishes per second, round trip {RTT_MS} ms", ".1f"),
    ("bytes up per reading", ".0f"),
    ("TLS records up per reading", ".1f"),
    (f"ms to the first PUBACK, round trip {RTT_MS} ms", ".0f"),
    ("round trips to it, known session", ".1f"),
    ("round trips to it, new session", ".1f"),
)


class Proxy:
    """One client after the other. Of the newest: ``records`` and ``bytes`` of TLS application data
    that it has sent; ``carried``, all bytes up, and down.
    """

    def __init__(self, target: int) -> None:
        self.rtt_s = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(target,), daemon=True).start()

    def _accept(self, target: int) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", target))
            self.records, self.bytes, self._seen = 0, 0, b""
            self.carried = 0, 0
            with client, server, suppress(OSError):
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._carry({client: server, server: client}, client)

    def _carry(self, others: dict[socket.socket, socket.socket], client: socket.socket) -> None:
        tcp_s = self.rtt_s
        waiting: deque[tuple[float, socket.socket, bytes]] = deque()
        while True:
            left_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for end in select([*others], [], [], left_s)[0]:
                data = end.recv(65536)
                if not data:
                    for _, to, rest in waiting:
                        to.sendall(rest)
                    return
                due = time.monotonic() + self.rtt_s / 2
                if end is client:
                    self._count(data)
                    due, tcp_s = due + tcp_s, 0.0
                up, down = self.carried
                self.carried = (up + len(data), down) if end is client else (up, down + len(data))
                waiting.append((due, others[end], data))
            while waiting and waiting[0][0] <= time.monotonic():
                _, to, data = waiting.popleft()
                to.sendall(data)

    def _count(self, data: bytes) -> None:
        self._seen += data
        while len(self._seen) >= (size := 5 + int.from_bytes(self._seen[3:5], "big")):
            if self._seen[0] == 23:  # application data
                self.records += 1
                self.bytes += size
            self._seen = self._seen[size:]


class Line:
    """Broker, proxy and the files of a client."""

    def __init__(self, folder: Path, umqtt: Path) -> None:
        authority = pki.Authority()
        identity = authority.client()
        (folder / "certs").mkdir()
        for name, data in (("ca", authority.cert), ("cert", identity.cert), ("key", identity.key)):
            (folder / "certs" / f"{name}.pem").write_bytes(data)
        self._folder, self._umqtt = folder, umqtt
        self._broker = Server(authority, authority.server(), tls="1.2")
        self._proxy = Proxy(self._broker.port)

    def run(self, who: tuple[str, Path], readings: int, rtt_ms: int, new: bool = False) -> list:
        """One session; seconds to the first PUBACK and from it to the last, bytes, records."""
        broker, proxy, (client, root) = self._broker, self._proxy, who
        if new:
            broker.store.expire()
        broker.messages.clear()
        proxy.rtt_s = rtt_ms / 1000
        given = {"client": client, "count": readings, "window": WINDOW, "port": proxy.port}
        argv = [*toolchain.micropython(), "-X", "heapsize=96wk", str(root / "bench/upy_link.py")]
        env = {"MICROPYPATH": f"{root}:{self._umqtt}"}
        pipe = {"stdout": subprocess.PIPE, "text": True, "timeout": 60}
        ran = subprocess.run([*argv, json.dumps(given)], env=env, cwd=self._folder, **pipe)
        broker.wait_for(lambda: not broker.live())
        got = len(broker.published())
        if ran.returncode or got != readings or broker.violations:
            raise SystemExit(f"{client}: {got} of {readings}\n{ran.stdout}{broker.story()}")
        return [*json.loads(ran.stdout.splitlines()[-1]), proxy.bytes, proxy.records]

    def figures(self, who: tuple[str, Path]) -> list[float]:
        """One round of a client: the rows of the table, in order."""
        near, far = READINGS[who[0], 0], READINGS[who[0], RTT_MS]
        new = [self.run(who, 1, n * RTT_MS, new=True) for n in (1, 2)]
        fast, slow = self.run(who, near, 0), self.run(who, far, RTT_MS)
        known = slow, self.run(who, 1, 2 * RTT_MS)
        each = [(fast[i] - slow[i]) / (near - far) for i in (2, 3)]
        trips = [(b[0] - a[0]) / RTT_MS * 1000 for a, b in (known, new)]
        return [(near - 1) / fast[1], (far - 1) / slow[1], *each, slow[0] * 1000, *trips]


def table(rounds: list[dict[str, list[float]]]) -> list[list[str]]:
    """The head and the rows of medians: a column a client, then the first by the last."""
    names = list(rounds[0])
    lines = [["QoS 1 over TLS", *names, "ratio"]]
    for i, (what, form) in enumerate(ROWS):
        columns = [[figures[name][i] for figures in rounds] for name in names]
        ratio = median(a / b for a, b in zip(columns[0], columns[-1], strict=True))
        lines.append([what, *(format(median(c), form) for c in columns), f"{ratio:.3g}"])
    return lines


def main() -> None:
    """Measure in turn, print the medians."""
    parser = argparse.ArgumentParser(prog="bench link")
    parser.add_argument("--markdown", action="store_true", help="as in README")
    parser.add_argument("--umqtt", type=Path, default=toolchain.umqtt_dir(), metavar="DIR")
    parser.add_argument("--also", type=Path, metavar="DIR", help="another checkout, to compare")
    given = parser.parse_args()
    clients = {"Fieldmouse": ("ours", toolchain.ROOT)}
    if given.also:
        clients[given.also.name] = ("ours", given.also.resolve())
    clients[f"umqtt.simple {given.umqtt.name}"] = ("umqtt", toolchain.ROOT)
    with tempfile.TemporaryDirectory() as folder:
        line = Line(Path(folder), given.umqtt.resolve())
        lines = table([{n: line.figures(w) for n, w in clients.items()} for _ in range(ROUNDS)])
    if given.markdown:
        lines.insert(1, ["---"] * len(lines[0]))
    for what, *cells in lines:
        row = " ".join([f"{what:46}", *(f"{cell:>18}" for cell in cells)])
        print(f"| {' | '.join([what, *cells])} |" if given.markdown else row)


if __name__ == "__main__":
    main()
