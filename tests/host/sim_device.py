"""A device folder with a main.py of one's own, booted as a virtual board."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from tools.sim.board import VirtualBoard


class Workbench:
    """Makes folders that look staged, and boards out of them (fixture ``bench``)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.boards: list[VirtualBoard] = []

    def device(self, main: str, boot: str = "") -> Path:
        """A staged folder whose main.py is ``main``."""
        device = self._folder / f"device{len(list(self._folder.iterdir()))}"
        (device / "firmware").mkdir(parents=True)
        (device / "config.json").write_text("{}")
        (device / "boot.py").write_text(boot)
        (device / "main.py").write_text(textwrap.dedent(main))
        return device

    def board(self, main: str, boot: str = "", **options: Any) -> VirtualBoard:
        """A running board with that main.py."""
        return self.run(self.device(main, boot), **options)

    def run(self, device: Path, **options: Any) -> VirtualBoard:
        """A running board on a folder that was made before."""
        options = {"umqtt": self._umqtt(), **options}
        board = VirtualBoard(device, **options)
        self.boards.append(board)
        board.start()
        return board

    def _umqtt(self) -> Path:
        folder = self._folder / "umqtt-for-tests"
        (folder / "umqtt").mkdir(parents=True, exist_ok=True)
        (folder / "umqtt" / "simple.py").write_text("class MQTTClient:\n    pass\n")
        return folder
