"""The world of a virtual board: what `--world FILE` may say, and the settings of `VirtualBoard`.

A world is one JSON object. Every key may be missing; what is missing is as in DEFAULTS. The file
is read again whenever it changes. A mistake in it is reported with the key, and the former world
goes on. The keys of POWER_ON count from the next power-on.

    time_scale   1 to 100: how many of the board's seconds go by in one of ours (_scaled.py)
    sleep_scale  1 to 1,000,000: the same while it is in deep sleep; without it as time_scale
    rtc_drift_ppm  -100,000 to 100,000, a whole number: how much too fast the oscillator is that
                 ends a deep sleep, and by which the RTC counts meanwhile
    wake_wired   false: GPIO16 of an ESP8266 is not wired to RST, so that no timer wakes it
    wake         any number: when it changes, a board in deep sleep wakes up, as by its wake pin
    epoch        2000 (ESP32, ESP8266) or 1970: the zero of time.time()
    ntp          {"up": true, "offset_s": 0, "hosts": ["pool.ntp.org"]}: false is silence, the
                 offset is the servers' error in seconds, others than "hosts" never answer;
                 "offsets": {"one.example": 63072000} adds the error of single ones; "stratum" 0
                 to 255 and "leap" 0 to 3 are what they say of themselves (2 and 0); "forged":
                 true, answers of somebody who has not seen the question
    verify_callback  false: TLS without SSLContext.verify_callback, as in MicroPython 1.22
    wifi         {"up": true, "rssi": -58, "networks": [{"ssid": "barn", "password": "right",
                 "rssi": -61, "bssid": "02:00:00:00:00:01", "channel": 6}]}; dBm -120 to 0; channel
                 1 to 14; several may have one SSID; without "networks" every SSID is there and
                 takes any password. Milliseconds, 0 to 60,000: "join_ms" (100) with the scan that
                 connect() makes, "join_pinned_ms" (30) without, where BSSID and channel are right;
                 "dhcp_ms" (0) from there to an address, unless that is static; "scan_ms" (0)
    hosts        {"name": ["127.0.0.1"]}: what the name server says, in this order; [] is a name
                 it does not know, null the answer for one with an IPv6 address only; names that
                 are not listed go to this machine's resolver
    sensors      [{"chip": "sht3x", "address": 68, "temperature": "21 + t/60", "humidity": 45,
                 "pressure": 1013.25, "co2": 600, "present": true}]: the chips on the bus; only
                 "chip" is required; without "address" the chip's first one; "present": false
                 unplugs it

    sensor       the same as text, for the command line: "bme280@0x76,mcp9808" or "none"
    temperature  degrees Celsius, -60 to 160, for all chips that do not say otherwise; a number, an
                 expression in t (seconds since power-on; expression.py), or "csv:FILE" (curve.py),
                 beside the world's file; its other columns then count for the next three
    humidity     % relative humidity, 0 to 100, likewise
    pressure     hPa, 100 to 1200, likewise
    co2          ppm, 300 to 40,000, likewise
    scene        "unplug@30,plug@60,crc@40..50:0x44": what happens to the chips, and when; text, or
                 a list of texts (scene.py)
    i2c_error    a probability (0 to 1) that a read times out, or a fault of every chip: "nack"
                 (acknowledges nothing), "stuck" (a measurement never ends), "crc" (damaged data)
    i2c_stuck    true: a slave holds SDA low until it has seen nine clocks
    pins         {"0": 0}: the level of an input, by number; wired: [SDA, SCL], where the chips are
                 soldered to, else on any pins; highest_pin: 0 to 48
    adc_mv       {"34": 1850, "35": "2100 - t/60"}: millivolts at a pin for the ADC, 0 to 3600, a
                 number or an expression in t; an ESP8266's is "0". What is not listed has 0
    chip         which ESP32 it is: decides which pins have an ADC, and its range; "esp32"
    ticks_start  time.ticks_ms() at boot, 0 to 2^30 - 1
    time_anchor_s  Unix seconds at which the board's world and ours had the same time
    unique_id    12 hexadecimal digits; reset_cause: one of CAUSES or the chip's own number
    wdt_scale    above 0 to 1: shortens the watchdog's period
    timer_scale  the same for an ESP32's timers
    tls_outside  true (ESP8266): what axTLS takes does not come out of the board's heap
    split_heap   bytes, 16 to 65,536: cuts the free heap into pieces of no more than that, now; 0
                 at boot, to get ready for it
    report_heap  any number: the log says how much of the heap is in use, when it changes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.sim import curve, expression, scene
from tools.sim.checks import (
    HINT,
    Check,
    a_list,
    a_map,
    a_number,
    a_text,
    an_object,
    either,
    one_of,
)
from tools.sim.curve import Curve
from tools.things import boards

DEFAULTS: Mapping[str, Any] = {
    "sensor": "bme280@0x76",
    "temperature": "21 + 2*sin(t/60)",
    "humidity": "45 + 4*sin(t/90)",
    "pressure": "1013.25 + sin(t/300)",
    "co2": "600 + 200*sin(t/600)",
}
# chip -> first and last address; chips/plug.py has the same
CHIPS = {chip: (places[0], places[-1]) for chip, (_, places) in boards.chips().items()}
CAUSES = ("power_on", "hard", "watchdog", "deepsleep", "soft", "fault")
# Settings that a board reads once, when it gets its power.
POWER_ON = (
    *("time_scale", "time_anchor_s", "epoch", "ticks_start", "unique_id", "tls_outside"),
    *("verify_callback", "chip", "scene"),
)
_FAULTS = ("nack", "stuck", "crc")
_ESP32S = ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6")
_MOST_SCALE = 100  # a TLS handshake would take longer than the firmware allows
_MOST_SLEEP_SCALE = 1_000_000  # nothing is computed meanwhile
_MOST_PPM = 100_000


def read(path: Path) -> dict[str, Any]:
    """The checked world of a file; ToolError says what is wrong with it."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}", "--world FILE") from e
    except ValueError as e:
        raise ToolError(f"{path}: not JSON: {e}", HINT) from e
    try:
        return check(curve.located(document, path.parent))
    except ToolError as e:
        raise ToolError(f"{path}: {e.message}", e.hint) from e


def check(document: Any) -> dict[str, Any]:
    """The same world with its expressions checked; ToolError names the key that cannot be."""
    checked = dict(an_object(SCHEMA)(document, ""))
    for name in ("sensor", "sensors"):
        if name in checked:
            plugged({"sensors": None} | checked, name)
    rows = checked.get("wifi", {}).get("networks", [])
    named = [row["bssid"].lower() for row in rows if "bssid" in row]
    for bssid in named:
        if named.count(bssid) > 1:
            raise ToolError(f"wifi.networks: two with the bssid {bssid}", "give one another")
    if "sensor" in checked or "sensors" in checked:
        fit(checked)
    for row in (checked, *checked.get("sensors", ())):
        source = row.get("temperature")
        if isinstance(source, Curve):
            for name in AIR.keys() & source.columns:
                row.setdefault(name, AIR[name](f"{curve.PREFIX}{source.path}", name))
    return checked


def fit(world: Mapping[str, Any]) -> None:
    """ToolError for a scene that is about an address at which there is no chip."""
    key = "sensors" if world.get("sensors") is not None else "sensor"
    scene.fit(world.get("scene", []), [address for address, _ in plugged(world, key)])


def wire(
    world: Mapping[str, Any], keep: Callable[[Curve], Path] = lambda curve: curve.path
) -> dict[str, Any]:
    """The world as shims/*.py read it: "sensors" as the text of those present, and their own.

    ``keep`` puts a curve into a file.
    """

    def air(row: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: row[name] for name in AIR if name in row}
        return {n: f"@{keep(v)}" if isinstance(v, Curve) else v for n, v in found.items()}

    told = {key: value for key, value in world.items() if key != "sensors"} | air(world)
    if "scene" in world:
        told["scene"] = scene.parse(world["scene"])
    if world.get("sensors") is not None:
        placed = plugged(world, "sensors")
        told["sensor"] = ",".join(f"{row['chip']}@0x{at:x}" for at, row in placed) or "none"
        told["own"] = {str(at): air(row) for at, row in placed}
    return told


def plugged(world: Mapping[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    """Address and row of each chip on the bus by "sensors" or "sensor"; ToolError names it."""
    rows = world["sensors"] if key == "sensors" else _rows(world["sensor"])
    found: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        where = f"sensors[{number}]" if key == "sensors" else f"sensor {world['sensor']!r}"
        name = row["chip"]
        if name not in CHIPS:
            hint = "--sensor bme280@0x76, or --sensor none"
            raise ToolError(f"{where}: no chip {name!r}; known: {', '.join(sorted(CHIPS))}", hint)
        first, last = CHIPS[name]
        at = row.get("address", first)
        if not first <= at <= last:
            said = f"{where}: {name} has addresses 0x{first:02x} to 0x{last:02x}"
            raise ToolError(said, f"--sensor {name}@0x{first:02x}")
        if at in found:
            raise ToolError(f"{where}: two chips at 0x{at:02x}", "give one another address")
        if row.get("present", True):
            found[at] = row
    return sorted(found.items())


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for word in ("" if text == "none" else text).split(","):
        name, _, place = word.strip().partition("@")
        try:
            address = {"address": int(place, 16)} if place else {}
        except ValueError:
            hint = "--sensor bme280@0x76"
            raise ToolError(f"sensor {text!r}: {place!r} is no address", hint) from None
        if name:
            rows.append({"chip": name, **address})
    return rows


def _expression(low: float, high: float) -> Check:
    def look(value: Any, where: str) -> Any:
        if not isinstance(value, str):
            value = json.dumps(a_number(-1e9, 1e9)(value, where))
        return expression.check(value, where, low, high)

    return look


def _air(low: float, high: float) -> Check:
    formula = _expression(low, high)

    def look(value: Any, where: str) -> Any:
        if isinstance(value, str) and value.startswith(curve.PREFIX):
            return curve.read(value, where, low, high)
        return formula(value, where)

    return look


_FLAG = one_of(True, False)
_NAME = a_text(r".{1,253}", "a name")
_PIN = a_number(0, 48, whole=True)
_PIN_NUMBER = a_text(r"\d\d?", "the number of a pin")
_DBM = a_number(-120, 0)
_ADDRESS = either(a_text(r"[0-9a-fA-F.:]+", "an address, or null"), type(None), one_of(None))
AIR: dict[str, Check] = {
    "temperature": _air(-60, 160),
    "humidity": _air(0, 100),
    "pressure": _air(100, 1200),
    "co2": _air(300, 40_000),
}
_NTP = {
    "up": _FLAG,
    "offset_s": a_number(-(10**10), 10**10, whole=True),
    "hosts": a_list(_NAME),
    "offsets": a_map(_NAME, a_number(-(10**10), 10**10, whole=True)),
    "stratum": a_number(0, 255, whole=True),
    "leap": a_number(0, 3, whole=True),
    "forged": _FLAG,
}
_SENSOR = {"chip": _NAME, "address": a_number(0, 127, whole=True), "present": _FLAG}
_NETWORK = {
    "ssid": a_text(r".{1,32}", "an SSID"),
    "password": a_text(r".{0,64}", "a password"),
    "rssi": _DBM,
    "bssid": a_text(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", 'six bytes as "02:00:00:00:00:01"'),
    "channel": a_number(1, 14, whole=True),
}
_MS = a_number(0, 60_000, whole=True)

SCHEMA: dict[str, Check] = {
    "time_scale": a_number(1, _MOST_SCALE),
    "sleep_scale": a_number(1, _MOST_SLEEP_SCALE),
    "rtc_drift_ppm": a_number(-_MOST_PPM, _MOST_PPM, whole=True),
    "wake_wired": _FLAG,
    "wake": a_number(0, 2**30, whole=True),
    "epoch": one_of(2000, 1970),
    "ntp": an_object(_NTP),
    "verify_callback": _FLAG,
    "wifi": an_object(
        {
            "up": _FLAG,
            "rssi": _DBM,
            "join_ms": _MS,
            "join_pinned_ms": _MS,
            "dhcp_ms": _MS,
            "scan_ms": _MS,
            "networks": a_list(an_object(_NETWORK, "ssid")),
        }
    ),
    "hosts": a_map(_NAME, a_list(_ADDRESS)),
    "sensors": a_list(an_object(_SENSOR | AIR, "chip")),
    "sensor": a_text(r".*", 'text such as "bme280@0x76"'),
    **AIR,
    "scene": scene.check,
    "i2c_error": either(a_number(0, 1), str, one_of(*_FAULTS)),
    "i2c_stuck": _FLAG,
    "pins": a_map(_PIN_NUMBER, a_number(0, 1, whole=True)),
    "adc_mv": a_map(_PIN_NUMBER, _expression(0, 3600)),
    "chip": one_of(*_ESP32S),
    "wired": a_list(_PIN, 2),
    "highest_pin": _PIN,
    "ticks_start": a_number(0, (1 << 30) - 1, whole=True),
    "time_anchor_s": a_number(0, 2**40),
    "unique_id": a_text(r"[0-9a-fA-F]{12}", "12 hexadecimal digits"),
    "reset_cause": either(one_of(*CAUSES), int, a_number(0, 255, whole=True)),
    "wdt_scale": a_number(1e-6, 1),
    "timer_scale": a_number(1e-6, 1),
    "tls_outside": _FLAG,
    "split_heap": a_number(0, 65_536, whole=True),
    "report_heap": a_number(0, 2**30, whole=True),
}
