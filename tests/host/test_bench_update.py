"""What an update by air costs (bench/bench_update.py): docs/updates.md says it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import bench_update
from bench.bench_update import Cost
from tests.e2e.updates import Kit
from tests.host.programs import micropython
from tools import toolchain
from tools.toolchain import ROOT

SCALE = 10
REMEDY = "python -m tools bench 'update --markdown'"
PAGE = ROOT / "docs" / "updates.md"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Cost:
    """An update of one changed module."""
    micropython(32)
    folder = tmp_path_factory.mktemp("update")
    kit = Kit(folder, toolchain.umqtt_dir())
    files = bench_update.changed(bench_update.EDITS["a text"])
    return bench_update.update(kit, files, 0, folder / "board", SCALE)


def row(what: str) -> list[int]:
    """The numbers of a row of the page."""
    found = re.search(rf"^\| {what} \|(.*)\|$", PAGE.read_text("utf-8"), re.M)
    assert found, f"{what}: {REMEDY}"
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", found[1])]


def test_one_module_is_fetched_and_the_rest_copied(one: Cost) -> None:
    assert one.files == 2  # version.py always differs
    assert one.fetched_bytes < 5_000
    requests, blocks = one.messages
    assert requests < 12 and blocks < 25, one
    assert one.payload[1] < one.carried[1]


def test_the_page_has_these_figures(one: Cost) -> None:
    assert row("files fetched, bytes")[0] == one.files
    assert row("files fetched, bytes")[1] == pytest.approx(one.fetched_bytes, rel=0.1), REMEDY
    sent, got, *_ = row("their payloads, bytes")
    assert sent == pytest.approx(one.payload[0], rel=0.3), REMEDY
    assert got == pytest.approx(one.payload[1], rel=0.3), REMEDY


def test_a_change_of_one_line_is_mostly_one_file() -> None:
    before = bench_update.tree()
    for what in ("a text", "a number", "a new local variable", "a new function"):
        found = bench_update.changed(bench_update.EDITS[what])
        assert [*found] == [bench_update.EDITS[what][0].replace(".py", ".mpy")], what
        assert row(what)[:2] == [1, len(before)], REMEDY


def test_the_whole_tree_is_every_file_with_code() -> None:
    before, after = bench_update.tree(), bench_update.changed(more=b"#\n")
    assert {path for path in before if path not in after} <= {"firmware/__init__.mpy"}


def test_an_edit_that_is_no_longer_possible_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"mend bench/bench_update.py"):
        bench_update.changed(("firmware/app.py", "no such line", ""))
