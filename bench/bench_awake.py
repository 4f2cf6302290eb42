"""What a board that sleeps takes from wake to sleep, without radio and with it.

A virtual ESP32 with a BME280, staged as a battery board is, over mutual TLS 1.2 to the strict
broker of tests/e2e, through the proxy of bench_link.py, which delays what passes.

modules, bytes  what was imported after boot.py (main.py is 200 bytes more), as .mpy: so much goes
                from flash to RAM; what leaves and comes back counts again
writes          changes of the file system: a file closed, renamed, removed, a folder made
computing       CPU time of this machine, from boot.py to machine.deepsleep(), which is called when
                DISCONNECT is written: nobody waits for an answer to it
waits           for sensor, UART, and to join the Wi-Fi (simulated), as far as the firmware sleeps
ms at 50, 200   all of it, at such a round trip; trips: (at 500 - at 200) / 300, where no computing
                fills the time any more. The name server is near, and the proxy's TCP has no slow
                start
bytes           on TCP, handshake included. AWS sends a longer chain of certificates: 4 to 5 KB

Each is the median of several wakes. An hour's session may be gone at AWS: "new" is a connect that
has to subscribe anew. Four of 24 connects a day report to the shadow and ask for the time as well;
the medians leave them out. What a day comes to is reckoned from this by tools/board/energy.py.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from bench.bench_link import Proxy
from tests.e2e.advisor.bench import Bench, Kit
from tools import toolchain
from tools.board import energy
from tools.board.stage import stage

INTERVAL_S, BATCH = 300, 12
RTTS_MS = (0, 50, 200, 500)
ROUNDS = 5
_SLEEP_SCALE = 10_000
_LIMIT_S = 60.0
_WAKE = r"^bench: (.*)$"
BY = f"make bench-awake: virtual ESP32, bme280, TLS 1.2, {BATCH} readings a connect"


@dataclass(frozen=True)
class Wake:
    """What upy_awake.py says of one, and the bytes that went through the proxy: up, down."""

    ms: float
    cpu_ms: float
    slept_ms: float
    loads: tuple[str, ...]
    writes: tuple[tuple[str, int], ...]
    carried: tuple[int, int] = (0, 0)

    @property
    def radio(self) -> bool:
        """Whether it was to connect."""
        return "firmware.power" in self.loads

    @property
    def joins(self) -> int:
        """Before which of its loads the radio goes on."""
        ways = "firmware.net.rejoin", "firmware.net.wifi"
        return min((i for i, name in enumerate(self.loads) if name in ways), default=1 << 30)


@dataclass(frozen=True)
class Figures:
    """The medians of several wakes of one kind; ``ms``, and the least, by round trip."""

    modules: int
    bytes_loaded: int
    bytes_on: int  # of them, those that are loaded when the radio is on
    writes: int
    written: int
    cpu_ms: float
    slept_ms: float
    carried: tuple[int, int]
    ms: dict[int, float]
    least_ms: dict[int, float]

    @property
    def trips(self) -> float:
        """Round trips, from how the time grows with them."""
        *_, near, far = RTTS_MS
        least = self.least_ms  # other work on this machine only adds to it
        return (least[far] - least[near]) / (far - near) if far in least else 0.0


class Rig:
    """A board that sleeps, its broker, and the proxy between them. ``batch``: as in its settings.

    ``scale``: how many of its seconds go by in one of ours, awake; the times are ours.
    """

    def __init__(self, folder: Path, batch: int = BATCH, scale: float = 1) -> None:
        wanted = {"power": "battery", "interval_s": INTERVAL_S, "batch": batch}
        self.kit = Kit(folder, toolchain.umqtt_dir())
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | wanted))
        stage(config, folder / "certs", self.kit.device)
        self.bench = Bench(self.kit, folder / "board", scale, **wanted)
        self.bench.broker.tls_version = "1.2"
        self.proxy = Proxy(self.bench.broker.port)
        self.board = self.bench.board
        for name, change in (("config.json", self._redirected), ("boot.py", self._spying)):
            file = self.board.folder / name
            file.write_text(change(file.read_text()))
        self.board.set(sleep_scale=_SLEEP_SCALE)
        self._line = 0

    def _redirected(self, config: str) -> str:
        return json.dumps(json.loads(config) | {"port": self.proxy.port})

    def _spying(self, _: str) -> str:
        return (toolchain.ROOT / "bench" / "upy_awake.py").read_text()

    def wakes(self, new: bool = False) -> Iterator[Wake]:
        """One wake after the other, as they come; the first is the start at power-on."""
        while True:
            if new:
                self.bench.broker.store.expire()
            found = self.board.wait_for(_WAKE, _LIMIT_S, self._line)
            self._line = 1 + self.board.log.index(found[0], self._line)
            said = json.loads(found[1])
            said["loads"] = tuple(said["loads"])
            said["writes"] = tuple((path, size) for path, size in said["writes"])
            wake = Wake(**said)
            yield replace(wake, carried=self.proxy.carried) if wake.radio else wake

    def settle(self) -> None:
        """The start, and some connects: then it knows its oscillator, and its access point."""
        self.board.start()
        next(self.wakes())
        self.several(True, 3)

    def several(self, radio: bool, count: int, rtt_ms: int = 0, new: bool = False) -> list[Wake]:
        """So many wakes of that kind; the first is left out, as it may have begun before."""
        self.proxy.rtt_s = rtt_ms / 1000
        wakes = (wake for wake in self.wakes(new) if wake.radio == radio)
        return list(islice(wakes, 1, 1 + count))

    def connects(self, new: bool = False) -> dict[int, list[Wake]]:
        """Some at each round trip."""
        return {rtt: self.several(True, ROUNDS, rtt, new) for rtt in RTTS_MS}

    def size(self, module: str) -> int:
        """Bytes of a module's file on the board; 0: it is built in, or a folder."""
        place = self.board.folder / module.replace(".", "/")
        files = [place.with_name(place.name + kind) for kind in (".py", ".mpy")]
        found = (path for path in (*files, place / "__init__.mpy") if path.is_file())
        return next((path.stat().st_size for path in found), 0)

    def figures(self, by_rtt: dict[int, list[Wake]]) -> Figures:
        """Of wakes by their round trip."""
        wakes = [wake for row in by_rtt.values() for wake in row]
        sizes = [[size for name in w.loads if (size := self.size(name))] for w in wakes]
        on = [sum(map(self.size, w.loads[w.joins :])) for w in wakes]
        mods, loaded, loaded_on, writes, written = (
            round(median(row))
            for row in (
                map(len, sizes),
                map(sum, sizes),
                on,
                (len(w.writes) for w in wakes),
                (sum(size for _, size in w.writes) for w in wakes),
            )
        )
        return Figures(
            *(mods, loaded, loaded_on, writes, written),
            median(w.cpu_ms for w in wakes),
            median(w.slept_ms for w in wakes),
            (
                round(median(w.carried[0] for w in wakes)),
                round(median(w.carried[1] for w in wakes)),
            ),
            {rtt: median(w.ms for w in row) for rtt, row in by_rtt.items()},
            {rtt: min(w.ms for w in row) for rtt, row in by_rtt.items()},
        )


@contextmanager
def rig(batch: int = BATCH, scale: float = 1) -> Iterator[Rig]:
    """A Rig, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        made = Rig(Path(scratch), batch, scale)
        with made.bench:
            yield made


def measured() -> dict[str, Figures]:
    """All of it: a wake without radio, then the connects."""
    with rig() as board:
        board.settle()
        alone = board.figures({0: board.several(False, 4 * ROUNDS)})
        found = {"without radio": alone}
        for name, new in ((f"{BATCH} readings", False), ("the same, new session", True)):
            found[name] = board.figures(board.connects(new))
        board.bench.shadow.desire(batch=1)
        board.several(True, 2)
        found["1 reading"] = board.figures(board.connects())
        if board.bench.broker.violations:
            raise SystemExit(board.bench.broker.story())
    return found


def rows(found: dict[str, Figures]) -> list[list[str]]:
    """The table: a column for each of ``found``."""

    def row(what: str, cell: Callable[[Figures], str]) -> list[str]:
        return [what, *(cell(figures) for figures in found.values())]

    def number(value: float) -> str:
        return f"{value:,.0f}"

    def connect(what: str, cell: Callable[[Figures], str]) -> list[str]:
        return row(what, lambda f: cell(f) if any(f.carried) else "")

    near, far = RTTS_MS[1:3]
    return [
        row("modules, bytes loaded", lambda f: f"{f.modules}, {f.bytes_loaded:,}"),
        connect("of them with the radio on, bytes", lambda f: number(f.bytes_on)),
        row("writes to flash, bytes", lambda f: f"{f.writes}, {f.written}"),
        row("computing here, ms", lambda f: f"{f.cpu_ms:.1f}"),
        row("waits, ms", lambda f: f"{f.slept_ms:.0f}"),
        row("wake to sleep here, ms", lambda f: number(f.ms[0])),
        connect(f"round trip {near} ms: wake to sleep, ms", lambda f: number(f.ms[near])),
        connect(f"round trip {far} ms: wake to sleep, ms", lambda f: number(f.ms[far])),
        connect("round trips", lambda f: f"{f.trips:.1f}"),
        connect("bytes up, down", lambda f: "{:,}, {:,}".format(*f.carried)),
    ]


def day() -> list[list[str]]:
    """What a day comes to by tools/board/energy.py: each reading sent at once, or BATCH."""
    each, batch = (
        energy.estimate(energy.Plan(interval_s=INTERVAL_S, batch=n)) for n in (1, BATCH)
    )
    shown: tuple[tuple[str, str, Callable[[energy.Estimate], float]], ...] = (
        ("connects a day", "{:.0f}", lambda e: e.connect[0].times),
        ("awake, s a day", "{:,.0f}", lambda e: e.awake_s_a_day),
        ("charge without the battery's own loss, C a day", "{:.1f}", lambda e: e.board_c_a_day),
        ("days with 2,600 mAh", "{:.0f}", lambda e: e.days),
    )
    table = [
        [what, *(form.format(get(e)) for e in (each, batch)), f"{get(each) / get(batch):.1f}"]
        for what, form, get in shown
    ]
    return [[f"every {INTERVAL_S} s", "each sent at once", f"{BATCH} at a time", "ratio"], *table]


def block(found: dict[str, Figures]) -> dict[str, Any]:
    """``measured`` of energy.json: a connect is what comes on top; round trips of one reading."""
    alone, batch, _, one = found.values()
    before = batch.bytes_loaded - batch.bytes_on - alone.bytes_loaded
    more = {"bytes_loaded": before, "bytes_on": batch.bytes_on}
    more |= {"flash_writes": batch.writes - alone.writes, "round_trips": round(one.trips)}
    return {
        "by": BY,
        "without_radio": {"bytes_loaded": alone.bytes_loaded, "flash_writes": alone.writes},
        "with_radio": more,
    }


def update(found: dict[str, Figures]) -> None:
    """Write it into energy.json, whose lines stay as they are."""
    lines = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in block(found).items()]
    text = energy.TABLE.read_text("utf-8")
    made = '"measured": {\n' + ",\n".join(lines) + "\n  }"
    text = re.sub(r'"measured": {.*?\n  }', lambda _: made, text, count=1, flags=re.S)
    energy.TABLE.write_text(text, "utf-8")
    energy.table.cache_clear()


def main() -> None:
    """Measure, print the medians."""
    parser = argparse.ArgumentParser(prog="bench awake")
    parser.add_argument("--markdown", action="store_true", help="as in docs/battery.md")
    parser.add_argument("--update", action="store_true", help="write tools/board/energy.json")
    given = parser.parse_args()
    found = measured()
    if given.update:
        update(found)
    for lines in ([["wake to sleep", *found], *rows(found)], day()):
        if given.markdown:
            lines.insert(1, ["---"] * len(lines[0]))
        for what, *cells in lines:
            plain = " ".join([f"{what:40}", *(f"{cell:>22}" for cell in cells)])
            print(f"| {' | '.join([what, *cells])} |" if given.markdown else plain)
        print()


if __name__ == "__main__":
    main()
