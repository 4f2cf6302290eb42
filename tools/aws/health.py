"""Health of a thing: one judgement, made of all that is known of it. Nothing here asks anybody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from firmware.core.schema import DEFAULTS
from tools import wire
from tools.aws.facts import AHEAD_S, Evidence, Facts, part, reading_of

STATES = ("offline", "late", "never", "unknown", "asleep", "online")
_INTERVAL_S = cast(int, DEFAULTS["interval_s"])
_LATE = 3  # a reading is late after so many intervals,
_SLACK_S = 10.0  # and this, for the way it has to go
_FACTS_S = 2 * 3600.0  # a board that is online reports itself every hour (docs/aws.md)
AWAKE_S = 5.0  # one that sleeps by its status may have just said so
_OVERSLEPT_S = 120.0  # to wake, connect and say so, and
_OSCILLATOR = 0.05  # of the time asleep: no more does the firmware put right (power.py)
_RECENT_S = 86_400  # a restart or crash is a problem for a day
_SOUND_RESETS = ("pwron", "power_on", "hard", "soft", "deepsleep", "repl")
_TEXTS = ("sensor_last_error", "reset_cause", "other_board")
_NUMBERS = {
    "sensor_errors": (0, wire.LAST_SEQ),
    "rssi_dbm": (-200, 50),
    "free_heap_bytes": (0, 2**31),
    "boots": (0, wire.LAST_SEQ),
    "uptime_s": (0, wire.LAST_TIME),
}
# Worst first: the order of problems in a table, and of things with the same state.
PROBLEMS = (
    "safe_mode", "other_board", "certificate", "sensor", "offline", "late", "overdue", "lost",
    "dropped",
    "clock", "config", "rejected", "restart",
)  # fmt: skip


class Problem(NamedTuple):
    """``key`` is one of PROBLEMS, ``text`` what a person reads."""

    key: str
    text: str


@dataclass(frozen=True)
class Health:
    """The judgement. The names are those of `things --json`; None: not known."""

    thing: str
    state: str  # one of STATES
    problems: tuple[Problem, ...]
    seen_at: float | None  # the newest sign of life
    since: float | None  # of a thing that is offline or asleep
    interval_s: int | None  # that is in force
    reading: Mapping[str, Any]  # quantities, seq, timestamp, time of the last one heard
    last_reading_at: float | None  # when it was measured
    last_reading_age_s: float | None
    asleep_until: int | None
    sensor: str | None  # "none": the board has found none
    sensor_last_error: str | None  # stays when the sensor works again
    sensor_errors: int | None
    waiting: int | None  # readings on the board
    lost: int | None  # readings that neither came nor wait; only who listens all the time knows
    dropped: int | None  # readings lost on the board, ever
    rssi_dbm: int | None
    free_heap_bytes: int | None
    boots: int | None  # starts since the board's settings were last erased
    reset_cause: str | None
    uptime_s: int | None
    version: str | None  # of the firmware
    clock: str | None  # "known", "estimated", "unknown"
    other_board: str | None
    certificates: tuple[tuple[str, str], ...] | None
    certificate_age_s: float | None
    unknown: Mapping[str, str]

    @property
    def healthy(self) -> bool:
        """It does what it is there for, as far as is known."""
        return self.state in ("online", "asleep") and not self.problems

    def wakes_in_s(self, now: float) -> float:
        """How long it will not be heard of; 0 for one that does not sleep, or is overdue."""
        return (self.asleep_until or 0) - now if self.state == "asleep" else 0.0

    @property
    def age_known(self) -> bool:
        """False: the last reading is at most so old, a newer one may have come unheard."""
        return bool(self.reading) or (self.last_reading_age_s or 0) < (self.interval_s or 0)


def assess(e: Evidence, now: float) -> Health:
    """The health of the thing of ``e`` at ``now`` (Unix seconds)."""
    facts = Facts(e, now)
    reading = reading_of(e.reading) or {}
    interval_s = facts.number("interval_s", 1, 86_400)
    measured = [reading.get("timestamp"), facts.number("last_reading", 1, now + AHEAD_S)]
    last_at = max((m for m in measured if m and m <= now + AHEAD_S), default=None)
    late = None  # of one that sleeps nothing is due before it wakes
    if facts.asleep_until is None:
        late = _late(e, facts, interval_s or _INTERVAL_S, last_at, now)
    state, text, since = _state(e, facts, late, now)
    sensor = facts.text("sensor_found") or ("none" if _no_sensor(facts, last_at) else None)
    clock = _clock(facts, reading)
    problems = [*_problems(facts, sensor, clock, now), *_known_here(e)]
    # Without a sensor all is said.
    problems += [text] if text and not (sensor == "none" and text.key == "late") else []
    rest: dict[str, Any] = {key: facts.text(key) for key in _TEXTS}
    rest |= {key: facts.number(key, *limits) for key, limits in _NUMBERS.items()}
    return Health(
        thing=e.thing,
        state=state,
        problems=tuple(sorted(problems, key=lambda p: PROBLEMS.index(p.key))),
        seen_at=facts.seen_at,
        since=since,
        interval_s=interval_s,
        reading=reading,
        last_reading_at=last_at,
        last_reading_age_s=None if last_at is None else max(0.0, now - last_at),
        asleep_until=facts.asleep_until,
        sensor=sensor,
        clock=clock,
        certificates=e.certificates,
        certificate_age_s=max(0.0, now - e.certified_at) if e.certified_at else None,
        unknown=e.unknown,
        version=facts.text("firmware"),
        waiting=_waiting(e, facts, reading, interval_s or 0),
        lost=e.lost,
        dropped=facts.number("dropped_readings", 0, wire.LAST_SEQ),
        **rest,
    )


def sleeper(e: Evidence, now: float) -> Health | None:
    """The health of the thing of ``e``, if it is one that sleeps."""
    h = assess(e, now)
    return h if h.asleep_until else None


def _waiting(e: Evidence, facts: Facts, reading: Mapping[str, Any], interval_s: int) -> int | None:
    """How many readings are on the board, as was counted here or it has said last."""
    if e.waiting is not None:
        return e.waiting
    # They are sent in order: behind one that is younger than the interval there is no other.
    behind_s = (e.heard_at or 0) - reading.get("timestamp", 0)
    if e.heard_at and e.heard_at >= (facts.birth_at or 0) and 0 <= behind_s < interval_s:
        return 0
    waiting = facts.number("waiting_readings", 0, wire.LAST_SEQ)
    # A board that sleeps says it before it sends them: of a batch none is left then.
    drained = facts.asleep_until is not None and (waiting or 0) <= facts.batch
    return None if drained else waiting


def _no_sensor(facts: Facts, last_at: float | None) -> bool:
    """The board says so, and no reading is newer than that."""
    return facts.known and facts.at is not None and (last_at is None or last_at < facts.at - 1)


def _late(
    e: Evidence, facts: Facts, interval_s: int, last_at: float | None, now: float
) -> str | None:
    """Why its readings do not come as they should; None if they do, or nobody can know."""
    allowed_s = _LATE * interval_s + _SLACK_S
    every = f"it measures every {span(interval_s)}"
    silent_s = min(e.listened_s, now - (e.heard_at or 0))
    if silent_s > allowed_s:
        return f"no reading for {span(silent_s)}; {every}"
    if e.heard_at is not None:
        return None
    if facts.text("sensor_found") is None and _no_sensor(facts, last_at):
        return "no reading comes without a sensor"
    # It did not measure so often then when the interval was desired later.
    if facts.birth_at and last_at and facts.interval_desired_at <= facts.birth_at:
        up_s = facts.number("uptime_s", 0, wire.LAST_TIME) or 0
        behind_s = facts.birth_at - last_at
        if min(behind_s, up_s) > allowed_s:
            return f"the last reading was {span(behind_s)} old when it reported; {every}"
    if facts.seen_at and now - facts.seen_at > _FACTS_S:
        return f"not heard of for {span(now - facts.seen_at)}; it reports itself every hour"
    return None


def _state(
    e: Evidence, facts: Facts, late: str | None, now: float
) -> tuple[str, Problem | None, float | None]:
    """The state, the problem it is, and since when."""
    connected = e.connection.get("connected") if e.connection else None
    if not isinstance(connected, bool):
        connected = facts.online
        # A will that came late does not end the session after it.
        later = e.heard_at is not None and e.heard_at > (facts.status_at or 0)
        if later and late is None and facts.asleep_until is None:
            connected = True
    since = facts.status_at if facts.online is False else None
    if connected:
        return ("late", Problem("late", late), None) if late else ("online", None, None)
    if facts.asleep_until is not None:
        over_s = now - facts.asleep_until
        slept_s = max(0.0, facts.asleep_until - (since or now))
        if over_s <= _OVERSLEPT_S + _OSCILLATOR * slept_s:
            return "asleep", None, since
        return "late", Problem("overdue", f"overdue for {span(over_s)}"), since
    if connected is False:
        gone = (e.connection or {}).get("disconnectedSince")
        if wire.number(gone, 1, wire.LAST_TIME * 1000):
            since = float(gone) / 1000  # type: ignore[arg-type]
        for_s = f" for {span(now - since)}" if since else ""
        return "offline", Problem("offline", f"not connected{for_s}"), since
    if facts.seen_at is None and not e.unknown:
        return "never", None, None
    return ("late", Problem("late", late), None) if late else ("unknown", None, None)


def _clock(facts: Facts, reading: Mapping[str, Any]) -> str | None:
    if facts.birth_at and facts.text("clock_source") is None:
        return "unknown"
    if reading.get("time") == "estimated":
        return "estimated"
    return "known" if facts.birth_at or reading else None


def _problems(
    facts: Facts, sensor: str | None, clock: str | None, now: float
) -> Iterator[Problem]:
    crash = facts.text("last_crash")
    if facts.true("safe_mode"):
        yield Problem("safe_mode", f"safe mode: {crash or 'no crash is known'}")
    if other := facts.text("other_board"):
        yield Problem("other_board", f"another board uses this thing: {other}")
    if sensor == "none":
        error = facts.text("sensor_last_error") or "no sensor"
        yield Problem("sensor", error if "no sensor" in error else f"no sensor: {error}")
    if dropped := facts.number("dropped_readings", 1, wire.LAST_SEQ):
        yield Problem("dropped", f"{dropped} readings dropped")
    if clock in ("unknown", "estimated"):
        yield Problem("clock", f"clock {clock}")
    if problems := facts.birth.get("config_problems"):
        first = problems[0] if isinstance(problems, list) else problems
        yield Problem("config", f"config.json: {wire.short(first)}")
    if rejected := part(facts.reported, "rejected"):
        yield Problem("rejected", f"rejected: {wire.short(', '.join(rejected))}")
    cause, up_s = facts.text("reset_cause"), facts.number("uptime_s", 0, wire.LAST_TIME)
    recent = up_s is not None and up_s + now - (facts.birth_at or 0) < _RECENT_S
    if recent and cause and cause not in _SOUND_RESETS:
        yield Problem("restart", f"restarted: {cause}{': ' + crash if crash else ''}")


def _known_here(e: Evidence) -> Iterator[Problem]:
    """What is wrong without the board having said so."""
    if e.lost:
        yield Problem("lost", f"{e.lost} readings lost")
    states = [status for _, status in e.certificates or ()]
    if e.certificates is not None and "ACTIVE" not in states:
        text = f"certificate {states[-1]}" if states else "no certificate"
        yield Problem("certificate", wire.short(text))


def span(seconds: float) -> str:
    """A time in the largest unit that fits: "3 d", "12 min"."""
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds) // unit_s} {unit}"
    return f"{max(0, int(seconds))} s"


def worst_first(h: Health) -> tuple[Any, ...]:
    """A sort key: state and problems, then the natural order of names."""
    troubled = h.state in ("online", "asleep") and bool(h.problems)
    rank = STATES.index("late") + 0.5 if troubled else STATES.index(h.state)
    first = PROBLEMS.index(h.problems[0].key) if h.problems else len(PROBLEMS)
    return rank, first, natural(h.thing)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts demo-2 before demo-10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return tuple((0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in parts)
