# Damaged commands, thousands in a row: each is refused with a reason or is a command in order.

import json

import harness
from fakes import Random
from firmware.core.commands import ACTIONS, KEPT, Commands, is_id, result
from mutate import LEFT_BYTES, mutate

_COUNT = 1500  # 50,000 in `make soak`
_PAYLOADS = (
    b'{"action": "set_reporting_interval", "interval_seconds": 30, "id": "job-1"}',
    b'{"action":"reboot","id":4711}',
    b'{"action":"read_now","note":{"by":["me","you"]}}',
    b'{"id":"' + b"x" * 64 + b'","action":"get_log"}',
)


def check(key, value):
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value, None if whole and 1 <= value <= 86400 else "no interval"


def hear(commands, payload):
    command = commands.receive(payload)
    if command is None:
        return
    assert command.ident is None or is_id(command.ident), command.ident
    document = result(command)
    assert len(document) < 700, document
    told = json.loads(document)
    assert told["ok"] == (command.problem is None) and told["id"] == command.ident
    if command.problem:
        return
    assert command.action in ACTIONS
    if command.action == "set_reporting_interval":
        harness.equal(check("", command.interval_s)[1], None)
    commands.remember(command)


def shower(commands, random, total):
    for _ in range(total):
        payload = _PAYLOADS[random(len(_PAYLOADS))]
        hear(commands, mutate(random, payload) if random(6) else payload)
    harness.equal(commands.seen, Commands(check, json.loads(json.dumps(commands.seen))).seen)
    commands.seen[:] = list(range(KEPT))
    payload = None
    return harness.settled_heap()


def test_damaged_commands():
    random = Random(harness.seed())
    commands = Commands(check)
    total = harness.count(_COUNT)
    heap_bytes = shower(commands, random, 200)
    grown_bytes = shower(commands, random, total) - heap_bytes
    print("{} commands, {} junk, heap {:+d} bytes".format(total, commands.junk, grown_bytes))
    assert total // 4 < commands.junk and commands.repeated > total // 50
    assert grown_bytes <= LEFT_BYTES, grown_bytes


harness.run(globals())
