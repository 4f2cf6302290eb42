"""What may be given as a temperature: numbers and harmless expressions, nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.errors import ToolError
from tools.sim import expression


def check(text: str) -> float | str:
    return expression.check(text, "temperature", -60, 160)


@pytest.mark.parametrize(
    ("text", "value"),
    [("21", 21.0), ("-3.5", -3.5), (" 2*(3+4) ", 14.0), ("2**3", 8.0), ("-60", -60.0)],
)
def test_what_does_not_depend_on_time_is_a_number(text: str, value: float) -> None:
    assert check(text) == value


@pytest.mark.parametrize(
    "text", ["21 + 2*sin(t/60)", "20+t", "min(t, 30)", "abs(-t) % 7", "10*cos(pi*t)", "t // 3"]
)
def test_expressions_stay_expressions(text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a number nor an expression"),
        ("21 +", "neither a number nor an expression"),
        ("x" * 500, "neither a number nor an expression"),
        ("1/0", "division by zero"),
        ("1/t", "division by zero"),
        ("log(t)", "math domain"),
        ("9**9**9", "a power must be"),
        ("t**t", "a power must be"),
        ("1e999", "not finite"),
        ("161", "outside -60 to 160"),
        ("-61 + t/9", "outside -60 to 160"),
        ("sin", "needs its argument"),
        ("sin()", "argument"),
        ("speed", "speed is not known"),
        ("open('x')", "open is not known"),
        ("__import__('os').system('id')", "only numbers"),
        ("t.real", "only numbers"),
        ("(lambda: 1)()", "only numbers"),
        ("[1][0]", "only numbers"),
        ("'a'", "only numbers"),
        ("True", "only numbers"),
        ("max(t, key=abs)", "only numbers"),
        ("1 if t else 2", "only numbers"),
    ],
)
def test_everything_else_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        check(text)
    assert said in caught.value.message
    assert "for example" in caught.value.hint


@given(st.text(alphabet="0123456789t+-*/%().,sincoexpabfl_ \"'[]{}", max_size=40))
def test_no_text_does_anything_but_pass_or_be_refused(text: str) -> None:
    try:
        found = check(text)
    except ToolError:
        return
    assert isinstance(found, str) or math.isfinite(found)
