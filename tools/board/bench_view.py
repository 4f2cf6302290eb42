"""The bench as a table: one row a port, with what is on it and how far it is."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tools import wire

_STYLES = {"done": "green", "failed": "bold red", "known": "dim"}


@dataclass
class _Row:
    mac: str = ""
    thing: str = ""
    step: str = ""
    text: str = ""
    part: float | None = None


class BenchView:
    """Live rows on a terminal; a line for every change elsewhere (a log, a pipe)."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=5)

    def __enter__(self) -> BenchView:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def row(self, port: str) -> PortView:
        """The view that one port's worker writes to."""
        with self._lock:
            self._rows[port] = _Row()
        return PortView(self, port)

    def label(self, thing: str, mac: str) -> None:
        """Print the line for the sticker."""
        self.console.print(Text(wire.text(f"label  {thing}  {mac}"), "bold"))

    def update(self, port: str, step: str, text: str, part: float | None) -> None:
        """Change the row of ``port``."""
        step, text = wire.text(step), wire.text(text)
        with self._lock:
            row = self._rows[port]
            news = (step, text) != (row.step, row.text)
            row.step, row.text, row.part = step, text, part
        if news and part is None and not self.console.is_terminal:
            who = f"{row.thing} " if row.thing else ""
            self.console.print(f"{port}  {who}{step}: {text}", markup=False)

    def name(self, port: str, mac: str, thing: str) -> None:
        """Say which board is on ``port`` and what it becomes."""
        with self._lock:
            self._rows[port].mac, self._rows[port].thing = wire.text(mac), wire.text(thing)

    def _table(self) -> Table:
        table = Table("port", "board", "thing", "step", "", box=None, padding=(0, 2, 0, 0))
        with self._lock:
            for port, row in sorted(self._rows.items()):
                part = row.part
                bar = Text(row.text) if part is None else ProgressBar(1.0, part, width=30)
                known = (Text(cell) for cell in (port, row.mac, row.thing))
                table.add_row(*known, Text(row.step, _STYLES.get(row.step, "")), bar)
        return table


class PortView:
    """The part of the table that one worker writes to: a View of tools/board/flash.py."""

    def __init__(self, view: BenchView, port: str) -> None:
        self._view, self._port = view, port

    def step(self, name: str, text: str) -> None:
        """A step is done, or says something."""
        self._view.update(self._port, name, text, None)

    def progress(self, name: str, part: float) -> None:
        """How far a step is."""
        self._view.update(self._port, name, "", part)

    def named(self, mac: str, thing: str) -> None:
        """The board is known."""
        self._view.name(self._port, mac, thing)
