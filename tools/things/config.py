"""config.json: every key with its default and its limits, checked and completed on this computer.

The board gets a complete file and checks no more than that it is whole, and what the cloud may
change: those keys have one table for both sides, firmware/core/schema.py.
Every problem is named at once, by key and never by value: some values are secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from firmware.core import optional, schema, text, topics
from tools.errors import ToolError
from tools.things import values
from tools.things.guess import did_you_mean, guessed
from tools.things.values import Rule, number

_REQUIRED = object()
_MAX_PROBLEMS = 20  # nobody reads more
_KEY_CHARS = 40

_Reader = Callable[[str, Any, list[str]], Any]  # (path, value, problems) -> a copy of the value
_Table = dict[str, tuple[Any, _Reader]]  # key -> default, reader


def _value(rule: Rule) -> _Reader:
    def read(path: str, value: Any, problems: list[str]) -> Any:
        _add(problems, path, rule(value))
        return value

    return read


def _list(most: int, read_item: _Reader) -> _Reader:
    def read(path: str, value: Any, problems: list[str]) -> Any:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            _add(problems, path, f"must be a list of 1 to {most}")
            return None
        return [read_item(f"{path}[{i}]", item, problems) for i, item in enumerate(value)]

    return read


def _network(path: str, value: Any, problems: list[str]) -> Any:
    if not isinstance(value, dict):
        _add(problems, path, "must be an object")
        return None
    return _fields(f"{path}.", value, _NETWORK, problems)


def _settable(key: str, value: Any, problems: list[str]) -> Any:
    """A key the cloud may change; several problems come in one text: those of an object's keys."""
    value, problem = schema.check(key, value, {})
    for part in guessed(key, problem).split("; ") if problem else ():
        problems.append(f"{key}.{part}" if ": " in part else f"{key}: {part}")
    return value


def _topic(path: str, value: Any, problems: list[str]) -> Any:
    return value  # checked in _topics(), once the name of the thing is known


def _of_schema(key: str) -> tuple[Any, _Reader]:
    return values.SETTINGS[key], _settable


def _battery(path: str, value: Any, problems: list[str]) -> Any:
    """Where its voltage is measured, and the divider's ratio; None: nowhere."""
    if value is None:
        return None
    if not isinstance(value, dict):
        _add(problems, path, "must be an object of pin and ratio, or null")
        return None
    return _fields(f"{path}.", value, _BATTERY, problems)


_BATTERY: _Table = {
    "pin": (_REQUIRED, _value(number(0, 48))),
    "ratio": (_REQUIRED, _value(values.ratio)),
}
_NTP = ("pool.ntp.org", "time.cloudflare.com", "time.nist.gov")
_NETWORK: _Table = {
    "ssid": (_REQUIRED, _value(values.ssid)),
    "password": ("", _value(values.password)),
}
_CONFIG: _Table = {
    "thing_name": (_REQUIRED, _value(values.thing_name)),
    "endpoint": (_REQUIRED, _value(values.host)),
    "port": (8883, _value(number(1, 65535))),
    # Device Advisor wants a ping within 230 s; below 30 AWS waits 30 all the same (aws-facts 1.3).
    "keepalive_s": (60, _value(number(1, 230))),
    "interval_s": _of_schema("interval_s"),
    "wifi": (_REQUIRED, _list(8, _network)),
    "i2c": _of_schema("i2c"),
    "sensor": _of_schema("sensor"),
    # Three that nobody runs together: two outvote one. None of them smears leap seconds.
    "ntp": (list(_NTP), _list(4, _value(values.host))),
    "telemetry_topic": ("devices/{thing}/data", _topic),
    "command_topic": ("devices/{thing}/commands", _topic),
    "offline_reboot_s": _of_schema("offline_reboot_s"),
    "drain_per_s": _of_schema("drain_per_s"),
    # Messages under way at once, and while an outage is made up for: AWS takes 100 that it has
    # not acknowledged (aws-facts 1.2). All four differ by board: tools/things/boards.json.
    "window": (8, _value(number(1, 100))),
    "window_max": (24, _value(number(1, 100))),
    "message_bytes": (8192, _value(number(512, 16384))),  # the longest that the board takes in
    "outbox_bytes": (98304, _value(number(8192, 2097152))),
    **{key: _of_schema(key) for key in optional.DEFAULTS},
    "power": ("mains", _value(values.power)),
    "battery": (None, _battery),
    "updates": (False, _value(values.updates)),
}
KEYS = tuple(_CONFIG)


def check(
    raw: Any, board: Mapping[str, Any] | None = None, chip: str = ""
) -> tuple[dict[str, Any] | None, list[str]]:
    """The complete configuration and [], or None and every problem there is.

    ``raw`` is whatever a JSON file held; ``board`` has the values a kind of board has instead of
    the ESP32's defaults (`Board.defaults`). ``chip``: esptool's name of the chip, whose pins the
    bus may then use (`Board.chip`); "": not known, no pin is refused.
    """
    if not isinstance(raw, dict):
        return None, ["top level: must be an object"]
    given = {**(board or {}), **raw}
    if isinstance(raw.get("i2c"), dict):
        given["i2c"] = {**(board or {}).get("i2c", {}), **raw["i2c"]}
    if "window_max" not in raw and not number(1, 100)(given.get("window")):
        usual = given.get("window_max", _CONFIG["window_max"][0])
        given["window_max"] = max(given["window"], usual)
    problems: list[str] = []
    config = _fields("", given, _CONFIG, problems)
    if not any(problem.startswith("i2c") for problem in problems):
        _, wrong = schema.check("i2c", config["i2c"], {}, chip)
        problems += [f"i2c.{part}" for part in (wrong.split("; ") if wrong else ())]
    _topics(config, problems)
    wrong = values.battery_pin(config["battery"], chip) if not problems else None
    _add(problems, "battery.pin", wrong)
    if config["updates"] is True:
        _add(problems, "updates", values.updates(True, config["power"], chip))
    if not problems and config["window_max"] < config["window"]:
        problems.append("window_max: must not be less than window")
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"and {len(problems) - _MAX_PROBLEMS} more"]
    return (None if problems else config), problems


def checked(
    raw: Any, source: str, board: Mapping[str, Any] | None = None, chip: str = ""
) -> dict[str, Any]:
    """The complete configuration; ToolError with every problem, by key and not by value."""
    found, problems = check(raw, board, chip)
    if found is None:
        raise ToolError("\n  ".join([f"{source}:", *problems]), "see config.example.json")
    return found


def read(
    path: Path, board: Mapping[str, Any] | None = None, chip: str = ""
) -> tuple[dict[str, Any] | None, list[str]]:
    """Read and check a config.json: (complete configuration, []), or (None, every problem)."""
    doubles: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        doubles.extend(k for i, (k, _) in enumerate(pairs) if k in dict(pairs[:i]))
        return dict(pairs)

    def refuse(_name: str) -> None:
        raise ValueError("NaN and Infinity are not JSON")

    try:
        raw = json.loads(
            path.read_text("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse
        )
    except OSError as e:
        return None, [f"{path}: {e.strerror}"]
    except json.JSONDecodeError as e:
        return None, [f"{path}: not JSON: {e.msg}, line {e.lineno} column {e.colno}"]
    except (ValueError, RecursionError) as e:
        why = "not UTF-8 text" if isinstance(e, UnicodeDecodeError) else "not JSON"
        return None, [f"{path}: {why}"]
    config, problems = check(raw, board, chip)
    problems += [f"{key}: is given twice" for key in doubles]
    return (None if problems else config), [f"{path.name}: {p}" for p in problems]


def for_board(config: Mapping[str, Any]) -> bytes:
    """The file as a board gets it: MicroPython's json reads no surrogate pairs, so no escapes.

    Settings that most boards do not have are left out: each takes memory there.
    """
    usual = {**optional.DEFAULTS, "power": "mains", "battery": None, "updates": False}
    config = {k: v for k, v in config.items() if k not in usual or v != usual[k]}
    return json.dumps(config, ensure_ascii=False, separators=(",", ":")).encode()


def _fields(
    prefix: str, given: Mapping[str, Any], table: _Table, problems: list[str]
) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, (default, read_value) in table.items():
        value = given.get(key, default)
        if value is _REQUIRED:
            clean[key] = None
            _add(problems, prefix + key, "is missing")
        else:
            clean[key] = read_value(prefix + key, value, problems)
    unknown = sorted(str(key) for key in given if key not in table)
    if len(given) > _MAX_PROBLEMS + len(table):
        _add(problems, prefix.rstrip(".") or "top level", "has far too many keys")
        unknown = []
    for key in unknown:
        guess = did_you_mean(key, table)
        _add(problems, prefix + text.printable(key, _KEY_CHARS), f"unknown key{guess}")
    return clean


def _topics(config: Mapping[str, Any], problems: list[str]) -> None:
    thing = config["thing_name"]
    if values.thing_name(thing):
        thing = "x"  # reported already; the topics may have faults of their own
    given = config["telemetry_topic"], config["command_topic"]
    wrong_data = values.telemetry_topic(given[0], thing)
    wrong_command = values.command_topic(given[1], thing)
    _add(problems, "telemetry_topic", wrong_data)
    _add(problems, "command_topic", wrong_command)
    if wrong_data or wrong_command:
        return
    data, commands, result, status, _ = topics.of(thing, *given)
    # A board that listens where it talks would obey itself.
    if data in (commands, result, status):
        _add(problems, "telemetry_topic", "is the topic of commands, results or status")
    if status in (commands, result):
        _add(problems, "command_topic", "is the topic of status")


def _add(problems: list[str], path: str, wrong: str | None) -> None:
    if wrong:
        problems.append(f"{path}: {wrong}")
