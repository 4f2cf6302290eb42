"""What an update by air costs: one changed module against the whole tree.

A virtual ESP32 (32 bits, 56,000 bytes) over mutual TLS 1.2 on the scripted AWS of tests/e2e, with
its jobs and streams, through the proxy of bench_link.py, which delays what passes.

fetched        files that are not on the board as they are in the release; the others it copies
messages       on the topics of the job and the stream, and their payloads: those that it sends,
               those that it gets (blocks of 1 KB are 1.4 KB as JSON)
TCP bytes      of all that passes from the job to its end: two connections, readings, the birth
               message and the shadow after the restart are in it
seconds        from the job to its end; the restart is in it, what an ESP32 takes to compute and to
               write its flash is not

The whole tree: each source has one line more at its top, which changes every file of bytecode.
How many files a change of one line touches is counted on the compiled tree: shorten.py gives the
names of all modules together.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.bench_link import Proxy
from tests.e2e.connection import Connection
from tests.e2e.session import Message
from tests.e2e.updates import THING, Field, Kit
from tools import toolchain
from tools.board import stage
from tools.things import boards

RTTS_MS = (0, 100)
_MODULE = "firmware/updates/trial.py"
_OURS = (f"$aws/things/{THING}/jobs/", f"$aws/things/{THING}/streams/")
Edit = tuple[str, str, str]  # path, text, what comes in its place
# One change each, in one module.
EDITS: dict[str, Edit] = {
    "a text": (_MODULE, "update: good, {} stays", "update: good, {} stays for now"),
    "a number": (_MODULE, "const(900)", "const(901)"),
    "a new local variable": (
        _MODULE,
        "    heard =",
        "    link_up = link.up\n    heard = link_up and",
    ),
    "a new function": (
        _MODULE,
        "def failed(why):",
        "def _known(why):\n    return why in _WHY\n\n\ndef failed(why):\n    _known(why)",
    ),
    "a new method of the app": (
        "firmware/app.py",
        "    def on_ack(",
        "    def tried(self):\n        return self.trial\n\n    def on_ack(",
    ),
    "a new attribute of the app": (
        _MODULE,
        "        app.trial = False",
        "        app.trial = False\n        app.tried_s = app.clock.s",
    ),
}


@dataclass(frozen=True)
class Cost:
    """Of one update; pairs are (sent by the board, got by it). ``seconds`` by round trip in ms."""

    files: int
    fetched_bytes: int
    messages: tuple[int, int]
    payload: tuple[int, int]
    carried: tuple[int, int]
    seconds: dict[int, float]


class Whole(Proxy):
    """Counts on where another connection follows: ``total``, (up, down)."""

    total = 0, 0
    _now = 0, 0

    @property
    def carried(self) -> tuple[int, int]:
        """Of the newest connection."""
        return self._now

    @carried.setter
    def carried(self, now: tuple[int, int]) -> None:
        before = self._now if now != (0, 0) else (0, 0)
        up, down = (n - b for n, b in zip(now, before, strict=True))
        self.total = self.total[0] + up, self.total[1] + down
        self._now = now


def tree(*edits: Edit, more: bytes = b"") -> dict[str, bytes]:
    """The firmware's files on an ESP32: with ``edits``, each source beginning with ``more``."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        source = Path(scratch)
        for path, data in stage.sources(stage.ROOT).items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes(more + data)
        for path, text, other in edits:
            before = (source / path).read_text("utf-8")
            if text not in before:
                raise SystemExit(f"{path} has no longer {text!r}: mend bench/bench_update.py")
            (source / path).write_text(before.replace(text, other, 1), "utf-8")
        files = stage.firmware(source, boards.get("esp32"), keys=source)
    kept = stage.VERSION_FILE
    return {p: d for p, d in files.items() if p.startswith("firmware/") and p != kept}


def changed(*edits: Edit, more: bytes = b"") -> dict[str, bytes]:
    """The files that become others by this."""
    before = tree()
    return {p: data for p, data in tree(*edits, more=more).items() if before.get(p) != data}


def touched() -> list[list[str]]:
    """A row for each of EDITS: how many files differ."""
    rows = [["a change of one line", "files that differ", "their bytes"]]
    for what, edit in EDITS.items():
        found = changed(edit)
        rows.append([what, f"{len(found)} of {len(tree())}", f"{sum(map(len, found.values())):,}"])
    return rows


@contextmanager
def heard(sizes: list[int]) -> Iterator[None]:
    """Note the payloads of what is delivered of job and stream."""
    deliver = Connection.deliver

    def noted(self: Connection, message: Message) -> None:
        if message.topic.startswith(_OURS):
            sizes.append(len(message.payload))
        deliver(self, message)

    with patch.object(Connection, "deliver", noted):
        yield


def update(kit: Kit, files: Mapping[str, bytes], rtt_ms: int, folder: Path, scale: float) -> Cost:
    """Update one board to a release with ``files`` in place of its own."""
    with redirect_stdout(io.StringIO()), Field(kit, folder, scale) as field:
        broker = field.broker
        broker.tls_version = "1.2"
        proxy = Whole(broker.port)
        path = field.folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"port": proxy.port}))
        field.start()
        proxy.rtt_s = rtt_ms / 1000 / scale
        made = kit.release(changed=files)
        got: list[int] = []
        mark, before, began = len(broker.messages), proxy.total, time.monotonic()
        with heard(got):
            field.offer(made)
            ended = field.ended(timeout_s=600)
        took_s = (time.monotonic() - began) * scale
        if ended.status != "SUCCEEDED" or broker.violations:
            raise SystemExit(f"{ended}\n{broker.story()}")
        packets = [packet for _, _, packet in broker.messages[mark:]]
        sent = [len(p.payload) for p in packets if p.topic.startswith(_OURS)]
        carried = proxy.total[0] - before[0], proxy.total[1] - before[1]
        names = [*files, stage.VERSION_FILE]
        size = sum(len(made.contents()[name]) for name in names)
        pairs = (len(sent), len(got)), (sum(sent), sum(got)), carried
        return Cost(len(names), size, *pairs, {rtt_ms: took_s})


def measured(scale: float = 1, rtts: tuple[int, ...] = RTTS_MS) -> dict[str, Cost]:
    """One module, and the whole tree; the counts are those of the last round trip."""
    found: dict[str, Cost] = {}
    kinds = {"one module": changed(EDITS["a text"]), "the whole tree": changed(more=b"#\n")}
    with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
        kit = Kit(Path(scratch), toolchain.umqtt_dir())
        for name, files in kinds.items():
            seconds: dict[int, float] = {}
            for rtt in rtts:
                cost = update(kit, files, rtt, Path(scratch, f"{len(found)}-{rtt}"), scale)
                seconds |= cost.seconds
            found[name] = Cost(**vars(cost) | {"seconds": seconds})
    return found


def rows(found: Mapping[str, Cost]) -> list[list[str]]:
    """The table: a column for each of ``found``."""

    def row(what: str, cell: Callable[[Cost], Any]) -> list[str]:
        return [what, *(f"{cell(cost)}" for cost in found.values())]

    def pair(what: str, cell: Callable[[Cost], tuple[int, int]]) -> list[str]:
        return row(what, lambda cost: "{:,}, {:,}".format(*cell(cost)))

    def time_at(rtt: int) -> list[str]:
        return row(f"seconds, round trip {rtt} ms", lambda cost: f"{cost.seconds[rtt]:.0f}")

    return [
        ["an update by air", *found],
        row("files fetched, bytes", lambda cost: f"{cost.files}, {cost.fetched_bytes:,}"),
        pair("messages of job and stream, sent, got", lambda cost: cost.messages),
        pair("their payloads, bytes", lambda cost: cost.payload),
        pair("TCP bytes of everything, sent, got", lambda cost: cost.carried),
        *map(time_at, next(iter(found.values())).seconds),
    ]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="bench update")
    parser.add_argument("--markdown", action="store_true", help="as in docs/updates.md")
    given = parser.parse_args()
    for lines in (rows(measured()), touched()):
        if given.markdown:
            lines.insert(1, ["---"] * len(lines[0]))
        for what, *cells in lines:
            plain = " ".join([f"{what:40}", *(f"{cell:>22}" for cell in cells)])
            print(f"| {' | '.join([what, *cells])} |" if given.markdown else plain)
        print()


if __name__ == "__main__":
    main()
