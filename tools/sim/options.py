"""What `make sim` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError
from tools.sim import updating, world

_MOST_THINGS = 200


@dataclass(frozen=True)
class Options:
    thing: str = "demo-1"
    things: int = 1
    interval_s: int = 5
    sensor: str = world.DEFAULTS["sensor"]
    temperature: str = world.DEFAULTS["temperature"]
    scene: str | None = None  # what happens to the chips, in the language of scene.py
    board: str = "esp32"  # which of tools/things/boards.json they are
    duration_s: float | None = None
    svg: Path | None = None
    keep: bool = False
    chaos: str | None = None  # faults between boards and cloud, in the language of chaos.py
    lan: bool = False  # the MQTT port is open to the local network
    power: str = "mains"  # or "battery": they sleep between readings
    update: bool = False  # to a next version of this tree, once readings arrive

    def check(self) -> None:
        """ToolError for what cannot be."""
        if not 1 <= self.things <= _MOST_THINGS:
            raise ToolError(f"things: {self.things} is not 1 to {_MOST_THINGS}", "--things 20")
        if self.power not in ("mains", "battery"):
            raise ToolError(f"power: {self.power} is neither mains nor battery", "--power battery")
        if not 1 <= self.interval_s <= 86_400:
            raise ToolError(
                f"interval: {self.interval_s} is not 1 to 86400 seconds", "--interval 5"
            )
        if self.update:
            updating.check(self.board, self.power)
