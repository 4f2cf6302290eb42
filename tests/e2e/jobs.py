"""The jobs of AWS IoT for ``server.py``, stricter than AWS's, never kinder.

    jobs = Jobs(broker)                              # one per server; the thing is the client id
    jobs.create("t-1", "job-1", {"fieldmouse": "csr"})
    broker.wait_for(lambda: jobs.execution("t-1", "job-1").status == "SUCCEEDED")

Answers go to the one who asked, subscribed or not, at QoS ``jobs.qos``, and are lost with the
connection; ``notify`` and ``notify-next`` go to subscribers that are there (QoS 0: who was away
has to ask). ``jobs.updates`` has every update that came, with the code of its rejection.
``jobs.ignore["update"] = 1`` (or "get", "start-next", "list"): the next one does not arrive;
``jobs.lose["update"] = 1``: it is done, its answer is lost. ``jobs.twice = True``: whatever goes
to the device comes twice.

Stricter: an empty payload is not JSON, unknown keys are refused, and a job that has never been
IN_PROGRESS cannot SUCCEED. An execution that is over can no longer be read by its device.
"""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.packets import Violation
from tests.e2e.server import Server
from tests.e2e.session import Direct, Message

MAX_DOCUMENT_BYTES = 32768
MAX_DETAILS = 10
OVER = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED")
_BY_DEVICE = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED")
_TOPIC = re.compile(r"\$aws/things/([^/]+)/jobs/(?:([^/]+)/)?(get|start-next|update)")
_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DETAIL = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_KEYS = {
    "list": {"clientToken"},
    "start-next": {"statusDetails", "stepTimeoutInMinutes", "clientToken"},
    "get": {"executionNumber", "includeJobDocument", "clientToken"},
    "update": {
        *("status", "statusDetails", "expectedVersion", "executionNumber", "clientToken"),
        *("includeJobExecutionState", "includeJobDocument", "stepTimeoutInMinutes"),
    },
}
_FLAGS = ("includeJobDocument", "includeJobExecutionState")


@dataclass
class Execution:
    """One job on one thing."""

    thing: str
    job_id: str
    document: dict[str, Any]
    order: int
    timeout_minutes: int | None = None
    status: str = "QUEUED"
    details: dict[str, str] = field(default_factory=dict)
    version: int = 1
    queued_at: int = field(default_factory=lambda: int(time.time()))
    started_at: int | None = None
    updated_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def over(self) -> bool:
        """No update can change it any more."""
        return self.status in OVER

    def move(self, status: str, details: dict[str, str] | None = None) -> None:
        """A change, by the device or from outside."""
        self.status = status
        self.version += 1
        self.updated_at = int(time.time())
        if details is not None:
            self.details = details
        if status == "IN_PROGRESS" and self.started_at is None:
            self.started_at = self.updated_at

    def summary(self) -> dict[str, Any]:
        """As in lists."""
        started = {"startedAt": self.started_at} if self.started_at else {}
        return {
            "jobId": self.job_id, "queuedAt": self.queued_at, **started,
            "lastUpdatedAt": self.updated_at, "versionNumber": self.version, "executionNumber": 1,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """As in answers to an update."""
        return {
            "status": self.status,
            "statusDetails": self.details,
            "versionNumber": self.version,
        }

    def whole(self, with_document: bool = True) -> dict[str, Any]:
        """As in `get` and `notify-next`."""
        shown = self.summary() | {"thingName": self.thing, "status": self.status}
        if self.details:
            shown["statusDetails"] = self.details
        if with_document:
            shown["jobDocument"] = self.document
        if self.timeout_minutes and self.started_at:
            left_s = self.started_at + 60 * self.timeout_minutes - int(time.time())
            shown["approximateSecondsBeforeTimedOut"] = max(0, left_s)
        return shown


@dataclass
class Update:
    """One that a device sent: its request, and the code of the rejection, "" for none."""

    thing: str
    job_id: str
    request: dict[str, Any]
    code: str = ""

    @property
    def status(self) -> Any:
        """What it asked for."""
        return self.request.get("status")


class _Rejected(Exception):
    def __init__(self, code: str, message: str, execution: Execution | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.state = {"executionState": execution.state()} if execution else {}


class Jobs:
    """See the text of the module."""

    def __init__(self, broker: Server, qos: int = 1) -> None:
        self.qos = qos
        self.updates: list[Update] = []
        self.ignore: Counter[str] = Counter()
        self.lose: Counter[str] = Counter()
        self.twice = False
        self._broker = broker
        self._executions: dict[tuple[str, str], Execution] = {}
        broker.responders.append(self._respond)

    # --- for the tests

    def create(
        self,
        thing: str,
        job_id: str,
        document: dict[str, Any],
        timeout_minutes: int | None = None,
    ) -> Execution:
        """Queue a job for a thing and tell it."""
        if not _JOB_ID.fullmatch(job_id) or (thing, job_id) in self._executions:
            raise ValueError(f"job id {job_id!r}")
        if len(json.dumps(document)) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"document of more than {MAX_DOCUMENT_BYTES} bytes")
        with self._broker.lock:
            before = self._pending(thing)
            made = Execution(thing, job_id, document, len(self._executions), timeout_minutes)
            self._executions[thing, job_id] = made
            self._tell(thing, before)
        return made

    def execution(self, thing: str, job_id: str) -> Execution:
        """How it stands; KeyError for one that was not created."""
        return self._executions[thing, job_id]

    def cancel(self, job_id: str, force: bool = False) -> None:
        """CANCELED on every thing where it waits; with ``force`` also where it is under way."""
        self._end(job_id, "CANCELED", ("QUEUED", "IN_PROGRESS") if force else ("QUEUED",))

    def time_out(self, job_id: str) -> None:
        """TIMED_OUT on every thing where it is under way."""
        self._end(job_id, "TIMED_OUT", ("IN_PROGRESS",))

    def _end(self, job_id: str, status: str, where: tuple[str, ...]) -> None:
        with self._broker.lock:
            for one in list(self._executions.values()):
                if one.job_id == job_id and one.status in where:
                    before = self._pending(one.thing)
                    one.move(status)
                    self._tell(one.thing, before)
        self._broker.changed()

    # --- what devices ask

    def _respond(self, client_id: str, topic: str, payload: bytes) -> list[Message]:
        found = _TOPIC.fullmatch(topic)
        if not found:
            return []
        thing, job_id, verb = found.groups()
        if thing != client_id:
            raise Violation(f"{client_id} on the jobs of {thing}")
        kind = "list" if verb == "get" and job_id is None else verb
        if self.ignore[kind]:
            self.ignore[kind] -= 1
            return []
        request: dict[str, Any] = {}
        before = self._pending(thing)
        noted = Update(thing, job_id, request)
        if kind == "update":
            self.updates.append(noted)
        try:
            request.update(_parsed(payload, kind))
            answer = getattr(self, "_" + kind.replace("-", "_"))(thing, job_id, request)
            end = "accepted"
        except _Rejected as e:
            answer, end = {"code": e.code, "message": str(e), **e.state}, "rejected"
            noted.code = e.code
        self._tell(thing, before)
        if self.lose[kind]:
            self.lose[kind] -= 1
            return []
        answer["timestamp"] = int(time.time())
        if isinstance(request.get("clientToken"), str):
            answer["clientToken"] = request["clientToken"]
        said = Direct(f"{topic}/{end}", json.dumps(answer).encode(), self.qos)
        return [said] * (1 + self.twice)

    def _list(self, thing: str, _job_id: None, _request: dict[str, Any]) -> dict[str, Any]:
        lists: dict[str, list[Any]] = {"IN_PROGRESS": [], "QUEUED": []}
        for one in self._pending(thing):
            lists[one.status].append(one.summary())
        return {"inProgressJobs": lists["IN_PROGRESS"], "queuedJobs": lists["QUEUED"]}

    def _start_next(self, thing: str, _job_id: None, request: dict[str, Any]) -> dict[str, Any]:
        pending = self._pending(thing)
        if not pending:
            return {}
        if pending[0].status == "QUEUED":
            pending[0].move("IN_PROGRESS", request.get("statusDetails"))
        return {"execution": pending[0].whole()}

    def _get(self, thing: str, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        if job_id == "$next":
            pending = self._pending(thing)
            if not pending:
                return {}
            one = pending[0]
        else:
            one = self._known(thing, job_id, request)
            if one.over:
                raise _Rejected("TerminalStateReached", f"{job_id} is {one.status}")
        return {"execution": one.whole(request.get("includeJobDocument", True))}

    def _update(self, thing: str, job_id: str, request: dict[str, Any]) -> dict[str, Any]:
        one = self._known(thing, job_id, request)
        status = request["status"]
        if one.over:
            raise _Rejected("InvalidStateTransition", f"{job_id} is {one.status}", one)
        expected = request.get("expectedVersion")
        if expected is not None and int(expected) != one.version:
            raise _Rejected("VersionMismatch", f"it has version {one.version}", one)
        if one.status == "QUEUED" and status == "SUCCEEDED":
            raise _Rejected("InvalidStateTransition", "it was never IN_PROGRESS", one)
        one.move(status, request.get("statusDetails"))
        state = {"executionState": one.state()} if request.get(_FLAGS[1]) else {}
        document = {"jobDocument": one.document} if request.get(_FLAGS[0]) else {}
        return {**state, **document}

    def _known(self, thing: str, job_id: str, request: dict[str, Any]) -> Execution:
        one = self._executions.get((thing, job_id))
        if one is None or request.get("executionNumber", 1) != 1:
            raise _Rejected("ResourceNotFound", f"no such execution: {job_id}")
        return one

    def _pending(self, thing: str) -> list[Execution]:
        mine = [e for e in self._executions.values() if e.thing == thing and not e.over]
        return sorted(mine, key=lambda e: (e.status != "IN_PROGRESS", e.order))

    def _tell(self, thing: str, before: list[Execution]) -> None:
        now = self._pending(thing)
        base, stamp = f"$aws/things/{thing}/jobs/", {"timestamp": int(time.time())}
        if {e.job_id for e in before} != {e.job_id for e in now}:
            lists: dict[str, list[Any]] = {}
            for one in now[:10]:
                lists.setdefault(one.status, []).append(one.summary())
            self._notify(base + "notify", stamp | {"jobs": lists})
        if [e.job_id for e in before[:1]] != [e.job_id for e in now[:1]]:
            head = {"execution": now[0].whole()} if now else {}
            self._notify(base + "notify-next", stamp | head)

    def _notify(self, topic: str, message: dict[str, Any]) -> None:
        for _ in range(1 + self.twice):
            self._broker.deliver(topic, json.dumps(message).encode(), qos=0)


def _parsed(payload: bytes, kind: str) -> dict[str, Any]:
    """The request, checked as far as that goes without looking at the job."""
    try:
        request = json.loads(payload)
    except ValueError as e:
        raise _Rejected("InvalidJson", f"not JSON: {e}") from e
    if not isinstance(request, dict):
        raise _Rejected("InvalidJson", "not an object")
    bad = _fault(request, kind)
    if bad:
        raise _Rejected("InvalidRequest", bad)
    return request


def _fault(request: dict[str, Any], kind: str) -> str:
    if odd := request.keys() - _KEYS[kind]:
        return f"unknown: {', '.join(sorted(odd))}"
    token = request.get("clientToken", "x")
    if not isinstance(token, str) or not 1 <= len(token) <= 64:
        return "clientToken"
    if kind == "update" and request.get("status") not in _BY_DEVICE:
        return "status"
    if any(type(request.get(flag, True)) is not bool for flag in _FLAGS):
        return "a flag that is not true or false"
    if type(request.get("executionNumber", 1)) is not int:
        return "executionNumber"
    if not re.fullmatch(r"[0-9]+", str(request.get("expectedVersion", 1))):
        return "expectedVersion"
    minutes = request.get("stepTimeoutInMinutes", 1)
    if type(minutes) is not int or not (minutes == -1 or 1 <= minutes <= 10080):
        return "stepTimeoutInMinutes"
    return _fault_of_details(request.get("statusDetails", {}))


def _fault_of_details(details: Any) -> str:
    if not isinstance(details, dict):
        return "statusDetails is not an object"
    if len(details) > MAX_DETAILS:
        return f"statusDetails: more than {MAX_DETAILS}"
    for key, value in details.items():
        if not _DETAIL.fullmatch(key):
            return f"statusDetails: key {key[:140]!r}"
        if not isinstance(value, str) or not 1 <= len(value) <= 1024:
            return f"statusDetails: value of {key}"
        if any(unicodedata.category(char).startswith("C") for char in value):
            return f"statusDetails: a control character in {key}"
    return ""
