"""What is known of a thing, from wherever it came, each value in its type and range or not at all.

Who holds a thing's certificate can publish anything; texts are made harmless (tools/wire.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from firmware.core.optional import DEFAULTS
from firmware.core.quantities import rows
from tools import wire
from tools.aws.shadow import newest
from tools.things.values import SETTINGS

_TOGETHER_S = 2  # birth message and shadow of one connect
AHEAD_S = 60  # a time that much in the future is none
_LONGEST_SLEEP_S = 500 * 86_400  # the largest batch of the longest interval (core/optional.py)
QUANTITY_NAMES = tuple(row[0] for row in rows())
# Facts of the shadow that the birth message has too: not there means null (docs/aws.md).
FACTS = {
    *("firmware", "board_id", "other_board", "reset_cause", "safe_mode", "last_crash"),
    *("idf_heap_bytes", "tls_verified", "rssi_dbm", "free_heap_bytes", "sensor_found"),
    *("sensor_last_error", "dropped_readings"),
}
_READING: dict[str, tuple[float, float]] = {  # what a reading says -> lowest, highest
    "timestamp": (0, wire.LAST_TIME),
    "seq": (0, wire.LAST_SEQ),
    **dict.fromkeys(QUANTITY_NAMES, (-wire.WIDEST, wire.WIDEST)),
}


@dataclass
class Evidence:
    """What has been found out about one thing; None: there is none, or it was not asked for.

    Times are Unix seconds of this computer or of AWS. ``unknown`` names what could not be asked,
    with the reason.
    """

    thing: str
    status: Mapping[str, Any] | None = None  # the retained birth message or last will
    status_at: float | None = None  # when AWS got it (lastModifiedTime)
    reading: Mapping[str, Any] | None = None  # the last telemetry that was heard
    heard_at: float | None = None  # when it arrived
    listened_s: float = 0.0  # how long telemetry has been listened for, until now
    shadow: Mapping[str, Any] | None = None  # the document: state, metadata
    connection: Mapping[str, Any] | None = None  # the answer of GetConnection
    certificates: tuple[tuple[str, str], ...] | None = None  # (id, status)
    certified_at: float | None = None  # when the newest of them was made
    unknown: dict[str, str] = field(default_factory=dict)
    lost: int | None = None  # gaps in seq that nothing waiting explains (watch.Tally)
    topic: str = ""  # of its readings, as far as is known
    waiting: int | None = None  # where it was counted, and is newer than what the board says


def reading_of(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a reading says, every number in its range; None when it is none.

    Keys: timestamp (Unix seconds), temperature, seq, humidity ..., and time, if "estimated".
    """
    given = document or {}
    found = {key: given[key] for key in _READING if key in given}
    sound = all(wire.number(value, *_READING[key]) for key, value in found.items())
    if not sound or not {"timestamp", "temperature"} <= found.keys():
        return None
    if given.get("time") == "estimated":
        found["time"] = "estimated"
    return found


class Facts:
    """What the board says of itself: by its birth message and its shadow, the newer one first."""

    def __init__(self, e: Evidence, now: float) -> None:
        metadata, reported = part(e.shadow, "metadata"), part(part(e.shadow, "state"), "reported")
        told = newest(metadata.get("reported")) if reported else 0
        self.shadow_at = told if wire.number(told, 1, now + AHEAD_S) else None
        self.interval_desired_at = newest(part(metadata, "desired").get("interval_s"))
        self.status_at = e.status_at
        status = e.status or {}
        self.online = status["online"] if isinstance(status.get("online"), bool) else None
        # The birth message of a board that sleeps says that it is not online; a will has no facts.
        asleep = self.online is False and "firmware" in status
        self.birth = status if self.online or asleep else {}
        self.birth_at = self.status_at if self.birth else None
        self.reported = reported
        # One without the facts says nothing of them: refused as too large, or of others' making.
        told_s = self.shadow_at if self.shadow_at and reported.get("firmware") else 0
        said = [(self.birth_at or 0, self.birth), (told_s, reported)]
        (old_s, old), (new_s, new) = sorted(said, key=lambda pair: pair[0])
        # In the same moment the board has said both, perhaps before it had found its sensor.
        self._both = {**old, **new} if new_s - old_s <= _TOGETHER_S else new
        self.known = bool(self.birth or reported.get("firmware"))
        self.at = new_s or None
        signs = (self.shadow_at, self.status_at, e.heard_at)
        self.seen_at = max((at for at in signs if at), default=None)
        self.batch = self.number("batch", 1, 500) or cast(int, DEFAULTS["batch"])
        self.asleep_until = self._asleep_until(status, now) if self.online is False else None

    def _asleep_until(self, status: Mapping[str, Any], now: float) -> int | None:
        """When it connects again; None: it is not one that sleeps.

        One that does not know the time says null, or nothing in its birth message.
        """
        slept_at = self.status_at or now
        until = status.get("asleep_until")
        if until is not None:
            believed = wire.number(until, 1, slept_at + _LONGEST_SLEEP_S + AHEAD_S)
            return int(until) if believed else None
        if not self.birth and "asleep_until" not in status:
            return None
        interval_s = self.number("interval_s", 1, 86_400) or cast(int, SETTINGS["interval_s"])
        return int(slept_at) + self.batch * interval_s

    def _get(self, key: str) -> Any:
        if key in self._both:
            return self._both[key]
        # The shadow has settings that no birth has, the birth facts that no shadow has.
        if key in SETTINGS:
            return self.reported.get(key)
        return None if key in FACTS else self.birth.get(key)

    def number(self, key: str, low: float, high: float) -> int | None:
        """A whole number in its range, else None."""
        value = self._get(key)
        return int(value) if wire.number(value, low, high) else None

    def text(self, key: str) -> str | None:
        """A text that may be shown, else None."""
        value = self._get(key)
        return wire.short(value) if isinstance(value, str) and value else None

    def true(self, key: str) -> bool:
        return self._get(key) is True


def part(document: Any, key: str) -> Mapping[str, Any]:
    """``document[key]`` if both are JSON objects, else an empty one."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}
