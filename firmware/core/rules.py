# Checks of single values. Each takes any JSON value and gives None, or what is wrong with it:
# a sentence that completes "<key>: ..." and never shows the value, because some are secret.

from firmware.core.topics import RESULT_SUFFIX, fill
from firmware.core.words import made_of, raw, utf8_len

BASIC_INGEST = "$aws/rules/"  # the one $ prefix a device may publish to by choice

_TOPIC_BYTES = 256  # AWS quotas: UTF-8 bytes, and 7 slashes (aws-facts 1.5)
_TOPIC_SLASHES = 7
_DIGITS = b"0123456789"
_HEX = _DIGITS + b"abcdefABCDEF"
_NAME = _DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"


def thing_name(value):
    # The alphabet of AWS IoT thing names. It is also the MQTT client id.
    if (
        not isinstance(value, str)
        or not 1 <= len(value) <= 128
        or not made_of(value, _NAME + b":")
    ):
        return "must be 1 to 128 characters: letters, digits and : _ -"
    return None


def host(value):
    if not isinstance(value, str) or not 1 <= len(value) <= 253:
        return "must be text of 1 to 253 characters"
    if value.count(":") > 1:
        good = made_of(value, _HEX + b":.")
    elif made_of(value, _DIGITS + b"."):
        good = _ipv4(value.split("."))
    else:
        good = _labels(value.split("."))
    return None if good else "must be a host name or an address, nothing before or after it"


def _labels(labels):
    for label in labels:
        if not 1 <= len(label) <= 63 or label.startswith("-") or label.endswith("-"):
            return False
        if not made_of(label, _NAME):
            return False
    return True


def _ipv4(parts):
    for part in parts:
        if not 1 <= len(part) <= 3 or int(part) > 255:
            return False
    return len(parts) == 4


def ssid(value):
    if not isinstance(value, str) or not 1 <= (utf8_len(value) or 0) <= 32:
        return "must be text of 1 to 32 bytes"
    return None


def password(value):
    # WPA: a passphrase of 8 to 63 bytes or the 256-bit key itself in hex. Empty: open network.
    size = utf8_len(value) if isinstance(value, str) else None
    if size == 0 or (size is not None and 8 <= size <= 63):
        return None
    if size == 64 and made_of(value, _HEX):
        return None
    return "must be 8 to 63 characters, or 64 hex digits, or empty for an open network"


def telemetry_topic(value, thing):
    wrong = _topic(value, thing, BASIC_INGEST)
    if wrong is None and value.startswith("$"):
        # $aws/rules/<rule>: the prefix is not a topic of its own.
        rule = value[len(BASIC_INGEST) :].split("/")[0]
        if not rule or not made_of(rule, _NAME):
            return "must name a rule after {}".format(BASIC_INGEST)
    return wrong


def command_topic(value, thing):
    # Checked with the suffix of the results, the longer of the two topics made from it.
    if not isinstance(value, str) or not value:
        return _topic(value, thing)
    return _topic(value + RESULT_SUFFIX, thing)


def _topic(value, thing, prefix=None):
    if not isinstance(value, str) or not value:
        return "must be text"
    if len(value) > 4 * _TOPIC_BYTES:
        return "is too long"
    topic = fill(value, thing)
    if "{" in topic or "}" in topic:
        return "may contain {thing} but no other braces"
    for byte in raw(topic):
        if byte in b"+#" or byte < 32 or byte == 127:
            return "must not contain wildcards or control characters"
    if topic.startswith("$") and not (prefix and topic.startswith(prefix)):
        return "must not start with $" + (", except {}".format(prefix) if prefix else "")
    return _topic_size(topic)


def _topic_size(topic):
    # AWS counts neither limit against the three levels of a Basic Ingest prefix (aws-facts 1.5).
    if topic.startswith(BASIC_INGEST):
        topic = "/".join(topic.split("/")[3:])
    if topic.count("/") > _TOPIC_SLASHES:
        return "has too many levels: at most {} slashes".format(_TOPIC_SLASHES)
    size = utf8_len(topic)
    if size is None or size > _TOPIC_BYTES:
        return "is too long: at most {} bytes of UTF-8".format(_TOPIC_BYTES)
    return None
