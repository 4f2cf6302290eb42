# Damaged messages of the shadow service, thousands in a row to one board: each is taken or
# cleanly refused, nothing piles up, and the board is in step as soon as the service is sane.

import json

import harness
from fakes import Random
from firmware.core.shadow import Shadow
from mutate import LEFT_BYTES, mutate

_COUNT = 600  # 50,000 in `make soak`
_MESSAGES = (
    (
        "get_accepted",
        b'{"state":{"desired":{"interval_s":30,"i2c":{"sda":4},"welcome":"x"},"reported":'
        b'{"interval_s":60,"rejected":{"sensor":"why"}},"delta":{"interval_s":30}},"metadata":'
        b'{"desired":{"interval_s":{"timestamp":1}}},"version":7,"clientToken":"TOKEN"}',
    ),
    ("get_rejected", b'{"code":404,"message":"No shadow exists","clientToken":"TOKEN"}'),
    (
        "delta",
        b'{"version":8,"timestamp":1795248682,"state":{"interval_s":15,"sensor":"sht3x",'
        b'"i2c":{"scl":5},"zebra":{"a":[1,2]}},"metadata":{"interval_s":{"timestamp":1}}}',
    ),
    (
        "update_accepted",
        b'{"state":{"desired":{"interval_s":null},"reported":{"interval_s":15}},"version":9,'
        b'"timestamp":1795248682,"clientToken":"TOKEN"}',
    ),
    ("update_rejected", b'{"code":409,"message":"Version conflict","clientToken":"TOKEN"}'),
)


_SETTINGS = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}}


class Board:
    # Does what firmware/reporter.py does, and looks hard at everything it is told.
    def __init__(self, random):
        self._random = random
        self.shadow = Shadow(self._check, _SETTINGS, "boot")
        self._token = b"none"

    def hear(self, name, payload):
        getattr(self.shadow, name)(payload.replace(b"TOKEN", self._token))

    def act(self):
        shadow, chance = self.shadow, self._random(12)
        wish = shadow.next_wish()
        if wish:
            harness.equal(self._check(wish[0], wish[1]), (wish[1], None))
            if chance:
                shadow.applied(wish[0], wish[1])
            else:
                shadow.refuse(wish[0], wish[1], "the flash is full")
        if chance == 1:
            shadow.connected()
        elif chance == 2:
            shadow.changed("interval_s", 1 + self._random(99))
        elif chance == 3 and shadow.waiting():
            shadow.no_answer()
        elif chance == 4:
            shadow.report({"rssi": -self._random(99)})
        self.speak()
        assert len(shadow.wishes.bad) <= 9 and len(shadow.local) <= 1

    def speak(self):
        document = self.shadow.get() if self.shadow.wants_get else self.shadow.update()
        if document is None:
            return None
        assert len(document) < 2048, len(document)
        document = json.loads(document)
        self._token = document["clientToken"].encode()
        return document

    def _check(self, key, value):
        if key == "i2c" and isinstance(value, dict):
            pins = dict(self.shadow.reported.true["i2c"])
            pins.update(value)
            whole = len(pins) == 2 and isinstance(pins["sda"], int)
            return pins, None if whole and isinstance(pins["scl"], int) else "no pins"
        if key not in _SETTINGS:
            return value, "unknown"
        return value, None if isinstance(value, type(_SETTINGS[key])) else "wrong type"


def in_step(board):
    # A sane service again: the board asks, meets the wishes, tells the rest, and is quiet. The
    # heap then holds that much and no more.
    shadow = board.shadow
    shadow.local.clear()
    shadow.connected()
    shadow.report({"rssi": 0})
    board.speak()
    desired = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}}
    state = json.dumps({"state": {"desired": desired}, "version": 9}).encode()
    board.hear("get_accepted", state[:-1] + b', "clientToken": "TOKEN"}')
    while shadow.next_wish():
        key, value = shadow.next_wish()
        shadow.applied(key, value)
    told = board.speak()["state"]["reported"]
    harness.equal((told.pop("rssi"), told), (0, _SETTINGS))
    board.hear("update_accepted", b'{"version": 10, "clientToken": "TOKEN"}')
    harness.equal((board.speak(), shadow.wishes.bad, shadow.version), (None, {}, 10))
    desired = state = told = key = value = None
    return harness.settled_heap()


def shower(board, random, total):
    for _ in range(total):
        name, payload = _MESSAGES[random(len(_MESSAGES))]
        if random(6):
            payload = mutate(random, payload)
        board.hear(name, payload)
        board.act()
    in_step(board)
    return in_step(board)


def test_damaged_messages():
    random = Random(harness.seed())
    board = Board(random)
    total = harness.count(_COUNT)
    heap_bytes = shower(board, random, 200)  # by then every table has its full size
    grown_bytes = shower(board, random, total) - heap_bytes
    junk = board.shadow.junk
    print("{} messages, {} junk, heap {:+d} bytes".format(total, junk, grown_bytes))
    assert total // 4 < junk and grown_bytes <= LEFT_BYTES


harness.run(globals())
