"""`python -m tools advisor`: its list is that of the tests, and its table tells what happened."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from rich.console import Console

from tools.dev import advisor
from tools.dev.advisor import CASES
from tools.errors import ToolError
from tools.toolchain import ROOT


def _cases_in_the_tests() -> list[str]:
    found = []
    for path in (ROOT / "tests" / "e2e" / "advisor").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(d, ast.Call) and getattr(d.func, "id", "") == "case"
                for d in node.decorator_list
            ):
                found.append(node.name.removeprefix("test_"))
    return found


def test_one_test_a_case_and_one_case_a_test() -> None:
    ids = [case.id for case in CASES]
    assert sorted(ids) == sorted(_cases_in_the_tests())
    assert len(set(ids)) == len(ids)
    count = {c: sum(case.category == c for case in CASES) for c in {x.category for x in CASES}}
    assert count == {"TLS": 7, "MQTT": 14, "Shadow": 2, "Job": 1, "Long duration": 8}


def test_choosing() -> None:
    assert advisor.chosen("") == list(CASES)
    assert [case.id for case in advisor.chosen("shadow_pub")] == ["Shadow_Publish_Reported_State"]
    with pytest.raises(ToolError, match="no case is called 'nonsense'"):
        advisor.chosen("nonsense")


def _rows() -> list[advisor.Row]:
    said = {"id": "TLS_Connect", "result": "PASS", "measured": {"waits_s": [1.5, 2]}}
    said |= {"notes": [], "error": None, "seconds": 1.0}
    failed = {"id": "MQTT_Connect", "result": "FAIL", "measured": {"a": {"b": 1}}}
    failed |= {"notes": ["odd"], "error": "[constant]: 5 5 5\nassert x", "seconds": 2.0}
    return [advisor._row(said), advisor._row(failed), advisor._silent(CASES[2])]


def test_rows() -> None:
    good, bad, silent = _rows()
    assert (good.category, good.result, good.notes) == ("TLS", "PASS", [])
    assert (bad.category, bad.notes) == ("MQTT", ["odd", "[constant]: 5 5 5"])
    assert (silent.result, silent.notes) == ("FAIL", ["ended without a result"])


@pytest.mark.parametrize("width", [80, 160])
def test_the_table(width: int) -> None:
    console = Console(width=width, record=True, force_terminal=False)
    console.print(advisor.table(_rows()))
    console.print(advisor.catalogue())
    text = console.export_text()
    assert "waits_s 1.5 2" in text
    assert '{"b": 1}' in text
    assert "[constant]" in text
    assert "ended without a result" in text
    assert max(len(line) for line in text.splitlines()) <= width


def test_results_as_json(tmp_path: Path) -> None:
    advisor.write(_rows(), tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert [(row["id"], row["result"]) for row in found[:2]] == [
        ("TLS_Connect", "PASS"),
        ("MQTT_Connect", "FAIL"),
    ]
    assert found[0]["measured"] == {"waits_s": [1.5, 2]}
