"""The wiring drawings: as committed, with the pins of the boards, and no text over another."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from firmware.core import schema
from tools.dev import drawings
from tools.dev.drawings import FAMILIES, Family
from tools.things import boards
from tools.toolchain import ROOT

SVG = "{http://www.w3.org/2000/svg}"
# ESP-IDF, API reference, ADC: the pins of ADC1; ADC2 cannot be used beside Wi-Fi.
ADC1 = {
    "esp32": range(32, 40),
    "esp32s2": range(1, 11),
    "esp32s3": range(1, 11),
    "esp32c3": range(5),
    "esp32c6": range(7),
}
IDS = [family.file for family in FAMILIES]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=IDS)


def test_every_board_has_a_drawing_and_the_committed_ones_are_these() -> None:
    assert [name for family in FAMILIES for name in family.boards] == boards.names()
    made = drawings.all_of_them()
    assert {path.name for path in (ROOT / "docs").glob("wiring-*.svg")} == set(made)
    for name, text in made.items():
        committed = (ROOT / "docs" / name).read_text("utf-8")
        assert committed == text, "python -m tools reference"


def test_the_page_shows_each_of_them() -> None:
    page = (ROOT / "docs" / "wiring.md").read_text("utf-8")
    assert re.findall(r"!\[.+?\]\((wiring-.+?\.svg)\)", page) == IDS


@each_family
def test_the_pins_are_the_boards_own(family: Family) -> None:
    rows = [boards.get(name) for name in family.boards]
    assert len({str(row.i2c) for row in rows}) == 1
    texts = words(family)
    for pin in ("sda", "scl"):
        number = rows[0].i2c[pin]
        (shown,) = (text for text in texts if text.startswith(f"{pin.upper()} = "))
        assert re.search(rf"GPIO {number}\b", shown)
    for row in rows:
        if row.chip in ADC1:
            number = int(family.adc.split()[1])
            assert number in ADC1[row.chip] and number not in row.i2c.values()
            # Free, but for the inputs of an ESP32, which are free for this.
            free = schema._taken(number, row.chip) is False
            assert free or (row.chip == "esp32" and 34 <= number <= 39)


def test_the_esp8266_wakes_itself_and_reads_at_most_a_volt() -> None:
    (family,) = (f for f in FAMILIES if f.boards == ("esp8266",))
    texts = words(family)
    assert {"D0 (GPIO 16)", "RST", "A0", "150 kΩ"} <= set(texts)
    assert 4.2 * 100 / (150 + 220 + 100) < 1
    assert 4.2 * 100 / (470 + 100) < 1
    others = [text for f in FAMILIES if f is not family for text in words(f)]
    assert "RST" not in others


def words(family: Family) -> list[str]:
    tree = ElementTree.fromstring(drawings.draw(family))
    return [element.text or "" for element in tree.iter(f"{SVG}text")]


@each_family
def test_no_text_lies_over_another_or_leaves_the_paper(family: Family) -> None:
    boxes = []
    for element in ElementTree.fromstring(drawings.draw(family)).iter(f"{SVG}text"):
        text, style = element.text or "", element.get("class", "")
        size = 21 if "title" in style else 13 if "small" in style else 15
        width = len(text) * size * (0.66 if {"title", "name"} & set(style.split()) else 0.6)
        anchor = element.get("text-anchor", "start")
        left = float(element.get("x", 0)) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        y = float(element.get("y", 0))
        boxes.append((left, y - 0.8 * size, left + width, y + 0.25 * size, text))
    for left, top, right, bottom, text in boxes:
        assert left >= 10 and top >= 10, text
        assert right <= drawings.WIDTH - 10 and bottom <= drawings.HEIGHT - 10, text
    for a, b in itertools.combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (a[4], b[4])


@each_family
def test_four_wires_in_the_usual_colours_join_the_board_and_the_sensor(family: Family) -> None:
    text = drawings.draw(family)
    colours = dict(re.findall(r"\.(\w+) \{ stroke: (#\w{6}) \}", text))
    assert [colours[w] for w in ("v33", "gnd", "sda", "scl")] == [
        "#d1242f",
        "#000000",
        "#0969da",
        "#ffcc00",
    ]
    for wire in ("v33", "gnd", "sda", "scl"):
        assert len(re.findall(rf'class="wire {wire}" points="670,(\d+) 800,\1"', text)) == 1
    assert text.count("4.7 kΩ") == 2 and "prefers-color-scheme: dark" in text
