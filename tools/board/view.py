"""What a person sees of a board being flashed: one line a step, a bar for the long ones."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from tools import wire


class Lines:
    """Steps as lines; with a terminal, a bar below them while something takes long."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(40),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name = ""

    def __enter__(self) -> Lines:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, name: str, text: str) -> None:
        """Print the line of a step; its bar is done with."""
        self._drop()
        self.console.print(Text.assemble((f"{name:<9}", "bold"), " ", wire.text(text, lines=True)))

    def progress(self, name: str, part: float) -> None:
        """Show how far a step is, 0 to 1."""
        if name != self._name:
            self._drop()
            self._task = self._bar.add_task(name, total=1.0)
            self._name = name
        if self._task is not None:
            self._bar.update(self._task, completed=part)

    def _drop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task, self._name = None, ""
