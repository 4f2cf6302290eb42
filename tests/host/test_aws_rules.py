"""`rules`: the exact requests, on moto. What MiniStack executes is proved in tests/e2e."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from tests.host.aws_fakes import ACCOUNT, REGION, client_error, environment
from tools import cli
from tools.aws import rules, rules_aws, rules_destroy
from tools.aws.clients import Clients
from tools.aws.rules import Home, Wanted
from tools.errors import ToolError

HOME = Home("aws", REGION, ACCOUNT)
ALL = Wanted("farm", "devices/+/data", "you@example.org", "readings", "farm-bucket-1")
IOT = f"arn:aws:iot:{REGION}:{ACCOUNT}:"


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    environment(monkeypatch)
    with mock_aws():
        yield Clients()


def apply(clients: Clients, wanted: Wanted) -> dict[str, str]:
    return dict(rules_aws.apply(rules_aws.plan(clients, wanted, HOME)))


def states(clients: Clients, wanted: Wanted) -> set[str]:
    steps = rules_aws.plan(clients, wanted, HOME)
    return {state for _, state in rules_aws.apply(steps, dry_run=True)}


# The documents.


def test_the_readings_rule_is_exactly_this() -> None:
    made = rules.rules(ALL, HOME)
    role = f"arn:aws:iam::{ACCOUNT}:role/farm-rules-eu-west-1"
    assert made == {
        "farm_readings": {
            "sql": "SELECT clientid() AS device_id, timestamp, seq, temperature, humidity, "
            "pressure, time, timestamp + '-' + (1000000000 + seq) AS reading, "
            "timestamp() AS received_ms FROM 'devices/+/data'",
            "description": "made by `tools rules apply`: farm",
            "awsIotSqlVersion": "2016-03-23",
            "ruleDisabled": False,
            "actions": [
                {"dynamoDBv2": {"roleArn": role, "putItem": {"tableName": "readings"}}},
                {
                    "s3": {
                        "roleArn": role,
                        "bucketName": "farm-bucket-1",
                        "key": "readings/${clientid()}/${floor(timestamp)}-${floor(seq)}.json",
                    }
                },
                {
                    "sns": {
                        "targetArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:farm",
                        "roleArn": role,
                        "messageFormat": "RAW",
                    }
                },
            ],
            "errorAction": {"republish": {"roleArn": role, "topic": "farm/rule-errors", "qos": 1}},
        }
    }


def test_with_an_alarm_the_mail_is_for_the_alarm_only() -> None:
    wanted = Wanted("farm", email="you@example.org", table="t", alarm="temperature > 30")
    made = rules.rules(wanted, HOME)
    assert [next(iter(a)) for a in made["farm_readings"]["actions"]] == ["dynamoDBv2"]
    assert [next(iter(a)) for a in made["farm_alarm"]["actions"]] == ["sns"]
    assert made["farm_alarm"]["sql"].endswith(" FROM 'devices/+/data' WHERE temperature > 30")
    assert set(rules.rules(Wanted("farm", alarm="temperature > 30"), HOME)) == {"farm_alarm"}


def test_the_role_may_do_what_the_rules_need_and_no_more() -> None:
    allowed = {s["Action"]: s["Resource"] for s in rules.permissions(ALL, HOME)["Statement"]}
    assert allowed == {
        "iot:Publish": f"{IOT}topic/farm/rule-errors",
        "sns:Publish": f"arn:aws:sns:{REGION}:{ACCOUNT}:farm",
        "dynamodb:PutItem": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/readings",
        "s3:PutObject": "arn:aws:s3:::farm-bucket-1/readings/*",
    }
    only = rules.permissions(Wanted("farm", function="arn:aws:lambda:x:1:function:f"), HOME)
    assert [s["Action"] for s in only["Statement"]] == ["iot:Publish"]


def test_only_iot_of_this_account_may_take_the_role() -> None:
    (statement,) = rules.trust(HOME)["Statement"]
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_other_partitions() -> None:
    china = Home("aws-cn", "cn-north-1", "1")
    text = json.dumps([rules.permissions(ALL, china), rules.rules(ALL, china)])
    assert "arn:aws:" not in text


@pytest.mark.parametrize(
    ("alarm", "where"),
    [
        ("", ""),
        ("temperature > 30", "temperature > 30"),
        (" temperature>=-1.5 and humidity<20 ", "temperature >= -1.5 AND humidity < 20"),
        ("pressure <> 0 OR temperature = 7", "pressure <> 0 OR temperature = 7"),
    ],
)
def test_alarms(alarm: str, where: str) -> None:
    assert rules.condition(alarm) == where


@pytest.mark.parametrize(
    "alarm",
    [
        "hot",
        "temperature",
        "temperature > ",
        "temperature > hot",
        "temprature > 30",
        "temperature > 30 AND",
        "temperature > 30; DROP",
        "temperature > 30 OR aws_lambda('x') = 1",
        "30 < temperature",
    ],
)
def test_alarms_that_are_not_understood(alarm: str) -> None:
    with pytest.raises(ToolError, match="is not understood"):
        rules.condition(alarm)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), "nothing to do with the readings"),
        (Wanted("a-b", table="t"), "the name must be"),
        (Wanted(email="you"), "is no e-mail address"),
        (Wanted(function="f"), "takes the ARN"),
        (Wanted(topic="it's", table="t"), "is no topic filter"),
        (Wanted(alarm="hot"), "is not understood"),
    ],
)
def test_what_makes_no_sense(wanted: Wanted, expected: str) -> None:
    with pytest.raises(ToolError, match=expected):
        wanted.check()


# Into AWS and out again.


def test_apply_makes_everything_once(clients: Clients) -> None:
    assert set(apply(clients, ALL).values()) == {"missing"}
    assert set(apply(clients, ALL).values()) == {"there"}
    rule = clients.iot.get_topic_rule(ruleName="farm_readings")["rule"]
    assert rules.same(rule, rules.rules(ALL, HOME)["farm_readings"])
    (mail,) = clients.client("sns").list_subscriptions()["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "you@example.org")
    table = clients.client("dynamodb").describe_table(TableName="readings")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {k["AttributeName"]: k["KeyType"] for k in table["KeySchema"]} == {
        "device_id": "HASH",
        "reading": "RANGE",
    }
    closed = clients.client("s3").get_public_access_block(Bucket="farm-bucket-1")
    assert all(closed["PublicAccessBlockConfiguration"].values())
    place = clients.client("s3").get_bucket_location(Bucket="farm-bucket-1")
    assert place["LocationConstraint"] == REGION


def test_a_dry_run_makes_nothing(clients: Clients) -> None:
    assert states(clients, ALL) == {"missing"}
    assert states(clients, ALL) == {"missing"}
    assert clients.client("iam").list_roles()["Roles"] == []
    assert clients.client("dynamodb").list_tables()["TableNames"] == []


def test_what_differs_is_set_right(clients: Clients) -> None:
    apply(clients, Wanted("farm", table="readings"))
    more = Wanted("farm", table="readings", alarm="temperature > 30", topic="dt/+/temp")
    found = apply(clients, more)
    assert {k.split(":")[0]: v for k, v in found.items()} == {
        "SNS topic farm": "missing",
        "DynamoDB table readings": "there",
        "IAM role farm-rules-eu-west-1": "there",
        "IAM policy farm of the role": "differs",
        "topic rule farm_readings": "differs",
        "topic rule farm_alarm": "missing",
    }
    assert states(clients, more) == {"there"}
    iam, role = clients.client("iam"), "farm-rules-eu-west-1"
    theirs = rules.trust(Home("aws", REGION, "999999999999"))
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=rules.as_text(theirs))
    assert apply(clients, more)["IAM role farm-rules-eu-west-1"] == "differs"
    assert states(clients, more) == {"there"}


def test_a_lambda_function_may_be_invoked_by_the_rule_only(clients: Clients) -> None:
    iam, functions = clients.client("iam"), clients.client("lambda")
    role = iam.create_role(RoleName="f", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): pass")
    arn = functions.create_function(
        FunctionName="f",
        Runtime="python3.12",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": packed.getvalue()},
    )["FunctionArn"]
    wanted = Wanted("farm", function=arn)
    apply(clients, wanted)
    (statement,) = json.loads(functions.get_policy(FunctionName="f")["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert statement["Action"] == "lambda:InvokeFunction"
    assert f"{IOT}rule/farm_readings" in json.dumps(statement["Condition"])
    assert states(clients, wanted) == {"there"}
    lines = list(rules_destroy.destroy(clients, "farm", HOME))
    assert "permission to invoke f: removed" in lines


def test_a_table_no_reading_fits(clients: Clients) -> None:
    clients.client("dynamodb").create_table(
        TableName="readings",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ToolError, match=r"has the key id \(S\), which no reading carries"):
        apply(clients, ALL)


def old_table(clients: Clients) -> None:
    """As version 0.1.0 made it."""
    keys = (("device_id", "S", "HASH"), ("timestamp", "N", "RANGE"))
    clients.client("dynamodb").create_table(
        TableName="readings",
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": t} for k, t, _ in keys],
        KeySchema=[{"AttributeName": k, "KeyType": r} for k, _, r in keys],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_table_with_the_old_key_is_left_alone(clients: Clients, dry_run: bool) -> None:
    old_table(clients)
    steps = rules_aws.plan(clients, Wanted("farm", table="readings"), HOME)
    with pytest.raises(ToolError, match="the last") as caught:
        list(rules_aws.apply(steps, dry_run))
    assert "--dynamodb readings-2" in caught.value.hint
    assert clients.iot.list_topic_rules()["rules"] == []
    assert clients.client("iam").list_roles()["Roles"] == []
    assert set(apply(clients, Wanted("farm", table="readings-2")).values()) == {"missing"}
    described = clients.client("dynamodb").describe_table(TableName="readings")["Table"]
    assert {k["AttributeName"] for k in described["KeySchema"]} == {"device_id", "timestamp"}


def test_no_target_believes_the_payload() -> None:
    # Neither the key of the table nor that of the object has anything of it but digits, and no
    # `*` lets it name an attribute of its own.
    alarm = rules.rules(Wanted("farm", alarm="temperature > 1"), HOME)
    made = json.dumps(rules.rules(ALL, HOME) | alarm)
    assert "*" not in made
    assert "${device_id}" not in made
    assert made.count("clientid() AS device_id") == 2


@given(st.lists(st.tuples(st.integers(10**9, 10**10 - 1), st.integers(0, 2**32 - 1)), min_size=2))
def test_the_sort_key_sorts_by_time_then_seq(readings: list[tuple[int, int]]) -> None:
    # The SQL in Python: + adds numbers, and joins when one side is text.
    first, dash, added = "timestamp", " + '-' + ", "(1000000000 + seq)"
    assert first + dash + added == rules.READING
    keys = [f"{timestamp}-{1000000000 + seq}" for timestamp, seq in readings]
    by_text = sorted(range(len(keys)), key=lambda i: keys[i])
    assert [readings[i] for i in by_text] == sorted(readings)
    assert len(set(keys)) == len(set(readings))


def test_destroy_keeps_the_readings_unless_told(clients: Clients) -> None:
    apply(clients, ALL)
    clients.client("s3").put_object(Bucket="farm-bucket-1", Key="readings/x", Body=b"x")
    lines = list(rules_destroy.destroy(clients, "farm", HOME))
    assert "DynamoDB table readings: kept, --with-data removes it" in lines
    assert "S3 bucket farm-bucket-1: kept, --with-data removes it" in lines
    assert clients.client("iam").list_roles()["Roles"] == []
    assert clients.client("sns").list_topics()["Topics"] == []
    assert clients.iot.list_topic_rules()["rules"] == []
    assert len(list(rules_destroy.destroy(clients, "farm", HOME, data=True))) == 2
    assert clients.client("s3").list_buckets()["Buckets"] == []
    assert list(rules_destroy.destroy(clients, "farm", HOME, data=True)) == []


def test_destroy_leaves_what_others_have_made(clients: Clients) -> None:
    clients.client("sns").create_topic(Name="farm")
    clients.client("dynamodb").create_table(
        TableName="theirs",
        AttributeDefinitions=[{"AttributeName": "device_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "device_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    other = Wanted("other", table="others", alarm="temperature > 1")
    apply(clients, other)
    apply(clients, Wanted("farm", table="theirs"))
    lines = list(rules_destroy.destroy(clients, "farm", HOME, data=True))
    assert "SNS topic farm: kept, it was not made here" in lines
    assert set(clients.client("dynamodb").list_tables()["TableNames"]) == {"theirs", "others"}
    assert states(clients, other) == {"there"}


def test_a_role_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "iot.amazonaws.com is unable to perform: sts:AssumeRole on resource"
    answers: list[Any] = [client_error("InvalidRequestException", text=text)] * 2
    waited: list[float] = []
    monkeypatch.setattr("tools.aws.rules_aws.time.sleep", waited.append)

    def call() -> None:
        if answers:
            raise answers.pop()

    rules_aws._when_role_is_known(call)
    assert len(waited) == 2
    other = client_error("InvalidRequestException", text="bad SQL")
    with pytest.raises(type(other), match="bad SQL"):
        rules_aws._when_role_is_known(lambda: (_ for _ in ()).throw(other))


def test_the_commands(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rules", "apply", "--name", "farm", "--dynamodb", "readings"]
    assert cli.main([*words, "--alarm", "temperature > 30", "--dry-run"]) == 0
    assert "DynamoDB table readings: would be made" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "DynamoDB table readings: made" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "DynamoDB table readings: is there" in capsys.readouterr().out
    assert cli.main(["rules", "apply"]) == 2
    assert "--dynamodb" in capsys.readouterr().err
    assert cli.main(["rules", "destroy", "--name", "farm"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert cli.main(["rules", "destroy", "--name", "farm", "--yes", "--with-data"]) == 0
    assert "DynamoDB table readings: removed" in capsys.readouterr().out
    assert cli.main(["rules", "destroy", "--name", "farm", "--yes"]) == 0
    assert "there is nothing named farm" in capsys.readouterr().out
