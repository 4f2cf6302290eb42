"""`make bench-flash`: a bench full of boards, several at once, each the next thing of the fleet.

A port is served once for each time a board is plugged in. A thing is taken only when a board has
said who it is, and goes back to the head of the queue when that board fails.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.board import bench_queue, esptool, firmware, flash, ports, prepare, program
from tools.board.bench_queue import Queue
from tools.board.bench_view import BenchView, PortView
from tools.board.esptool import Chip
from tools.board.firmware import Firmware
from tools.errors import ToolError
from tools.things import boards, fleet
from tools.things.boards import Board

_POLL_S = 0.5
_UNTIL = "config"  # on a bench there may be neither sensor nor Wi-Fi
_WAIT_S = 30.0
_CLAIM_WAIT_S = 120.0  # Wi-Fi, the time, a key, two sessions and a restart


@dataclass
class Bench:
    """What to do. ``ports``: only these (they count as plugged in); empty: every USB port.

    ``again``: a board that has a thing gets another. ``once``: end with the boards now there.
    ``claim``: gives a thing's file system with a claim in it, where things have no certificate
    yet; every thing fits every board then.
    """

    fleet: Path
    out: Path
    things: Path
    ports: tuple[str, ...] = ()
    board: str = ""
    firmware: Path | None = None
    baud: int = esptool.FAST_BAUD
    again: bool = False
    once: bool = False
    claim: Callable[[str, Board], Mapping[str, bytes]] | None = None
    flashed: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.ports = tuple(map(ports.choose, self.ports))
        self.queue = Queue(fleet.names(self.fleet), self.out)
        self._view = BenchView()
        self._builds: dict[str, Firmware] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve every board that is plugged in until the fleet is done; Ctrl-C ends it cleanly.

        A board that fails is named in its row and counted.
        """
        workers: dict[str, threading.Thread] = {}
        try:
            with self._view:
                while self._go_on(workers):
                    time.sleep(_POLL_S)
        except BaseException:
            program.kill_all()
            raise
        finally:
            for worker in workers.values():
                worker.join()

    def _go_on(self, workers: dict[str, threading.Thread]) -> bool:
        """Start a worker for each new board, forget pulled ones; False when all is done."""
        plugged = set(self.ports or (port.device for port in ports.found()))
        for port in sorted(plugged - workers.keys()):
            workers[port] = threading.Thread(target=self._serve, args=(port,), daemon=True)
            workers[port].start()
        busy = [port for port, worker in workers.items() if worker.is_alive()]
        for port in workers.keys() - plugged:
            if port not in busy:
                del workers[port]
        return bool(busy or (self.queue.waiting() and not self.once))

    def _serve(self, port: str) -> None:
        """One board, from start to end; never raises."""
        row = self._view.row(port)
        row.step("chip", "looking")
        try:
            self._one(port, row)
        except ToolError as e:
            with self._lock:
                self.failed += 1
            row.step("failed", f"{e.message}; try: {e.hint}" if e.hint else e.message)

    def _one(self, port: str, row: PortView) -> None:
        chip = esptool.identify(port)
        known = self.queue.thing_of(chip.mac)
        row.named(chip.mac, known)
        if known and not self.again:
            row.step("known", f"{chip.mac} is {known} already")
            return
        name = boards.of_chip(chip.name)
        kinds = self._kinds(name)
        thing = self.queue.take({t for t, kind in kinds.items() if kind.name == name})
        if not thing:
            raise ToolError(f"no thing is left for an {chip.name}", "add lines to the fleet file")
        row.named(chip.mac, thing)
        try:
            self._flash(port, chip, thing, kinds[thing], row)
        except BaseException:
            self.queue.give_back(thing)
            raise

    def _flash(self, port: str, chip: Chip, thing: str, kind: Board, row: PortView) -> None:
        folder = self.things / thing
        job = flash.Job(
            thing=thing,
            folder=folder,
            board=kind,
            port=port,
            tree=self.claim(thing, kind) if self.claim else prepare.tree(folder, kind),
            firmware=self._build(kind),
            baud=self.baud,
            wait_s=_CLAIM_WAIT_S if self.claim else _WAIT_S,
            until=_UNTIL,
        )
        result = flash.flash(job, row, chip)
        if result.outcome is not None and not result.outcome.ok:
            raise ToolError(f"written, but: {result.outcome.why}", result.outcome.remedy)
        made = bench_queue.Row(
            thing=thing,
            mac=chip.mac,
            chip=chip.name,
            board=kind.name,
            micropython=job.firmware.version,
            firmware=flash.version(job.tree),
            port=port,
            time=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        )
        _write_label(self.out, thing, chip.mac)
        self.queue.done(made)
        with self._lock:
            self.flashed += 1
        row.step("done", f"{thing} verified")
        self._view.label(thing, chip.mac)

    def _kinds(self, found: str | None) -> dict[str, Board]:
        """Waiting thing -> the board it was provisioned for; by a claim, the one ``found``."""
        things, waiting = self.things, self.queue.waiting()
        if self.claim:
            return {t: boards.get(self.board or found) for t in waiting} if found else {}
        return {t: prepare.board_of(things / t, self.board) for t in waiting}

    def _build(self, kind: Board) -> Firmware:
        with self._lock:  # one download, not one a port
            if kind.name not in self._builds:
                self._builds[kind.name] = firmware.obtain(kind, "", self.firmware)
            return self._builds[kind.name]


def _write_label(folder: Path, thing: str, mac: str) -> None:
    """Write the sticker's QR code, which reads `thing mac`, as SVG."""
    import segno

    segno.make(f"{thing} {mac}", error="m").save(str(folder / f"{thing}.svg"), scale=4)
