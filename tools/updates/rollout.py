"""A release to many boards, in two waves: the canaries, which must all succeed, then the rest.

A rollout is a few jobs of AWS: ID-canary, then ID-rest (ID-rest2 ... where there are more than a
job takes), with -2, -3 ... behind them where one was begun anew. AWS does the work and cancels at
the limit; who watches here makes the second wave, and cancels as well. The id is made of release
and things, so the same command goes on with what an earlier one has begun.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tools.aws.clients import Clients
from tools.aws.errors import explained, found
from tools.aws.health import natural
from tools.aws.rules.target import Home
from tools.errors import ToolError
from tools.things import boards, values
from tools.things.folder import Folder, check_name, things_dir
from tools.updates import jobs
from tools.updates.jobs import Job, Limits
from tools.updates.stream import Image

_OURS = re.compile(r"(fieldmouse-.+)-(?:canary|rest\d*)(?:-\d+)?")
_MARK_CHARS = 6
_FRESH = dt.timedelta(days=7)  # what succeeded longer ago is tried again
_MOST_SHOWN = 20
States = Mapping[str, str]  # thing -> state
Tell = Callable[[str, States], object]  # (wave, states of all its things), at every look


class Stopped(ToolError):
    """The rollout has been stopped, or has not reached all; its jobs are as the text says."""


@dataclass(frozen=True)
class Plan:
    """What is rolled out to whom; ``things``: the canaries first."""

    image: Image
    home: Home
    things: tuple[str, ...]
    canaries: int
    per_minute: int
    abort_above: float  # percent
    timeout_h: float

    @property
    def id(self) -> str:
        """The same for the same release, things and canaries."""
        parts = [str(self.canaries), *self.things[: self.canaries], *sorted(self.things)]
        mark = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_MARK_CHARS]
        return f"{self.image.stream}-{mark}"

    def waves(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(name, things) of each wave that has things."""
        for name, part in (
            ("canary", self.things[: self.canaries]),
            ("rest", self.things[self.canaries :]),
        ):
            if part:
                yield name, part

    def least(self, things: int) -> int:
        """How many must have ended before a percentage of them says something."""
        return min(things, math.ceil(100 / self.abort_above) if self.abort_above else 1)

    def passed(self, wave: str, states: States) -> bool:
        """Whether a wave has gone wrong: any canary, or more than the limit of the rest."""
        seen = Counter(states.values())
        bad = sum(seen[state] for state in jobs.BAD)
        if wave == "canary" or not bad:
            return bool(bad)
        ended = bad + seen[jobs.SUCCEEDED]
        sure = bad * 100 > self.abort_above * len(states)  # whatever the others do
        return sure or (ended >= self.least(len(states)) and bad * 100 > self.abort_above * ended)


def choose(iot: Any, names: Sequence[str], group: str, everything: bool) -> list[str]:
    """The things that are meant, each once; ToolError for one that does not exist."""
    if bool(names) + bool(group) + everything != 1:
        raise ToolError("which things?", "one of --things a,b, --group NAME, --all")
    with explained():
        if names:
            missing = [n for n in names if not found(iot.describe_thing, thingName=check_name(n))]
            if missing:
                raise ToolError(f"no such thing: {', '.join(missing)}", "python -m tools things")
            return list(dict.fromkeys(names))
        if everything:
            pages = iot.get_paginator("list_things").paginate()
            chosen = [str(thing["thingName"]) for page in pages for thing in page["things"]]
        else:
            chosen = found(_members, iot=iot, group=group)
            if chosen is None:
                raise ToolError(f"no such thing group: {group}", "aws iot list-thing-groups")
    return sorted(set(chosen), key=natural)


def _members(iot: Any, group: str) -> list[str]:
    paginator = iot.get_paginator("list_things_in_thing_group")
    pages = paginator.paginate(thingGroupName=group, recursive=True)
    return [str(thing) for page in pages for thing in page["things"]]


def left_out(clients: Clients, things: Sequence[str]) -> dict[str, str]:
    """Thing -> why it can take no update, as its folder on this computer says.

    Of one without a folder nothing is known: its board says itself if it cannot.
    """
    reasons = {}
    for thing in things:
        folder = Folder(things_dir(clients.cloud is not None) / thing)
        record, config = folder.record(), folder.read_config()
        chip = boards.get(record.board).chip if record else ""
        power = (config or {}).get("power", "mains")
        why = values.updates(True, power, chip)
        if why:
            reasons[thing] = why.partition(": ")[2] or why
        elif config is not None and config.get("updates") is not True:
            reasons[thing] = "updates is not true in its config.json: provision --update-policy"
    return reasons


def run(
    iot: Any,
    plan: Plan,
    tell: Tell = lambda wave, states: None,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Roll out, or go on with what an earlier run has begun; returns when all things have it.

    Stopped when a canary fails, when the limit is passed, when a wave is cancelled by somebody,
    and when not all have ended well.
    """
    for wave, things in plan.waves():
        with explained():
            done, job_ids = _begin(iot, plan, wave, things)
        begun, states = clock(), {}
        # Those whose turn has not come are queued as well.
        waiting = dict.fromkeys(things, jobs.QUEUED) | dict.fromkeys(done, jobs.SUCCEEDED)
        seen: list[Job] = []
        for seen in jobs.watch(iot, job_ids, pause):
            states = waiting | {t: s for job in seen for t, s in job.executions.items()}
            tell(wave, states)
            if plan.passed(wave, states):
                _stop(iot, plan, wave, seen, states, "too many have failed")
            if any(job.status == "CANCELED" for job in seen):
                _stop(iot, plan, wave, seen, states, "cancelled by AWS at the limit, or by hand")
            if clock() - begun > plan.timeout_h * 3600 and not all(job.over for job in seen):
                _late(iot, plan, wave, seen, states)
        states = states or waiting
        tell(wave, states)
        _judge(iot, plan, wave, seen, states)


def _begin(iot: Any, plan: Plan, wave: str, things: Sequence[str]) -> tuple[list[str], list[str]]:
    """(things that have it, ids of the jobs to watch); makes the jobs that are not there yet."""
    parts = [things[i : i + jobs.MOST_TARGETS] for i in range(0, len(things), jobs.MOST_TARGETS)]
    done: list[str] = []
    job_ids = []
    for number, part in enumerate(parts, 1):
        base = f"{plan.id}-{wave}{number if number > 1 else ''}"
        for attempt in count(1):
            job_id = base if attempt == 1 else f"{base}-{attempt}"
            there = jobs.look(iot, job_id)
            if there is None or not there.over:
                break
            if dt.datetime.now(dt.timezone.utc) - there.changed < _FRESH:
                done += [t for t, s in there.executions.items() if s == jobs.SUCCEEDED]
        left = [thing for thing in part if thing not in done]
        if there is None and left:
            _create(iot, plan, job_id, wave, left, len(parts))
        if there is not None or left:
            job_ids.append(job_id)
    return done, job_ids


def _create(
    iot: Any, plan: Plan, job_id: str, wave: str, things: Sequence[str], at_once: int
) -> None:
    limits = Limits(
        abort_above=0 if wave == "canary" else plan.abort_above,
        least=1 if wave == "canary" else plan.least(len(things)),
        timeout_min=min(jobs.MOST_MINUTES, max(1, round(plan.timeout_h * 60))),
        per_minute=math.ceil(plan.per_minute / at_once),
    )
    arns = [plan.home.arn("iot", f"thing/{thing}") for thing in things]
    text = f"fieldmouse {plan.image.version}, {wave}"
    jobs.create(iot, job_id, arns, plan.image.document(), limits, text)


def _stop(iot: Any, plan: Plan, wave: str, seen: Sequence[Job], states: States, why: str) -> None:
    """Cancel what is under way and raise Stopped."""
    with explained():
        for job in seen:
            if not job.over:
                jobs.cancel(iot, job.id, why)
    which = "the canaries" if wave == "canary" else "the rest"
    after = ", the rest was not begun" if wave == "canary" else ""
    lines = _lines(iot, seen)
    text = "\n  ".join([f"stopped in {which}{after}: {why}: {counted(states)}", *lines])
    raise Stopped(text, f"python -m tools rollout status {plan.id}")


def _late(iot: Any, plan: Plan, wave: str, seen: Sequence[Job], states: States) -> None:
    hours = f"within {plan.timeout_h:g} h"
    if wave == "canary":
        _stop(iot, plan, wave, seen, states, f"not all have ended {hours}")
    text = f"not all have ended {hours}: {counted(states)}; AWS goes on with them"
    raise Stopped(text, f"python -m tools rollout status {plan.id}")


def _judge(iot: Any, plan: Plan, wave: str, seen: Sequence[Job], states: States) -> None:
    """Stopped unless every thing of a wave that is over has succeeded."""
    if all(state == jobs.SUCCEEDED for state in states.values()):
        return
    if wave == "canary":
        _stop(iot, plan, wave, seen, states, "not all have succeeded")
    lines = _lines(iot, seen)
    text = "\n  ".join([f"not all have it: {counted(states)}", *lines])
    raise Stopped(text, "mend them and run it again: it goes to those that do not have it")


def _lines(iot: Any, seen: Sequence[Job]) -> list[str]:
    """A line for each thing that failed, with its reason."""
    with explained():
        return [
            f"{thing}: {state}: {jobs.reason(iot, job.id, thing)}"
            for job in seen
            for thing, state in [
                (t, s) for t, s in sorted(job.executions.items()) if s in jobs.BAD
            ][:_MOST_SHOWN]
        ]


def counted(states: States) -> str:
    """As "12 SUCCEEDED, 1 FAILED"."""
    seen = Counter(states.values())
    return ", ".join(f"{seen[state]} {state}" for state in jobs.STATES if seen[state])


def known(iot: Any, wanted: str = "") -> dict[str, list[tuple[str, str, dt.datetime]]]:
    """Rollout -> its jobs (id, status, made), the oldest first; ``wanted``: a rollout or job."""
    made: dict[str, list[tuple[str, str, dt.datetime]]] = {}
    with explained():
        for row in jobs.listed(iot, wanted or "fieldmouse-"):
            ours = _OURS.fullmatch(row[0])
            if ours and wanted in ("", ours[1], row[0]):
                made.setdefault(ours[1], []).append(row)
    if wanted and not made:
        raise ToolError(f"no such rollout: {wanted}", "python -m tools rollout status")
    return made


def in_short(iot: Any) -> Iterator[str]:
    """A line for each rollout: its jobs, each with its boards by state."""
    for name, rows in known(iot).items():
        told = []
        for job_id, state, _ in rows:
            with explained():
                job = jobs.look(iot, job_id)
            counts = counted(job.executions) if job else ""
            told.append(f"{job_id[len(name) + 1 :]} {state}" + f" ({counts})" * bool(counts))
        yield f"{rows[0][2]:%Y-%m-%d %H:%M}  {name}  {', '.join(told)}"


def status(iot: Any, wanted: str) -> Iterator[str]:
    """Lines about a rollout: its jobs with their counts, and who failed why."""
    for rows in known(iot, wanted).values():
        for job_id, _, born in rows:
            with explained():
                job = jobs.look(iot, job_id)
            if job is not None:
                told = counted(job.executions) or "nothing begun"
                yield f"{job_id}: {job.status}, made {born:%Y-%m-%d %H:%M}: {told}"
                yield from (f"  {line}" for line in _lines(iot, [job]))


def cancel(iot: Any, wanted: str, force: bool) -> list[str]:
    """Cancel what is under way of a rollout; the ids of its jobs."""
    gone = []
    for rows in known(iot, wanted).values():
        for job_id, state, _ in rows:
            if state in jobs.UNDER_WAY:
                with explained():
                    done = jobs.cancel(iot, job_id, "cancelled by hand", force)
                gone += [job_id] * done
    return gone
