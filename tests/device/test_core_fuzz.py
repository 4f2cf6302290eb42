# heap: 96wk
# Damaged documents, thousands in a row: messages of the shadow service, commands, and settings as
# config.json, the shadow or a file may bring them. Each is taken or cleanly refused, with a reason
# where somebody waits for one; nothing piles up, and once the service is sane the board is in
# step. FIELDMOUSE_FUZZ counts messages; of the others there is a fifth.

import json

import harness
from fakes import Random
from firmware.command_runner import remember, result
from firmware.core import optional, schema  # noqa: F401  optional: loaded once, before it counts
from firmware.core.commands import ACTIONS, parse
from shadow_setup import PREFIX, Board, check

_MAX_BYTES = 1200
LEFT_BYTES = 2048  # the collector takes stale words on the stack for pointers: a payload may stay
_TOKENS = (b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e999", b"-", b"9" * 40, b'""', b",")
_TOKENS += (b"[]", b"{}", b"[[[[", b"]]]]", b'{"a":', b"}", b'"\\ud800"', b'"\\u0000\\n"', b'\\"')
_TOKENS += (b'"x"', b'"', b":", b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b'"i2c"', b'"interval_s"')


def mutate(random, payload):
    # Another payload, most often not far from the first: the damage gets past the first check.
    for _ in range(1 + random(3)):
        payload = _STEPS[random(len(_STEPS))](random, payload)[:_MAX_BYTES]
    return payload


def _flip(random, payload):
    if not payload:
        return payload
    changed = bytearray(payload)
    changed[random(len(changed))] ^= 1 << random(8)
    return bytes(changed)


def _cut(random, payload):
    start, end = _span(random, payload)
    return payload[:start] + payload[end:]


def _truncate(random, payload):
    return payload[: random(len(payload) + 1)]


def _double(random, payload):
    start, end = _span(random, payload)
    return payload[:end] + payload[start:]


def _insert(random, payload):
    at = random(len(payload) + 1)
    return payload[:at] + _TOKENS[random(len(_TOKENS))] + payload[at:]


def _replace_value(random, payload):
    # From a colon to the next comma or bracket: the document stays JSON, the type changes.
    start = payload.find(b":", random(len(payload) + 1)) + 1
    if not start:
        return payload
    end = start
    while end < len(payload) and payload[end] not in b",}]":
        end += 1
    return payload[:start] + _TOKENS[random(len(_TOKENS))] + payload[end:]


def _nest(random, payload):
    start, end = _span(random, payload)
    depth = 1 + random(20)
    return payload[:start] + b"[" * depth + payload[start:end] + b"]" * depth + payload[end:]


def _span(random, payload):
    start = random(len(payload) + 1)
    return start, min(len(payload), start + random(40))


_STEPS = (_flip, _cut, _truncate, _double, _insert, _replace_value, _replace_value, _nest)

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


def messages(field, random, total):
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
    total = harness.count(600)
    heap_bytes = messages(field, random, 200)  # by then every table has its full size
    grown_bytes = messages(field, random, total) - heap_bytes
    junk = field.board.sync.junk
    print("{} messages, {} junk, heap {:+d} bytes".format(total, junk, grown_bytes))
    assert total // 4 < junk and grown_bytes <= LEFT_BYTES


_KEPT = 16
_COMMANDS = (
    b'{"action": "set_reporting_interval", "interval_seconds": 30, "id": "job-1"}',
    b'{"action":"reboot","id":4711}',
    b'{"action":"read_now","note":{"by":["me","you"]}}',
    b'{"id":"' + b"x" * 64 + b'","action":"get_log"}',
)


class Seen:
    def __init__(self):
        self.ids = []
        self.junk = self.repeated = 0


def hear(seen, payload):
    command = parse(payload, seen.ids)
    ident, action, value, problem = command
    if problem is True:
        seen.repeated += 1
        return
    if isinstance(ident, str):
        assert 1 <= len(ident) <= 64, ident
    else:
        assert ident is None or (type(ident) is int and abs(ident) < 1 << 53), ident
    document = result(ident, action, problem)
    assert len(document.encode()) < 700, document
    told = json.loads(document)
    assert told["ok"] == (problem is None) and told["id"] == ident
    if problem:
        seen.junk += problem.startswith("must be a JSON object")
        return
    assert action in ACTIONS
    if action == "set_reporting_interval":
        assert 1 <= value <= 86400, value
    if ident is not None:
        seen.ids = remember(seen.ids, ident)


def commands(seen, random, total):
    for _ in range(total):
        payload = _COMMANDS[random(len(_COMMANDS))]
        hear(seen, mutate(random, payload) if random(6) else payload)
    assert len(seen.ids) <= _KEPT
    harness.equal(seen.ids, json.loads(json.dumps(seen.ids)))
    for payload in _COMMANDS:
        hear(seen, payload)  # over what is left on the stack
    seen.ids = list(range(_KEPT))
    payload = None
    return harness.settled_heap()


def test_damaged_commands():
    random = Random(harness.seed())
    seen = Seen()
    total = harness.count(5 * 1500) // 5
    heap_bytes = commands(seen, random, 200)
    grown_bytes = commands(seen, random, total) - heap_bytes
    print("{} commands, {} junk, heap {:+d} bytes".format(total, seen.junk, grown_bytes))
    assert total // 4 < seen.junk and seen.repeated > total // 50
    assert grown_bytes <= LEFT_BYTES, grown_bytes


_FILE = (
    b'{"interval_s":60,"i2c":{"id":0,"sda":21,"scl":22,"freq_hz":100000},"sensor":"bme280@0x76",'
    b'"drain_per_s":90,"offline_reboot_s":3600,"port":8883}'
)


def judge(raw):
    # How many of the settings were refused.
    refused = 0
    for key in raw:
        value, problem = schema.check(key, raw[key], {})
        if problem is None:
            assert key in schema.DEFAULTS, key
            harness.equal(schema.check(key, value, {key: value}), (value, None))
        else:
            refused += key in schema.DEFAULTS
            assert 0 < len(problem) < 800, problem
            assert key == "i2c" or problem.find("bme280@") < 0, problem  # keys show, values not
    return refused


def settings(random, total):
    # (documents with a bad setting, without, bytes in use after it)
    refused = taken = 0
    for _ in range(total):
        text = mutate(random, _FILE)
        try:
            raw = json.loads(text)
        except ValueError:
            continue
        if isinstance(raw, dict) and judge(raw):
            refused += 1
        else:
            taken += 1
    raw = text = None
    return refused, taken, harness.settled_heap()


def test_damaged_settings():
    random = Random(harness.seed())
    total = harness.count(5 * 600) // 5
    heap_bytes = settings(random, 100)[2]
    refused, taken, after_bytes = settings(random, total)
    grown_bytes = after_bytes - heap_bytes
    print(
        "{} files, {} refused, {} taken, heap {:+d} bytes".format(
            total, refused, taken, grown_bytes
        )
    )
    assert refused > total // 20 and taken and grown_bytes <= LEFT_BYTES
