"""`rules`: the exact requests, on moto. What MiniStack executes is proved in tests/e2e."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shlex
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.host.aws_fakes import ACCOUNT, NETWORK_GONE, REGION, Faulty, client_error
from tools.aws.clients import Clients
from tools.aws.policy import document
from tools.aws.rules import apply as rules
from tools.aws.rules import documents, sql
from tools.aws.rules.documents import Wanted
from tools.aws.rules.target import Home
from tools.doctor.evaluate import Session, allows
from tools.errors import ToolError
from tools.toolchain import ROOT

TO = {"sns": "you@example.org", "dynamoDBv2": "readings", "s3": "farm-bucket-1"}
ALL = Wanted(TO)
ALARM = Wanted(alarm="temperature > 30")
TABLE = Wanted({"dynamoDBv2": "readings"})
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
IOT = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
ROLE = "farm-rules-eu-west-1"
RIGHTS = {"iot:Publish", "sns:Publish", "dynamodb:PutItem"}  # of ALARM and TABLE
SQL = (
    "SELECT clientid() AS device_id, timestamp, seq, "
    "temperature, humidity, pressure, co2, battery_v, sensors, time, "
    "timestamp + '-' + (1000000000 + seq) AS reading, timestamp() AS received_ms "
    "FROM 'devices/+/data'"
)


@pytest.fixture
def home(clients: Clients) -> Home:
    return home_of("farm", clients)


def home_of(name: str, clients: Clients | None = None) -> Home:
    return Home(clients or Clients(), name, "aws", REGION, ACCOUNT)


def apply(home: Home, wanted: Wanted) -> dict[str, str]:
    return {what: state for what, state, _ in rules.apply(rules.plan(wanted, home))}


def dry(home: Home, wanted: Wanted) -> dict[str, tuple[str, list[str]]]:
    return {w: (s, lines) for w, s, lines in rules.apply(rules.plan(wanted, home), dry_run=True)}


def states(home: Home, wanted: Wanted) -> set[str]:
    return {state for state, _ in dry(home, wanted).values()}


def make_table(home: Home, name: str, **keys: str) -> None:
    """A table of somebody else's; keys: name -> kind, the partition key first."""
    roles = zip(keys, ("HASH", "RANGE"), strict=False)
    home.clients.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": t} for k, t in keys.items()],
        KeySchema=[{"AttributeName": k, "KeyType": r} for k, r in roles],
        BillingMode="PAY_PER_REQUEST",
    )


def make_function(home: Home) -> str:
    iam, functions = home.clients.client("iam"), home.clients.client("lambda")
    role = iam.create_role(RoleName="f", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    made = functions.create_function(
        FunctionName="f",
        Runtime="python3.12",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": b"is not run"},
    )
    return str(made["FunctionArn"])


def set_rights(home: Home, statements: list[Any]) -> None:
    home.clients.client("iam").put_role_policy(
        RoleName=home.role, PolicyName=home.name, PolicyDocument=document(statements)
    )


def rights_of(home: Home) -> dict[str, str]:
    """Action -> resource of the role's policy."""
    answer = home.clients.client("iam").get_role_policy(RoleName=home.role, PolicyName=home.name)
    return {s["Action"]: s["Resource"] for s in documents.statements(answer["PolicyDocument"])}


# The documents.


def test_the_readings_rule_is_exactly_this() -> None:
    made = documents.payloads(ALL, home_of("farm"))
    role, topic = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", f"arn:aws:sns:{REGION}:{ACCOUNT}:farm"
    # Neither the key of the table nor that of the object has anything of the payload but digits,
    # and no `*` lets it name an attribute of its own.
    key = "readings/${clientid()}/${floor(timestamp)}-${floor(seq)}.json"
    assert made == {
        "farm_readings": {
            "sql": SQL,
            "description": "made by `tools rules apply`: farm",
            "awsIotSqlVersion": "2016-03-23",
            "ruleDisabled": False,
            "actions": [
                {"sns": {"targetArn": topic, "roleArn": role, "messageFormat": "RAW"}},
                {"dynamoDBv2": {"roleArn": role, "putItem": {"tableName": "readings"}}},
                {"s3": {"roleArn": role, "bucketName": "farm-bucket-1", "key": key}},
            ],
            "errorAction": {"republish": {"roleArn": role, "topic": "farm/rule-errors", "qos": 1}},
        }
    }


def test_with_an_alarm_the_mail_is_for_the_alarm_only() -> None:
    wanted = Wanted({"sns": "you@example.org", "dynamoDBv2": "tab"}, alarm="temperature > 30")
    made = documents.payloads(wanted, home_of("farm"))
    assert [next(iter(a)) for a in made["farm_readings"]["actions"]] == ["dynamoDBv2"]
    assert [next(iter(a)) for a in made["farm_alarm"]["actions"]] == ["sns"]
    assert made["farm_alarm"]["sql"] == f"{SQL} WHERE temperature > 30"
    assert set(documents.payloads(ALARM, home_of("farm"))) == {"farm_alarm"}


def test_select_and_where_are_the_users() -> None:
    wanted = Wanted(
        {"s3": "farm-bucket-1"},
        "farm/+/t",
        "temp * 2 AS double, topic(2) AS device_id",
        "temp > 0 OR site = 'north'",
        "temp > 30",
    )
    assert wanted.check("farm") == ["double", "device_id"]
    made = documents.payloads(wanted, home_of("farm"))
    start = "SELECT temp * 2 AS double, topic(2) AS device_id FROM 'farm/+/t' WHERE "
    assert made["farm_readings"]["sql"] == start + "temp > 0 OR site = 'north'"
    assert made["farm_alarm"]["sql"] == start + "(temp > 0 OR site = 'north') AND (temp > 30)"


def test_the_role_may_do_what_the_rules_need_and_no_more() -> None:
    home = home_of("farm")
    made = documents.permissions(documents.payloads(ALL, home).values(), home)
    assert {s["Action"]: s["Resource"] for s in made} == {
        "iot:Publish": f"{IOT}topic/farm/rule-errors",
        "sns:Publish": f"arn:aws:sns:{REGION}:{ACCOUNT}:farm",
        "dynamodb:PutItem": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/readings",
        "s3:PutObject": "arn:aws:s3:::farm-bucket-1/readings/*",
    }
    only = documents.payloads(Wanted({"lambda": FUNCTION}), home)
    assert [s["Action"] for s in documents.permissions(only.values(), home)] == ["iot:Publish"]


def test_only_iot_of_this_account_may_take_the_role() -> None:
    (statement,) = documents.trust(home_of("farm"))
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_other_partitions() -> None:
    china = Home(Clients(), "farm", "aws-cn", "cn-north-1", "1")
    made = documents.payloads(ALL, china)
    assert "arn:aws:" not in json.dumps([made, documents.permissions(made.values(), china)])


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "temperature > 30",
        " temperature>=-1.5 and humidity<20 ",
        "pressure <> 0 OR temperature = 7",
        "30 < temperature",
        "NOT (temperature > 30 OR humidity * 2 > 90) AND startswith(time, 'est')",
        "topic(2) = 'it''s OR 1' AND isUndefined(time)",
        "CASE WHEN humidity > 3 THEN 1 ELSE 0 END = 1",
    ],
)
def test_conditions(condition: str) -> None:
    sql.check_condition(condition, sql.TOPIC, "--where")


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("hot", "has to compare"),
        ("temperature", "has to compare"),
        ("temperature > ", "not understood"),
        ("temperature > hot", "no reading has hot"),
        ("temprature > 30", 'no reading has temprature, did you mean "temperature"'),
        ("Temperature > 30", "no reading has Temperature"),
        ("reading > '1'", "no reading has reading"),  # an alias; WHERE comes before SELECT
        ("temperature > 30 AND", "has to compare"),
        ("temperature > 30 AND humidity", "has to compare"),
        ("(temperature > 30", "not understood"),
        ("temperature > 30)", "not understood"),
        ("temperature > 30; DROP", "not understood at ';'"),
        ("temperature > 30 -- humidity", "not understood"),
        ("temperature > 30 FROM 'x'", "no reading has FROM"),
        ("temperature == 30", "not understood"),
        ("temperature > 30 OR aws_lambda('x') = 1", "there is no aws_lambda"),
        ("flor(temperature) > 30", 'there is no flor\\(\\) for a rule, did you mean "floor"'),
        ("temperature > 30, humidity > 1", "not understood"),
        ("time = 'x", "not understood at"),
        ("temperature > (SELECT 1)", "no reading has SELECT"),
    ],
)
def test_conditions_that_are_not_understood(condition: str, why: str) -> None:
    for option in ("--where", "--alarm"):
        with pytest.raises(ToolError, match=why) as caught:
            sql.check_condition(condition, sql.TOPIC, option)
        assert option in str(caught.value)


@pytest.mark.parametrize(
    ("select", "columns"),
    [
        (sql.SELECT, ["device_id", *sql.FIELDS[1:], "reading", "received_ms"]),
        ("temperature", ["temperature"]),
        ("*, clientid() AS device_id", [*sql.FIELDS, "device_id"]),
        ("cast(temperature AS Decimal) AS t, 'a,b' as note", ["t", "note"]),
        ("temperature AS values.t", ["values.t"]),
    ],
)
def test_the_columns_of_select(select: str, columns: list[str]) -> None:
    assert sql.columns(select, sql.TOPIC) == columns


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("", "not understood"),
        ("temperature,", "not understood"),
        ("temperature t", "no reading has t"),
        ("temperature 1", "AS or an operator is missing"),
        ("temperature time", "AS or an operator is missing"),
        ("VALUE temperature", "no reading has VALUE"),
        ("temperature FROM 'x'", "no reading has FROM"),
        ("temprature", 'did you mean "temperature"'),
        ("[temperature]", "not understood at"),
        ("get_secret('x') AS x", "there is no get_secret"),
    ],
)
def test_a_select_that_is_not_understood(select: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        Wanted(TO, select=select).check("farm")


_WORDS = (
    "temperature x a.b AS AND not floor cast ( ) , * - = <> == 7 'a''s' ' \" ; SELECT \x00 é \n"
)


@given(st.lists(st.sampled_from(_WORDS.split(" "))), st.sampled_from([sql.TOPIC, "a/#"]))
@example(["'", '"', "'"], sql.TOPIC)
def test_any_text_is_understood_or_a_clear_error(words: list[str], topic: str) -> None:
    text, taken = " ".join(words), []
    with contextlib.suppress(ToolError):
        taken = sql.columns(text, topic)
    with contextlib.suppress(ToolError):
        sql.check_condition(text, topic, "--where")
        taken = taken or [text] * bool(text.strip())
    bare = re.sub("'[^']*'", "", text)  # in a text literal anything may stand
    assert not (taken and {";", '"', "\x00", "é", "=="} & set(bare.split(" ")))


def test_what_is_not_known_of_other_topics_is_not_refused() -> None:
    assert sql.columns("site.name AS site, *", "plant/#") == ["site", "site.name"]
    sql.check_condition("pump.rpm > 3", "plant/#", "--where")


@pytest.mark.parametrize(
    ("select", "notes"),
    [
        (sql.SELECT, []),
        ("temperature", ["gives no device_id"]),
        ("temperature, device_id", ["device_id is what the payload says"]),
        ("temperature, topic(2) AS device_id", []),
        ("*, clientid() AS device_id", ["whatever a payload holds"]),
        ("clientid() AS device_id, timestamp AS reading", ["take each other's place"]),
        (f"clientid() AS device_id, temperature * 2 AS t, {sql.READING} AS reading", []),
    ],
)
def test_what_is_said_about_a_select(select: str, notes: list[str]) -> None:
    found = list(sql.notes(select, sql.TOPIC))
    assert len(found) == len(notes)
    assert all(part in note for part, note in zip(notes, found, strict=True))


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("a-b", TABLE, "the name must be"),
        ("n" * 42, TABLE, "the name must be"),
        ("farm", Wanted({"sns": "you"}), "is no e-mail address"),
        ("farm", Wanted({"lambda": "f"}), "takes the ARN"),
        ("farm", Wanted({"dynamoDBv2": "ab"}), "is no name of a table"),
        ("farm", Wanted({"s3": "Farm"}), "is no name of a bucket"),
        ("farm", Wanted(TO, topic="it's"), "is no topic filter"),
        ("farm", Wanted(TO, topic=""), "is no topic filter"),
        ("farm", Wanted(TO, topic="a/#/b"), "is no topic filter"),
        ("farm", Wanted(TO, topic="a/b+"), "is no topic filter"),
        ("farm", Wanted(TO, topic="a/" * 8 + "a"), "is no topic filter"),
        ("farm", Wanted(TO, topic="é" * 129), "is no topic filter"),
        ("farm", Wanted(alarm="hot"), "is not understood"),
    ],
)
def test_what_makes_no_sense(name: str, wanted: Wanted, expected: str) -> None:
    with pytest.raises(ToolError, match=expected):
        wanted.check(name)


@pytest.mark.parametrize("topic", ["#", "+/data", "a/" * 7 + "#", "/a//b", "é" * 128])
def test_topic_filters(topic: str) -> None:
    assert Wanted(TO, topic=topic).check("farm")


def test_the_longest_names_fit() -> None:
    home = Home(Clients(), "n" * 41, "aws", "ap-southeast-7", ACCOUNT)
    assert len(home.role) <= 64  # IAM
    assert max(len(rule) for rule in documents.payloads(ALL, home)) <= 128  # AWS IoT


@given(st.lists(st.tuples(st.integers(10**9, 10**10 - 1), st.integers(0, 2**32 - 1)), min_size=2))
def test_the_sort_key_sorts_by_time_then_seq(readings: list[tuple[int, int]]) -> None:
    # The SQL in Python: + adds numbers, and joins when one side is text.
    first, dash, added = "timestamp", " + '-' + ", "(1000000000 + seq)"
    assert first + dash + added == sql.READING
    keys = [f"{timestamp}-{1000000000 + seq}" for timestamp, seq in readings]
    by_text = sorted(range(len(keys)), key=lambda i: keys[i])
    assert [readings[i] for i in by_text] == sorted(readings)
    assert len(set(keys)) == len(set(readings))


# The role, for all rules that are there.


def missing_rights(home: Home) -> list[str]:
    """What the rules in AWS do that the policy of their role does not allow."""
    there = {n for n in rules.rule_names(home.clients.iot) if n.startswith(f"{home.name}_")}
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/"
    needs = []
    for name in there:
        rule = home.clients.iot.get_topic_rule(ruleName=name)["rule"]
        for action in (*rule["actions"], rule["errorAction"]):
            match action:
                case {"sns": body}:
                    needs.append(("sns:Publish", body["targetArn"]))
                case {"republish": body}:
                    needs.append(("iot:Publish", f"{IOT}topic/{body['topic']}"))
                case {"dynamoDBv2": body}:
                    needs.append(("dynamodb:PutItem", table + body["putItem"]["tableName"]))
                case {"s3": body}:
                    key = body["bucketName"] + "/readings/t-1/17952-9.json"
                    needs.append(("s3:PutObject", f"arn:aws:s3:::{key}"))
                case _:
                    raise AssertionError(action)
    if not needs:
        return []
    iam = home.clients.client("iam")
    policy = iam.get_role_policy(RoleName=home.role, PolicyName=home.name)["PolicyDocument"]
    nobody = Session("", frozenset(), "")
    return [f"{a} {arn}" for a, arn in needs if not allows([json.dumps(policy)], nobody, a, arn)]


def random_wanted(random_: random.Random) -> Wanted:
    choices = {
        "sns": "you@example.org",
        "dynamoDBv2": random_.choice(["one", "two"]),
        "s3": random_.choice(["bucket-1", "bucket-2"]),
    }
    to = {kind: value for kind, value in choices.items() if random_.random() < 0.4}
    alarm = random_.choice(["", "temperature > 30", "humidity > 90"])
    return Wanted(to, where=random_.choice(["", "seq > 3"]), alarm=alarm)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_applied_every_rule_can_do_what_it_says(seed: int, home: Home) -> None:
    random_ = random.Random(seed)
    print("seed", seed)
    for _ in range(8):
        wanted = random_wanted(random_)
        if random_.random() < 0.15:
            list(rules.destroy(home))
            assert not rules.rule_names(home.clients.iot)
        elif not wanted.rules():
            continue
        else:
            apply(home, wanted)
            assert states(home, wanted) == {"there"}
        assert missing_rights(home) == []
        assert {state for _, state, _ in rules.show(home)} <= {"there"}
        there = rules.existing(home)[0]
        if there:  # and it may do nothing else
            needed = documents.permissions(there.values(), home)
            assert len(rights_of(home)) == len(needed)


@pytest.mark.parametrize("service", ["iot", "iam"])
@pytest.mark.parametrize("order", [(ALARM, TABLE), (ALL, Wanted({"sns": TO["sns"]}))])
def test_no_cut_takes_a_right_from_a_rule_that_works(
    service: str, order: tuple[Wanted, Wanted], home: Home
) -> None:
    real, at, done = home.clients.client(service), 0, False
    while not done:
        at += 1
        home.clients._made[service] = Faulty(real, at, NETWORK_GONE, lasting=True)
        with contextlib.suppress(ToolError):
            for wanted in order:
                apply(home, wanted)
            done = True
        home.clients._made[service] = real
        assert missing_rights(home) == []
        apply(home, order[-1])
        assert missing_rights(home) == []
        list(rules.destroy(home))
    assert at > 5


@pytest.mark.parametrize(("first", "second"), [(TABLE, ALARM), (ALARM, TABLE)])
def test_a_second_apply_takes_no_right_from_the_first(
    first: Wanted, second: Wanted, home: Home
) -> None:
    apply(home, first)
    state, lines = dry(home, second)["IAM policy farm of the role"]
    assert state == "differs"
    assert not [line for line in lines if line.startswith("- ")]
    apply(home, second)
    assert rights_of(home).keys() == RIGHTS


def test_a_condition_that_somebody_added_is_no_longer_the_same(home: Home) -> None:
    apply(home, TABLE)
    narrow = documents.permissions(documents.payloads(TABLE, home).values(), home)
    narrow[0]["Condition"] = {"IpAddress": {"aws:SourceIp": "192.0.2.1"}}
    set_rights(home, narrow)
    assert dry(home, TABLE)["IAM policy farm of the role"][0] == "differs"
    assert missing_rights(home) != []
    apply(home, TABLE)
    assert missing_rights(home) == []


def test_an_action_of_somebody_elses_keeps_its_right(home: Home) -> None:
    apply(home, TABLE)
    rule = home.clients.iot.get_topic_rule(ruleName="farm_readings")["rule"]
    payload = {key: rule[key] for key in ("sql", "description", "ruleDisabled", "errorAction")}
    sqs = {"sqs": {"roleArn": home.role_arn, "queueUrl": "https://q"}}
    payload["actions"] = [*rule["actions"], sqs]
    home.clients.iot.replace_topic_rule(ruleName="farm_readings", topicRulePayload=payload)
    theirs = [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:x"}]
    set_rights(home, documents.permissions([payload], home) + theirs)
    apply(home, ALARM)
    assert {"sqs:SendMessage", "sns:Publish", "dynamodb:PutItem"} <= set(rights_of(home))
    apply(home, TABLE)  # the readings rule again, without what was added
    assert rights_of(home).keys() == RIGHTS


# Into AWS and out again.


def test_apply_makes_everything_once(home: Home) -> None:
    assert set(apply(home, ALL).values()) == {"missing"}
    assert set(apply(home, ALL).values()) == {"there"}
    rule = home.clients.iot.get_topic_rule(ruleName="farm_readings")["rule"]
    assert documents.same(rule, documents.payloads(ALL, home)["farm_readings"])
    (mail,) = home.clients.client("sns").list_subscriptions()["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "you@example.org")
    table = home.clients.client("dynamodb").describe_table(TableName="readings")["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {k["AttributeName"]: k["KeyType"] for k in table["KeySchema"]} == {
        "device_id": "HASH",
        "reading": "RANGE",
    }
    closed = home.clients.client("s3").get_public_access_block(Bucket="farm-bucket-1")
    assert all(closed["PublicAccessBlockConfiguration"].values())
    place = home.clients.client("s3").get_bucket_location(Bucket="farm-bucket-1")
    assert place["LocationConstraint"] == REGION


def test_a_dry_run_makes_nothing(home: Home) -> None:
    assert states(home, ALL) == {"missing"}
    assert states(home, ALL) == {"missing"}
    assert home.clients.client("iam").list_roles()["Roles"] == []
    assert home.clients.client("dynamodb").list_tables()["TableNames"] == []


def test_what_differs_is_set_right_and_shown_part_by_part(home: Home) -> None:
    apply(home, TABLE)
    more = Wanted(TABLE.to, "devices/+/more", where="temperature > 0", alarm=ALARM.alarm)
    found = dry(home, more)
    assert {what: state for what, (state, _) in found.items()} == {
        "SNS topic farm": "missing",
        "DynamoDB table readings": "there",
        f"IAM role {ROLE}": "there",
        "IAM policy farm of the role": "differs",
        "topic rule farm_readings": "differs",
        "topic rule farm_alarm": "missing",
    }
    assert [line for line in found["topic rule farm_readings"][1] if line[0] != " "] == [
        "- FROM 'devices/+/data'",
        "+ FROM 'devices/+/more'",
        "+ WHERE temperature > 0",
    ]
    assert found["IAM policy farm of the role"][1] == [
        f"  Allow iot:Publish {IOT}topic/farm/rule-errors",
        f"  Allow dynamodb:PutItem arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/readings",
        f"+ Allow sns:Publish arn:aws:sns:{REGION}:{ACCOUNT}:farm",
    ]
    apply(home, more)
    assert states(home, more) == {"there"}
    theirs = documents.trust(Home(home.clients, "farm", "aws", REGION, "999999999999"))
    home.clients.client("iam").update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=document(theirs)
    )
    assert apply(home, more)[f"IAM role {ROLE}"] == "differs"
    assert states(home, more) == {"there"}


def test_a_lambda_function_may_be_invoked_by_the_rule_only(home: Home) -> None:
    functions = home.clients.client("lambda")
    wanted = Wanted({"lambda": make_function(home)})
    apply(home, wanted)
    (statement,) = json.loads(functions.get_policy(FunctionName="f")["Policy"])["Statement"]
    assert statement["Principal"] == {"Service": "iot.amazonaws.com"}
    assert statement["Action"] == "lambda:InvokeFunction"
    assert f"{IOT}rule/farm_readings" in json.dumps(statement["Condition"])
    assert states(home, wanted) == {"there"}
    apply(home, ALARM)  # another rule: it stays
    assert states(home, wanted) == {"there"}
    assert "permission of the rule to invoke f: removed" in list(rules.destroy(home))


def test_a_function_that_the_rule_loses_is_no_longer_open_to_it(home: Home) -> None:
    apply(home, Wanted({"lambda": make_function(home)}))
    assert dry(home, TABLE)["permission of the rule to invoke f"][0] == "differs"
    apply(home, TABLE)
    functions = home.clients.client("lambda")
    with pytest.raises(functions.exceptions.ResourceNotFoundException):
        functions.get_policy(FunctionName="f")
    assert states(home, TABLE) == {"there"}


@pytest.mark.parametrize(
    ("keys", "wanted", "expected", "hint"),
    [
        ({"id": "S"}, ALL, r"is id \(S\); SELECT gives no such id", "another"),
        ({"device_id": "N"}, ALL, r"device_id \(N\); SELECT gives no such", "another"),
        ({"device_id": "S", "timestamp": "N"}, TABLE, "the last", "--dynamodb readings-2"),
        ({"site": "S", "reading": "S"}, TABLE, "no such site", "another"),
        ({}, Wanted(TABLE.to, select="seq"), "no such device_id and reading", "clientid() AS"),
        ({}, Wanted(TABLE.to, select="*"), "no such reading", "AS reading"),
        (
            {"device_id": "S", "seq": "N"},
            Wanted(TABLE.to, select="seq"),
            "no such device_id",
            "AS",
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_table_that_takes_no_reading(
    keys: dict[str, str], wanted: Wanted, expected: str, hint: str, dry_run: bool, home: Home
) -> None:
    if keys:
        make_table(home, "readings", **keys)
    with pytest.raises(ToolError, match=expected) as caught:
        list(rules.apply(rules.plan(wanted, home), dry_run))
    assert hint in caught.value.hint
    # Nothing was made before it was looked at.
    assert home.clients.iot.list_topic_rules()["rules"] == []
    assert home.clients.client("sns").list_topics()["Topics"] == []
    assert home.clients.client("iam").list_roles()["Roles"] == []
    if keys:
        described = home.clients.client("dynamodb").describe_table(TableName="readings")["Table"]
        assert {k["AttributeName"] for k in described["KeySchema"]} == keys.keys()


def test_a_table_of_the_users_own_key(home: Home) -> None:
    make_table(home, "readings", site="S", reading="S")
    select = f"topic(2) AS site, {sql.READING} AS reading, temperature"
    assert apply(home, Wanted(TABLE.to, select=select))["DynamoDB table readings"] == "there"


def test_an_old_table_is_left_alone_beside_a_new_one(home: Home) -> None:
    make_table(home, "readings", device_id="S", timestamp="N")
    assert set(apply(home, Wanted({"dynamoDBv2": "readings-2"})).values()) == {"missing"}


def test_destroy_keeps_the_readings_unless_told(home: Home) -> None:
    apply(home, ALL)
    home.clients.client("s3").put_object(Bucket="farm-bucket-1", Key="readings/x", Body=b"x")
    lines = list(rules.destroy(home))
    assert "DynamoDB table readings: kept, --with-data removes it" in lines
    assert "S3 bucket farm-bucket-1: kept, --with-data removes it" in lines
    assert home.clients.client("iam").list_roles()["Roles"] == []
    assert home.clients.client("sns").list_topics()["Topics"] == []
    assert home.clients.iot.list_topic_rules()["rules"] == []
    assert len(list(rules.destroy(home, data=True))) == 2
    assert home.clients.client("s3").list_buckets()["Buckets"] == []
    assert list(rules.destroy(home, data=True)) == []


def test_destroy_leaves_what_others_have_made(home: Home) -> None:
    home.clients.client("sns").create_topic(Name="farm")
    make_table(home, "theirs", device_id="S")
    other, wanted = home_of("other"), Wanted({"dynamoDBv2": "others"}, alarm="temperature > 1")
    apply(other, wanted)
    apply(home, Wanted({"dynamoDBv2": "theirs"}))
    lines = list(rules.destroy(home, data=True))
    assert "SNS topic farm: kept, it was not made here" in lines
    tables = home.clients.client("dynamodb").list_tables()["TableNames"]
    assert set(tables) == {"theirs", "others"}
    assert states(other, wanted) == {"there"}


def test_a_rule_and_a_role_of_others_under_our_name_are_left_alone(home: Home) -> None:
    theirs = {"sql": "SELECT * FROM 'x'", "actions": []}
    home.clients.iot.create_topic_rule(ruleName="farm_readings", topicRulePayload=theirs)
    home.clients.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    with pytest.raises(ToolError, match="farm_readings was not made here"):
        rules.plan(TABLE, home)
    assert list(rules.destroy(home)) == [
        "topic rule farm_readings: kept, it was not made here",
        f"IAM role {ROLE}: kept, it was not made here",
    ]
    assert len(home.clients.client("iam").list_roles()["Roles"]) == 1


def test_a_role_that_is_not_known_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "iot.amazonaws.com is unable to perform: sts:AssumeRole on resource"
    answers: list[Any] = [client_error("InvalidRequestException", text=text)] * 2
    waited: list[float] = []
    monkeypatch.setattr("tools.aws.rules.apply.time.sleep", waited.append)

    def call() -> None:
        if answers:
            raise answers.pop()

    rules.when_role_is_known(call)
    assert len(waited) == 2
    other = client_error("InvalidRequestException", text="bad SQL")
    with pytest.raises(type(other), match="bad SQL"):
        rules.when_role_is_known(lambda: (_ for _ in ()).throw(other))


# The commands.


def test_the_commands(home: Home, said: Any) -> None:
    words = ["rules", "apply", "--name", "farm", "--dynamodb", "readings"]
    dry_run = said(*words, "--alarm", "temperature > 30", "--dry-run")
    assert "DynamoDB table readings: would be made" in dry_run.out
    assert "DynamoDB table readings: made" in said(*words).out
    assert "DynamoDB table readings: is there" in said(*words).out
    assert "--dynamodb" in said("rules", "apply", code=2).err
    nothing = said("rules", "apply", "--where", "seq > 1", "--name", "farm", code=2)
    assert "nothing to do with the readings" in nothing.err
    destroy = ["rules", "destroy", "--name", "farm"]
    assert "--yes" in said(*destroy, code=2).err
    gone = said(*destroy, "--yes", "--with-data").out
    assert "DynamoDB table readings: removed" in gone
    for again in ([*destroy, "--yes"], ["rules", "show", "--name", "farm"]):
        assert "there is nothing named farm" in said(*again).out


def test_the_examples_of_the_docs(home: Home, said: Any) -> None:
    text = (ROOT / "docs" / "aws.md").read_text("utf-8").split("## Rules")[1].replace("\\\n", "")
    lines = re.findall(r"^python -m tools (rules apply .*)", text, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line.replace("ARN", FUNCTION), comments=True)
        assert said(*words, "--dry-run").err == ""  # no note, no error


def test_an_alarm_without_a_subscriber_says_so(home: Home, said: Any) -> None:
    words = ["rules", "apply", "--alarm", "temperature > 30", "--name", "farm"]
    assert "nobody hears the SNS topic farm" in said(*words, "--dry-run").err
    err = said(*words).err
    assert "nobody hears the SNS topic farm" in err
    assert f"python -m tools {shlex.join(words)} --sns-email ADDRESS" in err
    assert "--sns-email ADDRESS" in said("rules", "show", "--name", "farm").err
    assert said(*words, "--sns-email", "you@example.org").err == ""


def test_a_readings_rule_that_still_mails_is_named(home: Home, said: Any) -> None:
    apply(home, Wanted({"sns": "you@example.org"}))
    words = ["rules", "apply", "--name", "farm", "--alarm", "temperature > 30"]
    words += ["--sns-email", "you@example.org"]
    for more in ("--dry-run", "--name=farm"):
        assert "farm_readings mails every reading beside" in said(*words, more).err
    assert said(*words, "--dynamodb", "readings").err == ""


def test_show_says_what_is_there_and_which_right_is_missing(home: Home, said: Any) -> None:
    apply(home, Wanted(TO, alarm=ALARM.alarm))
    show = ["rules", "show", "--name", "farm"]
    out, err = said(*show)
    assert "  WHERE temperature > 30" in out
    assert f"  action {{dynamoDBv2: {{role: {ROLE}, putItem: {{tableName: readings}}}}}}" in out
    assert "Allow s3:PutObject arn:aws:s3:::farm-bucket-1/readings/*" in out
    assert "differs" not in out
    assert err == ""
    # A second apply of 0.1.0 left the role with the rights of the alarm only.
    old = documents.permissions(documents.payloads(ALARM, home).values(), home)
    set_rights(home, [*old, {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    assert missing_rights(home) != []
    out, err = said(*show)
    assert "IAM policy farm of the role: differs" in out
    assert re.findall(r"^  [-+] .*", out, re.MULTILINE) == [
        "  - Allow s3:* *",
        f"  + Allow dynamodb:PutItem arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/readings",
        "  + Allow s3:PutObject arn:aws:s3:::farm-bucket-1/readings/*",
    ]
    assert "python -m tools rules apply --name farm sets the role right" in err
    apply(home, Wanted())  # nothing new: the role alone
    assert missing_rights(home) == []
    assert rights_of(home).keys() == {*RIGHTS, "s3:PutObject"}
    iam = home.clients.client("iam")
    iam.delete_role_policy(RoleName=ROLE, PolicyName="farm")
    iam.delete_role(RoleName=ROLE)
    assert f"IAM role {ROLE}: missing\n  + Allow" in said(*show).out
    said("rules", "apply", "--name", "farm")
    assert missing_rights(home) == []
