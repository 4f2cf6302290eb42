"""The shadow as a state machine: anything may happen between board and cloud, in any order,
and once it is quiet both sides agree, and nobody has anything more to say."""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from firmware.core import config
from firmware.core.shadow import MAX_BYTES, Shadow
from tools.toolchain import ROOT

sys.path.append(str(ROOT / "tests" / "device"))

from shadow_service import ShadowService, delta, merged
from shadow_setup import settle

BASE = config.check({"thing_name": "t", "endpoint": "a.io", "wifi": [{"ssid": "home"}]})[0]
START = {key: BASE[key] for key in config.SETTABLE}

INTERVAL = st.sampled_from([1, 30, 60, 86400])
PINS = st.fixed_dictionaries({}, optional={"sda": st.integers(19, 23), "scl": st.integers(21, 50)})
WISHES = st.fixed_dictionaries(
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
STRANGE = st.fixed_dictionaries(
    {},
    optional={
        "interval_s": INTERVAL | st.sampled_from(["x", None]),
        "rejected": st.sampled_from([None, "x", 7, {"sensor": "because"}, {"old": "why"}]),
        "zebra": st.sampled_from([1, None]),
        "i2c": st.sampled_from([None, 7, {"sda": 1}]),
    },
)


class Field(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.service = ShadowService()
        self.boots = 0
        self.true: dict[str, Any] = json.loads(json.dumps(START))
        self.local: dict[str, Any] = {}
        self.stubborn: set[str] = set()  # keys of good wishes that cannot be met
        self.calm = False  # nothing but wishes and commands since both sides agreed
        self.boot()

    def check(self, key: str, value: Any) -> Any:
        return config.check_setting(key, value, self.shadow.reported.true)

    def boot(self) -> None:
        self.boots += 1
        self.shadow = Shadow(self.check, self.true, f"boot{self.boots}", self.local)
        self.shadow.connected()
        self.keep()

    def keep(self) -> None:
        # What settings.json would hold.
        self.true = json.loads(json.dumps(self.shadow.reported.true))
        self.local = json.loads(json.dumps(self.shadow.local))

    def cannot(self, key: str) -> str | None:
        return "no such chip" if key in self.stubborn else None

    def talk(self) -> None:
        settle(self.shadow, self.service, self.cannot)
        self.keep()

    @initialize()
    def birth(self) -> None:
        self.quiet()

    @rule(wishes=WISHES)
    def wish(self, wishes: dict[str, Any]) -> None:
        self.service.wish(wishes)

    @rule()
    def withdraw_everything(self) -> None:
        self.service.wish(None)

    @rule(reported=STRANGE)
    def tamper(self, reported: dict[str, Any]) -> None:
        self.calm = False
        self.service.tamper(reported)

    @rule()
    def delete(self) -> None:
        self.calm = False
        self.service.delete()

    @rule(interval_s=INTERVAL)
    def command(self, interval_s: int) -> None:
        self.shadow.changed("interval_s", interval_s)
        self.keep()

    @rule(rssi=st.integers(-99, 0))
    def report(self, rssi: int) -> None:
        self.shadow.report({"rssi": rssi})

    @rule()
    def reconnect(self) -> None:
        self.calm = False
        self.shadow.connected()

    @rule()
    def reboot(self) -> None:
        self.calm = False
        self.boot()

    @rule(keep=st.integers(0, 3))
    def lose(self, keep: int) -> None:
        self.calm = False
        del self.service.out[keep:]
        if self.shadow.waiting():
            self.shadow.no_answer()

    @rule()
    def deliver_twice(self) -> None:
        self.calm = False
        self.service.out *= 2

    @rule(order=st.randoms(use_true_random=False))
    def deliver_in_any_order(self, order: Any) -> None:
        self.calm = False
        order.shuffle(self.service.out)

    @rule()
    def deliver_one(self) -> None:
        if self.service.out:
            topic, payload = self.service.out.pop(0)
            getattr(self.shadow, topic)(payload)

    @rule()
    def say_one(self) -> None:
        self.calm = False
        document = self.shadow.get() if self.shadow.wants_get else self.shadow.update()
        if document and "state" in json.loads(document):
            assert len(document) <= MAX_BYTES
            self.told_is_true(json.loads(document)["state"])
            self.service.update(document)
        elif document:
            self.service.get(document)

    @rule(code=st.sampled_from([400, 409, 413, 429, 500, None]))
    def refuse_the_next(self, code: int | None) -> None:
        self.calm = False
        self.service.refuse.append(code)

    @rule(key=st.sampled_from(["sensor", "drain_per_s"]))
    def break_or_mend(self, key: str) -> None:
        self.calm = False
        self.stubborn ^= {key}

    @rule()
    def listen(self) -> None:
        # With no new connection to help.
        if self.calm:
            asked = self.service.asked
            self.talk()
            self.agree()
            assert self.service.asked <= asked + 2

    @rule()
    def quiet(self) -> None:
        # The field calms down. Two talks: the first ends what was under way.
        del self.service.refuse[:]
        self.talk()
        self.boot()
        self.talk()
        self.agree()
        told = len(self.service.updates)
        self.shadow.connected()
        self.talk()
        self.boot()
        self.talk()
        assert len(self.service.updates) == told, self.service.updates[told:]
        self.calm = True

    def told_is_true(self, state: dict[str, Any]) -> None:
        true = self.shadow.reported.true
        for section in state.values():
            for key in section:
                if key in true:
                    assert section[key] == true[key]

    def agree(self) -> None:
        true = self.shadow.reported.true
        reported = self.service.reported
        assert {key: reported[key] for key in true} == true
        wrong = {}
        for key, wanted in delta(self.service.desired, reported).items():
            value, problem = config.check_setting(key, wanted, true)
            assert problem or key in self.stubborn, (key, value)
            wrong[key] = problem or "no such chip"
        assert reported.get("rejected", {}) == {key: why[:96] for key, why in wrong.items()}
        for key, wanted in self.service.desired.items():
            if key in true and key not in wrong:
                now = true[key]
                assert (merged(now, wanted) if isinstance(now, dict) else wanted) == now
        assert self.shadow.local == {}

    def teardown(self) -> None:
        self.quiet()


TestField = Field.TestCase
TestField.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(st.lists(WISHES | st.none() | INTERVAL, max_size=12))
@settings(deadline=None)
def test_each_change_alone_ends_in_agreement(changes: list[Any]) -> None:
    """Wishes, a wiped section (None) and commands (a number), heard one by one in order."""
    field = Field()
    field.quiet()
    for change in changes:
        if isinstance(change, int):
            field.command(change)
        else:
            field.service.wish(change)
        field.listen()
