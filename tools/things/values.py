"""Checks of single values of a config.json: each takes any JSON value.

The answer is None, or what is wrong: a sentence that completes "<key>: ..." and never shows the
value, because some are secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from firmware.core import optional, schema, topics
from firmware.core.commands import utf8_len

Rule = Callable[[Any], str | None]

# What the cloud may change, with its default.
SETTINGS: Mapping[str, Any] = {**schema.DEFAULTS, **optional.DEFAULTS}

BASIC_INGEST = "$aws/rules/"  # the one $ prefix a device may publish to by choice
_TOPIC_BYTES = 256  # AWS quotas: UTF-8 bytes, and 7 slashes (aws-facts 1.5)
_TOPIC_SLASHES = 7
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")  # AWS IoT's alphabet; also the MQTT client id
_LABEL = re.compile(r"(?!-)[a-zA-Z0-9_-]{1,63}(?<!-)")
_RULE = re.compile(r"[a-zA-Z0-9_-]+")
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
# Wildcards of MQTT, and of the IoT policies that are made from the topics.
_WILD = re.compile("[+#*?]")
_VARIABLE = "must not contain ${: in a policy a variable begins so"


def number(low: int, high: int) -> Rule:
    """A rule for whole numbers between two bounds, both included."""

    def check(value: Any) -> str | None:
        if type(value) is int and low <= value <= high:
            return None
        return f"must be a whole number from {low} to {high}"

    return check


def thing_name(value: Any) -> str | None:
    """The name of a thing in AWS IoT."""
    if isinstance(value, str) and _THING.fullmatch(value):
        return None
    return "must be 1 to 128 characters: letters, digits and : _ -"


def host(value: Any) -> str | None:
    """A host name, or an address of IPv4: the boards ask for nothing else (net/connect.py)."""
    if not isinstance(value, str) or not 1 <= len(value) <= 253:
        return "must be text of 1 to 253 characters"
    if _is_address(value.removeprefix("[").removesuffix("]"), ipaddress.IPv6Address):
        return "is an IPv6 address; boards connect by IPv4 only: a host name, or an IPv4 address"
    if re.fullmatch("[0-9.]+", value):
        good = _is_address(value, ipaddress.IPv4Address)
    else:
        good = all(_LABEL.fullmatch(label) for label in value.split("."))
    return None if good else "must be a host name or an address, nothing before or after it"


def _is_address(value: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def ssid(value: Any) -> str | None:
    """The name of a Wi-Fi network."""
    if isinstance(value, str) and 1 <= (utf8_len(value) or 0) <= 32:
        return None
    return "must be text of 1 to 32 bytes"


def password(value: Any) -> str | None:
    """WPA: a passphrase of 8 to 63 bytes or the 256-bit key itself in hex. Empty: open network."""
    size = utf8_len(value) if isinstance(value, str) else None
    if size == 0 or (size is not None and 8 <= size <= 63):
        return None
    if size == 64 and _HEX_KEY.fullmatch(value):
        return None
    return "must be 8 to 63 characters, or 64 hex digits, or empty for an open network"


def power(value: Any) -> str | None:
    """Where the current comes from."""
    return None if value in ("mains", "battery") else 'must be "mains" or "battery"'


def updates(value: Any, power: Any = "mains", chip: str = "") -> str | None:
    """Whether the board takes updates by AWS IoT Jobs; ``chip``: esptool's name, "": not known."""
    if type(value) is not bool:
        return "must be true or false"
    if value and power == "battery":
        return 'must be false where power is "battery": a board that sleeps refuses updates'
    if value and chip.lower() == "esp8266":
        return "must be false on an ESP8266: its code lies in ROMFS, where there is no second slot"
    return None


def ratio(value: Any) -> str | None:
    """The battery's voltage for one volt at the pin: (R1 + R2) / R2 of the divider."""
    if type(value) in (int, float) and 1 <= value <= 100:
        return None
    return "must be a number from 1 to 100: the battery's voltage for 1 V at the pin"


# Inputs of ADC1, which work while Wi-Fi does. ESP-IDF Programming Guide, "ADC" and "GPIO & RTC
# GPIO" of each chip; ESP8266EX datasheet 2: one input, TOUT, which MicroPython calls 0.
_ADC1 = {
    "esp8266": range(1),
    "esp32": range(32, 40),
    "esp32s2": range(1, 11),
    "esp32s3": range(1, 11),
    "esp32c3": range(5),
    "esp32c6": range(7),
}


def battery_pin(battery: Mapping[str, Any] | None, chip: str) -> str | None:
    """Whether `battery.pin` is an input that can be read while Wi-Fi is on.

    ``chip``: esptool's name; "": not known, nothing is refused.
    """
    pins = _ADC1.get(chip.lower().replace("-", ""))
    if battery is None or pins is None or battery["pin"] in pins:
        return None
    known = f"{pins[0]} to {pins[-1]}" if len(pins) > 1 else str(pins[0])
    return f"is no input of ADC1 on this chip: {known}"


def telemetry_topic(value: Any, thing: str) -> str | None:
    """Where readings go; `$aws/rules/<rule>` is a prefix of AWS, not a topic of its own."""
    if not isinstance(value, str) or not value:
        return "must be text"
    if "${" in value:
        return _VARIABLE
    wrong = _topic(topics.of(thing, value, "")[0], BASIC_INGEST)
    if wrong is None and value.startswith("$"):
        rule = value[len(BASIC_INGEST) :].split("/")[0]
        if not _RULE.fullmatch(rule):
            return f"must name a rule after {BASIC_INGEST}"
    return wrong


def command_topic(value: Any, thing: str) -> str | None:
    """Where commands come from; the topic of their results is made from it, and is longer."""
    if not isinstance(value, str) or not value:
        return "must be text"
    if "${" in value:
        return _VARIABLE
    return _topic(topics.of(thing, "", value)[2])


def _topic(topic: str, prefix: str = "") -> str | None:
    if "{" in topic or "}" in topic:
        return "may contain {thing} but no other braces"
    if _WILD.search(topic) or not topic.isprintable():
        return "must not contain wildcards (+ # * ?) or control characters"
    if topic.startswith("$") and not (prefix and topic.startswith(prefix)):
        return "must not start with $" + (f", except {prefix}" if prefix else "")
    # AWS counts neither limit against the three levels of a Basic Ingest prefix (aws-facts 1.5).
    if topic.startswith(BASIC_INGEST):
        topic = "/".join(topic.split("/")[3:])
    if topic.count("/") > _TOPIC_SLASHES:
        return f"has too many levels: at most {_TOPIC_SLASHES} slashes"
    size = utf8_len(topic)
    if size is None or size > _TOPIC_BYTES:
        return f"is too long: at most {_TOPIC_BYTES} bytes of UTF-8"
    return None
