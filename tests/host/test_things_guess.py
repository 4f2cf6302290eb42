"""The name that was meant."""

from __future__ import annotations

from firmware.core import schema
from tools.things.guess import did_you_mean, guessed


def test_words_two_edits_apart_are_guessed() -> None:
    known = ("interval_s", "sensor", "i2c", "ntp")
    for word, guess in (
        ("intervall_s", "interval_s"),
        ("intreval_", "interval_s"),
        ("ic2", "i2c"),
        ("ntpp", "ntp"),
    ):
        assert did_you_mean(word, known) == f', did you mean "{guess}"?'
    for word in ("", "x" * 1000, "temperature", "interv", "xyz"):
        assert did_you_mean(word, known) == ""


def test_the_closest_word_is_guessed() -> None:
    assert did_you_mean("abcd", ("abyy", "abcx")) == ', did you mean "abcx"?'
    assert did_you_mean("abcd", ("bacd", "abdc")) == ', did you mean "abdc"?'


def test_a_guess_takes_the_place_of_the_boards() -> None:
    for key, value, wanted in (
        ("intervall_s", 5, 'unknown setting, did you mean "interval_s"?'),
        ("intreval_s", 5, 'unknown setting, did you mean "interval_s"?'),
        ("senate", 5, "unknown setting"),  # the board: sensor
        ("zebra", 5, "unknown setting"),
        ("interval_s", 0, "must be a whole number from 1 to 86400"),
        ("endpoint", "x", "cannot be changed from the cloud"),
        ("i2c", 3, "must be an object of at most 8 keys"),
        (
            "i2c",
            {"sad": 1, "x": 1, "scl": 21},
            'sad: unknown key, did you mean "sda"?; x: unknown key; '
            "scl: must not be the pin of sda",
        ),
    ):
        assert guessed(key, schema.check(key, value, {})[1]) == wanted
