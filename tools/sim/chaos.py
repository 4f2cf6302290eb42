"""What shall go wrong between board and cloud, and when: the language of ``CHAOS=``.

    latency=200ms,jitter=100ms,reset@10s,stall=37B@20s,halfopen=down@30s/5s,refuse@60s/10s*2m

A plan is a list of faults, joined by commas: ``KIND[=VALUE][@START][/LENGTH][*EVERY]``. START
counts from the plan's begin (0 when left out), LENGTH is how long the fault lasts, EVERY repeats
it.

    latency=TIME      each way; lasts for ever unless told otherwise, as do the next two
    jitter=TIME       up to so much more, another amount for every piece; the order stays
    bandwidth=SIZE    bytes a second, each way
    stall=[up:]SIZE   so many bytes pass, what follows is held back until the fault is over;
                      ``up`` is from the board, ``down`` (the default) to it
    halfopen=WAY      up, down or both: bytes vanish, and a connection that has lost some never
                      comes back, as behind a router that has forgotten it
    reset             every connection is reset; with a LENGTH new ones are too
    refuse            the broker is gone: connections are reset, new ones refused
    silent            the path is gone: bytes vanish, and nothing answers a new connection
    move              the broker moves to another address; its name gives the old one for LENGTH,
                      then the old and the new one
    nodns             the broker's name is unknown; open connections are reset once

``random:SEED`` is a mix drawn with that seed, new trouble every minute.
Times: ms, s, m. Sizes: B, KB, MB. Without a LENGTH a reset is over at once, and the others, from
``stall`` on, last ten seconds.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, replace

from tools.errors import ToolError

UP, DOWN = "up", "down"
WAYS = {UP: (UP,), DOWN: (DOWN,), "both": (UP, DOWN)}
SHAPING = ("latency", "jitter", "bandwidth")
BREAKING = ("stall", "halfopen", "reset", "refuse", "silent", "move", "nodns")
KINDS = SHAPING + BREAKING

_DEFAULT_S = 10.0
_RESET_S = 0.1
_SHORTEST_S = 0.05  # the proxy looks every 10 ms
_PERIOD_S = 60.0
_MOST_S = 86_400.0
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SIZE = re.compile(r"(?:(up|down):)?(\d+)(B|KB|MB)")
_FAULT = re.compile(r"([a-z]+)(?:=([^@/*]*))?(?:@([^/*]*))?(?:/([^*]*))?(?:\*(.*))?")
_HINT = 'CHAOS="latency=200ms,reset@10s,stall=37B@20s/5s", or CHAOS=random:7'


@dataclass(frozen=True)
class Fault:
    """One fault. Times in seconds; ``amount`` is seconds or bytes, ``ways`` of UP and DOWN."""

    kind: str
    start_s: float = 0.0
    length_s: float = math.inf
    every_s: float | None = None
    amount: float = 0.0
    ways: tuple[str, ...] = ()

    def window(self, at_s: float) -> int | None:
        """Which repetition is in force at ``at_s``, counted from 0; None: none is."""
        number = self.begun(at_s) - 1
        since_s = at_s - self.start_s - number * (self.every_s or 0)
        return number if number >= 0 and since_s < self.length_s else None

    def begun(self, at_s: float) -> int:
        """How often it has begun until ``at_s``."""
        since = at_s - self.start_s
        if since < 0:
            return 0
        return int(since // self.every_s) + 1 if self.every_s else 1

    @property
    def end_s(self) -> float:
        """When it is over for good; infinite for what repeats."""
        return math.inf if self.every_s else self.start_s + self.length_s

    def faster(self, scale: float) -> Fault:
        """The same for a world whose seconds are ``scale`` times as short."""
        amount = self.amount
        if self.kind in ("latency", "jitter"):
            amount /= scale
        elif self.kind == "bandwidth":
            amount *= scale
        every_s = self.every_s / scale if self.every_s else None
        times = (self.start_s / scale, max(self.length_s / scale, _SHORTEST_S), every_s)
        return Fault(self.kind, *times, amount, self.ways)

    def __str__(self) -> str:
        text = self.kind
        if self.kind in ("latency", "jitter"):
            text += f"={_seconds(self.amount)}"
        elif self.kind in ("bandwidth", "stall"):
            way = "up:" if self.ways == (UP,) else ""
            text += f"={way}{self.amount:.0f}B"
        elif self.ways:
            text += f"={'both' if len(self.ways) == 2 else self.ways[0]}"
        if self.start_s:
            text += f"@{_seconds(self.start_s)}"
        if self.length_s not in (math.inf, _usual_s(self.kind)):
            text += f"/{_seconds(self.length_s)}"
        return text + (f"*{_seconds(self.every_s)}" if self.every_s else "")


@dataclass(frozen=True)
class Plan:
    """Faults, each with its time; ``str()`` gives the text that parse() reads."""

    faults: tuple[Fault, ...]
    seed: int = 0  # of the jitter

    def active(self, at_s: float) -> dict[Fault, int]:
        """What is in force at ``at_s``, and its which repetition that is."""
        windows = {fault: fault.window(at_s) for fault in self.faults}
        return {fault: number for fault, number in windows.items() if number is not None}

    @property
    def end_s(self) -> float:
        """When the last fault is over; infinite if one never is."""
        return max((fault.end_s for fault in self.faults), default=0.0)

    def faster(self, scale: float) -> Plan:
        """The same for a world whose seconds are ``scale`` times as short."""
        return replace(self, faults=tuple(fault.faster(scale) for fault in self.faults))

    def until(self, end_s: float) -> Plan:
        """The same, but what has no end of its own ends at ``end_s``."""
        faults: list[Fault] = []
        for fault in self.faults:
            if fault.end_s < math.inf:
                faults.append(fault)
                continue
            once = replace(fault, every_s=None, length_s=min(fault.length_s, end_s))
            starts = [fault.start_s + n * (fault.every_s or 0) for n in range(fault.begun(end_s))]
            faults += [replace(once, start_s=start_s) for start_s in starts]
        return replace(self, faults=tuple(faults))

    def __str__(self) -> str:
        return ",".join(str(fault) for fault in self.faults)


def parse(text: str) -> Plan:
    """Read a plan; ToolError names the part that is wrong and what it should be."""
    if text.startswith("random:"):
        seed = text.removeprefix("random:")
        if not seed.isdecimal() or len(seed) > 9:
            raise ToolError(f"chaos: {seed!r} is no seed", "CHAOS=random:7")
        return mix(int(seed), every=True)
    parts = [part.strip() for part in text.split(",")]
    return Plan(tuple(_fault(part) for part in parts))


def mix(seed: int, every: bool = False) -> Plan:
    """Draw a plan of a minute: some shaping of all traffic, and two to four breaking faults.

    ``every``: the breaking faults come again each minute.
    """
    draw = random.Random(seed)
    faults = []
    for kind in draw.sample(SHAPING, draw.randint(0, 2)):
        slow = kind == "bandwidth"
        amount = float(draw.randint(2_000, 20_000)) if slow else draw.randint(20, 400) / 1000
        faults.append(Fault(kind, length_s=math.inf if every else _PERIOD_S, amount=amount))
    for _ in range(draw.randint(2, 4)):
        kind = draw.choice(BREAKING)
        start_s = round(draw.uniform(3, _PERIOD_S * 0.7), 1)
        length_s = round(draw.uniform(0.5, 15), 1)
        fault = Fault(kind, start_s, length_s, _PERIOD_S if every else None)
        if kind == "stall":
            way = draw.choice((UP, DOWN))
            fault = replace(fault, amount=float(draw.randint(0, 200)), ways=(way,))
        elif kind == "halfopen":
            fault = replace(fault, ways=WAYS[draw.choice(list(WAYS))])
        elif kind == "reset":
            fault = replace(fault, length_s=draw.choice((_RESET_S, length_s)))
        faults.append(fault)
    return Plan(tuple(faults), seed)


def _fault(text: str) -> Fault:
    found = _FAULT.fullmatch(text)
    if not found:
        raise ToolError(f"chaos: cannot read {text!r}", _HINT)
    kind, value, start, length, every = found.groups()
    if kind not in KINDS:
        raise ToolError(f"chaos: {kind!r} is none of {', '.join(KINDS)}", _HINT)
    amount, ways = _value(kind, value)
    fault = Fault(
        kind,
        _time(start, text) if start is not None else 0.0,
        _time(length, text) if length is not None else _usual_s(kind),
        _time(every, text) if every is not None else None,
        amount,
        ways,
    )
    if fault.every_s is not None and fault.every_s <= fault.length_s:
        raise ToolError(f"chaos: {text!r} comes again before it is over", f"{kind}@10s/5s*1m")
    return fault


def _value(kind: str, value: str | None) -> tuple[float, tuple[str, ...]]:
    if kind in ("latency", "jitter"):
        return _time(value or "", f"{kind}={value or ''}"), ()
    if kind in ("bandwidth", "stall"):
        found = _SIZE.fullmatch(value or "")
        if not found or (found[1] and kind == "bandwidth"):
            raise ToolError(f"chaos: {kind}={value or ''} is no size", f"{kind}=2KB")
        size = int(found[2]) * {"B": 1, "KB": 1024, "MB": 1024**2}[found[3]]
        if kind == "bandwidth" and not size:
            raise ToolError("chaos: bandwidth of 0 bytes a second", "stall=0B@10s/5s")
        return float(size), ((found[1] or DOWN,) if kind == "stall" else ())
    if kind == "halfopen":
        if value not in WAYS:
            raise ToolError(f"chaos: halfopen={value or ''} is not up, down or both", _HINT)
        return 0.0, WAYS[value]
    if value is not None:
        raise ToolError(f"chaos: {kind} takes no value", f"{kind}@10s/5s")
    return 0.0, ()


def _usual_s(kind: str) -> float:
    if kind in SHAPING:
        return math.inf
    return _RESET_S if kind == "reset" else _DEFAULT_S


def _time(text: str, where: str) -> float:
    found = _TIME.fullmatch(text)
    units = {"ms": 1, "s": 1_000, "m": 60_000}
    seconds = float(found[1]) * units[found[2]] / 1000 if found else -1.0
    if not 0 <= seconds <= _MOST_S:
        raise ToolError(f"chaos: {text!r} in {where!r} is no time up to a day", "500ms, 10s or 2m")
    return seconds


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:g}s"
