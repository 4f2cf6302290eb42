"""Checks of the board from afar: why its last session ended, and its health."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tools import options, wire
from tools.aws.errors import explained
from tools.aws.health import Health, assess, span
from tools.aws.health_table import sleep_text
from tools.doctor.context import Context, Fault, Unknown
from tools.errors import ToolError
from tools.things.values import SETTINGS

_LOGS = "make logs PORT=..."
_POWER = f"power and Wi-Fi of the board; {_LOGS}"
_WEAK_DBM = -80  # packets get lost from here on
_OUTBOX_MOST = 851_968  # what every board has room for (docs/outbox.md)
_OLD_S = 365 * 86_400.0  # Device Defender's DEVICE_CERTIFICATE_AGE_CHECK, by default


def last_disconnect(c: Context) -> str:
    """Why the last session ended: AWS remembers it for half an hour."""
    # GetConnection knows what the lifecycle events have told (aws-facts.md 7).
    try:
        with explained():
            found = c.clients.data.get_connection(clientId=c.thing)
    except ToolError as e:  # not allowed; MiniStack has no such call
        raise Unknown(_own_account(c)) from e
    if found.get("connected"):
        return "connected now"
    why = found.get("disconnectReason")
    since = f" {_age(found.get('disconnectedSince', 0) // 1000)}"
    if why == "CLIENT_INITIATED_DISCONNECT":
        return f"not connected; it took its leave{since}"
    if not why:
        raise Unknown(_own_account(c))
    mend = {
        "DUPLICATE_CLIENTID": f"two boards are called {c.thing}: give each its own thing",
        "AUTH_ERROR": c.provision("--update-policy"),
        "FORBIDDEN_ACCESS": c.provision("--update-policy"),
        "MQTT_KEEP_ALIVE_TIMEOUT": _POWER,
        "CONNECTION_LOST": _POWER,
    }
    raise Fault(f"not connected; the last session ended{since} by {why}", mend.get(why, _LOGS))


def _age(unix_s: float) -> str:
    known = wire.number(unix_s, 1, wire.LAST_TIME)
    return f"{span(time.time() - unix_s)} ago" if known else ""


def _own_account(c: Context) -> str:
    """What the device itself has put down about its connection."""
    status = c.evidence.status or {}
    when = _age(c.evidence.status_at or 0)
    if asleep := sleep_text(assess(c.evidence, time.time())):
        return f"AWS does not say; {asleep}, as it said {when}"
    if status.get("online") is False:  # the last will has taken the place of the birth message
        return f"AWS does not say; its last will came {when}"
    why = status.get("link_last_reason")
    if not why:
        return "AWS does not say"
    drops = status.get("link_drops", 0)
    return f"AWS does not say; as reported {when}: {drops} drops, the last by {why}"


def report(c: Context) -> str:
    h = c.health
    c.heard = h.seen_at is not None
    unknown = "; ".join(f"{source}: {why}" for source, why in h.unknown.items())
    if h.seen_at is None:
        raise Unknown(unknown or "it has reported nothing yet")
    text = f"heard {_age(h.seen_at)}, firmware {h.version or '?'}"
    if unknown:
        raise Unknown(f"{text}; {unknown}")
    return text


@dataclass(frozen=True)
class Aspect:
    """A check of what health.py has found.

    ``good`` says what there is to be said where none of the problems ``keys`` is there, None where
    nothing is known; ``mend`` gets the first problem's text.
    """

    keys: tuple[str, ...]
    good: Callable[[Health], str | None]
    mend: Callable[[Context, str], str]

    def __call__(self, c: Context) -> str:
        wrong = [problem.text for problem in c.health.problems if problem.key in self.keys]
        if wrong:
            raise Fault("; ".join(wrong), self.mend(c, wrong[0]))
        text = self.good(c.health)
        if not text:
            raise Unknown("not known")
        return text


def _connected(h: Health) -> str | None:
    return sleep_text(h) or (h.state if h.state in ("online", "late") else None)


def _readings(h: Health) -> str | None:
    if h.last_reading_age_s is None:
        return None
    every = f", every {span(h.interval_s)}" if h.interval_s else ""
    waiting = "" if h.waiting is None else f"; {h.waiting} wait on the board"
    return f"the last {span(h.last_reading_age_s)} ago{every}{waiting}"


def _sensor(h: Health) -> str | None:
    past = f"; {h.sensor_errors} errors, the last: {h.sensor_last_error}"
    return h.sensor and h.sensor + (past if h.sensor_errors else "")


def _mend_sensor(c: Context, text: str) -> str:
    on_bus = text.partition("on the bus: ")[2]
    if "no driver" in text:
        return f"{c.setting('sensor=…')}; then {options.deploy(c.thing)}"
    # One chip was asked for, and another answers.
    if on_bus not in ("", "nothing") and "no known sensor" not in text:
        return c.ask("shadow set", "sensor=auto")
    return f"power, SDA, SCL, pull-ups (docs/wiring.md); then {c.ask('command', 'read_now')}"


def _mend_outbox(c: Context, text: str) -> str:
    now = int(c.config.get("outbox_bytes", 98304))
    more = min(4 * now, _OUTBOX_MOST) if now < _OUTBOX_MOST else "…"
    return f"room for longer outages (the count stays): {c.setting(f'outbox_bytes={more}')}"


def _mend_rival(c: Context, text: str) -> str:
    other = c.ask("provision", thing=f"{c.thing}-2")
    return f"give it a thing of its own: {other}; then make flash THING={c.thing}-2 PORT=..."


def _mend_settings(c: Context, text: str) -> str:
    if "config.json: power: " in text:
        return options.deploy(c.thing)
    keys = [key for key in SETTINGS if key in text.partition("rejected: ")[2].split(", ")]
    if keys:
        return c.ask("shadow set", *(f"{key}=null" for key in keys))
    return c.setting("KEY=VALUE")


def wifi(c: Context) -> str:
    dbm = c.health.rssi_dbm
    if dbm is None:
        raise Unknown("not known")
    if dbm < _WEAK_DBM:
        mend = f"nearer to the access point, or another one: {c.setting('wifi.0.ssid=…')}"
        raise Fault(f"weak, {dbm} dBm: packets get lost below {_WEAK_DBM}", mend)
    return f"{dbm} dBm"


def certificate_age(c: Context) -> str:
    """The certificate is younger than a year, as Device Defender wants it."""
    age_s = c.health.certificate_age_s
    if age_s is None:
        raise Unknown("AWS does not say")
    if age_s >= _OLD_S:
        raise Fault(f"{span(age_s)} old, a year is the limit", c.tool("rotate"))
    return f"{span(age_s)} old"


# What can be known of a board that has reported; run.py makes checks of it.
HEALTH: dict[str, Callable[[Context], str]] = {
    "connection": Aspect(
        ("offline", "overdue"), _connected, lambda c, _: "make sim" if c.is_local else _POWER
    ),
    "readings": Aspect(("late", "lost"), _readings, lambda c, _: c.ask("command", "read_now")),
    "sensor": Aspect(("sensor",), _sensor, _mend_sensor),
    "outbox": Aspect(
        ("dropped",), lambda h: "nothing dropped" if h.dropped is not None else None, _mend_outbox
    ),
    "board's clock": Aspect(
        ("clock",),
        lambda h: h.clock,
        lambda c, _: f"open UDP port 123, or: {c.setting('ntp=…')}",
    ),
    "one board": Aspect(
        ("other_board",), lambda h: h.version and "no other one uses this thing", _mend_rival
    ),
    "restarts": Aspect(
        ("safe_mode", "restart"),
        lambda h: h.reset_cause and f"starts: {h.boots or '?'}, the last by {h.reset_cause}",
        lambda c, _: f"{c.ask('command', 'get_log')}; docs/troubleshooting.md, Boot and sensor",
    ),
    "settings": Aspect(
        ("config", "rejected"), lambda h: h.version and "all of them in force", _mend_settings
    ),
    "Wi-Fi": wifi,
    "certificate's age": certificate_age,
}
