"""The shadow as a state machine: anything may happen between board and cloud, in any order,
and once it is quiet both sides agree, and nobody has anything more to say."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from firmware.core import schema
from firmware.net import packets
from tools.toolchain import ROOT

sys.path.append(str(ROOT / "tests" / "device"))
sys.modules.setdefault("micropython", SimpleNamespace(const=int))  # type: ignore[arg-type]
sys.modules.setdefault("machine", SimpleNamespace())  # type: ignore[arg-type]
sys.modules.setdefault("firmware.chip", SimpleNamespace(LED_PIN=2, VERIFIED=True))  # type: ignore[arg-type]

from shadow_setup import (  # noqa: E402
    PREFIX,
    Board,
    ShadowService,
    connect,
    delta,
    merged,
    settle,
)

# As in MicroPython, where text is its UTF-8 in memory.
packets.memoryview = lambda text: memoryview(text.encode())  # type: ignore[attr-defined]

MAX_BYTES = 8192  # of a shadow document (aws-facts 4.6)
START = json.loads(json.dumps(schema.DEFAULTS))

INTERVAL = st.sampled_from([1, 30, 60, 86400])
PINS = st.fixed_dictionaries({}, optional={"sda": st.integers(19, 23), "scl": st.integers(21, 50)})
DESIRED = st.fixed_dictionaries(
    {},
    optional={
        "interval_s": INTERVAL | st.sampled_from([0, "soon", True, None, 1.5, []]),
        "sensor": st.sampled_from(["auto", "sht3x", "bme280@0x77", "toaster", None, 7]),
        "drain_per_s": st.sampled_from([1, 20, 100, 101, None]),
        "i2c": PINS | st.sampled_from([None, 7, {"sad": 1}]),
        "wifi": st.sampled_from([[], None]),
        "zebra": st.sampled_from([1, {"a": {"b": 2}}, None]),
    },
)
TAMPERED = st.fixed_dictionaries(
    {},
    optional={
        "interval_s": INTERVAL | st.sampled_from(["x", None]),
        "rejected": st.sampled_from(
            [None, "x", 7, {"sensor": "because"}, {"old": "why"}, {str(i): 1 for i in range(50)}]
        ),
        "zebra": st.sampled_from([1, None]),
        "i2c": st.sampled_from([None, 7, {"sda": 1}]),
    },
)


class Field(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.service = ShadowService()
        self.boots = 0
        self.broken: set[str] = set()  # keys of good values that cannot be put in force
        self.calm = False  # nothing but desired values and commands since both sides agreed
        self.board = Board(START, table=schema.check)
        self.boot()

    def boot(self) -> None:
        # With what settings.json would hold.
        self.boots += 1
        kept = self.board.settings
        self.board = Board(kept.values, kept.state, f"boot{self.boots}", schema.check)
        self.board.settings.refuse = lambda key: "no such chip" if key in self.broken else None
        self.board.settings.config, self.board.settings.saved = START, kept.saved
        self.board.facts["board_id"] = "aa"
        self.board.sync.connected()

    def talk(self) -> None:
        settle(self.board, self.service)

    @initialize()
    def birth(self) -> None:
        self.quiet()

    @rule(desired=DESIRED)
    def desire(self, desired: dict[str, Any]) -> None:
        self.service.desire(desired)

    @rule()
    def take_everything_back(self) -> None:
        self.service.desire(None)

    @rule(reported=TAMPERED)
    def tamper(self, reported: dict[str, Any]) -> None:
        self.calm = False
        self.service.tamper(reported)

    @rule()
    def delete(self) -> None:
        self.calm = False
        self.service.delete()

    @rule(interval_s=INTERVAL)
    def command(self, interval_s: int) -> None:
        self.board.command("interval_s", interval_s)

    @rule(rssi=st.integers(-99, 0))
    def report(self, rssi: int) -> None:
        self.board.report(rssi=rssi)

    @rule()
    def reconnect(self) -> None:
        self.calm = False
        self.board.sync.connected()

    @rule()
    def reboot(self) -> None:
        self.calm = False
        self.boot()

    @rule()
    def no_memory(self) -> None:
        self.calm = False
        self.board.sync.lost()

    @rule(keep=st.integers(0, 3))
    def lose(self, keep: int) -> None:
        self.calm = False
        del self.service.out[keep:]

    @rule()
    def time_passes(self) -> None:
        self.calm = False
        self.board.clock.pass_ms(self.board.sync.wait.left_ms())

    @rule()
    def deliver_twice(self) -> None:
        self.calm = False
        self.service.out += self.service.out[:40]

    @rule(order=st.randoms(use_true_random=False))
    def deliver_in_any_order(self, order: Any) -> None:
        self.calm = False
        order.shuffle(self.service.out)

    @rule()
    def deliver_one(self) -> None:
        self.board.hear(self.service, 1)

    @rule(lost=st.booleans())
    def one_step(self, lost: bool) -> None:
        self.calm = False
        self.board.step()
        for topic, document, _ in self.board.session.sent:
            assert len(document) <= MAX_BYTES
            if topic == PREFIX + b"update":
                self.reported_is_true(json.loads(document)["state"])
        sent, self.board.session.sent = self.board.session.sent, []
        for topic, document, _ in [] if lost else sent:
            if topic == PREFIX + b"update":
                self.service.update(document)
            elif topic == PREFIX + b"get":
                self.service.get(document)

    @rule(code=st.sampled_from([400, 409, 413, 429, 500, None]))
    def refuse_the_next(self, code: int | None) -> None:
        self.calm = False
        self.service.refuse.append(code)

    @rule(key=st.sampled_from(["sensor", "drain_per_s"]))
    def break_or_mend(self, key: str) -> None:
        self.calm = False
        self.broken ^= {key}

    @rule()
    def listen(self) -> None:
        # With no new connection to help.
        if self.calm:
            asked, told = self.service.asked, len(self.service.updates)
            self.talk()
            self.agree()
            assert self.service.asked <= asked + 2
            assert len(self.service.updates) <= told + 4

    @rule()
    def quiet(self) -> None:
        # The field calms down. Two talks: the first ends what was under way.
        del self.service.refuse[:]
        self.talk()
        self.boot()
        self.talk()
        self.agree()
        told, reported = len(self.service.updates), self.service.reported
        self.board.facts = {"board_id": "aa"}
        connect(self.board, self.service)
        self.boot()
        self.talk()
        # One report for each connection.
        assert len(self.service.updates) == told + 2, self.service.updates[told:]
        assert self.service.reported == reported
        self.calm = True

    def reported_is_true(self, state: dict[str, Any]) -> None:
        values = self.board.settings.values
        assert {key: state["reported"][key] for key in values} == values
        for key, value in state.get("desired", {}).items():
            assert value == values[key]

    def agree(self) -> None:
        values = self.board.settings.values
        reported = self.service.reported
        assert {key: reported[key] for key in values} == values
        wrong = {}
        for key, wanted in delta(self.service.desired, reported).items():
            value, problem = schema.check(key, wanted, values)
            assert problem or key in self.broken, (key, value)
            wrong[key] = problem or "no such chip"
        assert reported.get("rejected", {}) == {key: why[:96] for key, why in wrong.items()}
        for key in set(values) - set(self.service.desired):
            assert values[key] == START[key], key  # nobody desires anything else
        for key, wanted in self.service.desired.items():
            if key in values and key not in wrong:
                now = values[key]
                assert (merged(now, wanted) if isinstance(now, dict) else wanted) == now
        assert self.board.sync.local == self.board.settings.state.get("local", {}) == {}

    def teardown(self) -> None:
        self.quiet()


TestField = Field.TestCase
TestField.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(st.lists(DESIRED | st.none() | INTERVAL, max_size=12))
@settings(deadline=None)
def test_each_change_alone_ends_in_agreement(changes: list[Any]) -> None:
    """Desired values, a wiped section (None) and commands (a number), one by one in order."""
    field = Field()
    field.quiet()
    for change in changes:
        if isinstance(change, int):
            field.command(change)
        else:
            field.service.desire(change)
        field.listen()
