"""docs/wiring-*.svg: how a sensor and a battery are connected, one drawing a family of boards.

Pins of the bus come from tools/things/boards.json. The paper is drawn too, and has a dark form, so
that a drawing can be read on any page; wires have an edge, so that black shows on dark paper and
yellow on light.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from tools.things import boards
from tools.toolchain import ROOT

FOLDER = ROOT / "docs"
WIDTH, HEIGHT = 1000, 590
_LEFT, _RIGHT, _TOP, _BOTTOM = 370, 670, 95, 405  # of the board
_SENSOR = 800
_SDA, _3V3, _SCL, _GND = 150, 220, 290, 360  # heights of the wires
_ADC = 255
_BATTERY, _DIVIDER, _CAPACITOR, _PULL_UPS = 85, 205, 290, 735
_NOTES = 475

_STYLE = """\
text { font-family: 'DejaVu Sans', Verdana, sans-serif; font-size: 15px; fill: #1f2328 }
.title { font-size: 21px; font-weight: bold }
.name { font-weight: bold }
.small { font-size: 13px }
.soft { fill: #59636e }
.paper { fill: #ffffff; stroke: #d1d9e0 }
.board { fill: #dfe7df; stroke: #59636e; stroke-width: 1.5 }
.part { fill: #ffffff; stroke: #59636e; stroke-width: 1.5 }
.pin { fill: #bf8700; stroke: #59636e }
.frame { fill: none; stroke: #818b98; stroke-dasharray: 6 5 }
.line { fill: none; stroke: #59636e; stroke-width: 1.5 }
.maybe { stroke-dasharray: 5 4 }
.edge { fill: none; stroke: #59636e; stroke-width: 6; stroke-linejoin: round }
.wire { fill: none; stroke-width: 4; stroke-linejoin: round }
.v33 { stroke: #d1242f } .gnd { stroke: #000000 } .sda { stroke: #0969da } .scl { stroke: #ffcc00 }
.bat { stroke: #fb8f44 } .adc { stroke: #8250df } .rst { stroke: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.soft { fill: #b7bdc8 }
.paper { fill: #151b23; stroke: #3d444d }
.board { fill: #263b2d; stroke: #b7bdc8 }
.part { fill: #2a313c; stroke: #b7bdc8 }
.pin { stroke: #b7bdc8 }
.frame { stroke: #9198a1 }
.line, .edge { stroke: #b7bdc8 }
}"""


@dataclass(frozen=True)
class Family:
    """Boards that are wired alike. ``adc``: a pin of ADC1, since ADC2 is the radio's.

    ``names``: what is printed beside a pin, where that is no GPIO number. ``half``: the board has
    the lower half of the divider on it. ``wake``: the two pins to be joined for deep sleep.
    """

    boards: tuple[str, ...]
    title: str
    adc: str
    notes: tuple[str, ...]
    names: tuple[tuple[int, str], ...] = ()
    half: bool = False
    wake: tuple[str, str] | None = None

    @property
    def file(self) -> str:
        return f"wiring-{self.boards[-1]}.svg"


_PULLS = "Dashed: pull-ups. Most sensor boards have them; a bare chip needs two of 2.2 to 10 kΩ."
_SUPPLY = (
    "BAT: the board's battery connector. Where there is none: 3V3, through a 3.3 V regulator.",
    "Li-ion: only a cell with a protection circuit.",
)
FAMILIES = (
    Family(
        ("esp32",),
        "ESP32 (DevKit, WROOM, WROVER)",
        "GPIO 34",
        (_PULLS, "Not GPIO 12 (boot), 6 to 11 (flash), nor 16 and 17 on a WROVER.", *_SUPPLY),
    ),
    Family(
        ("esp32s2", "esp32s3"),
        "ESP32-S2 and ESP32-S3",
        "GPIO 4",
        (_PULLS, "Not GPIO 19, 20 (USB), 26 to 32 (S3 with octal PSRAM: to 37).", *_SUPPLY),
    ),
    Family(
        ("esp32c3",),
        "ESP32-C3",
        "GPIO 3",
        (
            _PULLS,
            "They also hold GPIO 8 and 9 high at a reset. Where GPIO 8 is an LED, take 6 and 7.",
            *_SUPPLY,
        ),
    ),
    Family(
        ("esp32c6",),
        "ESP32-C6",
        "GPIO 2",
        (_PULLS, "Not GPIO 12, 13 (USB), 24 to 30 (flash).", *_SUPPLY),
    ),
    Family(
        ("esp8266",),
        "ESP8266 (NodeMCU, D1 mini)",
        "A0",
        (
            _PULLS,
            "Green: only with a battery, to wake it from deep sleep. Open it if flashing fails.",
            "A0: 220 and 100 kΩ are on these boards. A bare ESP-12 needs 470 and 100 kΩ.",
            _SUPPLY[1],
        ),
        names=((4, "D2"), (5, "D1")),
        half=True,
        wake=("D0 (GPIO 16)", "RST"),
    ),
)


def all_of_them() -> dict[str, str]:
    """File in docs/ -> the drawing."""
    return {family.file: draw(family) for family in FAMILIES}


def draw(family: Family) -> str:
    """One drawing, as SVG."""
    bus = boards.get(family.boards[0]).i2c
    parts = [
        f'<rect class="paper" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="12"/>',
        _text(30, 45, family.title, "title"),
        _text(30, 70, "3.3 V red, ground black, SDA blue, SCL yellow", "soft"),
        *_battery(family),
        *_sensor(),
        f'<rect class="board" x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}"'
        f' height="{_BOTTOM - _TOP}" rx="10"/>',
        _text((_LEFT + _RIGHT) / 2, _TOP + 28, family.title.split(" (")[0], "name", "middle"),
        *_board_pin(_RIGHT, _SDA, "SDA = " + _gpio(family, bus["sda"])),
        *_board_pin(_RIGHT, _3V3, "3V3"),
        *_board_pin(_RIGHT, _SCL, "SCL = " + _gpio(family, bus["scl"])),
        *_board_pin(_RIGHT, _GND, "GND"),
        *_board_pin(_LEFT, _SDA, "5V" if family.half else "BAT"),
        *_board_pin(_LEFT, _ADC, family.adc),
        *_board_pin(_LEFT, _GND, "GND"),
        *_wake(family),
        *(_text(30, _NOTES + 26 * n, note) for n, note in enumerate(family.notes)),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>{escape(family.title)}: a sensor and a battery</title>\n<style>\n{_STYLE}\n"
        "</style>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _gpio(family: Family, pin: int) -> str:
    printed = dict(family.names).get(pin)
    return f"{printed} (GPIO {pin})" if printed else f"GPIO {pin}"


def _sensor() -> list[str]:
    wires = (
        (_SDA, "sda", "SDA"),
        (_3V3, "v33", "VIN or 3V3"),
        (_SCL, "scl", "SCL"),
        (_GND, "gnd", "GND"),
    )
    end = _SENSOR + 170
    found = [part for y, wire, _ in wires for part in _wire(wire, (_RIGHT, y), (_SENSOR, y))]
    found += [
        f'<rect class="board" x="{_SENSOR}" y="{_TOP}" width="170" height="310" rx="10"/>',
        _text(_SENSOR + 85, _TOP + 28, "sensor board", "name", "middle"),
        _text(end, _BOTTOM + 22, "go by the names of the pins", "small soft", "end"),
        *_resistor(_PULL_UPS, _SDA, _3V3, "4.7 kΩ", "maybe"),
        *_resistor(_PULL_UPS, _3V3, _SCL, "4.7 kΩ", "maybe"),
    ]
    for y, _, name in wires:
        found += [_pin(_SENSOR, y), _text(_SENSOR + 16, y + 5, name)]
    return found


def _battery(family: Family) -> list[str]:
    x, low = _BATTERY, 325
    found = [
        f'<rect class="frame" x="18" y="{_TOP}" width="{_LEFT - 36}" height="310" rx="10"/>',
        _text(30, _TOP + 23, "with a battery; on USB leave this out", "small soft"),
        *_wire("bat", (x, 190), (x, _SDA), (_LEFT, _SDA)),
        *_wire("gnd", (x, low), (x, _GND), (_LEFT, _GND)),
        *_wire("adc", (_DIVIDER, _ADC), (_LEFT, _ADC)),
        f'<rect class="part" x="{x - 14}" y="185" width="28" height="10"/>',
        f'<rect class="part" x="{x - 38}" y="195" width="76" height="{low - 195}" rx="5"/>',
        _text(x, 217, "+", "name", "middle"),
        _text(x, 252, "Li-ion", "", "middle"),
        _text(x, 272, "3.7 V", "", "middle"),
        _text(x, 312, "\N{MINUS SIGN}", "name", "middle"),
    ]
    if family.half:
        return found + _resistor(_DIVIDER, _SDA, _ADC, "150 kΩ")
    return [
        *found,
        *_resistor(_DIVIDER, _SDA, _ADC, "220 kΩ"),
        *_resistor(_DIVIDER, _ADC, _GND, "220 kΩ"),
        *_capacitor(_CAPACITOR, _ADC, _GND, "100 nF"),
    ]


def _wake(family: Family) -> list[str]:
    if not family.wake:
        return []
    left, right = _LEFT + 80, _RIGHT - 80
    low = _BOTTOM + 35
    found = _wire("rst", (left, _BOTTOM), (left, low), (right, low), (right, _BOTTOM))
    for x, name in zip((left, right), family.wake, strict=True):
        found += [_pin(x, _BOTTOM), _text(x, _BOTTOM - 14, name, "", "middle")]
    return found


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}{where}>{escape(text)}</text>'


def _wire(kind: str, *points: tuple[float, float]) -> list[str]:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return [f'<polyline class="{c}" points="{path}"/>' for c in ("edge", f"wire {kind}")]


def _pin(x: float, y: float) -> str:
    return f'<circle class="pin" cx="{x}" cy="{y}" r="6.5"/>'


def _board_pin(x: float, y: float, name: str) -> list[str]:
    if x == _LEFT:
        return [_pin(x, y), _text(x + 16, y + 5, name)]
    return [_pin(x, y), _text(x - 16, y + 5, name, "", "end")]


def _resistor(x: float, top: float, bottom: float, name: str, style: str = "") -> list[str]:
    middle = (top + bottom) / 2
    return [
        f'<path class="line {style}" d="M{x},{top} V{middle - 18:g}'
        f' M{x},{middle + 18:g} V{bottom}"/>',
        f'<rect class="part {style}" x="{x - 8}" y="{middle - 18:g}" width="16" height="36"/>',
        _text(x + 14, middle + 5, name, "small"),
        *(f'<circle class="pin" cx="{x}" cy="{y}" r="4"/>' for y in (top, bottom)),
    ]


def _capacitor(x: float, top: float, bottom: float, name: str) -> list[str]:
    middle = (top + bottom) / 2
    return [
        f'<path class="line" d="M{x},{top} V{middle - 4:g} M{x},{middle + 4:g} V{bottom}'
        f' M{x - 13},{middle - 4:g} h26 M{x - 13},{middle + 4:g} h26"/>',
        _text(x + 6, middle - 14, name, "small"),
        *(f'<circle class="pin" cx="{x}" cy="{y}" r="4"/>' for y in (top, bottom)),
    ]
