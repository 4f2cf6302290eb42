# heap: 44wk
# Damaged commands, thousands in a row: each is refused with a reason or is a command in order.

import json

import harness
from fakes import Random
from firmware.command_runner import remember, result
from firmware.core.commands import ACTIONS, parse
from mutate import LEFT_BYTES, mutate

_COUNT = 1500  # 50,000 in `make soak`
_KEPT = 16
_PAYLOADS = (
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


def shower(seen, random, total):
    for _ in range(total):
        payload = _PAYLOADS[random(len(_PAYLOADS))]
        hear(seen, mutate(random, payload) if random(6) else payload)
    assert len(seen.ids) <= _KEPT
    harness.equal(seen.ids, json.loads(json.dumps(seen.ids)))
    for payload in _PAYLOADS:
        hear(seen, payload)  # over what is left on the stack
    seen.ids = list(range(_KEPT))
    payload = None
    return harness.settled_heap()


def test_damaged_commands():
    random = Random(harness.seed())
    seen = Seen()
    total = harness.count(_COUNT)
    heap_bytes = shower(seen, random, 200)
    grown_bytes = shower(seen, random, total) - heap_bytes
    print("{} commands, {} junk, heap {:+d} bytes".format(total, seen.junk, grown_bytes))
    assert total // 4 < seen.junk and seen.repeated > total // 50
    assert grown_bytes <= LEFT_BYTES, grown_bytes


harness.run(globals())
