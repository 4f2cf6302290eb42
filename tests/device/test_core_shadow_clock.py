# heap: 52wk
# What an answer of the shadow service says about the time, for net/clock.py to judge.

import json

import harness
from shadow_setup import Board, ShadowService, connect, in_step, message, settle

NOW = 1795248682


class Dated(ShadowService):
    # AWS puts the time into each message.
    def _say(self, topic, document, token):
        document["timestamp"] = NOW
        ShadowService._say(self, topic, document, token)


def asked(kind=b"get"):
    # A board that waits for an answer; its token.
    board = Board()
    if kind == b"get":
        board.sync.connected()
    else:
        board, _ = in_step()
        board.report(rssi=-1)
    while not board.said(kind):
        board.pass_s(1)
    board.clock.heard = None
    return board, board.said(kind)[-1]["clientToken"]


def answer(board, kind, **fields):
    board.receive(kind, message(**fields))
    return board.clock.heard


def test_an_answer_to_our_question_has_the_time():
    for kind in (b"get", b"update"):
        board, token = asked(kind)
        fields = {"clientToken": token, "version": 9, "state": {}, "timestamp": NOW}
        harness.equal(answer(board, kind + b"/accepted", **fields), (NOW, board.clock.s))


def test_no_other_message_has():
    for kind in (b"get", b"update"):
        for changes in ({"clientToken": "boot1-77"}, {"clientToken": None}, {"clientToken": "x"}):
            board, token = asked(kind)
            fields = {"clientToken": token, "version": 9, "state": {}, "timestamp": NOW}
            fields.update(changes)
            harness.equal(answer(board, kind + b"/accepted", **fields), None)
            fields["clientToken"] = token
            harness.equal(answer(board, b"update/delta", **fields), None)
            harness.equal(answer(board, kind + b"/rejected", code=500, **fields), None)
            other = b"get" if kind == b"update" else b"update"
            board, token = asked(kind)
            fields["clientToken"] = token
            harness.equal(answer(board, other + b"/accepted", **fields), None)


def test_an_answer_that_took_long_has_not():
    for seconds, fresh in ((9, True), (10, False)):
        board, token = asked()
        board.session.waiting = (-1,)  # no PUBACK: the answer may still come
        board.pass_s(seconds)
        fields = {"clientToken": token, "version": 9, "state": {}, "timestamp": NOW}
        harness.equal(answer(board, b"get/accepted", **fields) is not None, fresh)


def test_an_answer_of_the_session_before_has_not():
    board, token = asked()
    board.sync.connected()
    fields = {"clientToken": token, "version": 9, "state": {}, "timestamp": NOW}
    harness.equal(answer(board, b"get/accepted", **fields), None)


def test_with_a_shadow_or_without_one_the_time_comes():
    for exists in (True, False):
        board, service = Board(), Dated()
        if exists:
            service.desire({"interval_s": 30})
        connect(board, service)
        harness.equal(board.clock.heard[0], NOW)
        board.clock.heard = None
        board.report(rssi=-3)
        settle(board, service)
        harness.equal(board.clock.heard[0], NOW)


def test_whatever_stands_there_is_kept_for_the_judge():
    for stamp in (None, "1795248682", -1, 1e300, True, [], {}, 1 << 200):
        board, token = asked()
        text = json.dumps(stamp)
        payload = '{"clientToken":"%s","version":9,"state":{},"timestamp":%s}' % (token, text)
        board.receive(b"get/accepted", payload.encode())
        harness.equal(board.sync.junk, 0)


harness.run(globals())
