"""config.json as the tools check and complete it: whatever comes in, a clean answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core import schema
from firmware.core.commands import utf8_len
from tools.errors import ToolError
from tools.things import boards, config, values
from tools.things.guess import did_you_mean
from tools.toolchain import ROOT

GOOD: dict[str, Any] = {"thing_name": "t", "endpoint": "a.io", "wifi": [{"ssid": "home"}]}
NTP = ["pool.ntp.org", "time.cloudflare.com", "time.nist.gov"]
FULL = config.checked(GOOD, "test")
KEYS = sorted(FULL)
ESP8266 = boards.get("esp8266").defaults

# Half surrogate pairs too: JSON escapes can make them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def problems(**more: Any) -> list[str]:
    made, wrong = config.check(GOOD | more)
    assert (made is None) == bool(wrong), wrong
    return wrong


# Complete.


def test_three_keys_are_enough_and_the_rest_has_defaults() -> None:
    assert FULL | GOOD | {"wifi": FULL["wifi"]} == FULL
    assert (FULL["port"], FULL["keepalive_s"], FULL["interval_s"]) == (8883, 60, 60)
    assert FULL["i2c"] == {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000}
    assert (FULL["sensor"], FULL["ntp"]) == ("auto", NTP)
    assert FULL["command_topic"] == "devices/{thing}/commands"
    assert FULL["wifi"] == [{"ssid": "home", "password": ""}]
    assert (FULL["offline_reboot_s"], FULL["drain_per_s"]) == (3600, 90)
    assert (FULL["window"], FULL["window_max"], FULL["message_bytes"]) == (8, 24, 8192)


def test_a_complete_one_has_exactly_the_keys_that_a_board_looks_for() -> None:
    settings = {k: v for k, v in values.SETTINGS.items() if k != "log_level"}  # shadow only
    assert set(FULL) == {*settings, *schema.KEYS.split(), *schema.LATER.split()}
    assert {key: FULL[key] for key in settings} == settings


def test_a_board_has_defaults_of_its_own() -> None:
    small = config.checked(GOOD, "test", ESP8266)
    assert small["i2c"] == {"id": -1, "sda": 4, "scl": 5, "freq_hz": 100000}
    assert (small["window"], small["window_max"], small["message_bytes"]) == (2, 2, 1024)
    given_i2c = config.checked(GOOD | {"i2c": {"sda": 12}, "window": 1}, "test", ESP8266)
    assert given_i2c["i2c"] == {"id": -1, "sda": 12, "scl": 5, "freq_hz": 100000}
    assert (given_i2c["window"], given_i2c["window_max"]) == (1, 2)
    assert config.check(GOOD, boards.get("esp32").defaults) == (FULL, [])


def test_the_result_shares_nothing_with_the_input_or_the_defaults() -> None:
    raw = GOOD | {"wifi": [{"ssid": "home"}]}
    first, second = config.checked(raw, "test"), config.checked(raw, "test")
    first["ntp"].append("x")
    first["i2c"]["sda"] = 1
    first["wifi"][0]["ssid"] = "x"
    assert second["ntp"] == NTP
    assert (second["i2c"]["sda"], raw["wifi"][0]["ssid"]) == (21, "home")
    small = config.checked(GOOD, "test", ESP8266)
    small["i2c"]["sda"] = 1
    assert config.checked(GOOD, "test")["i2c"]["sda"] == 21
    assert boards.get("esp8266").defaults["i2c"]["sda"] == 4


def test_the_example_file_is_in_order() -> None:
    raw = json.loads((ROOT / "config.example.json").read_text())
    made, wrong = config.check(raw)
    assert made is not None, wrong
    assert {key: made[key] for key in raw if key != "wifi"} == {
        key: raw[key] for key in raw if key != "wifi"
    }
    assert made["wifi"][1] == {"ssid": "workshop (open)", "password": ""}


def test_the_example_file_shows_the_defaults() -> None:
    raw = json.loads((ROOT / "config.example.json").read_text())
    defaults = config.check({key: raw[key] for key in ("thing_name", "endpoint", "wifi")})[0]
    assert config.check(raw)[0] == defaults


# Problems.


def test_every_problem_comes_at_once_by_key() -> None:
    raw = {"endpoint": "", "wifi": [{"ssid": ""}, 3], "prot": 1, "port": 0}
    assert config.check(raw) == (
        None,
        [
            "thing_name: is missing",
            "endpoint: must be text of 1 to 253 characters",
            "port: must be a whole number from 1 to 65535",
            "wifi[0].ssid: must be text of 1 to 32 bytes",
            "wifi[1]: must be an object",
            'prot: unknown key, did you mean "port"?',
        ],
    )


def test_no_value_shows_in_a_problem() -> None:
    secret = "s3cr3t!"
    wrong = problems(
        wifi=[{"ssid": "home", "password": secret, "pasword": secret}, secret, [secret]],
        thing_name=secret,
        endpoint=secret + "/",
        sensor=secret,
        telemetry_topic=secret + "#",
        ntp=[secret + "/"],
        i2c=secret,
    )
    assert len(wrong) == 10
    assert secret not in " ".join(wrong)
    for password in ([secret], {secret: 1}):
        wrong = problems(wifi=[{"ssid": "home", "password": password}])
        assert wrong
        assert secret not in str(wrong)


@pytest.mark.parametrize("raw", [None, 3, 1.5, True, "text", [], [GOOD]])
def test_the_top_must_be_an_object(raw: Any) -> None:
    assert config.check(raw) == (None, ["top level: must be an object"])


@pytest.mark.parametrize("key", KEYS)
def test_wrong_types_everywhere_are_problems(key: str) -> None:
    for value in (None, True, 1.5, -1, "", "\ud800", [], {}, [[]], [None], {"a": []}, 1 << 70):
        right = (key, value) in [("battery", None), ("updates", True)]
        if not right and not (value == {} and isinstance(FULL[key], dict)):
            wrong = problems(**{key: value})
            assert wrong
            assert wrong[0].startswith(key), (value, wrong)


def test_garbage_without_end_gives_few_problems() -> None:
    assert len(problems(**{str(i): i for i in range(30)})) == 21
    assert problems(**{str(i): i for i in range(50)}) == ["top level: has far too many keys"]
    assert problems(**{"x" * 99 + "\n": 1}) == ["x" * 40 + ": unknown key"]
    assert problems(**{"\n\x1b[2J": 1}) == ["??[2J: unknown key"]


def test_what_cannot_be_used_is_an_error_with_every_problem() -> None:
    with pytest.raises(ToolError) as e:
        config.checked(GOOD | {"port": 0, "interval_s": 0}, "barn's file")
    assert str(e.value).splitlines() == [
        "barn's file:",
        "  port: must be a whole number from 1 to 65535",
        "  interval_s: must be a whole number from 1 to 86400",
    ]


# Single keys.


def test_passwords() -> None:
    for password in ("", "12345678", "x" * 63, "0aF" * 21 + "b", "ü" * 31):
        assert problems(wifi=[{"ssid": "a", "password": password}]) == []
    for wrong in ("1234567", "x" * 64, "x" * 65, "ü" * 32, None, 12345678, "\ud800" * 9):
        found = problems(wifi=[{"ssid": "a", "password": wrong}])
        assert found[0].startswith("wifi[0].password: must be 8 to 63"), wrong
    assert problems(wifi=[{"ssid": "open"}]) == []


def test_networks() -> None:
    network = {"ssid": "ü" * 16}
    assert problems(wifi=[network] * 8) == []
    assert problems(wifi=[network] * 9) == ["wifi: must be a list of 1 to 8"]
    assert problems(wifi=[]) == ["wifi: must be a list of 1 to 8"]
    assert problems(wifi=[{"ssid": "ü" * 17}])


@pytest.mark.parametrize(
    "host", ["localhost", "10.0.0.1", "127.0.0.1", "a.b-c.d_e", "x" * 63 + ".io"]
)
def test_hosts(host: str) -> None:
    assert problems(endpoint=host) == []


@pytest.mark.parametrize(
    "host",
    [
        *("http://a.io", "a.io:8883", "a.io/", "a..b", ".a", "a.", "-a.io", "a-.io", "a b"),
        *("256.1.1.1", "1.2.3", "12345", "[::1]", "::g", "::1%eth0", "ü.io", "x" * 64 + ".io"),
        *("a.io\n", "1.2.3.4\n", "٣.io"),
    ],
)
def test_what_is_no_host(host: str) -> None:
    assert problems(endpoint=host)


def test_time_servers() -> None:
    assert problems(ntp=["a.io", "1.1.1.1"]) == []
    assert len(problems(ntp=["a.io", "b c", 3])) == 2


def test_thing_names() -> None:
    for name in ("a", "greenhouse-1", "A:b_9-", "x" * 128):
        assert problems(thing_name=name) == []
    wrong = ["thing_name: must be 1 to 128 characters: letters, digits and : _ -"]
    for name in ("", "a b", "a/b", "ü", "x" * 129, "a\n", "\x1b"):
        assert problems(thing_name=name) == wrong, name
    for name in ("*", "a?", "a+", "#", "$a", "${x}"):  # wildcards, and more in a policy
        assert problems(thing_name=name) == wrong, name


def test_windows() -> None:
    assert problems(window=100) == []
    assert config.checked(GOOD | {"window": 50}, "test")["window_max"] == 50
    assert config.checked(GOOD | {"window": 3}, "test")["window_max"] == 24
    assert problems(window=9, window_max=8) == ["window_max: must not be less than window"]
    assert problems(window=101) == ["window: must be a whole number from 1 to 100"]


@pytest.mark.parametrize(
    "host", ["::1", "[::1]", "2001:db8::1", "[2001:db8::1]", "fe80::1%eth0", "::ffff:10.0.0.1"]
)
def test_boards_connect_by_ipv4_only(host: str) -> None:
    why = "is an IPv6 address; boards connect by IPv4 only: a host name, or an IPv4 address"
    assert problems(endpoint=host) == [f"endpoint: {why}"]
    assert problems(ntp=["pool.ntp.org", host]) == [f"ntp[1]: {why}"]


@pytest.mark.parametrize(
    "topic",
    [
        *("a/*/{thing}", "*", "a/{thing}?", "?", "a/${thing}/b", "a/${iot:ClientId}", "$a/b"),
        *("a/+", "#", "a/#", "a\x00", "a\x1f", "a\x7f", "a\x85", "a\x9f", "a\u2028b", "a\u202eb"),
        *("a\ud800", "a\ufffe", "a\uffff", "a\ufdd0", "a\U0001ffff"),
    ],
)
def test_topics_that_mean_more_in_a_policy_or_a_terminal(topic: str) -> None:
    assert problems(telemetry_topic=topic), topic
    assert problems(command_topic=topic), topic


def test_topics_are_measured_after_filling_in_the_thing() -> None:
    for topic in ("{thing}", "a/{thing}/b", "/a//b", "ü" * 127, "a/b/c/d/e/f/g/h"):
        assert problems(telemetry_topic=topic) == []
    for topic in ("", "a/+", "#", "a\x00", "$x", "$aws/things/t", "{thing", "{x}", "ü" * 129):
        assert problems(telemetry_topic=topic), topic
    wrong = problems(telemetry_topic="a/b/c/d/e/f/g/h/i")
    assert wrong == ["telemetry_topic: has too many levels: at most 7 slashes"]
    assert problems(telemetry_topic="x" * 255 + "{thing}") == []
    assert problems(thing_name="tt", telemetry_topic="x" * 255 + "{thing}")


def test_basic_ingest_is_for_readings_only_and_its_prefix_is_free() -> None:
    levels = "/".join("abcdefgh")
    for topic in ("$aws/rules/store", "$aws/rules/store/" + levels, "$aws/rules/s/" + "x" * 256):
        assert problems(telemetry_topic=topic) == []
    for topic in (
        "$aws/rules/",
        "$aws/rules//a",
        "$aws/rules/a b",
        "$aws/rules/s/" + levels + "/i",
    ):
        assert problems(telemetry_topic=topic), topic
    assert problems(command_topic="$aws/rules/store")


def test_the_command_topic_leaves_room_for_the_results() -> None:
    assert problems(command_topic="a/b/c/d/e/f/g") == []
    assert problems(command_topic="a/b/c/d/e/f/g/h")
    assert problems(command_topic="x" * 249) == []
    assert problems(command_topic="x" * 250)


def test_a_board_does_not_listen_where_it_talks() -> None:
    for topic in ("devices/t/commands", "devices/{thing}/commands/result", "devices/t/status"):
        wrong = problems(telemetry_topic=topic)
        assert wrong == ["telemetry_topic: is the topic of commands, results or status"]
    wrong = problems(command_topic="devices/{thing}/status")
    assert wrong == ["command_topic: is the topic of status"]


def test_pins() -> None:
    assert problems(i2c={"id": -1, "sda": 4, "scl": 5}) == []
    assert problems(i2c={"sda": 22}) == ["i2c.scl: must not be the pin of sda"]
    assert problems(i2c={"sad": 4, "freq_hz": 0}) == [
        "i2c.freq_hz: must be a whole number from 1000 to 1000000",
        'i2c.sad: unknown key, did you mean "sda"?',
    ]
    for wrong in ({str(i): i for i in range(9)}, 7):
        assert problems(i2c=wrong) == ["i2c: must be an object of at most 8 keys"]


def test_pins_that_the_chip_of_the_board_cannot_use() -> None:
    why = "is not free on this chip, see docs/wiring.md"
    for chip, sda in (("esp32", 6), ("esp32s3", 19), ("esp8266", 16)):
        given = GOOD | {"i2c": {"sda": sda, "scl": 5}}
        assert config.check(given, None, chip) == (None, [f"i2c.sda: {why}"])
        assert config.check(given)[1] == []  # which chip is not known
    given = GOOD | {"i2c": {"sda": "6"}}
    wrong = ["i2c.sda: must be a whole number from 0 to 48"]
    assert config.check(given, None, "esp32") == (None, wrong)  # once
    for name in boards.names():
        board = boards.get(name)
        assert config.check(GOOD, board.defaults, board.chip)[1] == []


# Anything at all.


@given(JSON)
def test_any_document_gets_an_answer(raw: Any) -> None:
    made, wrong = config.check(raw)
    assert (made is None) == bool(wrong)
    assert len(wrong) <= 21
    assert all(problem.isprintable() for problem in wrong)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_any_value_under_any_key_gets_an_answer(changed: dict[str, Any]) -> None:
    made, wrong = config.check(GOOD | changed)
    if made is None:
        assert wrong
        assert {problem.split(".")[0].split("[")[0].split(":")[0] for problem in wrong} <= {
            *changed,
            "command_topic",  # a topic may clash with one that was not touched
            "telemetry_topic",
            "window_max",
        }
    else:
        assert config.check(made) == (made, [])


@given(st.sampled_from(KEYS) | TEXT, JSON)
def test_a_setting_is_judged_as_in_the_file(key: str, value: Any) -> None:
    clean, problem = schema.check(key, value, FULL)
    if key not in values.SETTINGS:
        assert problem
    elif problem is None:
        assert config.check(FULL | {key: clean})[1] == []
    elif not isinstance(values.SETTINGS[key], dict):
        assert config.check(FULL | {key: value}) == (None, [f"{key}: {problem}"])
    else:
        assert len(config.check(FULL | {key: value})[1]) == problem.count("; ") + 1


@given(st.sampled_from(KEYS), st.integers(0, 20), st.sampled_from(["cut", "double", "swap"]))
def test_a_slip_of_the_finger_is_guessed(key: str, at: int, slip: str) -> None:
    at %= len(key) - 1
    wrong = {
        "cut": key[:at] + key[at + 1 :],
        "double": key[:at] + key[at] + key[at:],
        "swap": key[:at] + key[at + 1] + key[at] + key[at + 2 :],
    }[slip]
    if wrong in KEYS:
        return
    guess = did_you_mean(wrong, KEYS)
    assert any(f'"{known}"' in guess for known in KEYS), wrong


@given(TEXT)
def test_text_is_measured_as_utf_8(some: str) -> None:
    try:
        assert utf8_len(some) == len(some.encode())
    except UnicodeEncodeError:
        assert utf8_len(some) is None


@given(st.binary(max_size=300))
def test_names_of_things_and_hosts_stay_in_their_alphabet(raw: bytes) -> None:
    some = raw.decode("latin-1")
    if values.thing_name(some) is None:
        assert some.isascii()
        assert not set(some) & set("/+#$ {}\"'\\\n\x00")
    if values.host(some) is None:
        assert some.isascii()
        assert not set(some) & set("/+#$ {}\"'\\\n\x00@?")


@given(TEXT, st.sampled_from(["t", "x" * 128]))
def test_a_topic_that_passes_is_one_that_aws_takes(topic: str, thing: str) -> None:
    if values.telemetry_topic(topic, thing) is None:
        filled = topic.replace("{thing}", thing)
        if filled.startswith("$aws/rules/"):
            filled = "/".join(filled.split("/")[3:])
        assert len(filled.encode()) <= 256
        assert filled.count("/") <= 7
        assert not set(filled) & set("+#\x00{}")
    if values.command_topic(topic, thing) is None:
        assert not topic.startswith("$")
        assert len(topic.replace("{thing}", thing).encode()) + len("/result") <= 256


# Updates.


def test_updates_are_refused_with_the_reason_where_the_board_cannot() -> None:
    assert config.checked(GOOD | {"updates": True}, "test")["updates"] is True
    assert problems(updates=1) == ["updates: must be true or false"]
    (wrong,) = problems(updates=True, power="battery")
    assert wrong.endswith("a board that sleeps refuses updates")
    for chip, refused in [("esp8266", True), ("ESP8266", True), ("esp32c3", False), ("", False)]:
        own = boards.get(chip.lower() or "esp32").defaults
        found = config.check(GOOD | {"updates": True}, own, chip)[1]
        assert all("updates: " in f for f in found), chip
        assert bool(found) == refused, chip


def test_a_board_without_updates_has_no_such_key() -> None:
    assert b"updates" not in config.for_board(FULL)
    assert b'"updates":true' in config.for_board({**FULL, "updates": True})
