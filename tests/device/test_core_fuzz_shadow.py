# heap: 72wk
# Damaged messages of the shadow service, thousands in a row to one board: each is taken or
# cleanly refused, nothing piles up, and the board is in step as soon as the service is sane.

import json

import harness
from fakes import Random
from mutate import LEFT_BYTES, mutate
from shadow_setup import PREFIX, Board, check

_COUNT = 600  # 50,000 in `make soak`
_MESSAGES = (
    (
        b"get/accepted",
        b'{"state":{"desired":{"interval_s":30,"i2c":{"sda":4},"welcome":"x"},"reported":'
        b'{"interval_s":60,"rejected":{"sensor":"why"}},"delta":{"interval_s":30}},"metadata":'
        b'{"desired":{"interval_s":{"timestamp":1}}},"version":7,"clientToken":"TOKEN"}',
    ),
    (b"get/rejected", b'{"code":404,"message":"No shadow exists","clientToken":"TOKEN"}'),
    (
        b"update/delta",
        b'{"version":8,"timestamp":1795248682,"state":{"interval_s":15,"sensor":"sht3x",'
        b'"i2c":{"scl":5},"zebra":{"a":[1,2]}},"metadata":{"interval_s":{"timestamp":1}}}',
    ),
    (
        b"update/accepted",
        b'{"state":{"desired":{"interval_s":null},"reported":{"interval_s":15}},"version":9,'
        b'"timestamp":1795248682,"clientToken":"TOKEN"}',
    ),
    (b"update/rejected", b'{"code":409,"message":"Version conflict","clientToken":"TOKEN"}'),
)


_SETTINGS = {"interval_s": 60, "sensor": "auto", "i2c": {"sda": 21, "scl": 22}}


class Field:
    # A board that does what app.py does, among the damaged messages; every step is looked at.
    def __init__(self, random):
        self._random = random
        self.board = Board(_SETTINGS, token="boot", table=self._check)
        self._token = b"none"

    def hear(self, kind, payload):
        self.board.receive(kind, payload.replace(b"TOKEN", self._token))

    def act(self):
        board, chance = self.board, self._random(12)
        sync = board.sync
        board.settings.refuse = None if chance else lambda key: "the flash is full"
        if chance == 1:
            sync.connected()
        elif chance == 2:
            board.command("interval_s", 1 + self._random(99))
        elif chance == 3:
            board.clock.pass_ms(sync.wait.left_ms())
        elif chance == 4:
            board.report(rssi=-self._random(99))
        elif chance == 5:
            sync.lost()
        self.speak()
        assert len(sync.wrong) <= 9 and len(sync.local) <= len(_SETTINGS)
        assert all(key in sync.wrong for key in sync.tried)
        assert all(key in sync.local for key in board.settings.state.get("local", ()))
        del board.log.lines[:], board.settings.given[:]

    def speak(self):
        # The document of one step, parsed; None for none.
        while self.board.step():
            pass
        if not self.board.session.sent:
            return None
        topic, document, _ = self.board.session.sent.pop()
        assert len(document) < 2048, len(document)
        document = json.loads(document)
        if topic.startswith(PREFIX):
            self._token = document["clientToken"].encode()
        for key in self.board.settings.values:
            value = self.board.settings.values[key]
            harness.equal(self._check(key, value, self.board.settings.values), (value, None))
            if topic == PREFIX + b"update":
                harness.equal(document["state"]["reported"][key], value)
        return document

    def _check(self, key, value, values):
        if key in _SETTINGS and not isinstance(value, type(_SETTINGS[key])):
            return value, "wrong type"
        if key == "i2c" and any(name not in _SETTINGS[key] for name in value):
            return value, "unknown key"  # else it would stay for ever: a part goes over the old
        return (value, "unknown") if key not in _SETTINGS else check(key, value, values)


def in_step(field):
    # A sane service again: the board asks, applies what is desired, reports the rest, and is
    # quiet. The heap then holds that much and no more.
    board, sync = field.board, field.board.sync
    sync.local.clear()
    board.settings.state.clear()
    board.settings.refuse = None
    sync.connected()
    board.facts = {"rssi": 0}
    assert field.speak()["online"]
    field.speak()
    state = json.dumps({"state": {"desired": _SETTINGS}, "version": 9}).encode()
    field.hear(b"get/accepted", state[:-1] + b', "clientToken": "TOKEN"}')
    told = field.speak()["state"]["reported"]
    harness.equal((told.pop("rssi"), told.pop("rejected"), told), (0, None, _SETTINGS))
    field.hear(b"update/accepted", b'{"version": 10, "clientToken": "TOKEN"}')
    harness.equal((field.speak(), sync.wrong, sync.rejected, sync.pending), (None, {}, {}, None))
    del board.log.lines[:], board.settings.given[:]
    state = told = None
    return harness.settled_heap()


def shower(field, random, total):
    for _ in range(total):
        kind, payload = _MESSAGES[random(len(_MESSAGES))]
        if random(6):
            payload = mutate(random, payload)
        field.hear(kind, payload)
        field.act()
    in_step(field)
    return in_step(field)


def test_damaged_messages():
    random = Random(harness.seed())
    field = Field(random)
    total = harness.count(_COUNT)
    heap_bytes = shower(field, random, 200)  # by then every table has its full size
    grown_bytes = shower(field, random, total) - heap_bytes
    junk = field.board.sync.junk
    print("{} messages, {} junk, heap {:+d} bytes".format(total, junk, grown_bytes))
    assert total // 4 < junk and grown_bytes <= LEFT_BYTES


harness.run(globals())
