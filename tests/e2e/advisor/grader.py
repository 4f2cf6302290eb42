"""Judges a backoff as Device Advisor does, from the waits between connection attempts.

AWS publishes the outcome for each shape, not the arithmetic: constant or linear fails, strictly
exponential or poorly jittered is a warning, growing and jittered passes. The thresholds are ours,
and test_grader.py shows on made-up series what they let through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PASS, WARN, FAIL = "PASS", "PASS_WITH_WARNINGS", "FAIL"
LEAST = 5
"""Fewer waits than this say nothing (RECONNECTION_ATTEMPTS starts there)."""

_NOISE_S = 0.4  # of the measurement: two processes, one machine
_SAME = 0.10  # this far apart, relatively, two waits count as equal
_LINE = 0.05  # this far from a straight line, relative to the longest wait, is still straight
_STRICT = 0.10  # this far from a power of the base is still no jitter
_POOR = 0.25  # and this far is hardly any
_GROWTH = 1.5  # the longest late wait over the longest early one


@dataclass(frozen=True)
class Grade:
    """``result`` and the shape that earned it."""

    result: str
    shape: str


def grade(waits_s: Sequence[float]) -> Grade:
    """Judge the waits of one device, in order, from a backoff at rest on."""
    if len(waits_s) < LEAST:
        raise ValueError(f"{len(waits_s)} waits are too few to judge")
    if _constant(waits_s) or _constant(waits_s[1:]):
        return Grade(FAIL, "constant")
    rise, capped = _rise(waits_s)
    if capped and len(rise) > 2 and _line(rise):
        return Grade(FAIL, "linear")
    early = max(waits_s[: max(2, len(waits_s) // 3)])
    if max(waits_s[len(waits_s) // 2 :]) < _GROWTH * early:
        return Grade(FAIL, "not growing")
    if capped and _near(rise, _power(rise), _STRICT):
        return Grade(WARN, "strictly exponential")
    if capped and len(rise) > 3 and _near(rise, _power(rise), _POOR):
        return Grade(WARN, "exponential, poor jitter")
    return Grade(PASS, "growing, with jitter")


def worst(*grades: Grade) -> Grade:
    """The gravest of several."""
    return max(grades, key=lambda g: (PASS, WARN, FAIL).index(g.result))


def _constant(waits_s: Sequence[float]) -> bool:
    mean = sum(waits_s) / len(waits_s)
    return max(waits_s) - min(waits_s) <= max(_NOISE_S, _SAME * mean)


def _rise(waits_s: Sequence[float]) -> tuple[Sequence[float], bool]:
    # The waits up to the cap, and whether all that follow stay at it.
    top = (1 - _SAME) * max(waits_s)
    end = next(n for n, wait in enumerate(waits_s) if wait >= top) + 1
    return waits_s[:end], all(wait >= top for wait in waits_s[end:])


def _line(waits_s: Sequence[float]) -> bool:
    slope, start = _fit(waits_s)
    allowed = max(_NOISE_S, _LINE * max(waits_s))
    return slope > 0 and all(
        abs(wait - start - slope * n) <= allowed for n, wait in enumerate(waits_s)
    )


def _power(waits_s: Sequence[float]) -> Callable[[int], float]:
    slope, start = _fit([math.log2(max(wait, 0.001)) for wait in waits_s])
    return lambda n: float(2 ** (start + slope * n))


def _near(waits_s: Sequence[float], model: Callable[[int], float], share: float) -> bool:
    return all(
        abs(wait - model(n)) <= max(_NOISE_S / 2, share * model(n))
        for n, wait in enumerate(waits_s)
    )


def _fit(values: Sequence[float]) -> tuple[float, float]:
    # Least squares over 0, 1, 2, …: slope and value at 0.
    count = len(values)
    middle, mean = (count - 1) / 2, sum(values) / count
    spread = sum((n - middle) ** 2 for n in range(count))
    slope = sum((n - middle) * (value - mean) for n, value in enumerate(values)) / (spread or 1)
    return slope, mean - slope * middle
