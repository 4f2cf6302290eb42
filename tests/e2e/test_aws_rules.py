"""Rules carried out by MiniStack: a board's reading reaches the table and the topic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tools.aws.clients import Clients
from tools.aws.publish import sender
from tools.aws.route import route
from tools.aws.rules import apply as rules
from tools.aws.rules.documents import Wanted
from tools.aws.rules.target import Home

_WAIT_S = 20.0


def wait_for(ask: Callable[[], Any], timeout: float = _WAIT_S) -> Any:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing within {timeout} s")


@pytest.fixture
def applied(clients: Clients) -> Iterator[Callable[..., Home]]:
    """applied(name, wanted) -> the rules of that name, made in the cloud; gone after the test."""
    homes = []

    def make(name: str, wanted: Wanted) -> Home:
        home = rules.home_of(clients, name)
        homes.append(home)
        assert {state for _, state, _ in rules.apply(rules.plan(wanted, home))} == {"missing"}
        return home

    yield make
    for home in homes:
        list(rules.destroy(home, data=True))


@pytest.fixture
def inbox(clients: Clients) -> Callable[[str], Callable[[], list[Any]]]:
    """inbox(topic ARN) subscribes a queue; what it gives returns the messages so far."""

    def subscribe(topic: str) -> Callable[[], list[Any]]:
        sqs = clients.client("sqs")
        url = sqs.create_queue(QueueName=topic.rsplit(":", 1)[-1])["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = asked["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        clients.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        seen: list[Any] = []

        def messages() -> list[Any]:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                seen.append(json.loads(json.loads(message["Body"])["Message"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return seen

        return messages

    return subscribe


def publish(clients: Clients, thing: str, temperature: float, seq: int) -> None:
    reading = {"device_id": thing, "timestamp": 1795248682 + seq, "temperature": temperature}
    clients.data.publish(
        topic=f"devices/{thing}/data", qos=1, payload=json.dumps(reading | {"seq": seq})
    )


def key_of(sender: str, timestamp: int, seq: int) -> dict[str, Any]:
    return {"device_id": {"S": sender}, "reading": {"S": f"{timestamp}-{1000000000 + seq}"}}


def rows(clients: Clients, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = clients.client("dynamodb").scan(TableName=table)["Items"]
    return sorted(found, key=lambda item: (item["device_id"]["S"], item["reading"]["S"]))


def test_two_readings_of_one_second_are_two_rows(clients: Clients, applied: Any) -> None:
    applied("e2e_second", Wanted({"dynamoDBv2": "e2e_second"}))
    for seq in (10, 9, 9, 4294967295):  # one of them delivered twice
        reading = {"device_id": "s-1", "timestamp": 1795248682, "seq": seq, "time": "estimated"}
        payload = json.dumps(reading | {"temperature": seq % 50, "reading": "x", "more": 1})
        clients.data.publish(topic="devices/s-1/data", qos=1, payload=payload)
    found = wait_for(lambda: len(got := rows(clients, "e2e_second")) == 3 and got)
    assert [int(item["seq"]["N"]) for item in found] == [9, 10, 4294967295]
    assert {item["reading"]["S"][:11] for item in found} == {"1795248682-"}
    assert {item["time"]["S"] for item in found} == {"estimated"}
    assert "more" not in found[0]


def test_a_thing_cannot_write_as_another(clients: Clients, new_device: Any, applied: Any) -> None:
    applied("e2e_as", Wanted({"dynamoDBv2": "e2e_as"}))
    mallory = new_device()
    reading = {"device_id": "alice", "timestamp": 1795248682, "temperature": 20, "seq": 1}
    way = route(clients, "mqtt", certs_dir=mallory.things / "certs")
    with sender(way, clients, mallory.thing) as send:
        send(f"devices/{mallory.thing}/data", json.dumps(reading).encode())
    (found,) = wait_for(lambda: rows(clients, "e2e_as"))
    assert found["device_id"] == {"S": mallory.thing}
    assert found["reading"] == {"S": "1795248682-1000000001"}


def test_readings_of_a_board_reach_table_and_topic(
    clients: Clients, new_device: Any, boot: Any, listener: Any, inbox: Any, applied: Any
) -> None:
    wanted = Wanted({"dynamoDBv2": "e2e_readings", "sns": "you@example.org"})
    home = applied("e2e_all", wanted)
    assert {state for _, state, _ in rules.apply(rules.plan(wanted, home))} == {"there"}
    mail = inbox(home.arn("sns", "e2e_all"))
    device = new_device(interval_s=1)
    boot(device)
    reading = listener.wait(f"devices/{device.thing}/data")
    key = key_of(device.thing, reading["timestamp"], reading["seq"])
    dynamodb = clients.client("dynamodb")
    item = wait_for(lambda: dynamodb.get_item(TableName="e2e_readings", Key=key).get("Item"))
    assert float(item["temperature"]["N"]) == reading["temperature"]
    assert {"timestamp", "seq", "humidity", "pressure"} <= set(item)
    assert "received_ms" in item
    told = wait_for(mail)
    assert all(m["device_id"] == device.thing for m in told)
    lines = list(rules.destroy(home, data=True))
    assert "DynamoDB table e2e_readings: removed" in lines
    assert not [r for r in rules.rule_names(clients.iot) if r.startswith("e2e_all")]


@pytest.mark.parametrize(
    ("where", "alarm"),
    [
        ("", "temperature > 30 AND temperature <= 100"),
        ("temperature > 30 OR temperature = 7", "NOT (temperature > 100 OR temperature < 10)"),
    ],
)
def test_the_alarm_fires_above_its_threshold_only(
    where: str, alarm: str, clients: Clients, inbox: Any, applied: Any
) -> None:
    home = applied("e2e_alarm", Wanted(where=where, alarm=alarm))
    mail = inbox(home.arn("sns", "e2e_alarm"))
    for seq, temperature in enumerate((29.99, 30, 30.01, 100, 100.5, -40, 7)):
        publish(clients, "alarm-1", temperature, seq)
    told = wait_for(lambda: len(mail()) >= 2 and mail())
    time.sleep(1)
    assert [m["temperature"] for m in mail()] == [30.01, 100]
    assert told[0]["device_id"] == "n/a"  # by HTTP: nobody's client id


def test_what_cannot_be_delivered_is_told(clients: Clients, inbox: Any, applied: Any) -> None:
    # The table is gone: the error action republishes, and a second rule hands that on.
    applied("e2e_bad", Wanted({"dynamoDBv2": "e2e_gone"}))
    watcher = Wanted({"sns": "you@example.org"}, "e2e_bad/rule-errors", "*")  # no readings
    home = applied("e2e_errors", watcher)
    clients.client("dynamodb").delete_table(TableName="e2e_gone")
    mail = inbox(home.arn("sns", "e2e_errors"))
    publish(clients, "bad-1", 20, 1)
    (told, *_) = wait_for(mail)
    assert told["ruleName"] == "e2e_bad_readings"
    assert told["failures"][0]["failedAction"] == "DynamoDBv2Action"


def test_select_is_the_users_and_both_rules_work_after_a_second_apply(
    clients: Clients, inbox: Any, applied: Any
) -> None:
    select = (
        "topic(2) AS device_id, timestamp + '-' + (1000000000 + seq) AS reading, "
        "temperature * 2 AS double"
    )
    home = applied("e2e_own", Wanted({"dynamoDBv2": "e2e_own"}, select=select))
    done = rules.apply(rules.plan(Wanted(alarm="temperature > 30"), home))
    states = {what: state for what, state, _ in done}
    assert states["topic rule e2e_own_readings"] == "there"
    assert states["topic rule e2e_own_alarm"] == "missing"
    assert {state for _, state, _ in rules.show(home)} == {"there"}
    mail = inbox(home.arn("sns", "e2e_own"))
    publish(clients, "own-1", 31, 1)
    (found,) = wait_for(lambda: rows(clients, "e2e_own"))
    assert found == key_of("own-1", 1795248683, 1) | {"double": {"N": "62"}}
    assert wait_for(mail)[0]["temperature"] == 31
