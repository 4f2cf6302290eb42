"""docs/reference.md: every key, setting, command, fact and log line, from the tables themselves.

What the firmware says is read from its sources: the calls of `log`, the words of a link error.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from firmware.core import commands, quantities, schema
from tools.things import boards, config
from tools.things.values import SETTINGS
from tools.toolchain import ROOT

PAGE = ROOT / "docs" / "reference.md"
ANY = "…"  # whatever a log line has there
_HEAD = """\
# Reference
Made from the code by `python -m tools reference`; a test says when it is out of date.
What the keys are for: [config.md](config.md). What to do about a line of the log:
[troubleshooting.md](troubleshooting.md).
"""
_SENSOR = "`sensor: …` and `sensor_last_error`, mostly with the chip before it:"
_BUS = ("id", "sda", "scl", "freq_hz")
_HOLE = re.compile(r"{[^}]*}|%d|%s")
_LEAST: dict[str, Any] = {"thing_name": "x", "endpoint": "x", "wifi": [{"ssid": "x"}]}
_IDS = """\
As JSON: `{"action": "read_now", "id": "7"}`; with an `id` it acts once.
Each is answered on `…/commands/result`."""
_ACTIONS = {
    "set_reporting_interval": "`interval_seconds`, as `interval_s` above; `desired` follows",
    "read_now": "one reading more; the result says why there was none",
    "identify": "blinks the LED for five seconds",
    "reboot": "restarts after its result; needs an `id` in the first minute after a start",
    "get_log": "the result has it as `log`",
}


def page(tools: Mapping[str, str]) -> str:
    """The whole page; ``tools``: command of the command line -> its first line of help."""
    parts = (
        ("Keys of config.json, and settings", _keys()),
        ("Commands to a device", _commands()),
        ("What is measured", _quantities()),
        ("What a device reports", _facts()),
        ("Why a session ends", ["`link: REASON`, and `link_last_reason`:", "", _words(reasons())]),
        ("What a sensor says", [_SENSOR, "", _words(sensor_errors())]),
        ("What Wi-Fi says", ["`wifi: not joined SSID, WORD`:", "", _words(wifi_words())]),
        ("The log", _log()),
        ("Commands of the tools", _table("command", "what it does", tools.items())),
    )
    texts = [f"## {title}\n" + "\n".join(lines) + "\n" for title, lines in parts]
    return "\n".join([_HEAD, *texts])


def _table(first: str, second: str, rows: Any) -> list[str]:
    return [f"| {first} | {second} |", "|---|---|"] + [f"| `{a}` | {b} |" for a, b in rows]


def _words(words: set[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _keys() -> list[str]:
    whole, _ = config.check(_LEAST)
    small, _ = config.check(_LEAST, boards.get("esp8266").defaults)
    _, missing = config.check({})
    assert whole is not None
    assert small is not None
    lines = [
        "**cloud**: the shadow may change it. **required**: there is no default.",
        "",
        "| key | default | must be | |",
        "|---|---|---|---|",
    ]
    for key in (*config.KEYS, *(k for k in SETTINGS if k not in config.KEYS)):
        needed = f"{key}: is missing" in missing
        value = whole.get(key, SETTINGS.get(key))
        default = "" if needed else f"`{json.dumps(value, ensure_ascii=False)}`"
        if key in small and small[key] != value and not needed:
            default += f"; ESP8266: `{json.dumps(small[key])}`"
        marks = ["**required**"] if needed else []
        marks += ["**cloud**"] if key in SETTINGS else []
        marks += [] if key in config.KEYS else ["not in config.json"]
        lines.append(f"| `{key}` | {default} | {_limits(key)} | {', '.join(marks)} |")
    return lines


def _limits(key: str) -> str:
    """What the check itself says of a value that cannot be right."""
    inner = {"i2c": dict.fromkeys(_BUS, "?"), "wifi": [{"ssid": "", "password": "?"}]}
    texts: list[tuple[str, str, str]] = []
    for wrong in (inner[key],) if key in inner else ("?", 0.5):
        _, problems = config.check({**_LEAST, key: wrong})
        if key not in config.KEYS:
            problems = [f"{key}: {schema.check(key, wrong, {})[1]}"]
        texts = texts or [
            problem.partition(": ") for problem in problems if problem.startswith(key)
        ]
    shown = [f"`{path}` {what}" if path != key else what for path, _, what in texts]
    return "; ".join(text.replace("must be ", "").replace("[0]", "") for text in shown)


def _commands() -> list[str]:
    rows = [(action, _ACTIONS.get(action, "")) for action in commands.ACTIONS]
    return [*_table("action", "", rows), "", _IDS]


def _quantities() -> list[str]:
    lines = ["| field | unit | lowest | highest |", "|---|---|---|---|"]
    for name, unit, decimals, low, high, _ in quantities.rows():
        edges = (f"{edge / 10**decimals:g}" for edge in (low, high))
        lines.append(f"| `{name}` | {unit} | {' | '.join(edges)} |")
    sensors = ", ".join(f"`{name}`" for name in schema.SENSORS.split())
    return [*lines, "", f"Sensors: {sensors}; what they do is in [sensors.md](sensors.md)."]


def _facts() -> list[str]:
    report = next(f for file, f in _functions() if (file, f.name) == ("device_info.py", "report"))
    nodes = list(ast.walk(report))
    split = next(n.lineno for n in nodes if isinstance(n, ast.If) and "full" in ast.dump(n.test))
    keys: list[Any] = [key for n in nodes if isinstance(n, ast.Dict) for key in n.keys]
    keys += [n.slice for n in nodes if isinstance(n, ast.Subscript) and _is_stored(n)]
    both = {ast.literal_eval(key) for key in keys if key.lineno < split}
    birth = {"online", *map(ast.literal_eval, keys)} - both
    return [
        "In the shadow (beside the settings and `rejected`), and in the birth message:",
        _words(both) + ".",
        "",
        f"In the birth message only: {_words(birth)}.",
    ]


def _log() -> list[str]:
    lines = [f"`[uptime] module: text`; {ANY} is a value, or one of the words above.", ""]
    rows: dict[str, list[str]] = {}
    for text, file in sorted(log_lines()):
        rows.setdefault(text, []).append(file)
    table = _table("line", "from", [(t, ", ".join(f)) for t, f in rows.items()])
    return lines + [re.sub("^. `(.*`.*)` (.*)", r"| `` \1 `` \2", line) for line in table]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "firmware").rglob("*.py")):
        yield path.relative_to(ROOT / "firmware").as_posix(), _tree(path)


@cache
def _functions() -> list[tuple[str, ast.FunctionDef]]:
    found = ((file, node) for file, tree in _sources() for node in ast.walk(tree))
    return [(file, node) for file, node in found if isinstance(node, ast.FunctionDef)]


def _calls(name: str) -> Iterator[tuple[str, ast.FunctionDef, ast.Call]]:
    """(file, the function around it, the call) of every call of ``name`` with arguments."""
    for file, function in _functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _name(node.func) == name and node.args:
                yield file, function, node


def log_lines() -> set[tuple[str, str]]:
    """(line, file of the firmware) of all that is logged; ``ANY`` stands for what varies."""
    return {
        (text, file)
        for file, function, call in _calls("log")
        for text in _texts(call.args[0], function)
        if re.match(r"\w+: ", text)
    }


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def _texts(node: ast.AST, function: ast.FunctionDef) -> set[str]:
    """Every text that an expression can give, as far as the function shows."""
    match node:
        case ast.Constant(value=str(text)):
            return {_HOLE.sub(ANY, text)}
        case ast.Call(func=ast.Attribute(value=template, attr="format"), args=arguments):
            found = _texts(template, function)
            for argument in arguments:  # each takes the first hole left; \0: one without words
                words = {word.replace(ANY, "\0") for word in _texts(argument, function)}
                found = {text.replace(ANY, word, 1) for text in found for word in words}
            return {text.replace("\0", ANY) for text in found}
        case ast.Subscript(value=ast.Tuple(elts=choices)):
            return {text for choice in choices for text in _texts(choice, function)}
        case ast.BinOp(left=first, right=second):
            pairs = itertools.product(_texts(first, function), _texts(second, function))
            return {ANY if a == b == ANY else a + b for a, b in pairs}
        case ast.IfExp(body=body, orelse=orelse):
            return _texts(body, function) | _texts(orelse, function)
        case ast.Name(id=name):
            return _values(name, function)
    return {ANY}


def _values(name: str, function: ast.FunctionDef) -> set[str]:
    """Every text that a name can stand for there."""
    nodes = list(ast.walk(function))
    given = [n for n in nodes if isinstance(n, ast.Assign) and name in map(_name, n.targets)]
    values = [n.value for n in given] + _arguments(name, function)
    found = {t for v in values if not _holds(v, name) for t in _texts(v, function)}
    # `a, text = …` may be anything.
    loose = any(isinstance(n, ast.Tuple) and _is_stored(n) and _holds(n, name) for n in nodes)
    return found | {ANY} if loose or not found else found


def _arguments(name: str, function: ast.FunctionDef) -> list[ast.expr]:
    """The default of a parameter, and what the firmware calls the function with."""
    names = [a.arg for a in function.args.args]
    if name not in names or names[0] == "self":  # which object a method is called on is not known
        return []
    at = names.index(name)
    given = function.args.defaults[max(0, at - len(names) + len(function.args.defaults)) :][:1]
    alone = sum(f.name == function.name for _, f in _functions()) == 1
    for _, tree in _sources():
        if alone or function in tree.body:
            given += [
                argument
                for call in ast.walk(tree)
                if isinstance(call, ast.Call) and _name(call.func) == function.name
                for argument in call.args[at : at + 1]
            ]
    return given


def wifi_words() -> set[str]:
    """What `net/wifi.py` calls the states of the radio."""
    tree = _tree(ROOT / "firmware" / "net" / "wifi.py")
    tables = [n for n in tree.body if isinstance(n, (ast.Assign, ast.Expr))]
    words = [n for n in tables if "_WORDS" in ast.dump(n)]
    return _constants(n for table in words for n in ast.walk(table))


def sensor_errors() -> set[str]:
    """What a SensorError says; ``ANY`` stands for what varies."""
    calls = _calls("SensorError")
    return {text for _, function, call in calls for text in _texts(call.args[0], function)}


def reasons() -> set[str]:
    """The words a failed session begins with: of a LinkError, and of `net/failure.py`."""
    firsts = [call.args[0] for _, _, call in _calls("LinkError")]
    for node in ast.walk(_tree(ROOT / "firmware" / "net" / "failure.py")):
        if isinstance(node, ast.Return):
            firsts += [t.elts[0] for t in ast.walk(node) if isinstance(t, ast.Tuple)]
    choices = ((n.body, n.orelse) if isinstance(n, ast.IfExp) else (n,) for n in firsts)
    return _constants(itertools.chain.from_iterable(choices))


def _is_stored(node: ast.Tuple | ast.Subscript) -> bool:
    return isinstance(node.ctx, ast.Store)


def _holds(node: ast.AST, name: str) -> bool:
    return any(_name(part) == name for part in ast.walk(node))


@cache
def strings() -> set[str]:
    """Every text in the firmware, cut where a value goes in."""
    nodes = (n for _, tree in _sources() for n in ast.walk(tree))
    return {part for text in _constants(nodes) for part in _HOLE.split(text)}


def _constants(nodes: Iterable[ast.AST]) -> set[str]:
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}
