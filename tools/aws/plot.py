"""`watch --plot`: the temperatures as a picture."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.aws.watch import Watch
from tools.errors import ToolError


def plotter() -> Callable[[Watch, Path], None]:
    """A function that draws the temperatures into a file; ToolError without matplotlib."""
    try:
        from matplotlib import dates
        from matplotlib.figure import Figure
    except ImportError as e:
        raise ToolError("--plot needs matplotlib, which is not installed", "make setup") from e

    def draw(watch: Watch, file: Path) -> None:
        figure = Figure(figsize=(10, 5), layout="constrained")
        axes: Any = figure.subplots()
        for name, thing in watch.things.items():
            if thing.series:
                moments = [dt.datetime.fromtimestamp(at) for at, _ in thing.series]
                axes.plot(moments, [value for _, value in thing.series], label=name)
        axes.xaxis.set_major_formatter(dates.AutoDateFormatter(axes.xaxis.get_major_locator()))
        axes.set_ylabel("°C")
        axes.grid(True)
        if axes.lines:
            axes.legend()
        try:
            figure.savefig(file)
        except (OSError, ValueError) as e:
            raise ToolError(f"cannot draw {file}: {e}") from e

    return draw
