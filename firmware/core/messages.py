# What the shadow service sends, taken apart: every field of the right type or None.

from firmware.core import documents

_DEPTH = 12  # AWS lets 8 levels into the state, and wraps them in 4


class Message:
    def __init__(self, document):
        self.state = section(document, "state")
        version = document.get("version")
        whole = isinstance(version, int) and not isinstance(version, bool)
        self.version = version if whole and version >= 0 else None
        self.token = document.get("clientToken")  # None: not told, which counts as ours
        self.code = document.get("code")


def parse(payload, max_bytes):
    document = documents.load(payload, max_bytes, _DEPTH)
    return None if document is None else Message(document)


def section(document, key):
    # An object; {} where there is none; None for anything else.
    if document is None:
        return None
    value = document.get(key)
    if value is None:
        return {}
    return value if isinstance(value, dict) else None
