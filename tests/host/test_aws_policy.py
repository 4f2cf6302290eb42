"""The policies: small enough, enough for everything the firmware does, and for nothing else."""

from __future__ import annotations

import json

import pytest

from firmware.core import topics
from tools.aws import policy
from tools.doctor import evaluate
from tools.doctor.evaluate import Session
from tools.errors import ToolError

PREFIX = "arn:aws:iot:eu-west-1:123456789012:"
LONGEST = "arn:aws-us-gov:iot:us-gov-west-1:123456789012:"
TOPICS = [
    (policy.DATA_TOPIC, policy.COMMAND_TOPIC),
    ("dt/{thing}/temp", "cmd/{thing}"),
    ("$aws/rules/readings/devices/{thing}/data", "site-7/{thing}/do"),
]


def documents(own: tuple[str, str] = TOPICS[0], prefix: str = PREFIX) -> list[str]:
    return list(policy.documents(prefix, *own).values())


def session(client_id: str, attached: tuple[str, ...]) -> Session:
    return Session(client_id, frozenset(attached), PREFIX)


def allowed(who: Session, action: str, resource: str, own: tuple[str, str] = TOPICS[0]) -> bool:
    return evaluate.allows(documents(own), who, action, resource)


@pytest.mark.parametrize("own", TOPICS)
def test_a_document_fits_also_where_names_are_longest(own: tuple[str, str]) -> None:
    texts = policy.documents(LONGEST, *own, updates=True)
    assert len(texts) == 3
    for text in texts.values():
        assert len("".join(text.split())) < policy.MAX_CHARS


@pytest.mark.parametrize("own", TOPICS)
@pytest.mark.parametrize("thing", ["greenhouse-1", "a:b_C", "x" * 128])
def test_everything_the_firmware_does_is_allowed(own: tuple[str, str], thing: str) -> None:
    # The list is made here from the firmware's topics, not taken from the policy's own code.
    who = session(thing, (thing,))
    data, commands, result, status, shadow = topics.of(thing, *own)
    assert allowed(who, "iot:Connect", f"client/{thing}", own)
    for topic in (data, result, status, shadow + "get", shadow + "update"):
        assert allowed(who, "iot:Publish", f"topic/{topic}", own)
        assert allowed(who, "iot:RetainPublish", f"topic/{topic}", own) == (topic == status)
    for name in topics.subscribes(commands, shadow):
        assert allowed(who, "iot:Subscribe", f"topicfilter/{name}", own)
        assert allowed(who, "iot:Receive", f"topic/{name}", own)


@pytest.mark.parametrize(
    "topic", ["a/*", "a/?/{thing}", "a/${thing}", "a/+", "#", "$x", "a\x1b", ""]
)
def test_no_wildcard_gets_into_a_policy(topic: str) -> None:
    for own in ((topic, policy.COMMAND_TOPIC), (policy.DATA_TOPIC, topic)):
        with pytest.raises(ToolError, match="_topic"):
            policy.documents(PREFIX, *own)


@pytest.mark.parametrize("own", TOPICS)
def test_nothing_of_another_thing_is_allowed(own: tuple[str, str]) -> None:
    who = session("greenhouse-1", ("greenhouse-1",))
    for other in ("greenhouse-2", "greenhouse-11", "greenhouse", "+", "#", ""):
        for need in policy.needs(other, *own):
            assert not allowed(who, need.action, need.resource, own), need


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:Publish", "topic/other"),
        ("iot:Subscribe", "topicfilter/#"),
        ("iot:Subscribe", "topicfilter/devices/#"),
        ("iot:Subscribe", "topicfilter/devices/+/commands"),
        ("iot:Subscribe", "topicfilter/$aws/things/greenhouse-1/shadow/#"),
        ("iot:Subscribe", "topic/devices/greenhouse-1/commands"),
        ("iot:Publish", "topic/devices/greenhouse-1/commands"),
        ("iot:Publish", "topic/$aws/things/greenhouse-1/shadow/delete"),
        ("iot:RetainPublish", "topic/devices/greenhouse-1/data"),
        ("iot:GetThingShadow", "thing/greenhouse-1"),
        ("iot:CreateThing", "thing/greenhouse-1"),
    ],
)
def test_no_more_than_is_needed(action: str, resource: str) -> None:
    assert not allowed(session("greenhouse-1", ("greenhouse-1",)), action, resource)


@pytest.mark.parametrize(
    ("client_id", "attached"),
    [
        ("greenhouse-1", ()),  # the certificate is not attached to the thing
        ("greenhouse-2", ("greenhouse-1",)),  # another client id with this certificate
        ("greenhouse-1", ("greenhouse-2",)),
    ],
)
def test_without_thing_and_client_id_together_nothing_is_allowed(
    client_id: str, attached: tuple[str, ...]
) -> None:
    who = session(client_id, attached)
    for thing in ("greenhouse-1", "greenhouse-2"):
        for need in policy.needs(thing):
            assert not allowed(who, need.action, need.resource), need


def test_no_wildcard_anywhere() -> None:
    for text in documents():
        for statement in json.loads(text)["Statement"]:
            assert not any(set("*?+#") & set(r) for r in statement["Resource"])


def test_other_topics_get_other_names() -> None:
    names = {tuple(policy.documents(PREFIX, *own)) for own in TOPICS}
    assert len(names) == len(TOPICS)


# The evaluator itself, against the known mistakes of aws-facts.md 3.6.


def one(effect: str, action: object, resource: object, **more: object) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


WHO = session("d1", ("d1",))
ALL = one("Allow", "iot:*", "*")


def judge(*texts: str, action: str = "iot:Subscribe", resource: str = "topicfilter/a/b") -> bool:
    return evaluate.allows(texts, WHO, action, resource)


def test_deny_wins_and_nothing_is_allowed_by_default() -> None:
    assert judge(ALL)
    assert not judge()
    assert not judge(ALL, one("Deny", "iot:Subscribe", f"{PREFIX}topicfilter/a/*"))


def test_a_star_crosses_levels_and_mqtt_wildcards_are_letters() -> None:
    assert judge(one("Allow", "iot:Subscribe", f"{PREFIX}topicfilter/*"))
    assert judge(one("Allow", "IOT:subscribe", f"{PREFIX}topicfilter/a/?"))
    assert not judge(one("Allow", "iot:Subscribe", f"{PREFIX}topicfilter/a/+"))
    assert not judge(one("Allow", "iot:Subscribe", f"{PREFIX}topicfilter/#"))
    assert not judge(one("Allow", "iot:Subscribe", f"{PREFIX}topicfilter/A/B"))


def test_topic_and_topicfilter_are_not_the_same() -> None:
    assert not judge(one("Allow", "iot:Subscribe", f"{PREFIX}topic/a/b"))


def test_a_deny_on_a_filter_is_bypassed_by_a_wider_filter() -> None:
    deny = one("Deny", "iot:Subscribe", f"{PREFIX}topicfilter/a/secret")
    assert judge(ALL, deny, resource="topicfilter/a/#")


def test_variables_and_values_that_are_not_filled_in() -> None:
    own = one("Allow", "iot:Connect", PREFIX + "client/${iot:ClientId}")
    assert judge(own, action="iot:Connect", resource="client/d1")
    wild = Session("+", frozenset(), PREFIX)
    assert not evaluate.allows([own], wild, "iot:Connect", "client/+")
    unknown = one("Allow", "iot:Connect", PREFIX + "client/${iot:Certificate.Subject.CommonName}")
    assert not judge(unknown, action="iot:Connect", resource="client/d1")


def test_not_resource_and_conditions() -> None:
    outside = one("Allow", "iot:Subscribe", "x")
    statement = json.loads(outside)["Statement"]
    statement["NotResource"] = f"{PREFIX}topicfilter/secret/*"
    del statement["Resource"]
    text = json.dumps({"Statement": [statement]})
    assert judge(text)
    assert not judge(text, resource="topicfilter/secret/x")
    for condition, met in [
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "false"}}, False),
        ({"StringEquals": {"iot:ClientId": ["d1", "d2"]}}, True),
        ({"StringLike": {"iot:ClientId": "d*"}}, True),
        ({"StringLike": {"iot:ClientId": "e*"}}, False),
        ({"StringEquals": {"iot:Unknown": "d1"}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
    ]:
        assert judge(one("Allow", "iot:*", "*", Condition=condition)) == met, condition
    strict = one("Deny", "iot:*", "*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    assert not judge(ALL, strict)


def test_only_status_is_retained() -> None:
    names = topics.of("greenhouse-1", *TOPICS[0])
    retained = [topic for topic, retain in policy.publishes(names) if retain]
    assert retained == ["devices/greenhouse-1/status"]


# Updates by jobs.

OWN = "$aws/things/greenhouse-1"


def updating(attached: str = "greenhouse-1", client_id: str = "greenhouse-1") -> evaluate.Session:
    return session(client_id, (attached,))


def update_allows(who: Session, action: str, resource: str) -> bool:
    return evaluate.allows(policy.documents(PREFIX, updates=True).values(), who, action, resource)


@pytest.mark.parametrize("job", ["1", "fieldmouse-0-4-0-9f86d081-a1b2c3-canary", "x" * 64])
def test_what_an_update_needs_is_allowed(job: str) -> None:
    # By docs/updates.md and aws-facts.md 5, not by the policy's own code.
    jobs, stream = f"{OWN}/jobs", f"{OWN}/streams/{job}"
    for topic in (f"{jobs}/$next/get", f"{jobs}/{job}/update", f"{stream}/get/json"):
        assert update_allows(updating(), "iot:Publish", f"topic/{topic}"), topic
        assert not update_allows(updating(), "iot:RetainPublish", f"topic/{topic}"), topic
    for name in (f"{jobs}/notify-next", f"{OWN}/streams/+/data/json"):
        assert update_allows(updating(), "iot:Subscribe", f"topicfilter/{name}"), name
    answers = [f"{jobs}/$next/get/{kind}" for kind in ("accepted", "rejected")]
    answers += [f"{jobs}/{job}/update/{kind}" for kind in ("accepted", "rejected")]
    for topic in (*answers, f"{jobs}/notify-next", f"{stream}/data/json"):
        assert update_allows(updating(), "iot:Receive", f"topic/{topic}"), topic


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iot:Subscribe", f"topicfilter/{OWN}/jobs/#"),
        ("iot:Subscribe", f"topicfilter/{OWN}/jobs/+"),
        ("iot:Subscribe", f"topicfilter/{OWN}/streams/#"),
        (
            "iot:Subscribe",
            f"topicfilter/{OWN}/streams/x/data/json",
        ),  # one filter for all is enough
        ("iot:Subscribe", "topicfilter/$aws/things/+/jobs/notify-next"),
        ("iot:Subscribe", "topicfilter/$aws/things/+/streams/+/data/json"),
        ("iot:Publish", f"topic/{OWN}/jobs/start-next"),
        ("iot:Publish", f"topic/{OWN}/jobs/get"),
        ("iot:Publish", f"topic/{OWN}/streams/x/create/json"),
        ("iot:UpdateJobExecution", "thing/greenhouse-1"),
    ],
)
def test_an_update_allows_no_more(action: str, resource: str) -> None:
    assert not update_allows(updating(), action, resource)


def test_an_update_is_of_the_own_thing_only() -> None:
    needs = policy.update_needs("greenhouse-1", "7")
    assert all(update_allows(updating(), n.action, n.resource) for n in needs)
    for who in (updating("greenhouse-2"), updating(client_id="greenhouse-2"), updating("", "")):
        assert not any(update_allows(who, n.action, n.resource) for n in needs)
    for other in ("greenhouse-2", "greenhouse-11", "+", "#"):
        for need in policy.update_needs(other, "7"):
            assert not update_allows(updating(), need.action, need.resource), need


def test_without_updates_there_is_no_such_policy() -> None:
    assert policy.UPDATE not in policy.documents(PREFIX)
    assert not allowed(updating(), "iot:Publish", f"topic/{OWN}/jobs/$next/get")
