# heap: 52wk
# What no shadow service would send, and how much of it is kept.

import json

import harness
from shadow_setup import SETTINGS, Board, in_step, message, settle


def asked(board):
    # Makes the board ask; the token of it.
    board.sync.birth_s, board.sync.get_due = 1 << 20, True
    board.sync.wait.start(0)
    board.step()
    return json.loads(board.session.sent.pop()[1])["clientToken"]


def test_empty_null_and_wrong_types_change_nothing():
    board, service = in_step()
    receive = board.receive
    for state in (None, [], "text", 3, True, 1.5):
        receive(b"update/delta", message(version=50, state=state))
    for version in (None, "7", -1, 1.5, True, [], {}):
        receive(b"update/delta", message(version=version, state={"interval_s": 5}))
    receive(b"update/delta", message(version=51))
    for section in ([], "text", 3, True):
        for key in ("desired", "reported"):
            token = asked(board)
            answer = message(version=52, state={key: section}, clientToken=token)
            receive(b"get/accepted", answer)
            harness.equal(board.sync.pending[0], token)
            board.sync.pending = None
    for version in (None, "7", True):
        token = asked(board)
        receive(b"get/accepted", message(version=version, state={}, clientToken=token))
        harness.equal(board.sync.pending[0], token)
        board.sync.pending = None
    board.step()
    harness.equal(board.settings.values, SETTINGS)
    harness.equal(board.sync.junk, 5 + 7 + 8 + 3)


def test_an_empty_shadow_and_null_sections_are_no_shadow():
    for state in ({}, None, {"desired": None, "reported": None}, {"desired": {}}):
        board = Board()
        token = asked(board)
        board.receive(b"get/accepted", message(version=3, state=state, clientToken=token))
        board.pass_s(1)
        wanted = dict(SETTINGS)
        wanted["rejected"] = None
        harness.equal(board.said(b"update")[0]["state"]["reported"], wanted)


def test_junk_is_counted_and_ignored():
    board, service = in_step()
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
        for name in (b"get/accepted", b"get/rejected", b"update/delta"):
            board.receive(name, payload)
        for name in (b"update/accepted", b"update/rejected"):
            board.receive(name, memoryview(payload))
    harness.equal(board.sync.junk, 5 * len(junk))
    settle(board, service)
    harness.equal(service.updates, [])


def test_too_deep_is_junk():
    board, service = in_step()
    deep = b'{"version":9,"state":{"a":' + b"[" * 500 + b"]" * 500 + b"}}"
    board.receive(b"update/delta", deep)
    harness.equal((board.sync.junk, board.sync.desired), (1, None))


def test_strange_tokens_and_codes_are_answers_to_nobody():
    board, service = in_step()
    board.sync.update_due = True
    board.step()
    for token in (0, True, [], {}, 1.5, ""):
        board.receive(b"update/accepted", message(version=9, clientToken=token))
        board.receive(b"update/rejected", message(code=400, clientToken=token))
        board.receive(b"update/delta", message(version=9, state={}, clientToken=token))
    assert board.sync.pending
    for code in ([], {}, "409", True, 1.5, None):
        board.receive(b"update/rejected", message(code=code))
        assert board.sync.get_due and board.sync.update_due
        settle(board, service)
        board.sync.update_due = True
        board.step()


def test_a_pass_of_the_loop_costs_no_memory():
    board, service = in_step()
    harness.no_heap(board.sync.step)
    board.session.waiting = (-1,)
    harness.no_heap(board.sync.step)
    board.session.waiting = ()
    board.sync.update_due = True
    board.step()
    harness.no_heap(board.sync.step)  # an answer is due


harness.run(globals())
