"""Checks of the device's past: why its last session ended, and what it reports of itself.

What changes is in the shadow, the rest in the birth message: retained on devices/THING/status
until the last will takes its place.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from botocore.exceptions import ClientError

from firmware.core import topics
from tools import wire
from tools.aws import shadow, things
from tools.aws.errors import explained, is_missing
from tools.aws.patient import Fault, Patient, Unknown
from tools.errors import ToolError

_LOGS = "make logs PORT=..."


def last_disconnect(p: Patient) -> str:
    """Why the last session ended: AWS remembers it for half an hour."""
    # GetConnection knows what the lifecycle events have told (aws-facts.md 7).
    try:
        with explained():
            found = p.clients.data.get_connection(clientId=p.thing)
    except (ToolError, AttributeError) as e:  # not allowed, an old boto3, MiniStack
        raise Unknown(_own_account(p)) from e
    if found.get("connected"):
        return "connected now"
    why = found.get("disconnectReason")
    since = f" {_age(found.get('disconnectedSince', 0) // 1000)}"
    if why == "CLIENT_INITIATED_DISCONNECT":
        return f"not connected; it took its leave{since}"
    if not why:
        raise Unknown(_own_account(p))
    mend = {
        "DUPLICATE_CLIENTID": f"two boards are called {p.thing}: give each its own thing",
        "AUTH_ERROR": p.provision("--update-policy"),
        "FORBIDDEN_ACCESS": p.provision("--update-policy"),
        "MQTT_KEEP_ALIVE_TIMEOUT": f"power and Wi-Fi of the board; {_LOGS}",
        "CONNECTION_LOST": f"power and Wi-Fi of the board; {_LOGS}",
    }
    raise Fault(f"not connected; the last session ended{since} by {why}", mend.get(why, _LOGS))


def _age(unix_s: int) -> str:
    known = wire.number(unix_s, 1, wire.LAST_TIME)
    then = dt.datetime.fromtimestamp(unix_s, dt.timezone.utc) if known else None
    return f"{things.age(then, dt.datetime.now(dt.timezone.utc))} ago" if then else ""


def _own_account(p: Patient) -> str:
    """What the device itself has put down about its connection."""
    try:
        status, when = _status(p)
    except Unknown:
        return "AWS does not say"
    if status.get("online") is False:  # the last will has taken the place of the birth message
        return f"AWS does not say; its last will came {when}"
    why = status.get("link_last_reason")
    if not why:
        return "AWS does not say"
    drops = status.get("link_drops", 0)
    return f"AWS does not say; as reported {when}: {drops} drops, the last by {why}"


def _status(p: Patient) -> tuple[dict[str, Any], str]:
    """The retained status message, empty without one, and how long ago it was sent.

    Raises Unknown when it cannot be read.
    """
    topic = topics.of(p.thing, "", "")[3]
    try:
        with explained():
            try:
                found = p.clients.data.get_retained_message(topic=topic)
            except ClientError as e:
                if not is_missing(e):
                    raise
                return {}, ""
    except ToolError as e:
        raise Unknown(e.message) from e
    sent_s = int(found.get("lastModifiedTime", 0)) // 1000
    return wire.document(found["payload"]) or {}, _age(sent_s)


def _reported(p: Patient) -> tuple[dict[str, Any], str]:
    """The shadow's `reported`, empty without one, and how long ago it was reported."""
    try:
        document = shadow.get(p.clients.data, p.thing) or {}
    except ToolError as e:
        raise Unknown(e.message) from e
    reported = document.get("state", {}).get("reported")
    known = reported if isinstance(reported, dict) else {}
    return known, _age(shadow.newest(document.get("metadata", {}).get("reported")))


def report(p: Patient) -> str:
    """What the device reports: safe mode, settings it could not use."""
    reported, when = _reported(p)
    if not reported:
        raise Unknown("it has reported nothing yet")
    if reported.get("safe_mode"):
        crash = reported.get("last_crash") or "no crash is known"
        raise Fault(
            f"in safe mode, as reported {when}: {crash}",
            f"make crashlog PORT=...; mend it, then make deploy THING={p.thing} PORT=...",
        )
    rssi = reported.get("rssi_dbm")
    signal = f", Wi-Fi {rssi} dBm" if rssi is not None else ""
    text = f"heard {when}, firmware {reported.get('firmware', '?')}{signal}"
    try:
        status, born = _status(p)
    except Unknown as e:
        raise Unknown(f"{text}; its settings: {e}") from e
    problems = status.get("config_problems")
    if problems:
        listed = problems if isinstance(problems, list) else [problems]
        raise Fault(f"as reported {born}: {'; '.join(map(str, listed))}", p.setting("KEY=VALUE"))
    return text
