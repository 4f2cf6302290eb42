"""The door for what comes from outside: what it lets through."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.hostile import TEXTS
from tools import wire

_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LINES = "\u2028\u2029"
_CONTROLS = "".join(map(chr, [*range(32), *range(0x7F, 0xA0)]))


@pytest.mark.parametrize("char", [*_BIDI, *_LINES, *_CONTROLS, "\ud800", "\U000e0041"])
def test_what_a_terminal_acts_on_is_escaped(char: str) -> None:
    made = wire.text(f"a{char}b")
    assert made == f"a{ascii(char)[1:-1]}b"
    assert made.isprintable()
    assert wire.text(f"a{char}b", drop=True) == "ab"
    kept = char if char in "\n\t" else ascii(char)[1:-1]
    assert wire.text(f"a{char}b", lines=True) == f"a{kept}b"


@given(TEXTS)
def test_nothing_else_gets_through(given_text: str) -> None:
    for made in (wire.text(given_text), wire.short(given_text), wire.cell(given_text)):
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in made)
    assert wire.text(given_text, lines=True).replace("\n", "").replace("\t", "").isprintable()
    assert len(wire.short(given_text)) <= 201
    made = wire.message(given_text, given_text.encode("utf-8", "surrogatepass"))
    assert made.isprintable()
    assert made.encode()


def test_what_people_write_stays() -> None:
    for text in ("21.37 °C", "grün", "温室", "[red]", "a\\b", "👍", ""):
        assert wire.text(text) == text


@given(st.recursive(TEXTS | st.integers() | st.floats(), lambda s: st.dictionaries(TEXTS, s)))
def test_json_for_a_terminal_is_still_that_json(value: Any) -> None:
    for indent in (None, 2):
        made = wire.shown(value, indent)
        assert made.replace("\n", "").isprintable()
        assert json.dumps(json.loads(made)) == json.dumps(value)


@pytest.mark.parametrize(
    "value", [True, None, "1", math.nan, math.inf, -math.inf, float("1e999"), 10**400, -1, [], {}]
)
def test_what_is_no_number_here(value: Any) -> None:
    assert not wire.number(value, 0, wire.LAST_TIME)


def test_numbers() -> None:
    assert wire.number(0, 0, 1)
    assert wire.number(1.0, 0, 1)
    assert not wire.number(1.1, 0, 1)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"1", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"{}x"],
)
def test_no_document(payload: bytes) -> None:
    assert wire.document(payload) is None


def test_a_document() -> None:
    assert wire.document(b'{"a": [1]}') == {"a": [1]}
    assert wire.document("{}") == {}


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("=1+1", "'=1+1"),
        ("+1;2", "'+1;2"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        (" \u00a0=1", "' \\xa0=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("-5.25", "-5.25"),
        (-5, "-5"),
        (-1e-7, "-1e-07"),
        ("g-1", "g-1"),
        ("", ""),
    ],
)
def test_cells_of_a_csv_file(value: Any, made: str) -> None:
    assert wire.cell(value) == made
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([wire.cell(value)])
    assert out.getvalue().count("\n") == 1
