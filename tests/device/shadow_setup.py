# A board's shadow beside a service, and the loop that plays the caller between them.

import json

from firmware.core.shadow import Shadow
from shadow_service import ShadowService, merged

SETTINGS = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}, "drain_per_s": 20}
BAD = "must be a whole number above 0"


def shadow_of(settings=SETTINGS, local=None, token="boot1"):
    # With a table of its own, so that the tests fit the heap of the smallest board beside it.
    made = []

    def check(key, value):
        if key == "i2c" and isinstance(value, dict):
            value = merged(made[0].reported.true[key], value)
            return value, _pins_wrong(value)
        if key == "sensor":
            return value, None if isinstance(value, str) else "must be text"
        if key not in settings:
            return value, "unknown setting"
        return value, BAD if isinstance(value, bool) or not _above_0(value) else None

    made.append(Shadow(check, settings, token, local))
    return made[0]


def _above_0(value):
    return isinstance(value, int) and value > 0


def _pins_wrong(pins):
    return None if _above_0(pins.get("sda")) and _above_0(pins.get("scl")) else "sda: no pin"


def in_step():
    # A device and its cloud after the first birth.
    shadow, service = shadow_of(), ShadowService()
    shadow.connected()
    settle(shadow, service)
    del service.updates[:]
    service.asked = 0
    return shadow, service


def message(**fields):
    return json.dumps(fields).encode()


def settle(shadow, service, refuse=None, limit=40):
    # Plays the caller's part until nobody has anything to say; the number of rounds it took.
    # refuse(key): why a good wish cannot be met.
    for turn in range(limit):
        quiet = not service.out
        while service.out:
            topic, payload = service.out.pop(0)
            getattr(shadow, topic)(payload)
        quiet = _act(shadow, service, refuse) and quiet
        if quiet:
            return turn
    raise AssertionError("does not settle")


def _act(shadow, service, refuse):
    quiet = True
    wish = shadow.next_wish()
    while wish:
        quiet = False
        why = refuse and refuse(wish[0])
        if why:
            shadow.refuse(wish[0], wish[1], why)
        else:
            shadow.applied(wish[0], wish[1])
        wish = shadow.next_wish()
    shadow.later = False
    if shadow.wants_get:
        service.get(shadow.get())
        return False
    document = shadow.update()
    if document is None:
        return quiet
    service.update(document)
    return False
