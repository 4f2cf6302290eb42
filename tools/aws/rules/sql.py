"""The SQL of a rule: what is handed on, of which messages; checked before AWS gets it.

AWS has no call that only checks, and a name that is not in the message is no error there, just
nothing. Names and functions are looked up here, the grammar is SQLite's, which is the same for
these operators (aws-facts.md 8.1). Array and object literals, IN and EXISTS are not taken.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator

from firmware.core.quantities import rows
from tools.errors import ToolError
from tools.things.guess import did_you_mean

VERSION = "2016-03-23"
TOPIC = "devices/+/data"
# Who sent it: the policy lets a certificate connect under the name of its thing only, whatever
# topics are configured, and a payload may claim what it likes ("n/a" when it came by HTTP).
SENDER = "clientid()"
# Sorts by time, then seq, as text: ten digits each (timestamps until 2286; seq has 32 bits). `+`
# adds numbers, and joins as soon as one side is text (AWS IoT SQL, Operators); lpad() would add so
# many spaces instead of filling up to a width (Functions). Without a timestamp or seq there is no
# key, so that the error action hears of it.
READING = "timestamp + '-' + (1000000000 + seq)"
FIELDS = ("device_id", "timestamp", "seq", *(row[0] for row in rows()), "sensors", "time")
_KNOWN = ", ".join(FIELDS)
# By name, not by *: what a payload calls device_id or reading must not come near a key.
SELECT = ", ".join(
    (f"{SENDER} AS device_id", *FIELDS[1:], f"{READING} AS reading", "timestamp() AS received_ms")
)
_KEYWORDS = ("AND", "OR", "NOT", "AS", "CASE", "WHEN", "THEN", "ELSE", "END", "TRUE", "FALSE")
# No get_dynamodb(), aws_lambda() and the like: these need rights that the role does not have.
_FUNCTIONS = (
    *("abs", "accountid", "cast", "ceil", "clientid", "concat", "decode", "encode", "endswith"),
    *("floor", "get", "indexof", "isnull", "isundefined", "length", "lower", "md5", "mod"),
    *("nanvl", "newuuid", "parse_time", "power", "principal", "regexp_matches", "regexp_replace"),
    *("regexp_substr", "replace", "round", "sha1", "sha256", "sqrt", "startswith", "substring"),
    *("time_to_epoch", "timestamp", "topic", "traceid", "trim", "trunc", "upper"),
)
_TRUE_OR_FALSE = re.compile(
    r"<|>|=|\b(?:startswith|endswith|regexp_matches|isnull|isundefined)\s*\(", re.IGNORECASE
)
_WORD = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<alias>\bAS\s+)?(?P<name>\b[A-Za-z_][\w.]*)(?P<call>\s*\()?"
    r"|(?P<not_aws>--|==|[^\w\s(),.+\-*/%=<>])",
    re.ASCII | re.IGNORECASE,
)


def statement(select: str, topic: str, *conditions: str) -> str:
    """The whole of it; ``conditions`` have to hold together, an empty one does not count."""
    where = [c.strip() for c in conditions if c.strip()]
    joined = where[0] if len(where) == 1 else " AND ".join(f"({c})" for c in where)
    return f"SELECT {select.strip()} FROM '{topic}'" + (f" WHERE {joined}" if where else "")


def columns(select: str, topic: str) -> list[str]:
    """The names that SELECT gives; ToolError for what AWS would refuse or leave out in silence."""
    return _parsed("SELECT {0} FROM ({1})", select, topic, "--select")


def check_condition(condition: str, topic: str, option: str) -> None:
    """ToolError if ``condition`` is no condition; an empty one is none."""
    if not condition.strip():
        return
    parts = re.split(r"\b(?:and|or)\b", re.sub(r"'[^']*'", "''", condition), flags=re.IGNORECASE)
    if not all(_TRUE_OR_FALSE.search(part) for part in parts):
        raise ToolError(
            f"{option} {condition!r} is not understood: each part has to compare something",
            f"for example 'temperature > 30'; fields: {_KNOWN}; AND, OR, NOT",
        )
    _parsed("SELECT 1 FROM ({1}) WHERE {0}", condition, topic, option)


def _parsed(frame: str, text: str, topic: str, option: str) -> list[str]:
    """The columns of ``text``, put into ``frame`` with its names in quotation marks."""
    fields = dict.fromkeys(FIELDS if topic == TOPIC else ())  # what else is published is not known
    seen = dict(fields)

    def quoted(found: re.Match[str]) -> str:
        name = found["name"] or ""
        if found["text"] or name.upper() in _KEYWORDS:
            return "''" if found["text"] else found[0]
        if found["call"]:
            if name.lower() not in _FUNCTIONS:
                guess = did_you_mean(name.lower(), _FUNCTIONS)
                raise ToolError(f"{option}: there is no {name}() for a rule{guess}")
            return "cast(" if name.lower() == "cast" else "char("  # takes any number of values
        if not name:
            raise ToolError(f"{option} {text!r} is not understood at {found[0]!r}")
        if fields and name not in fields and not found["alias"]:
            guess = did_you_mean(name, fields)
            raise ToolError(f"{option}: no reading has {name}{guess}", f"fields: {_KNOWN}")
        if not found["alias"]:
            seen[name] = None
        return f'{found["alias"] or ""}"{name}"'

    made = _WORD.sub(quoted, text)
    if re.search(r"""["')\d]\s+["'\d]""", made):  # SQLite would take the second for a name
        raise ToolError(f"{option} {text!r} is not understood: AS or an operator is missing")
    message = ", ".join(f'1 AS "{name}"' for name in seen)
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as db:
            done = db.execute(frame.format(made, f"SELECT {message or 1}"))
            return [str(column[0]) for column in done.description]
    except sqlite3.Error as e:
        why = str(e).replace('"', "'")
        raise ToolError(f"{option} {text!r} is not understood: {why}") from e


def notes(select: str, topic: str) -> Iterator[str]:
    """What a person should know about a SELECT of their own."""
    if select == SELECT:
        return
    names = columns(select, topic)
    if "device_id" not in names:
        yield "--select gives no device_id: nobody can tell whose reading it is"
    elif not re.search(r"(?:clientid\(\)|topic\(\d\)) as device_id\b", select, re.IGNORECASE):
        yield (
            "device_id is what the payload says, so one thing can write as another; "
            f"{SENDER} AS device_id is the sender"
        )
    if "*" in re.sub(r"'[^']*'", "", select).split(",")[0]:
        yield "* hands on whatever a payload holds, also a device_id or reading of its own"
    if "reading" in names and f"{READING} AS reading".lower() not in select.lower():
        yield f"reading is not {READING}: two readings may take each other's place in a table"
