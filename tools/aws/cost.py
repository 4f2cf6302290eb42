"""What a fleet costs a month on AWS IoT Core, estimated from the published prices.

Prices and metering: aws-facts.md 10 (third-party copies of AWS's page, read on `PRICES_OF`).
Counted: CONNECT, SUBSCRIBE, PUBLISH in and out, and each PUBACK a device sends, per 5 KB begun; a
ping, and what AWS acknowledges, is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

PRICES_OF = "2026-09-20"
MINUTES = 43_800  # a month of 730 hours
_M = 1e-6


@dataclass(frozen=True)
class Prices:
    """USD per single unit; ``messages`` are (up to how many, price) tiers."""

    minute: float = 0.08 * _M
    messages: tuple[tuple[float, float], ...] = (
        (1e9, 1.00 * _M),
        (5e9, 0.80 * _M),
        (float("inf"), 0.70 * _M),
    )
    shadow: float = 1.25 * _M  # per KB begun
    rule: float = 0.15 * _M  # triggered
    action: float = 0.15 * _M


PRICES = {
    "us-east-1": Prices(),  # and eu-west-1 and their class
    "ap-northeast-1": Prices(
        minute=0.096 * _M,
        messages=((1e9, 1.20 * _M), (5e9, 0.96 * _M), (float("inf"), 0.84 * _M)),
    ),
}


@dataclass(frozen=True)
class Usage:
    """What is estimated. ``actions`` are those of the topic rule; 0 means there is no rule."""

    things: int
    interval_s: int
    actions: int = 0
    basic_ingest: bool = False
    qos0: bool = False  # devices subscribe at QoS 0
    reports_per_hour: float = 1.0  # of the device's facts to its shadow (firmware/device_info.py)
    reconnects_per_day: float = 1.0


def estimate(usage: Usage, prices: Prices = PRICES["us-east-1"]) -> dict[str, float]:
    """USD a month: connectivity, messaging, shadow, rules, and their total."""
    readings = MINUTES * 60 / usage.interval_s
    reports = usage.reports_per_hour * MINUTES / 60
    reconnects = usage.reconnects_per_day * MINUTES / (24 * 60)
    acknowledged = 1 if usage.qos0 else 2  # a delivery, and at QoS 1 the device's PUBACK
    messages = 0.0 if usage.basic_ingest else readings
    # An update and its `accepted`; a connection is CONNECT, SUBSCRIBE, status, shadow get and its
    # answer, then one report.
    messages += reports * (1 + acknowledged)
    messages += reconnects * (4 + acknowledged + 1 + acknowledged)
    operations = reports + reconnects * 2
    rules = readings * (prices.rule + usage.actions * prices.action) if usage.actions else 0.0
    parts = {
        "connectivity": usage.things * MINUTES * prices.minute,
        "messaging": _tiered(usage.things * messages, prices),
        "shadow": usage.things * operations * prices.shadow,
        "rules": usage.things * rules,
    }
    return parts | {"total": sum(parts.values())}


def _tiered(count: float, prices: Prices) -> float:
    total = below = 0.0
    for up_to, price in prices.messages:
        total += max(0.0, min(count, up_to) - below) * price
        below = up_to
    return total


def savings(usage: Usage, prices: Prices = PRICES["us-east-1"]) -> list[tuple[str, float]]:
    """What would lower it: (advice, USD saved a month), the most first."""
    now = estimate(usage, prices)["total"]
    slower = 2 * usage.interval_s
    ideas = {
        f"a reading every {slower} s": replace(usage, interval_s=slower),
        "subscriptions at QoS 0; a missed delta is found at the next shadow get": replace(
            usage, qos0=True
        ),
    }
    if not usage.basic_ingest:
        # It reaches rules only, so the comparison has one.
        ideas[
            "telemetry_topic $aws/rules/RULE/devices/{thing}/data (Basic Ingest; rules only)"
        ] = replace(usage, basic_ingest=True, actions=max(1, usage.actions))
    found = [(text, now - estimate(idea, prices)["total"]) for text, idea in ideas.items()]
    return sorted(((t, s) for t, s in found if s > 0), key=lambda pair: -pair[1])
