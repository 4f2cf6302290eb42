"""Checks of the device's past: why its last session ended, and what it said of itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tools.aws import shadow, things
from tools.aws.errors import explained
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
    then = dt.datetime.fromtimestamp(unix_s, dt.timezone.utc) if unix_s else None
    return f"{things.age(then, dt.datetime.now(dt.timezone.utc))} ago" if then else ""


def _own_account(p: Patient) -> str:
    """What the device itself has put down about its connection."""
    told, when = _reported(p, quietly=True)
    why = told.get("link_last_reason")
    if not why:
        return "AWS does not say"
    drops = told.get("link_drops", 0)
    return f"AWS does not say; as reported {when}: {drops} drops, the last by {why}"


def _reported(p: Patient, quietly: bool = False) -> tuple[dict[str, Any], str]:
    """The shadow's `reported`, empty without one, and how long ago it was said."""
    try:
        document = shadow.get(p.clients.data, p.thing) or {}
    except ToolError as e:
        if quietly:
            return {}, ""
        raise Unknown(e.message) from e
    told = document.get("state", {}).get("reported", {})
    return told, _age(shadow.newest(document.get("metadata", {}).get("reported")))


def report(p: Patient) -> str:
    """The device's last words about itself: safe mode, settings it could not use."""
    told, when = _reported(p)
    if not told:
        raise Unknown("it has reported nothing yet")
    if told.get("safe_mode"):
        raise Fault(
            f"in safe mode, as reported {when}: {told.get('last_crash') or 'no crash is known'}",
            f"make crashlog PORT=...; mend it, then make deploy THING={p.thing} PORT=...",
        )
    problems = told.get("config_problems")
    if problems:
        raise Fault(f"as reported {when}: {'; '.join(map(str, problems))}", p.setting("KEY=VALUE"))
    rssi = told.get("rssi_dbm")
    signal = f", Wi-Fi {rssi} dBm" if rssi is not None else ""
    return f"heard {when}, firmware {told.get('firmware', '?')}{signal}"
