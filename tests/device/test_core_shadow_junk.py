# What no shadow service would send, and how much of it is kept.

import json

import harness
from firmware.core.shadow import Shadow
from shadow_setup import SETTINGS, in_step, message, settle, shadow_of


def test_empty_null_and_wrong_types_change_nothing():
    shadow, service = in_step()
    for state in (None, [], "text", 3, True, 1.5):
        shadow.delta(message(version=50, state=state))
    for version in (None, "7", -1, 1.5, True, [], {}):
        shadow.delta(message(version=version, state={"interval_s": 5}))
    shadow.delta(message(version=51))
    for section in ([], "text", 3, True):
        shadow.connected()
        token = json.loads(shadow.get())["clientToken"]
        for key in ("desired", "reported"):
            answer = message(version=52, state={key: section}, clientToken=token)
            shadow.get_accepted(answer)
            assert shadow.waiting(), (key, section)
    assert shadow.next_wish() is None
    harness.equal(shadow.junk, 5 + 7 + 8)


def test_an_empty_shadow_and_null_sections_are_no_shadow():
    for state in ({}, None, {"desired": None, "reported": None}, {"desired": {}}):
        shadow = shadow_of()
        shadow.connected()
        token = json.loads(shadow.get())["clientToken"]
        shadow.get_accepted(message(version=3, state=state, clientToken=token))
        harness.equal(json.loads(shadow.update())["state"]["reported"], SETTINGS)


def test_junk_is_counted_and_ignored():
    shadow, service = in_step()
    junk = (
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b"\xff\xfe\x00",
        b'{"state":',
        b"{}" * 9,
        b"\x00" * 99,
    )
    for payload in junk:
        for name in ("get_accepted", "get_rejected", "delta", "update_accepted"):
            getattr(shadow, name)(payload)
        shadow.update_rejected(payload)
    harness.equal(shadow.junk, 5 * len(junk))
    settle(shadow, service)
    harness.equal(service.updates, [])


def test_too_large_and_too_deep_are_junk():
    shadow, service = in_step()
    small = Shadow(None, {}, "boot", max_bytes=1000)
    small.delta(b'{"version":9,"state":{"sensor":"' + b"a" * 1000 + b'"}}')
    shadow.delta(b'{"version":9,"state":{"a":' + b"[" * 500 + b"]" * 500 + b"}}")
    harness.equal((small.junk, small.version), (1, 0))
    harness.equal((shadow.junk, shadow.version), (1, service.version))


def test_silence_costs_no_memory():
    shadow, service = in_step()
    shadow.update()

    def idle():
        return shadow.update(), shadow.next_wish(), shadow.waiting(), shadow.wants_get

    def turn():
        # What the loop asks at each pass.
        shadow.update()
        shadow.next_wish()
        shadow.waiting()

    harness.equal(idle(), (None, None, False, False))
    harness.no_heap(turn)


harness.run(globals())
