"""The grader fails what must fail: it is known to, before it may judge the firmware."""

from __future__ import annotations

import random

import pytest

from firmware.core.timing import pause_ms
from tests.e2e.advisor.grader import FAIL, LEAST, PASS, WARN, Grade, grade, worst
from tests.e2e.limits import limit_ms

SEEDS = range(2000)
_BACKOFF = ("BASE_MS", "CAP_MS")


def exponential(count: int, base: float = 1.0, cap: float = 60.0) -> list[float]:
    return [min(cap, base * 2**n) for n in range(count)]


def noisy(waits: list[float], seed: int = 1, share: float = 0.02) -> list[float]:
    """As measured: a late timer, a slow handshake."""
    chance = random.Random(seed)
    return [wait * chance.uniform(1, 1 + share) + chance.uniform(0, 0.15) for wait in waits]


@pytest.mark.parametrize("wait", [0.5, 1, 5, 30, 60])
@pytest.mark.parametrize("count", [5, 12])
def test_constant_fails(wait: float, count: int) -> None:
    assert grade([wait] * count) == Grade(FAIL, "constant")
    assert grade(noisy([wait] * count)).result == FAIL
    assert grade(noisy([0.1, *[wait] * count])).result == FAIL


@pytest.mark.parametrize("step", [1, 5, 10])
@pytest.mark.parametrize("count", [5, 12])
def test_linear_fails(step: float, count: int) -> None:
    waits = [step * n for n in range(1, count + 1)]
    assert grade(waits) == Grade(FAIL, "linear")
    assert grade(noisy(waits)) == Grade(FAIL, "linear")
    assert grade(noisy([10 + wait for wait in waits])).result == FAIL


def test_linear_up_to_a_cap_fails() -> None:
    assert grade(noisy([5, 10, 15, 20, 25, 30, 30, 30, 30, 30])) == Grade(FAIL, "linear")


@pytest.mark.parametrize("seed", range(50))
def test_jitter_without_growth_fails(seed: int) -> None:
    chance = random.Random(seed)
    waits = [chance.uniform(5, 10) for _ in range(12)]
    assert grade(waits).result == FAIL, waits
    # A backoff that starts anew with every connection is no backoff.
    reset = [chance.uniform(0.5, 1) for _ in range(12)]
    assert grade(reset).result == FAIL, reset


@pytest.mark.parametrize("count", [5, 8, 12])
@pytest.mark.parametrize("base", [0.5, 1, 2])
def test_strictly_exponential_is_a_warning(count: int, base: float) -> None:
    assert grade(exponential(count, base)) == Grade(WARN, "strictly exponential")
    assert grade(noisy(exponential(count, base))).result == WARN


@pytest.mark.parametrize("seed", range(50))
def test_a_little_jitter_is_a_warning(seed: int) -> None:
    chance = random.Random(seed)
    waits = [wait * chance.uniform(0.9, 1.1) for wait in exponential(7)]
    assert grade(waits).result == WARN, waits


def test_full_jitter_passes() -> None:
    bad = []
    for seed in SEEDS:
        chance = random.Random(seed)
        waits = noisy([chance.uniform(0, top) for top in exponential(11)], seed)
        bad += [seed] * (grade(waits).result != PASS)
    assert len(bad) <= len(SEEDS) // 1000, bad


def test_equal_jitter_passes() -> None:
    bad = []
    for seed in SEEDS:
        chance = random.Random(seed)
        waits = [chance.uniform(top / 2, top) for top in exponential(11)]
        bad += [seed] * (grade(waits).result == FAIL)
    assert not bad


@pytest.mark.parametrize("count", [10, 11])
def test_the_firmware_s_own_backoff_passes_with_any_jitter(count: int) -> None:
    """So that a run of the advisor does not fail by chance."""
    bad = [seed for seed in SEEDS if grade(own(seed, count)).result != PASS]
    assert len(bad) <= len(SEEDS) // 1000, bad


@pytest.mark.parametrize("count", [10, 11])
def test_nor_does_it_fail_when_each_attempt_takes_ten_seconds(count: int) -> None:
    """CONNECT to CONNECT, as AWS measures, with the wait for CONNACK in it."""
    waits = {seed: [10 + wait for wait in own(seed, count)] for seed in SEEDS}
    bad = [seed for seed, each in waits.items() if grade(each).result == FAIL]
    assert len(bad) <= len(SEEDS) // 1000, bad


def own(seed: int, count: int) -> list[float]:
    draw, limits = random.Random(seed).randrange, [limit_ms(n) for n in _BACKOFF]
    return [pause_ms(draw, failures + 1, *limits) / 1000 for failures in range(count)]


def test_too_few_waits_are_no_ground_to_judge() -> None:
    with pytest.raises(ValueError, match="too few"):
        grade([1.0] * (LEAST - 1))


def test_the_worst_counts() -> None:
    good, so_so, bad = Grade(PASS, "a"), Grade(WARN, "b"), Grade(FAIL, "c")
    assert worst(good, so_so) == so_so
    assert worst(bad, good, so_so) == bad
    assert worst(good) == good
