"""The configuration table on CPython, as the tools use it: whatever comes in, a clean answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.core import config, rules, words
from tools.toolchain import ROOT

GOOD: dict[str, Any] = {"thing_name": "t", "endpoint": "a.io", "wifi": [{"ssid": "home"}]}
FULL = config.check(GOOD)[0]
KEYS = sorted(FULL)

# Half surrogate pairs too: JSON escapes can make them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def test_the_example_file_is_in_order() -> None:
    raw = json.loads((ROOT / "config.example.json").read_text())
    made, problems = config.check(raw)
    assert problems == []
    assert {key: made[key] for key in raw if key != "wifi"} == {
        key: raw[key] for key in raw if key != "wifi"
    }
    assert made["wifi"][1] == {"ssid": "workshop (open)", "password": ""}


def test_the_example_file_shows_the_defaults() -> None:
    raw = json.loads((ROOT / "config.example.json").read_text())
    defaults = config.check({key: raw[key] for key in ("thing_name", "endpoint", "wifi")})[0]
    assert config.check(raw)[0] == defaults


@given(JSON)
def test_any_document_gets_an_answer(raw: Any) -> None:
    made, problems = config.check(raw)
    assert (made is None) == bool(problems)
    assert len(problems) <= 21
    assert all(problem.isprintable() for problem in problems)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))
def test_any_value_under_any_key_gets_an_answer(changed: dict[str, Any]) -> None:
    made, problems = config.check(GOOD | changed)
    if made is None:
        assert problems
        assert {problem.split(".")[0].split("[")[0].split(":")[0] for problem in problems} <= {
            *changed,
            "command_topic",  # a topic may clash with one that was not touched
            "telemetry_topic",
        }
    else:
        assert config.check(made) == (made, [])


@given(st.sampled_from(KEYS) | TEXT, JSON)
def test_a_setting_is_judged_as_in_the_file(key: str, value: Any) -> None:
    clean, problem = config.check_setting(key, value, FULL)
    if key not in config.SETTABLE:
        assert problem
    elif problem is None:
        assert config.check(FULL | {key: clean})[1] == []
    elif key != "i2c":
        assert config.check(FULL | {key: value})[0] is None


@pytest.mark.parametrize(
    "network",
    [
        {"ssid": "home", "password": "s3cr3t!"},
        {"ssid": "home", "password": ["s3cr3t!"]},
        {"ssid": "home", "pasword": "s3cr3t!"},
        {"ssid": "home", "password": {"s3cr3t!": 1}},
        "s3cr3t!",
    ],
)
def test_no_problem_shows_a_secret(network: Any) -> None:
    problems = config.check(GOOD | {"wifi": [network]})[1]
    assert problems
    assert "s3cr3t" not in str(problems)


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
    guess = words.did_you_mean(wrong, KEYS)
    assert any(f'"{known}"' in guess for known in KEYS), wrong


@given(TEXT)
def test_text_is_measured_as_utf_8(text: str) -> None:
    try:
        assert words.utf8_len(text) == len(text.encode())
    except UnicodeEncodeError:
        assert words.utf8_len(text) is None


@given(st.binary(max_size=300))
def test_names_of_things_and_hosts_stay_in_their_alphabet(raw: bytes) -> None:
    text = raw.decode("latin-1")
    if rules.thing_name(text) is None:
        assert text.isascii()
        assert not set(text) & set("/+#$ {}\"'\\\n\x00")
    if rules.host(text) is None:
        assert text.isascii()
        assert not set(text) & set("/+#$ {}\"'\\\n\x00@?")


@given(TEXT, st.sampled_from(["t", "x" * 128]))
def test_a_topic_that_passes_is_one_that_aws_takes(topic: str, thing: str) -> None:
    if rules.telemetry_topic(topic, thing) is None:
        filled = topic.replace("{thing}", thing)
        if filled.startswith("$aws/rules/"):
            filled = "/".join(filled.split("/")[3:])
        assert len(filled.encode()) <= 256
        assert filled.count("/") <= 7
        assert not set(filled) & set("+#\x00{}")
    if rules.command_topic(topic, thing) is None:
        assert not topic.startswith("$")
        assert len(topic.replace("{thing}", thing).encode()) + len("/result") <= 256
