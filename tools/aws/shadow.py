"""A thing's shadow from the host: read it, set what is desired, wait for the device's answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from firmware.core import schema
from tools import wire
from tools.aws.errors import explained, found
from tools.errors import ToolError
from tools.things.guess import did_you_mean, guessed
from tools.things.values import SETTINGS

_POLL_S = 0.5
_OF_SENSOR = ("sensor", "i2c")  # taken back when a sensor is lost with them (docs/config.md)
_MAX_BYTES = 8192  # of the state in a shadow (AWS quota)


@dataclass(frozen=True)
class Answer:
    """What the device has said to each desired key.

    ``applied``: key -> the value in force; ``rejected``: key -> why; ``open``: no answer yet;
    ``on_trial``: reported, but the device has no working sensor with it, and may take it back.
    """

    applied: dict[str, Any]
    rejected: dict[str, str]
    on_trial: dict[str, str]
    open: tuple[str, ...]

    @property
    def final(self) -> bool:
        """True when the device has nothing more to say."""
        return not (self.open or self.on_trial)


@dataclass(frozen=True)
class Before:
    """How to know that a null was followed: a value that goes leaves no delta.

    ``desired``: what was, ``version``: of the shadow with the null, ``config``: the thing's
    config.json, as far as this machine knows it.
    """

    desired: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    def is_back(self, key: str, document: Mapping[str, Any], value: Any) -> bool:
        """True when ``value``, which is reported, is that of the device's config.json."""
        if key not in self.desired or not _contains(value, self.desired[key]):
            return True
        return document.get("version", 0) > self.version or _contains(
            value, self.config.get(key, SETTINGS.get(key))
        )


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """["interval_s=5", "sensor=sht3x", "i2c.sda=21"] as a document; values are JSON, or else text.

    ToolError for what is no assignment, and for a key given twice.
    """
    parsed: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise ToolError(f"{text!r} is not KEY=VALUE", "for example: interval_s=30")
        level = parsed
        for key in keys[:-1]:
            level = level.setdefault(key, {})
            if not isinstance(level, dict):
                raise ToolError(f"{key} is given as a value and as a group")
        if keys[-1] in level:
            raise ToolError(f"{path} is given twice")
        level[keys[-1]] = _value(value)
    return parsed


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def check(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> None:
    """ToolError with every value that the firmware would refuse; None (null) takes one back."""
    # What is reported may be anything: others write to the shadow too.
    sound = {k: schema.check(k, v, {}) for k, v in reported.items() if k in SETTINGS}
    current = {**SETTINGS, **{k: v for k, (v, wrong) in sound.items() if not wrong}}
    problems = []
    for key, value in desired.items():
        if value is None:
            continue
        _, problem = schema.check(key, value, current)
        if problem:
            problems.append(f"{key}: {guessed(key, problem)}")
    if len(json.dumps(dict(desired))) > _MAX_BYTES:
        problems.append("the shadow holds at most 8 KB")
    if problems:
        hint = "docs/config.md says what each may be"
        if any(problem.startswith("sensor:") for problem in problems):
            hint = """sensor=bme280@0x76, or sensor='[{"chip": "scd41"}, {"chip": "sht4x"}]'"""
        if not desired.keys() <= SETTINGS.keys():
            hint = "what can be set: " + ", ".join(SETTINGS)
        raise ToolError("\n  ".join(["the device would refuse this:", *problems]), hint)


def get(data: Any, thing: str, name: str = "") -> dict[str, Any] | None:
    """The shadow document (state, metadata, version), None when there is no shadow.

    ``data`` is a boto3 "iot-data" client, ``name`` that of a named shadow.
    """
    with explained():
        answer = found(data.get_thing_shadow, thingName=thing, **_named(name))
        if answer is None:
            return None
        document = wire.document(answer["payload"].read())
        if document is None:  # such as a number with more digits than Python reads
            raise ToolError(f"the shadow of {thing} cannot be read", f"shadow delete {thing}")
        return document


def desire(data: Any, thing: str, desired: Mapping[str, Any], name: str = "") -> int:
    """Write ``desired`` to `desired`; the shadow's version after it."""
    payload = json.dumps({"state": {"desired": desired}}).encode()
    with explained():
        answer = data.update_thing_shadow(thingName=thing, payload=payload, **_named(name))
        return int(json.loads(answer["payload"].read())["version"])


def delete(data: Any, thing: str, name: str = "") -> bool:
    """Delete the shadow; False when there was none."""
    with explained():
        return found(data.delete_thing_shadow, thingName=thing, **_named(name)) is not None


def _named(name: str) -> dict[str, str]:
    return {"shadowName": name} if name else {}


def answer(
    document: Mapping[str, Any] | None, desired: Mapping[str, Any], before: Before | None = None
) -> Answer:
    """What the device has said to ``desired`` in this shadow."""
    document = document or {}
    reported = _section(document.get("state"), "reported")
    rejected = _section(reported, "rejected")
    said = Answer({}, {}, {}, ())
    for key, value in desired.items():
        there = reported.get(key)
        if value is None:
            good = (before or Before()).is_back(key, document, there)
        else:
            good = _contains(there, value)
        if value is not None and key in rejected and _is_about(document, key):
            said.rejected[key] = str(rejected[key])
        elif good and key in _OF_SENSOR and not reported.get("sensor_found"):
            said.on_trial[key] = str(reported.get("sensor_last_error") or "it looks for one")
        elif good:
            said.applied[key] = there
    answered = {*said.applied, *said.rejected, *said.on_trial}
    return replace(said, open=tuple(key for key in desired if key not in answered))


def _section(document: Any, name: str) -> dict[str, Any]:
    section = document.get(name) if isinstance(document, dict) else None
    return section if isinstance(section, dict) else {}


def _contains(reported: Any, desired: Any) -> bool:
    if isinstance(desired, dict) and isinstance(reported, dict):
        return all(_contains(reported.get(k), v) for k, v in desired.items())
    return bool(reported == desired) and isinstance(reported, bool) == isinstance(desired, bool)


def _is_about(document: Mapping[str, Any], key: str) -> bool:
    """True unless the rejection is older than the value, as one of an earlier value would be."""
    metadata = document.get("metadata", {})
    rejected = metadata.get("reported", {}).get("rejected", {}).get(key, {})
    return newest(rejected) >= newest(metadata.get("desired", {}).get(key, {}))


def newest(metadata: Any) -> int:
    """The newest time stamp in a part of a shadow's metadata, Unix seconds; 0 without one."""
    if isinstance(metadata, dict):
        stamp = metadata.get("timestamp")
        if isinstance(stamp, (int, float)):
            return int(stamp)
        return max((newest(v) for v in metadata.values()), default=0)
    if isinstance(metadata, list):
        return max((newest(v) for v in metadata), default=0)
    return 0


def follow(
    read: Callable[[], Mapping[str, Any] | None],
    desired: Mapping[str, Any],
    timeout_s: float,
    pause: Callable[[float], object] = time.sleep,
    before: Before | None = None,
) -> Answer:
    """Read the shadow until the device has answered every value, at most ``timeout_s`` seconds."""
    end = time.monotonic() + timeout_s
    while True:
        said = answer(read(), desired, before)
        if said.final or time.monotonic() >= end:
            return said
        pause(_POLL_S)


def check_thing(iot: Any, thing: str) -> None:
    """ToolError when AWS has no such thing, with the nearest name it has."""
    with explained():
        if found(iot.describe_thing, thingName=thing) is None:
            known = [t["thingName"] for t in iot.list_things(maxResults=250)["things"]]
            guess = did_you_mean(thing, known) if known else ""
            hint = "python -m tools things"
            raise ToolError(f"there is no thing {thing} in this account{guess}", hint)
