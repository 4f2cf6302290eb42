"""The jobs of the scripted broker: who is told what, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import pki
from tests.e2e.jobs import Jobs
from tests.e2e.server import Server
from tests.e2e.test_server_strict import CONNACK, Raw, connect, publish, subscribe

BASE = "$aws/things/barn/jobs/"


class Thing(Raw):
    """A connected thing that reads whole messages."""

    def __init__(self, broker: Server, ca: pki.Authority, folder: Path, **tls: Any) -> None:
        self.name = tls.pop("name", "barn")
        super().__init__(broker, ca, folder, **tls)
        assert self.send(connect(self.name)).read(4)[:2] == CONNACK[:2]

    def subscribe(self, *filters: str) -> None:
        self.send(subscribe(*filters))
        assert self.read(4 + len(filters))[0] == 0x90

    def message(self) -> tuple[str, dict[str, Any]]:
        """The next PUBLISH, acknowledged at QoS 1; ("", {}) for the answer to a ping."""
        first = self.read(1)[0]
        length = shift = 0
        while True:
            (byte,) = self.read(1)
            length, shift = length | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                break
        body = self.read(length)
        if first >> 4 != 3:
            assert first == 0xD0
            return "", {}
        end = 2 + int.from_bytes(body[:2], "big")
        topic = body[2:end].decode()
        if first & 6:
            self.send(b"\x40\x02" + body[end : end + 2])
            end += 2
        return topic, json.loads(body[end:])

    def tell(self, topic: str, content: Any) -> Thing:
        """Publish at QoS 0: a dictionary as JSON, bytes as they are."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send(publish(topic, data, first=0x30))
        return self

    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """All that has come until a ping is answered."""
        self.send(b"\xc0\x00")
        found = []
        while (one := self.message())[0]:
            found.append(one)
        return found

    def ask_for(self, topic: str, content: Any) -> tuple[str, dict[str, Any]]:
        """Publish and the one message that comes."""
        self.tell(topic, content)
        (found,) = self.messages()
        return found

    def ask(self, topic: str, content: Any) -> tuple[str, dict[str, Any]]:
        """Publish and the one answer: its last word and content."""
        answered, said = self.ask_for(topic, content)
        assert answered.startswith(topic + "/")
        return answered.rpartition("/")[2], said


@pytest.fixture
def jobs(broker: Server) -> Jobs:
    return Jobs(broker)


@pytest.fixture
def barn(jobs: Jobs, broker: Server, ca: pki.Authority, tmp_path: Path) -> Thing:
    return Thing(broker, ca, tmp_path)


def update(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, **more}


@pytest.mark.parametrize("qos", [0, 1])
def test_an_answer_needs_no_subscription_and_nobody_else_gets_it(
    jobs: Jobs, barn: Thing, broker: Server, ca: pki.Authority, tmp_path: Path, qos: int
) -> None:
    jobs.qos = qos
    other = Thing(broker, ca, tmp_path, name="other")
    other.subscribe("$aws/things/barn/jobs/#")
    jobs.create("barn", "j-1", {"fieldmouse": "csr"})
    other.messages()
    end, said = barn.ask(BASE + "$next/get", {"clientToken": "me"})
    assert (end, said["clientToken"]) == ("accepted", "me")
    one = said["execution"]
    assert one["jobDocument"] == {"fieldmouse": "csr"}
    assert (one["jobId"], one["status"], one["versionNumber"]) == ("j-1", "QUEUED", 1)
    assert [topic for topic, _ in other.messages()] == [BASE + "$next/get"]


def test_an_answer_is_lost_with_the_connection(
    jobs: Jobs, broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    raw = Raw(broker, ca, tmp_path).send(connect("barn"))
    assert raw.read(4) == CONNACK
    raw.send(publish(BASE + "$next/get", b"{}", first=0x30))
    assert raw.read(1) == b"\x32"  # never acknowledged
    broker.kick()
    raw = Raw(broker, ca, tmp_path).send(connect("barn"), b"\xc0\x00")
    assert raw.read(6) == b"\x20\x02\x01\x00\xd0\x00"


def test_notify_and_notify_next_go_to_subscribers(jobs: Jobs, barn: Thing) -> None:
    barn.subscribe(BASE + "notify", BASE + "notify-next")
    jobs.create("barn", "j-1", {"n": 1})
    (one, lists), (two, head) = barn.messages()
    assert (one, two) == (BASE + "notify", BASE + "notify-next")
    assert [s["jobId"] for s in lists["jobs"]["QUEUED"]] == ["j-1"]
    assert head["execution"]["jobDocument"] == {"n": 1}
    jobs.create("barn", "j-2", {"n": 2})  # the head is the same
    assert [topic for topic, _ in barn.messages()] == [BASE + "notify"]
    # QUEUED to IN_PROGRESS of the head: nothing is told (aws-facts 5.3).
    barn.ask(BASE + "j-1/update", update("IN_PROGRESS"))
    barn.ask(BASE + "j-1/update", update("IN_PROGRESS", statusDetails={"step": "2"}))
    barn.tell(BASE + "j-1/update", update("FAILED"))
    told = dict(barn.messages())
    assert told[BASE + "notify-next"]["execution"]["jobId"] == "j-2"
    jobs.cancel("j-2")
    told = dict(barn.messages())
    assert told[BASE + "notify"]["jobs"] == {}
    assert "execution" not in told[BASE + "notify-next"]


def test_a_later_job_that_is_started_becomes_the_head(jobs: Jobs, barn: Thing) -> None:
    jobs.create("barn", "j-1", {})
    jobs.create("barn", "j-2", {})
    barn.subscribe(BASE + "notify-next")
    barn.tell(BASE + "j-2/update", update("IN_PROGRESS"))
    assert dict(barn.messages())[BASE + "notify-next"]["execution"]["jobId"] == "j-2"
    _, said = barn.ask(BASE + "start-next", {})
    assert (said["execution"]["jobId"], said["execution"]["versionNumber"]) == ("j-2", 2)
    _, said = barn.ask(BASE + "get", {})
    assert [s["jobId"] for s in said["inProgressJobs"] + said["queuedJobs"]] == ["j-2", "j-1"]


def test_notifications_are_not_kept_for_who_is_away(
    jobs: Jobs, barn: Thing, broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    barn.subscribe(BASE + "notify-next")
    broker.kick()
    jobs.create("barn", "j-1", {})
    raw = Raw(broker, ca, tmp_path).send(connect("barn"), b"\xc0\x00")
    assert raw.read(6) == b"\x20\x02\x01\x00\xd0\x00"


def test_nothing_to_do(barn: Thing) -> None:
    for topic in (BASE + "$next/get", BASE + "start-next"):
        end, said = barn.ask(topic, {})
        assert (end, list(said)) == ("accepted", ["timestamp"])


def test_a_job_from_its_start_to_its_end(jobs: Jobs, barn: Thing) -> None:
    made = jobs.create("barn", "j-1", {"a": 1}, timeout_minutes=10)
    end, said = barn.ask(BASE + "start-next", {"statusDetails": {"step": "1"}})
    one = said["execution"]
    assert (end, one["status"], one["statusDetails"]) == ("accepted", "IN_PROGRESS", {"step": "1"})
    assert 590 <= one["approximateSecondsBeforeTimedOut"] <= 600
    end, said = barn.ask(
        BASE + "j-1/update",
        update("SUCCEEDED", expectedVersion="2", includeJobExecutionState=True),
    )
    state = {"status": "SUCCEEDED", "statusDetails": {"step": "1"}, "versionNumber": 3}
    assert (end, said["executionState"]) == ("accepted", state)
    assert (made.status, [u.status for u in jobs.updates]) == ("SUCCEEDED", ["SUCCEEDED"])


@pytest.mark.parametrize("final", ["SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED"])
def test_what_is_over_stays_over(jobs: Jobs, barn: Thing, final: str) -> None:
    made = jobs.create("barn", "j-1", {})
    barn.ask(BASE + "j-1/update", update("IN_PROGRESS"))
    if final == "TIMED_OUT":
        jobs.time_out("j-1")
    elif final == "CANCELED":
        jobs.cancel("j-1")
        assert made.status == "IN_PROGRESS"  # only by force
        jobs.cancel("j-1", force=True)
    else:
        barn.ask(BASE + "j-1/update", update(final))
    assert made.status == final
    for status in ("IN_PROGRESS", "SUCCEEDED", "FAILED"):
        end, said = barn.ask(BASE + "j-1/update", update(status))
        assert (end, said["code"]) == ("rejected", "InvalidStateTransition")
        assert said["executionState"]["status"] == final
    assert barn.ask(BASE + "j-1/get", {})[1]["code"] == "TerminalStateReached"
    assert "execution" not in barn.ask(BASE + "$next/get", {})[1]


@pytest.mark.parametrize(
    ("topic", "content", "code"),
    [
        ("$next/get", b"", "InvalidJson"),
        ("$next/get", b"{", "InvalidJson"),
        ("$next/get", b"[]", "InvalidJson"),
        ("$next/get", {"bogus": 1}, "InvalidRequest"),
        ("$next/get", {"clientToken": ""}, "InvalidRequest"),
        ("nope/get", {}, "ResourceNotFound"),
        ("nope/update", update("FAILED"), "ResourceNotFound"),
        ("$next/update", update("FAILED"), "ResourceNotFound"),
        ("j-1/get", {"executionNumber": 2}, "ResourceNotFound"),
        ("j-1/update", {}, "InvalidRequest"),
        ("j-1/update", update("QUEUED"), "InvalidRequest"),
        ("j-1/update", update("TIMED_OUT"), "InvalidRequest"),
        ("j-1/update", update("SUCCEEDED"), "InvalidStateTransition"),
        ("j-1/update", update("FAILED", expectedVersion=2), "VersionMismatch"),
        ("j-1/update", update("FAILED", expectedVersion="x"), "InvalidRequest"),
        ("j-1/update", update("FAILED", includeJobDocument=1), "InvalidRequest"),
        ("j-1/update", update("FAILED", stepTimeoutInMinutes=0), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails=[]), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a b": "c"}), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a" * 129: "c"}), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a": ""}), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a": 1}), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a": "b\n"}), "InvalidRequest"),
        ("j-1/update", update("FAILED", statusDetails={"a": "x" * 1025}), "InvalidRequest"),
        (
            "j-1/update",
            update("FAILED", statusDetails={str(n): "x" for n in range(11)}),
            "InvalidRequest",
        ),
    ],
)
def test_what_is_refused_changes_nothing(
    jobs: Jobs, barn: Thing, topic: str, content: Any, code: str
) -> None:
    made = jobs.create("barn", "j-1", {})
    end, said = barn.ask(BASE + topic, content)
    assert (end, said["code"]) == ("rejected", code)
    assert (made.status, made.version, made.details) == ("QUEUED", 1, {})
    if topic.endswith("update"):
        assert [u.code for u in jobs.updates] == [code]


def test_details_up_to_the_limits_are_taken(jobs: Jobs, barn: Thing) -> None:
    made = jobs.create("barn", "j-1", {})
    details = {f"{n}:_-".ljust(128, "a"): "x" * 1024 for n in range(10)}
    assert barn.ask(BASE + "j-1/update", update("FAILED", statusDetails=details))[0] == "accepted"
    assert made.details == details


def test_the_jobs_of_another_thing_end_the_connection(barn: Thing, broker: Server) -> None:
    barn.tell("$aws/things/other/jobs/$next/get", {})
    assert barn.closed()
    assert broker.violations == ["barn on the jobs of other"]


def test_requests_and_answers_that_are_lost(jobs: Jobs, barn: Thing) -> None:
    made = jobs.create("barn", "j-1", {})
    jobs.ignore["update"] = 1
    assert barn.tell(BASE + "j-1/update", update("FAILED")).messages() == []
    assert made.status == "QUEUED"
    jobs.lose["update"] = 1
    assert barn.tell(BASE + "j-1/update", update("FAILED")).messages() == []
    assert made.status == "FAILED"
    end, said = barn.ask(BASE + "j-1/update", update("FAILED"))
    assert (end, said["code"]) == ("rejected", "InvalidStateTransition")


@pytest.mark.parametrize(
    ("job_id", "document"), [("j 1", {}), ("", {}), ("x" * 65, {}), ("j", {"a": "x" * 32768})]
)
def test_a_job_that_aws_would_not_make(jobs: Jobs, job_id: str, document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"job id|document"):
        jobs.create("barn", job_id, document)


def test_a_will_is_no_request(
    jobs: Jobs, broker: Server, ca: pki.Authority, tmp_path: Path
) -> None:
    made = jobs.create("barn", "j-1", {})
    will: Callable[[bytes], bytes] = lambda data: len(data).to_bytes(2, "big") + data  # noqa: E731
    rest = will(f"{BASE}j-1/update".encode()) + will(b'{"status": "FAILED"}')
    raw = Raw(broker, ca, tmp_path).send(connect("barn", flags=0x04, rest=rest))
    assert raw.read(4) == CONNACK
    broker.kick()
    assert broker.published(f"{BASE}j-1/update")
    assert (made.status, jobs.updates) == ("QUEUED", [])
