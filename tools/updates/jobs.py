"""AWS IoT Jobs as a rollout needs them: make one, see how far it is, wait for it, cancel it."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools import wire
from tools.aws.errors import explained, found

SUCCEEDED, QUEUED, IN_PROGRESS = "SUCCEEDED", "QUEUED", "IN_PROGRESS"
BAD = ("FAILED", "REJECTED", "TIMED_OUT")
STATES = (QUEUED, IN_PROGRESS, SUCCEEDED, *BAD, "CANCELED", "REMOVED")  # aws-facts.md 5.4
UNDER_WAY = (IN_PROGRESS, "SCHEDULED")  # of a job
MOST_TARGETS = 100  # of one job (AWS quota)
MOST_PER_MINUTE = 1000
MOST_MINUTES = 10_080  # of the timer that runs while an execution is IN_PROGRESS
_LEAST_PERCENT = 0.01  # AWS takes two digits
_POLL_S = 5.0
Executions = dict[str, str]  # thing -> state


@dataclass(frozen=True)
class Limits:
    """How a job goes out, and when AWS cancels it.

    More than ``abort_above`` percent bad of those that have ended, once ``least`` have.
    ``per_minute`` 0: as quick as AWS is.
    """

    abort_above: float
    least: int
    timeout_min: int
    per_minute: int = 0

    def arguments(self) -> dict[str, Any]:
        """The same as CreateJob takes it."""
        # ALL: failed, rejected and timed out together; three criteria would each allow the limit.
        criterion = {
            "failureType": "ALL",
            "action": "CANCEL",
            "thresholdPercentage": max(_LEAST_PERCENT, round(self.abort_above, 2)),
            "minNumberOfExecutedThings": self.least,
        }
        timer = {"inProgressTimeoutInMinutes": self.timeout_min}
        made: dict[str, Any] = {
            "abortConfig": {"criteriaList": [criterion]},
            "timeoutConfig": timer,
        }
        if self.per_minute:
            made["jobExecutionsRolloutConfig"] = {"maximumPerMinute": self.per_minute}
        return made


@dataclass(frozen=True)
class Job:
    """One that AWS knows; ``status`` is the job's own, ``changed`` when it last had another."""

    id: str
    status: str
    changed: dt.datetime
    executions: Executions

    @property
    def over(self) -> bool:
        return self.status not in UNDER_WAY


def create(
    iot: Any,
    job_id: str,
    targets: Sequence[str],
    document: Mapping[str, Any],
    limits: Limits,
    description: str,
) -> None:
    """Make a job for the things with the ARNs ``targets``, which is the only ones it ever has."""
    iot.create_job(
        jobId=job_id,
        targets=list(targets),
        document=json.dumps(document, separators=(",", ":")),
        description=description,
        targetSelection="SNAPSHOT",
        **limits.arguments(),
    )


def look(iot: Any, job_id: str) -> Job | None:
    """How far a job is, None if there is none."""
    answer = found(iot.describe_job, jobId=job_id)
    if answer is None:
        return None
    job = answer["job"]
    return Job(job_id, job["status"], job["lastUpdatedAt"], executions(iot, job_id))


def executions(iot: Any, job_id: str) -> Executions:
    """Thing -> state; those whose turn has not come (per_minute) are not among them."""
    states: Executions = {}
    token: dict[str, str] = {}
    while True:
        page = iot.list_job_executions_for_job(jobId=job_id, maxResults=250, **token)
        for one in page["executionSummaries"]:
            thing = str(one["thingArn"]).partition(":thing/")[2]
            states[thing] = str(one["jobExecutionSummary"]["status"])
        if not page.get("nextToken"):
            return states
        token = {"nextToken": page["nextToken"]}


def reason(iot: Any, job_id: str, thing: str) -> str:
    """What the board says of its execution, in one line: its `reason`, else all there is."""
    answer = found(iot.describe_job_execution, jobId=job_id, thingName=thing) or {}
    details = answer.get("execution", {}).get("statusDetails", {}).get("detailsMap", {})
    told = details.get("reason") or ", ".join(f"{k}: {v}" for k, v in sorted(details.items()))
    return wire.short(told) if told else "no reason given"


def listed(iot: Any, prefix: str) -> list[tuple[str, str, dt.datetime]]:
    """(id, status, made) of every job whose id begins with ``prefix``, the oldest first."""
    rows: list[tuple[str, str, dt.datetime]] = []
    token: dict[str, str] = {}
    while True:
        page = iot.list_jobs(maxResults=250, **token)
        rows += ((str(j["jobId"]), str(j["status"]), j["createdAt"]) for j in page["jobs"])
        if not page.get("nextToken"):
            return sorted((r for r in rows if r[0].startswith(prefix)), key=lambda r: r[2])
        token = {"nextToken": page["nextToken"]}


def watch(
    iot: Any, job_ids: Sequence[str], pause: Callable[[float], object] = time.sleep
) -> Iterator[list[Job]]:
    """The jobs as they are, every few seconds, until all are over."""
    while True:
        with explained():
            seen = [job for job_id in job_ids if (job := look(iot, job_id))]
        yield seen
        if all(job.over for job in seen):
            return
        pause(_POLL_S)


def cancel(iot: Any, job_id: str, why: str, force: bool = False) -> bool:
    """Cancel a job; boards that have begun go on unless ``force``. False: it was over before."""
    try:
        iot.cancel_job(jobId=job_id, reasonCode="FIELDMOUSE", comment=why, force=force)
    except Exception:
        if iot.describe_job(jobId=job_id)["job"]["status"] in UNDER_WAY:
            raise
        return False
    return True
