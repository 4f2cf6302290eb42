"""Which readings of a thing have come, by their `seq`: it counts up by one (docs/outbox.md)."""

from __future__ import annotations

_MOST_GAPS = 1000  # who may publish may leave as many out as there are numbers


class Tally:
    """Counts what has not come; each in order, late, twice, or from 1 again after an erase."""

    def __init__(self) -> None:
        self.top: int | None = None  # the newest that came
        self._gaps: list[tuple[int, int]] = []  # first that is missing, first that is not
        self._newest = 0.0

    def take(self, seq: int, timestamp: float) -> None:
        if self.top is None or (seq <= self.top and not self._fill(seq)):
            # Nothing before, one that came twice, or newer: then the flash was erased.
            if self.top is None or timestamp > self._newest:
                self.top = seq
        elif seq > self.top:
            if seq > self.top + 1:
                self._gaps = [*self._gaps, (self.top + 1, seq)][-_MOST_GAPS:]
            self.top = seq
        self._newest = max(self._newest, timestamp)

    def _fill(self, seq: int) -> bool:
        for gap in self._gaps:
            if gap[0] <= seq < gap[1]:
                parts = [(gap[0], seq), (seq + 1, gap[1])]
                self._gaps.remove(gap)
                self._gaps += [(a, b) for a, b in parts if a < b]
                return True
        return False

    def interrupted(self) -> None:
        """What comes now was not listened for: nobody knows what it missed."""
        self.top = None

    def missing(self, low: int, high: int) -> int:
        """How many from ``low`` to before ``high`` have not come, as far as they were due."""
        held = sum(max(0, min(b, high) - max(a, low)) for a, b in self._gaps)
        behind = 0 if self.top is None else max(0, high - max(self.top + 1, low))
        return held + behind
