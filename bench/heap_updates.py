"""The heap that an update, a new certificate and a claim take of an ESP32, and what stays of it.

Against the scripted AWS of tests/e2e/updates.py, which plays jobs and streams. A trial is a board
on so many bytes: "off" and "idle" (does not hear jobs; does) run until readings arrive and the
shadow is reported; "update" and "rotation" (a request, its certificate) until the job has
SUCCEEDED under what was new; "claim" from a claim's first session to one under its own
certificate. A crash ends a trial. What is at work is the difference to "off".

    python -m bench.heap_updates                      all figures (make bench-heap shows them too)
    python -m bench.heap_updates --at 52000 update    one trial
"""

from __future__ import annotations

import argparse
import base64
import itertools
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from rich.console import Console
from rich.table import Table

from bench.bench_heap import smallest
from tests.e2e.rotations import Nursery
from tests.e2e.updates import THING, Field, Kit
from tools import toolchain

KINDS = ("off", "idle", "update", "rotation", "claim")
AT_WORK, RESIDENT = 6 * 1024, 400  # the limits of issue 12, in bytes
FULL = 56_000
_RANGE = (44 * 1024, FULL)
_STEP = 256
_LIMIT_S = 60.0
_LOOKS = 12

T = TypeVar("T")

_numbers = itertools.count(1)


class Lab:
    """A kit, with and without updates, and a folder for the boards."""

    def __init__(self, folder: Path, umqtt: Path) -> None:
        self.folder = folder
        self.kits = {on: Kit(folder / f"kit-{on}", umqtt, updates=on) for on in (False, True)}
        self.release = self.kits[True].release()

    def field(self, on: bool, heap: int, make: type[Field] = Field) -> Field:
        """A board without power."""
        folder = self.folder / f"board-{next(_numbers)}"
        folder.mkdir()
        return make(self.kits[on], folder, heap=f"esp32:{heap}")

    def failure(self, kind: str, heap: int) -> str:
        """Why a board does not get there, or ""."""
        with self.field(kind != "off", heap, Nursery if kind == "claim" else Field) as field:
            _give_up_at_a_crash(field)
            try:
                self._bring(kind, field)
            except (AssertionError, TimeoutError) as e:
                return crash(field) or (str(e).splitlines()[0] if str(e) else "failed")
            return crash(field)

    def _bring(self, kind: str, field: Field) -> None:
        if isinstance(field, Nursery):
            field.board.start()
            field.up()
            return
        field.start()
        field.reported(firmware=_version(field))
        if kind == "update":
            field.offer(self.release)
            _succeeded(field, "job-1")
        elif kind == "rotation":
            rotate(field, "a", _LIMIT_S)

    def smallest(self, kind: str) -> int | None:
        """The least heap in bytes, to 256."""
        low, high = (end // _STEP for end in _RANGE)
        found = smallest(lambda count: not self.failure(kind, count * _STEP), low, high)
        return found and found * _STEP

    def resident(self, jobs: int) -> tuple[int, int, int]:
        """Bytes that stay: for hearing jobs, once by the first of them (names), and by more."""
        with self.field(False, FULL) as field:
            settle(field)
            off = in_use(field)
        with self.field(True, FULL) as field:
            settle(field)
            idle = in_use(field)
            refused(field, 2, "first")
            before = in_use(field)
            refused(field, jobs, "more")
            return idle - off, before - idle, in_use(field) - before


def crash(field: Field) -> str:
    """The line in which a board says so, or ""."""
    lines = (line for line in list(field.board.log) if "crash: " in line or "cannot run" in line)
    return next(lines, "")


def _give_up_at_a_crash(field: Field) -> None:
    wait_for = field.broker.wait_for

    def until(look: Callable[[], T], timeout_s: float = 10.0) -> T:
        found: list[T] = []

        def ended() -> bool:
            found.append(look())
            return bool(found[-1] or crash(field))

        wait_for(ended, timeout_s)
        if not found[-1]:
            raise AssertionError(crash(field))
        return found[-1]

    field.broker.wait_for = until  # type: ignore[method-assign]


def settle(field: Field) -> None:
    """On, and until nothing of its start is left to be done: its id is stored last."""
    field.start()
    field.reported(firmware=_version(field))
    path = field.folder / "data/settings.json"
    field.broker.wait_for(lambda: path.exists() and "board_id" in path.read_text(), _LIMIT_S)


def refused(field: Field, count: int, name: str) -> None:
    """Jobs that the board ends by itself: no kind of ours, a false signature, a request."""
    false = bytearray(field.kit.release().data())
    false[len(field.kit.release().manifest) + 9] ^= 1
    for number in range(count):
        job = f"{name}-{number}"
        if number % 2:
            field.jobs.create(THING, job, {"fieldmouse": "csr"})
        else:
            size = len(field.kit.release().manifest)
            field.offer(bytes(false), job, version="9.0.0", manifest_bytes=size)
        ended = field.ended(job, _LIMIT_S)
        wanted = "SUCCEEDED" if number % 2 else "FAILED"
        assert ended.status == wanted, (ended.status, ended.details)


def rotate(field: Field, name: str, limit_s: float) -> None:
    """A request, and the certificate for it."""
    field.jobs.create(THING, f"csr-{name}", {"fieldmouse": "csr"})
    details = _succeeded(field, f"csr-{name}", limit_s)
    request = x509.load_der_x509_csr(base64.b64decode(details["csr"]))
    pem = field.kit.ca.issue(request).decode()
    document = {"fieldmouse": "certificate", "certificate": pem}
    field.jobs.create(THING, f"certificate-{name}", document)
    _succeeded(field, f"certificate-{name}", limit_s)


def _succeeded(field: Field, job: str, limit_s: float = _LIMIT_S) -> dict[str, str]:
    ended = field.ended(job, limit_s)
    assert ended.status == "SUCCEEDED", (ended.status, ended.details)
    return ended.details


def _version(field: Field) -> str:
    """As firmware/version.py on the board says it."""
    text = (field.folder / "firmware/version.py").read_text()
    (found,) = re.findall(r'^VERSION = "(.+)"', text, re.M)
    return str(found)


def in_use(field: Field) -> int:
    """Bytes of heap in use, as most of a few looks have it: messages and drivers come and go."""
    found = []
    for _ in range(_LOOKS):
        number, mark = next(_numbers), len(field.board.log)
        field.board.set(report_heap=number)
        line = field.board.wait_for(rf"sim: heap {number} in use (\d+)", _LIMIT_S, mark)
        found.append(int(line[1]))
        time.sleep(0.2)
    return statistics.median_low(found)


@contextmanager
def laboratory(umqtt: Path | None = None) -> Iterator[Lab]:
    """A Lab, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fieldmouse-bench-") as folder:
        yield Lab(Path(folder), umqtt or toolchain.umqtt_dir())


def measure(lab: Lab, console: Console) -> Table:
    """All figures."""
    table = Table("what", "bytes", "limit", title="updates: an ESP32, 32 bit")
    found = {}
    for kind in KINDS:
        with console.status(f"{kind}: searching the smallest heap"):
            found[kind] = lab.smallest(kind)
        table.add_row(f"smallest heap, {kind}", f"{found[kind] or f'over {FULL}'}", "")
    for kind in KINDS[2:]:
        base, with_it = found["off"], found[kind]
        text = f"{with_it - base:,}" if with_it and base else "?"
        table.add_row(f"at work, {kind}", text, f"{AT_WORK:,}")
    with console.status("what stays"):
        idle, names, grown = lab.resident(10)
    table.add_row("stays, to hear jobs", f"{idle:,}", f"{RESIDENT:,}")
    table.add_row("stays by the first jobs: names", f"{names:,}", "")
    table.add_row("growth over ten more", f"{grown:,}", "0")
    return table


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("kind", nargs="?", choices=KINDS, help="one trial, with --at")
    parser.add_argument("--at", type=int, default=FULL, metavar="BYTES")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    with laboratory() as lab:
        if options.kind:
            why = lab.failure(options.kind, options.at)
            console.print(f"{options.kind}, {options.at:,} bytes: {why or 'good'}")
            return bool(why)
        console.print(measure(lab, console))
    return 0


if __name__ == "__main__":
    sys.exit(main())
