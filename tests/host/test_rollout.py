"""Rollouts: canaries before the rest, stopped at the limit, gone on with; a dry run makes nothing.

S3, IAM and things are moto's; jobs and streams are played by a fleet that answers as it is told.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.host.aws_fakes import ACCOUNT, REGION, client_error
from tools.aws.clients import Clients
from tools.aws.rules import apply as rules
from tools.errors import ToolError
from tools.updates import jobs, rollout, stream

VERSION = "0.4.0"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fieldmouse-streams"
BUCKET = f"fieldmouse-releases-{ACCOUNT}-{REGION}"


class Fleet:
    """An iot client whose boards take ``looks`` looks to end as ``outcomes`` says, else well."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.meta = client.meta
        self.outcomes: dict[str, str] = {}
        self.details: dict[str, dict[str, str]] = {}
        self.streams: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}  # id -> what it was made with, and "states"
        self.cancelled: list[tuple[str, bool]] = []
        self.now = dt.datetime.now(dt.timezone.utc)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_stream(self, streamId: str) -> Any:
        if streamId not in self.streams:
            raise client_error("ResourceNotFoundException")
        return {"streamInfo": self.streams[streamId]}

    def create_stream(self, streamId: str, **what: Any) -> Any:
        assert streamId not in self.streams
        self.streams[streamId] = what

    def update_stream(self, streamId: str, **what: Any) -> Any:
        self.streams[streamId] = what

    def create_job(self, jobId: str, targets: list[str], **what: Any) -> Any:
        assert jobId not in self.jobs
        assert len(jobId) <= 64
        things = [arn.rpartition("/")[2] for arn in targets]
        self.jobs[jobId] = {**what, "targets": targets, "status": "IN_PROGRESS", "looks": 0}
        self.jobs[jobId]["states"] = dict.fromkeys(things, "QUEUED")

    def describe_job(self, jobId: str) -> Any:
        if jobId not in self.jobs:
            raise client_error("ResourceNotFoundException")
        return {"job": {"status": self.jobs[jobId]["status"], "lastUpdatedAt": self.now}}

    def list_job_executions_for_job(self, jobId: str, maxResults: int) -> Any:
        states = self.jobs[jobId]["states"]
        listed = [
            {"thingArn": f"arn:…:thing/{t}", "jobExecutionSummary": {"status": s}}
            for t, s in states.items()
        ]
        self._step(self.jobs[jobId])
        return {"executionSummaries": listed}

    def _step(self, job: dict[str, Any]) -> None:
        if job["status"] != "IN_PROGRESS":
            return
        for thing, state in job["states"].items():
            if state == "QUEUED" and self.outcomes.get(thing) != "QUEUED":
                job["states"][thing] = "IN_PROGRESS"
            elif state == "IN_PROGRESS":
                job["states"][thing] = self.outcomes.get(thing, "SUCCEEDED")
        if not {"QUEUED", "IN_PROGRESS"} & set(job["states"].values()):
            job["status"] = "COMPLETED"

    def describe_job_execution(self, jobId: str, thingName: str) -> Any:
        return {"execution": {"statusDetails": {"detailsMap": self.details.get(thingName, {})}}}

    def cancel_job(self, jobId: str, reasonCode: str, comment: str, force: bool) -> Any:
        assert self.jobs[jobId]["status"] == "IN_PROGRESS"
        self.cancelled.append((jobId, force))
        self.jobs[jobId]["status"] = "CANCELED"
        for thing, state in self.jobs[jobId]["states"].items():
            if state == "QUEUED" or (force and state == "IN_PROGRESS"):
                self.jobs[jobId]["states"][thing] = "CANCELED"

    def list_jobs(self, maxResults: int) -> Any:
        found = [
            {"jobId": i, "status": j["status"], "createdAt": self.now + dt.timedelta(seconds=n)}
            for n, (i, j) in enumerate(self.jobs.items())
        ]
        other = {"jobId": "somebody-elses", "status": "IN_PROGRESS", "createdAt": self.now}
        return {"jobs": [*reversed(found), other]}


@pytest.fixture
def fleet(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    made = Fleet(clients.iot)
    monkeypatch.setattr(Clients, "iot", property(lambda self: made))
    monkeypatch.setattr(jobs, "_POLL_S", 0.0)
    return made


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write(tmp_path / "releases" / f"fieldmouse-{VERSION}-esp32.release", b"m" * 90 + b"f")


def write(path: Path, data: bytes, **more: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    about = {"version": VERSION, "board": "esp32", "bytes": len(data), "manifest_bytes": 90}
    about["sha256"] = hashlib.sha256(data).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(about | more))
    return path


def names(number: int) -> tuple[str, ...]:
    return tuple(f"t-{i}" for i in range(1, number + 1))


def plan(clients: Clients, release: Path, things: int = 10, **more: Any) -> rollout.Plan:
    made = {"canaries": 2, "per_minute": 0, "abort_above": 5.0, "timeout_h": 24.0, **more}
    home = rules.home_of(clients, "fieldmouse-streams")
    image = stream.image(str(release), Path("none"))
    return rollout.Plan(image, home, names(things), **made)


def rolled(fleet: Fleet, made: rollout.Plan, **more: Any) -> list[tuple[str, str]]:
    """What was told: (wave, counts)."""
    told: list[tuple[str, str]] = []

    def tell(wave: str, states: rollout.States) -> None:
        told.append((wave, rollout.counted(states)))

    rollout.run(fleet, made, tell, lambda s: None, **more)
    return told


# The release and its place.


def test_a_version_names_a_file_and_the_hash_is_checked(release: Path, tmp_path: Path) -> None:
    made = stream.image(VERSION, release.parent)
    assert made == stream.image(str(release), tmp_path)
    assert made.document() == {
        "fieldmouse": "update",
        "version": VERSION,
        "stream": f"fieldmouse-0-4-0-{made.sha256[:8]}",
        "manifest_bytes": 90,
    }
    release.write_bytes(b"m" * 90 + b"g")
    with pytest.raises(ToolError, match="is not what"):
        stream.image(VERSION, release.parent)
    write(release, b"x", bytes=2)
    with pytest.raises(ToolError, match="is not what"):
        stream.image(VERSION, release.parent)
    release.with_suffix(".json").write_text("[]")
    with pytest.raises(ToolError, match="does not describe"):
        stream.image(VERSION, release.parent)
    with pytest.raises(ToolError, match="No such file") as e:
        stream.image("0.5.0", release.parent)
    assert release.name in e.value.hint


def test_ids_keep_to_what_aws_takes_also_of_the_longest_version(release: Path) -> None:
    long = "1234567890.1234567890.1234567890-abcdefghijklmnop"
    made = stream.image(str(write(release, b"m", version=long)), release.parent)
    assert re.fullmatch("[a-zA-Z0-9_-]{1,128}", made.stream)
    assert len(f"{made.stream}-a1b2c3-rest99-99") <= 64


def prepare(clients: Clients, made: rollout.Plan, role: str = "", dry: bool = False) -> list[str]:
    steps = list(stream.steps(made.home, made.image, BUCKET, role))
    return [f"{what.split()[0]} {state}" for what, state, _ in rules.apply(steps, dry)]


def test_the_release_comes_to_a_closed_bucket_that_one_role_may_read(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    made = plan(clients, release)
    assert prepare(clients, made, dry=True) == [
        f"{what} missing" for what in ("S3", "S3", "IAM", "IAM", "stream")
    ]
    s3, iam = clients.client("s3"), clients.client("iam")
    assert s3.list_buckets()["Buckets"] == [] == iam.list_roles()["Roles"]
    prepare(clients, made)
    closed = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert len(closed) == 4
    assert all(closed.values())
    there = s3.get_object(Bucket=BUCKET, Key=made.image.key)
    assert there["Body"].read() == release.read_bytes()
    role = iam.get_role(RoleName="fieldmouse-streams")["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    policy = iam.get_role_policy(RoleName="fieldmouse-streams", PolicyName=BUCKET)
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/releases/*",
        }
    ]
    file = {"fileId": 0, "s3Location": {"bucket": BUCKET, "key": made.image.key}}
    assert fleet.streams == {made.image.stream: {"files": [file], "roleArn": ROLE}}
    again = prepare(clients, made)
    assert again == [f"{what} there" for what in ("S3", "S3", "IAM", "IAM", "stream")]


def test_a_role_of_ones_own_is_used_and_not_touched(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    made = plan(clients, release)
    prepare(clients, made, "mine")
    arn = f"arn:aws:iam::{ACCOUNT}:role/mine"
    assert [s["roleArn"] for s in fleet.streams.values()] == [arn]
    assert clients.client("iam").list_roles()["Roles"] == []
    assert prepare(clients, made, "arn:aws:iam::1:role/x/y")[-1] == "stream differs"
    assert [s["roleArn"] for s in fleet.streams.values()] == ["arn:aws:iam::1:role/x/y"]


def test_a_role_that_others_have_made_for_something_else_is_refused(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    clients.client("iam").create_role(
        RoleName="fieldmouse-streams", AssumeRolePolicyDocument=json.dumps(trust)
    )
    with pytest.raises(ToolError, match="not one that AWS IoT may take"):
        prepare(clients, plan(clients, release))
    assert fleet.streams == {}


# The waves.


def test_all_good(clients: Clients, fleet: Fleet, release: Path) -> None:
    made = plan(clients, release)
    told = rolled(fleet, made)
    assert told[0] == ("canary", "2 QUEUED")
    assert ("canary", "2 SUCCEEDED") in told
    assert told[-1] == ("rest", "8 SUCCEEDED")
    canary, rest = fleet.jobs.items()
    assert canary[0] == f"{made.id}-canary"
    assert rest[0] == f"{made.id}-rest"
    assert [set(job["states"]) for _, job in (canary, rest)] == [set(names(2)), {*names(10)[2:]}]
    for job_id, job in (canary, rest):
        assert json.loads(job["document"]) == made.image.document()
        assert job["targetSelection"] == "SNAPSHOT"
        assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 1440}
        assert "jobExecutionsRolloutConfig" not in job
        assert job["targets"][0].startswith(f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/t-"), job_id
    criteria = [job["abortConfig"]["criteriaList"] for _, job in (canary, rest)]
    assert criteria[0][0] | {"failureType": "ALL", "action": "CANCEL"} == criteria[0][0]
    assert (
        criteria[0][0]["thresholdPercentage"],
        criteria[0][0]["minNumberOfExecutedThings"],
    ) == (
        0.01,
        1,
    )
    assert (
        criteria[1][0]["thresholdPercentage"],
        criteria[1][0]["minNumberOfExecutedThings"],
    ) == (
        5.0,
        8,
    )
    assert fleet.cancelled == []


@pytest.mark.parametrize("state", jobs.BAD)
def test_a_canary_that_fails_keeps_the_rest_from_being_made(
    clients: Clients, fleet: Fleet, release: Path, state: str
) -> None:
    fleet.outcomes["t-2"] = state
    fleet.details["t-2"] = {"reason": "starts\x1b[2J", "more": "x"}
    made = plan(clients, release, abort_above=100.0)
    with pytest.raises(rollout.Stopped, match="the rest was not begun") as e:
        rolled(fleet, made)
    assert f"t-2: {state}: starts" in e.value.message
    assert "\x1b" not in e.value.message
    assert made.id in e.value.hint
    assert list(fleet.jobs) == [f"{made.id}-canary"]


def test_a_job_that_is_over_before_it_can_be_cancelled(
    clients: Clients, fleet: Fleet, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(jobId: str, **_: Any) -> None:
        fleet.jobs[jobId]["status"] = "COMPLETED"
        raise client_error("InvalidRequestException", "CancelJob")

    monkeypatch.setattr(fleet, "cancel_job", too_late)
    fleet.outcomes |= {"t-1": "FAILED", "t-2": "QUEUED"}
    with pytest.raises(rollout.Stopped, match="t-1: FAILED"):
        rolled(fleet, plan(clients, release))
    (job_id,) = fleet.jobs
    fleet.jobs[job_id]["status"] = "IN_PROGRESS"
    assert rollout.cancel(fleet, job_id, False) == []

    def denied(**_: Any) -> None:
        raise client_error("AccessDeniedException", "CancelJob")

    monkeypatch.setattr(fleet, "cancel_job", denied)
    fleet.jobs[job_id]["status"] = "IN_PROGRESS"
    with pytest.raises(ToolError, match="AWS denies"):
        rollout.cancel(fleet, job_id, False)


def test_a_canary_that_fails_takes_the_order_from_the_others(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    fleet.outcomes |= {"t-1": "FAILED", "t-2": "QUEUED"}
    with pytest.raises(rollout.Stopped):
        rolled(fleet, plan(clients, release))
    assert [force for _, force in fleet.cancelled] == [False]
    assert [job["states"]["t-2"] for job in fleet.jobs.values()] == ["CANCELED"]


def test_canaries_that_do_not_answer_are_not_waited_for_for_ever(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    fleet.outcomes["t-1"] = "QUEUED"
    ticks = count(0, 3600)
    with pytest.raises(rollout.Stopped, match=r"not all have ended within 24 h: 1 QUEUED"):
        rolled(fleet, plan(clients, release), clock=lambda: next(ticks))
    assert len(fleet.cancelled) == 1
    assert next(ticks) // 3600 in range(25, 29)


def test_the_rest_that_does_not_answer_is_left_to_aws(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    fleet.outcomes["t-9"] = "QUEUED"
    ticks = count(0, 3600)
    with pytest.raises(rollout.Stopped, match="1 QUEUED, 7 SUCCEEDED; AWS goes on"):
        rolled(fleet, plan(clients, release), clock=lambda: next(ticks))
    assert fleet.cancelled == []


def test_the_limit_passed_cancels_the_rest(clients: Clients, fleet: Fleet, release: Path) -> None:
    # 98 in the rest: four are less than 5 %, five are more.
    made = plan(clients, release, 100)
    fleet.outcomes |= dict.fromkeys(names(6)[2:], "FAILED")
    with pytest.raises(rollout.Stopped, match="not all have it: 94 SUCCEEDED, 4 FAILED"):
        rolled(fleet, made)
    assert fleet.cancelled == []
    fleet.jobs.clear()
    fleet.outcomes |= dict.fromkeys(names(7)[2:], "FAILED")
    fleet.outcomes |= dict.fromkeys(names(100)[50:], "QUEUED")
    with pytest.raises(rollout.Stopped, match="stopped in the rest: too many have failed"):
        rolled(fleet, made)
    assert fleet.cancelled == [(f"{made.id}-rest", False)]


@pytest.mark.parametrize(
    ("above", "states", "passed"),
    [
        (5, {"SUCCEEDED": 19, "FAILED": 1, "QUEUED": 980}, False),  # 5 % is not above
        (5, {"SUCCEEDED": 18, "FAILED": 2, "QUEUED": 980}, True),
        (5, {"FAILED": 2, "QUEUED": 998}, False),  # too few have ended
        (5, {"FAILED": 12, "TIMED_OUT": 4, "REJECTED": 4, "QUEUED": 980}, True),
        (5, {"FAILED": 1, "QUEUED": 9}, True),  # however the others end
        (0, {"FAILED": 1, "QUEUED": 999}, True),
        (0, {"SUCCEEDED": 999, "QUEUED": 1}, False),
        (100, {"FAILED": 10}, False),
        (5, {"CANCELED": 10, "REMOVED": 10}, False),
    ],
)
def test_where_the_limit_lies(
    clients: Clients, release: Path, above: float, states: dict[str, int], passed: bool
) -> None:
    flat = [state for state, number in states.items() for _ in range(number)]
    made = plan(clients, release, abort_above=float(above))
    assert made.passed("rest", dict(enumerate(flat))) == passed  # type: ignore[arg-type]


def test_one_that_is_cancelled_elsewhere_stops_it(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    made, looks = plan(clients, release), count()
    fleet.outcomes |= dict.fromkeys(names(10), "IN_PROGRESS")

    def pause(_: float) -> None:
        if next(looks) == 2:
            rollout.cancel(fleet, made.id, force=True)

    with pytest.raises(rollout.Stopped, match="cancelled by AWS at the limit, or by hand"):
        rollout.run(fleet, made, pause=pause)
    assert fleet.cancelled == [(f"{made.id}-canary", True)]
    assert len(fleet.jobs) == 1


def test_so_many_a_minute_also_where_one_job_does_not_hold_them(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    rolled(fleet, plan(clients, release, 252, per_minute=30))
    rates = [job["jobExecutionsRolloutConfig"] for job in fleet.jobs.values()]
    assert rates == [{"maximumPerMinute": n} for n in (30, 10, 10, 10)]
    assert [len(job["targets"]) for job in fleet.jobs.values()] == [2, 100, 100, 50]
    assert [job_id.rpartition("-")[2] for job_id in fleet.jobs] == [
        "canary",
        "rest",
        "rest2",
        "rest3",
    ]


def test_without_canaries_there_is_one_job(clients: Clients, fleet: Fleet, release: Path) -> None:
    rolled(fleet, plan(clients, release, canaries=0))
    assert [job_id.rpartition("-")[2] for job_id in fleet.jobs] == ["rest"]


# Interrupted, and begun again.


def interrupt(after: int) -> Callable[[float], None]:
    looks = count(1)

    def pause(_: float) -> None:
        if next(looks) == after:
            raise KeyboardInterrupt

    return pause


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_it_goes_on_wherever_it_was_interrupted(
    clients: Clients, fleet: Fleet, release: Path, after: int
) -> None:
    made = plan(clients, release)
    with pytest.raises(KeyboardInterrupt):
        rollout.run(fleet, made, pause=interrupt(after))
    assert fleet.cancelled == []
    assert rolled(fleet, made)[-1] == ("rest", "8 SUCCEEDED")
    assert list(fleet.jobs) == [f"{made.id}-canary", f"{made.id}-rest"]


def test_begun_again_it_goes_to_those_that_do_not_have_it(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    made = plan(clients, release)
    fleet.outcomes["t-2"] = "FAILED"
    with pytest.raises(rollout.Stopped):
        rolled(fleet, made)
    fleet.outcomes = {"t-5": "TIMED_OUT"}
    with pytest.raises(rollout.Stopped, match="t-5: TIMED_OUT: no reason given"):
        rolled(fleet, made)
    fleet.outcomes = {}
    assert rolled(fleet, made)[-1] == ("rest", "8 SUCCEEDED")
    ended = [(i.removeprefix(f"{made.id}-"), len(j["targets"])) for i, j in fleet.jobs.items()]
    assert ended == [("canary", 2), ("canary-2", 1), ("rest", 8), ("rest-2", 1)]
    # All have it: nothing more is made.
    assert rolled(fleet, made)[-1] == ("rest", "8 SUCCEEDED")
    assert len(fleet.jobs) == 4


def test_what_succeeded_long_ago_is_done_again(
    clients: Clients, fleet: Fleet, release: Path
) -> None:
    made = plan(clients, release, 1, canaries=0)
    rolled(fleet, made)
    fleet.now -= dt.timedelta(days=8)
    rolled(fleet, made)
    assert list(fleet.jobs) == [f"{made.id}-rest", f"{made.id}-rest-2"]


def test_another_set_of_things_is_another_rollout(clients: Clients, release: Path) -> None:
    ids = {plan(clients, release, n, canaries=c).id for n in (3, 4) for c in (0, 1, 2)}
    assert len(ids) == 6


# The commands.

Said = Callable[..., Any]


@pytest.fixture
def registered(fleet: Fleet, clients: Clients, release: Path) -> list[str]:
    for name in names(3):
        fleet.create_thing(thingName=name)
    with pytest.raises(ToolError, match="no such thing group: north"):
        rollout.choose(fleet, [], "north", False)
    fleet.create_thing_group(thingGroupName="north")
    fleet.add_thing_to_thing_group(thingGroupName="north", thingName="t-3")
    return ["rollout", str(release), "--yes"]


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("which", "things"),
    [
        (["--all"], "t-1 t-2 t-3"),
        (["--things", "t-2,t-1"], "t-2 t-1"),
        (["--group", "north"], "t-3"),
    ],
)
def test_which_things(
    said: Said, fleet: Fleet, registered: list[str], which: list[str], things: str
) -> None:
    shown = said(*registered, *which)
    made = [thing for job in fleet.jobs.values() for thing in job["states"]]
    assert made == things.split()
    assert shown.out.splitlines()[-1].endswith(": 0.4.0")
    assert len(fleet.jobs) == (2 if len(made) > 1 else 1)  # one canary, where there are more


def test_things_that_are_not_there_and_none_at_all(said: Said, registered: list[str]) -> None:
    assert "no such thing: x, y" in said(*registered, "--things", "t-1,x,y", code=2).err
    assert "which things?" in said(*registered, code=2).err
    assert "which things?" in said(*registered, "--all", "--group", "north", code=2).err
    assert "no percentage" in said(*registered, "--all", "--abort-above", "x", code=2).err


def test_a_dry_run_makes_nothing(
    said: Said, fleet: Fleet, clients: Clients, registered: list[str]
) -> None:
    shown = said(*registered, "--all", "--dry-run").out
    assert "would go to 3 things" in shown
    assert "would be made" in shown
    assert fleet.jobs == {} == fleet.streams
    assert clients.client("s3").list_buckets()["Buckets"] == []
    assert clients.client("iam").list_roles()["Roles"] == []


def test_without_an_answer_nothing_is_made(
    said: Said, fleet: Fleet, clients: Clients, registered: list[str]
) -> None:
    said(*registered[:-1], "--all", code=2)
    assert fleet.jobs == {} == fleet.streams
    assert clients.client("s3").list_buckets()["Buckets"] == []


def folder(path: Path, board: str, config: dict[str, Any]) -> None:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    record = {"thing_name": path.name, "thing_arn": "", "certificate_id": "", "policies": []}
    (path / "thing.json").write_text(json.dumps(record | {"certificate_arn": "", "board": board}))


def test_what_cannot_be_updated_is_left_out_with_the_reason(
    said: Said, fleet: Fleet, registered: list[str], tmp_path: Path
) -> None:
    folder(tmp_path / "t-1", "esp8266", {})
    folder(tmp_path / "t-2", "esp32c3", {"power": "battery"})
    err = said(*registered, "--all").err
    assert "left out: t-1: its code lies in ROMFS" in err
    assert "left out: t-2: a board that sleeps refuses updates" in err
    assert [list(job["states"]) for job in fleet.jobs.values()] == [["t-3"]]
    folder(tmp_path / "t-3", "esp32", {"updates": False})
    err = said(*registered, "--all", code=2).err
    assert "left out: t-3: updates is not true" in err
    assert "there is no thing to update" in err
    (tmp_path / "t-3" / "config.json").write_text('{"updates": true}')
    said(*registered, "--all")


def test_ctrl_c_ends_the_watching_only(
    said: Said, fleet: Fleet, registered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jobs.watch

    def interrupted(*given: Any) -> Any:
        yield next(real(*given))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "watch", interrupted)
        err = said(*registered, "--all", code=130).err
    (job_id,) = fleet.jobs
    name = job_id.removesuffix("-canary")
    assert "AWS goes on with it; the rest is not begun before this is run again" in err
    assert f"python -m tools rollout status {name}" in err
    assert f"python -m tools rollout cancel {name}" in err
    assert "goes on where it stopped" in err
    assert fleet.cancelled == []
    assert f"{job_id}: IN_PROGRESS" in said("rollout", "status", name).out
    said(*registered, "--all")
    shown = said("rollout", "status", name).out.splitlines()
    assert [line.partition(", made")[0] for line in shown] == [
        f"{name}-canary: COMPLETED",
        f"{name}-rest: COMPLETED",
    ]
    assert shown[1].endswith("2 SUCCEEDED")
    assert said("rollout", "status").out.split("  ")[1:] == [
        name,
        "canary COMPLETED (1 SUCCEEDED), rest COMPLETED (2 SUCCEEDED)\n",
    ]


def test_status_names_who_failed_and_cancel_ends_it(
    said: Said, fleet: Fleet, registered: list[str]
) -> None:
    assert "there is no rollout" in said("rollout", "status").out
    fleet.outcomes["t-1"] = "REJECTED"
    fleet.details["t-1"] = {"reason": "not newer"}
    err = said(*registered, "--all", code=2).err
    assert "t-1: REJECTED: not newer" in err
    (job_id,) = fleet.jobs
    assert "  t-1: REJECTED: not newer" in said("rollout", "status", job_id).out
    assert "canary COMPLETED (1 REJECTED" in said("rollout", "status").out
    assert said("rollout", "cancel", job_id).out == "nothing is under way\n"
    assert "no such rollout" in said("rollout", "cancel", "somebody-elses", code=2).err
    fleet.jobs[job_id]["status"] = "IN_PROGRESS"
    assert said("rollout", "cancel", job_id, "--force").out == f"{job_id}: cancelled\n"
    assert fleet.cancelled == [(job_id, True)]
