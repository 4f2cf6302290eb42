"""The pages say what is so: what they quote, name and tell to type is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from firmware.core import schema
from tools import cli
from tools.dev import reference
from tools.dev.reference import ANY
from tools.things import config
from tools.things.values import SETTINGS
from tools.toolchain import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = [path for path in PAGES if path != reference.PAGE]  # written by hand
IDS = [path.name for path in PAGES]
# What stage makes: on a board alone.
STAGED = {"firmware/app.mpy", "firmware/keys.txt"}
# Said by MicroPython, ESP-IDF or main.py, not through log().
FOREIGN = ("main: cannot run the firmware",)
# What a page has in place of a value.
HOLES = re.compile(r"…|, |\b[A-Z][A-Z_]+\b|\b\d[\d.]*\b|\{[a-z]*\}")


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    group = typer.main.get_command(cli.build())
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    return dict(group.commands)


@cache  # not at the import, which every worker does
def lines() -> set[tuple[str, str]]:
    return reference.log_lines()


@cache
def modules() -> set[str]:
    return {text.partition(":")[0] for text, _ in lines()}


def spans(path: Path) -> Iterator[str]:
    """Everything in code marks, and each line of a block of code."""
    text = path.read_text("utf-8")
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.M | re.S):
        yield from block.splitlines()
    rest = re.sub(r"^```[a-z]*\n.*?^```", "", text, flags=re.M | re.S)
    yield from re.findall(r"`([^`\n]+)`", rest)


def test_the_reference_is_up_to_date(commands: dict[str, Any]) -> None:
    helps = {name: c.get_short_help_str(200) for name, c in sorted(commands.items())}
    wanted = reference.page(helps)
    assert reference.PAGE.read_text("utf-8") == wanted, "python -m tools reference"


def test_the_reference_has_every_table() -> None:
    page = reference.PAGE.read_text("utf-8")
    rows = set(re.findall(r"^\| `` ?(.+?) ?`` |^\| `([^`]+)`", page, re.M))
    first = {a or b for a, b in rows}
    assert set(config.KEYS) <= first
    assert "command: … is now …" not in first  # interval_s, by the call of change()
    assert {"read_now", "get_log", "temperature", "sim", "doctor"} <= first
    assert "| `interval_s` | `60` | a whole number from 1 to 86400 | **cloud** |" in page
    assert (
        "| `thing_name` |  | 1 to 128 characters: letters, digits and : _ - | **required** |"
        in page
    )
    assert "link: …, next try in … ms" in first
    assert "app: offline for … s, restarting" in first  # a parameter of restart()


def quotes(path: Path) -> Iterator[str]:
    """Log lines that a page quotes: in code marks, with a module of the log before a colon."""
    for span in spans(path):
        line = re.sub(r"^\[ *[\d.]+\] ", "", span.strip())
        module = re.match(r"([a-z]+): \S", line)
        if module and module[1] in modules() and not line.startswith(FOREIGN):
            yield line


def is_said(line: str) -> bool:
    """Some line of the log is so, or begins so; a page may have a name where a value goes."""
    module, _, text = line.partition(": ")
    words = [part.strip() for part in HOLES.split(text) if len(part.strip(" ,;:")) > 2]
    known = all(any(word in string for string in reference.strings()) for word in words)
    for template, _ in lines():
        if not template.startswith(module + ": "):
            continue
        whole = template.partition(": ")[2]
        pattern = ".*".join(re.escape(part) for part in whole.split(ANY))
        begun = [form for form in (text, HOLES.sub(ANY, text)) if whole.startswith(form)]
        fixed = any(len(part.strip()) > 2 for part in whole.split(ANY))
        # Of a link that fails, and of an error, only the words are known.
        of_words = known and (not fixed or (module == "link" and whole.startswith(ANY)))
        if begun or of_words or (fixed and re.fullmatch(pattern, text)):
            return True
    return False


@pytest.mark.parametrize("path", OURS, ids=[p.name for p in OURS])
def test_every_log_line_quoted_is_the_firmwares(path: Path) -> None:
    assert [line for line in quotes(path) if not is_said(line)] == []


def test_the_check_of_log_lines_finds_what_is_not_said() -> None:
    assert is_said("link: tls expired, next try in 900 ms")
    assert is_said("wifi: not joined barn, auth")
    assert is_said("sensor: bus: errno 19")
    assert not is_said("wifi: no known network")
    assert not is_said("link: up, session renewed")
    assert not is_said("outbox: empty")
    assert not is_said("sensor: none found")
    count = sum(1 for path in OURS for _ in quotes(path))
    assert count > 20


def column(page: str, heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    section = (ROOT / "docs" / page).read_text("utf-8").split(f"## {heading}\n")[1]
    return re.findall(r"^\| (.+?) \|", section.split("\n## ")[0], re.M)[1:]


def test_every_reason_of_a_link_is_explained() -> None:
    cells = " ".join(column("troubleshooting.md", "AWS"))
    named = {word for span in re.findall(r"`([^`]+)`", cells) for word in [span, span.split()[0]]}
    assert reference.reasons() - named == set()


def test_every_word_of_wifi_is_explained() -> None:
    cells = " ".join(column("troubleshooting.md", "Wi-Fi and time"))
    named = set(re.findall(r"`(?:…|wifi: (?:not joined|lost) NAME), ([^`]+)`", cells))
    assert named == reference.wifi_words()


def test_every_error_of_a_sensor_is_the_firmwares() -> None:
    known = reference.strings() | {"errno"}
    cells = " ".join(column("wiring.md", "When it does not read"))
    for span in re.findall(r"`([^`]+)`", cells):
        words = [
            w.strip(" :;,")
            for w in HOLES.split(
                re.sub(r"0x\w+|@|: |known sensor|nothing|bmp280|bme280|sht3x", "…", span)
            )
        ]
        assert all(any(w in text for text in known) for w in words if len(w) > 2), span


def test_every_fact_of_a_board_is_listed() -> None:
    text = (ROOT / "docs" / "aws.md").read_text("utf-8").split("## What a board reports")[1]
    listed = set(re.findall(r"`(\w+)`", text.split("\n## ")[0]))
    page = reference.PAGE.read_text("utf-8").split("## What a device reports")[1]
    assert set(re.findall(r"`(\w+)`", page.split("\n## ")[0])) - listed == set()


@pytest.mark.parametrize("path", OURS, ids=[p.name for p in OURS])
def test_every_file_named_is_there(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target
    made = set(re.findall(r"^```python\n# (\S+)$", text, re.M))  # by who follows the page
    here = {Path(name).name for name in made} | {
        p.name
        for part in ("firmware", "tests", "tools", "bench")
        for p in (ROOT / part).rglob("*.py")
    }
    for span in spans(path):
        for name in re.findall(
            r"(?<![\w/$}.])(?:firmware|tools|tests|bench|docs)/[\w/.]+\w", span
        ):
            assert name in made | STAGED or list(ROOT.glob(name + "*")), name
        for name in re.findall(r"^(?:\w+/)*(\w+\.py)\b", span):
            assert name in here | {"boot.py", "main.py", "manifest.py"}, name
        for name in re.findall(r"(?<![\w/])data/\w[\w.]*", span):
            # On the board: data/outbox/00000401 is made, the rest is written in the firmware.
            assert any(name in text for text in reference.strings()), name


@pytest.mark.parametrize("path", OURS, ids=[p.name for p in OURS])
def test_every_function_named_is_there(path: Path) -> None:
    # Of ours; put() of a file `outbox.py` and the like. Others are MicroPython's or a library's.
    text = path.read_text("utf-8")
    code = text.split("```python")[1:]
    sources = {p.stem: p.read_text("utf-8") for p in (ROOT / "firmware").rglob("*.py")}
    tools = [p.read_text("utf-8") for p in (ROOT / "tools").rglob("*.py")]
    every = "".join([*sources.values(), *tools, *code])
    for module, name in re.findall(r"`(?:(\w+)(?:\.py)?\.)?(_?\w+)\(\)`", text):
        if module in sources:
            assert re.search(rf"\bdef {name}\(|\b{name} = ", sources[module]), f"{module}.{name}"
        elif not module:
            assert re.search(rf"\b{name}\(", every), name


MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def test_every_make_target_typed_is_there() -> None:
    targets = dict(re.findall(r"^([a-z-]+):[^\n]*?\n((?:\t[^\n]*\n)*)", MAKEFILE, re.M))
    general = dict(re.findall(r"^(\w+_) = (.*)$", MAKEFILE, re.M))
    for path in PAGES:
        for span in spans(path):
            for target, rest in re.findall(r"^make (?:-C \S+ )?([a-z-]+)((?: [A-Z]+=\S*)*)", span):
                assert target in targets, f"{path.name}: {span}"
                recipe = targets[target] + "".join(
                    value for name, value in general.items() if f"$({name})" in targets[target]
                )
                for name in re.findall(r" ([A-Z]+)=", rest):
                    assert f"$({name})" in recipe or f",$({name})" in recipe, (
                        f"{path.name}: {span}"
                    )


def test_every_command_typed_is_there(commands: dict[str, Any]) -> None:
    count = 0
    for path in PAGES:
        for span in spans(path):
            for typed in re.findall(r"python -m tools ([a-z][^#|;&]*)", span):
                count += 1
                words = typed.split()
                command = commands.get(words[0])
                assert command, f"{path.name}: {span}"
                inner = getattr(command, "commands", {})
                if inner and len(words) > 1 and re.fullmatch("[a-z][a-z-]*", words[1]):
                    assert words[1] in inner, f"{path.name}: {span}"
                    command = inner[words[1]]
                command = getattr(command, "usual", command)  # of a group that is one as well
                known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
                options = set(
                    re.findall(r"(?<!\S)--?[a-zA-Z][\w-]*", re.sub(r"'[^']*'", "", typed))
                )
                known |= {"--help", *re.findall(r'"(--[a-z]+)"', path.read_text("utf-8"))}
                assert options - known == set(), f"{path.name}: {span}"
    assert count > 25


@pytest.mark.parametrize(
    ("page", "row"),
    [("README.md", "| classic shadow |"), ("docs/aws.md", "| shadow, `reported` |")],
)
def test_the_settings_of_the_shadow_are_all_listed(page: str, row: str) -> None:
    lines = (ROOT / page).read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(row))
    assert [key for key in SETTINGS if f"`{key}`" not in line] == []


def test_every_config_key_is_explained() -> None:
    text = (ROOT / "docs" / "config.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|(.*?)\|(.*)", text, re.M)
    assert {row[0] for row in rows} >= set(config.KEYS)
    assert all(f"`{key}`" in text for key in schema.DEFAULTS)
    page = reference.PAGE.read_text("utf-8")
    for key, default, limits, what in rows:
        if key not in config.KEYS:
            continue
        (theirs,) = re.findall(rf"^\| `{key}` \| (.*?) \| (.*?) \| (.*?) \|", page, re.M)
        numbers = [re.findall(r"\d+", cell.replace(",", "")) for cell in (default, limits)]
        whole = re.findall(r"\d+", theirs[1]) if "whole number" in theirs[1] else []
        if whole and key not in ("i2c", "outbox_bytes"):
            assert numbers[1] == whole, key
            assert (
                numbers[0] == re.findall(r"\d+", theirs[0].replace("ESP8266", ""))
                or "ESP8266" in default
            )
        assert ("**cloud**" in what) == ("**cloud**" in theirs[2]), key


def test_memory_is_as_the_tests_hold_it() -> None:
    held = (ROOT / "tests" / "host" / "test_memory.py").read_text("utf-8")
    large, small = (
        int(number)
        for number in re.findall(
            r'^SESSION = {"esp32": ([\d_]+), "esp8266": ([\d_]+) \+', held, re.M
        )[0]
    )
    (axtls,) = re.findall(
        r'^AXTLS = {.*?"esp8266": ([\d_]+)', (ROOT / "bench" / "bench_heap.py").read_text(), re.M
    )
    readme, memory, boards = (
        (ROOT / name).read_text("utf-8")
        for name in ("README.md", "docs/memory.md", "docs/boards.md")
    )
    assert f"| {large / 1024:g} KB; version 0.1.0" in readme
    assert f"| {large / 1024:g} KB | 50 KB |" in memory
    for text in (readme, memory):
        assert f"{small / 1024:g} KB" in text
        assert f"{int(axtls):,}" in text
    for text in (readme, boards):
        assert f"to {small + int(axtls):,} bytes" in text


def test_json_is_as_deep_as_the_page_says() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    depths = re.findall(r"deeper than (\d+) levels \(commands: (\d+)\)", text)
    code = "".join(
        (ROOT / "firmware" / "core" / f"{n}.py").read_text() for n in ("shadow", "commands")
    )
    # As numbers: "12" sorts before "4".
    assert depths == [
        tuple(sorted(set(re.findall(r"load\(.*?, (\d+)[,)]", code)), key=int, reverse=True))
    ]
