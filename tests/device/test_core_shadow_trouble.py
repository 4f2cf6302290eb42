# heap: 88wk
# Refusals, lost answers, other clients, deleted shadows; what no shadow service would send, and
# names without end.

import json

import harness
from shadow_setup import BAD, PREFIX, SETTINGS, Board, connect, desire, in_step, message, settle


def lose(board):
    # What was sent, and lost on the way.
    board.step()
    return [json.loads(board.session.sent.pop()[1]) for _ in list(board.session.sent)]


def test_409_gets_and_then_updates():
    board, service = in_step()
    service.refuse.append(409)
    board.command("interval_s", 10)
    start_ms = board.clock.now()
    settle(board, service)
    harness.equal((service.asked, len(service.updates)), (1, 2))
    harness.equal((service.reported["interval_s"], service.desired), (10, {"interval_s": 10}))
    assert board.clock.diff(board.clock.now(), start_ms) < 1000


def test_429_and_500_wait_and_lose_nothing():
    for code in (429, 500, 503, None, "odd"):
        board, service = in_step()
        service.refuse.append(code)
        board.report(rssi=-70)
        board.send(service)
        board.hear(service)
        board.sync.birth_s = 100
        board.pass_s(29)
        harness.equal(board.session.sent, [])
        board.pass_s(1)
        harness.equal([topic for topic, _, _ in board.session.sent], [PREFIX + b"get"])
        settle(board, service)
        harness.equal((service.reported["rssi"], len(service.updates)), (-70, 2))


def test_a_get_that_is_refused_is_asked_again_later():
    board = Board().connected().pass_s(2)
    board.receive(b"get/rejected", message(code=429))
    board.pass_s(29)
    harness.equal(len(board.said(b"get")), 1)
    board.pass_s(2)
    harness.equal((len(board.said(b"get")), board.said(b"update")), (2, []))


def test_413_leaves_out_the_facts():
    board, service = in_step()
    service.refuse.append(413)
    board.report(log="x" * 200)
    board.command("interval_s", 30)
    settle(board, service)
    harness.equal(service.reported["interval_s"], 30)
    assert "log" not in service.reported
    harness.equal(len(service.updates), 2)
    board.facts = {"rssi": -1}
    board.sync.update_due = True
    settle(board, service)
    harness.equal(service.reported["rssi"], -1)  # the next one has them again
    service.refuse.extend([413, 413, 413])
    board.command("interval_s", 31)
    settle(board, service)
    harness.equal(service.refuse, [413])
    harness.equal(board.log.lines[-1], "shadow: update refused, 413")


def test_a_bad_update_is_not_repeated():
    for code in (400, 403):
        board, service = in_step()
        service.refuse.extend([code, code])
        board.command("interval_s", 10)
        settle(board, service)
        harness.equal((len(service.updates), service.refuse), (1, [code]))
        refused = "shadow: update refused, {}".format(code)
        harness.equal(board.log.lines, ["command: interval_s is now 10", refused])


def test_a_refusal_without_token_is_ours():
    # AWS sends version conflicts like that.
    board, service = in_step()
    board.report(rssi=-1)
    lose(board)
    board.receive(b"update/rejected", message(code=409, message="Version conflict"))
    assert board.sync.get_due and not board.sync.pending


def test_answers_to_other_clients_are_not_ours():
    board, service = in_step()
    board.sync.connected()
    lose(board)  # birth
    lose(board)  # get
    theirs = message(version=9, state={"desired": {"interval_s": 5}}, clientToken="x")
    board.receive(b"get/accepted", theirs)
    board.receive(b"get/rejected", message(code=404, clientToken="x"))
    board.receive(b"get/rejected", message(code=404, clientToken="boot1-999"))
    assert board.sync.pending and not board.sync.desired


def test_an_update_of_another_client_does_not_land_ours():
    board, service = in_step()
    board.report(rssi=-1)
    lose(board)
    theirs = message(version=8, state={"reported": {}}, clientToken="x")
    board.receive(b"update/accepted", theirs)
    board.receive(b"update/rejected", message(code=400, clientToken="x"))
    assert board.sync.pending
    # Its version counts: what is older than that is old.
    board.receive(b"update/delta", message(version=7, state={"interval_s": 5}))
    harness.equal((board.sync.desired, board.log.lines), (None, []))
    board.receive(b"update/delta", message(version=8, state={"interval_s": 5}))
    board.step()
    harness.equal(board.settings.values["interval_s"], 5)


def test_a_get_answer_without_token_counts_unless_it_is_old():
    board, service = in_step()
    board.sync.connected()
    lose(board)
    lose(board)
    board.receive(b"get/accepted", message(version=0, state={"desired": {"interval_s": 5}}))
    assert board.sync.pending and not board.sync.desired
    board.receive(b"get/accepted", message(version=7, state={"desired": {"interval_s": 5}}))
    board.step()
    harness.equal(board.settings.values["interval_s"], 5)


def test_a_deleted_shadow_starts_from_zero():
    for connected in (False, True):  # then the next update finds it out
        board, service = in_step()
        if connected:
            board.report(board_id="aa")
        for interval_s in range(10, 20):
            desire(board, service, {"interval_s": interval_s})
        service.asked = 0
        service.delete()
        if connected:
            board.report(rssi=-1)
            settle(board, service)
        else:
            connect(board, service)
            harness.equal(service.version, 1)
        harness.equal((service.asked, service.reported["interval_s"]), (1, 19))
        desire(board, service, {"interval_s": 33})
        harness.equal(service.reported["interval_s"], 33)


def test_no_answer_is_asked_for_three_times_and_then_done_without():
    board = Board().connected().pass_s(32)
    harness.equal((len(board.said(b"get")), board.said(b"update")), (3, []))
    board.pass_s(1)
    wanted = dict(SETTINGS)
    wanted["rejected"] = None
    told = [update["state"]["reported"] for update in board.said(b"update")]
    harness.equal((len(board.said(b"get")), told), (3, [wanted]))
    harness.equal(board.session.subscribed, 3)
    # And again, once more that the update is not answered either.
    board.pass_s(31)
    harness.equal((len(board.said(b"get")), len(board.said(b"update"))), (5, 2))


def test_an_update_without_answer_is_made_anew():
    board, service = in_step()
    board.report(rssi=-1)
    board.command("interval_s", 30)
    (lost,) = lose(board)
    harness.equal(lost["state"]["desired"], {"interval_s": 30})
    settle(board, service)
    harness.equal((service.reported["rssi"], service.reported["interval_s"]), (-1, 30))
    harness.equal((service.desired, service.asked), ({"interval_s": 30}, 1))


def test_the_newest_facts_win_over_those_of_a_lost_update():
    board, service = in_step()
    board.report(rssi=-1)
    lose(board)
    board.report(rssi=-2)
    connect(board, service)
    harness.equal(service.reported["rssi"], -2)


def test_tampering_with_reported_is_set_right_at_the_next_get():
    board, service = in_step()
    service.tamper({"interval_s": 5, "rejected": "a scalar"})
    settle(board, service)
    harness.equal(service.updates, [])  # no duel with another writer
    connect(board, service)
    harness.equal(service.reported["interval_s"], 60)
    assert "rejected" not in service.reported


def test_a_get_finds_what_is_tampered_with_whatever_it_was_for():
    for reported in ({"interval_s": 5}, {"rejected": {"sensor": "x"}}, {"rejected": 7}):
        board, service = in_step()
        service.tamper(reported)
        settle(board, service)
        board.sync.get_due = True  # nothing of ours to report
        settle(board, service)
        harness.equal((service.reported["interval_s"], len(service.updates)), (60, 1))
        assert "rejected" not in service.reported


def test_a_get_in_step_brings_no_update():
    board, service = in_step({"interval_s": 60, "drain_per_s": 0})
    told = len(service.updates)
    board.sync.get_due = True
    settle(board, service)
    harness.equal((service.asked, len(service.updates)), (1, told))


def test_a_get_finds_what_is_desired():
    board, service = in_step()
    service.desire({"interval_s": 7})
    del service.out[:]  # lost on the way
    board.sync.get_due = True
    settle(board, service)
    harness.equal((service.reported["interval_s"], len(service.updates)), (7, 1))


def test_answers_now_and_then_are_enough():
    # Three without an answer in a row, not in a week.
    board, service = in_step()
    for n in range(10):
        if n < 5:
            board.sync.get_due = True
        else:
            board.report(rssi=-1)
        lose(board)
        board.pass_s(11)
        assert board.said(b"get")
        settle(board, service)


def test_an_answer_to_get_begins_the_count_anew():
    board, service = in_step()
    board.sync.get_due = True
    board.pass_s(21)
    harness.equal(len(board.said(b"get")), 3)
    service.get(board.session.sent.pop()[1])
    board.session.sent = []
    board.hear(service)
    board.pass_s(12)  # the update is lost
    harness.equal((len(board.said(b"update")), len(board.said(b"get"))), (1, 1))


def test_a_message_that_there_was_no_memory_for_is_asked_for_later():
    board, service = in_step()
    service.desire({"interval_s": 7})
    del service.out[:]
    board.sync.lost()
    board.pass_s(29)
    harness.equal(board.session.sent, [])
    settle(board, service)
    harness.equal((service.asked, service.reported["interval_s"]), (1, 7))


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
    junk = [b"", b"{", b"null", b"[]", b"3", b"\xff\xfe\x00", b'{"state":']
    junk += [b"{}" * 9, b"\x00" * 99]
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


def test_a_flood_of_unknown_keys_is_bounded_and_hides_nothing():
    board, service = in_step()
    desired = {str(i) + "k" * 40: i for i in range(10)}
    desired.update({"interval_s": 30, "drain_per_s": 0, "\x1b[2J\n": 1})
    desire(board, service, desired)
    harness.equal(service.reported["interval_s"], 30)
    rejected = service.reported["rejected"]
    assert len(rejected) == 5 and rejected["..."] == "unknown setting", rejected
    harness.equal(rejected["drain_per_s"], BAD)
    for key in rejected:
        assert len(key) <= 40 and all(32 < ord(c) < 127 for c in key), key
    harness.equal(len(service.updates), 1)


def test_a_long_reason_is_cut():
    board, service = in_step()
    board.settings.refuse = lambda key: "because " * 50
    desire(board, service, {"sensor": "sht3x"})
    harness.equal(service.reported["rejected"], {"sensor": ("because " * 50)[:96]})


def test_other_rejections_in_the_cloud_are_swept_out():
    for count in (3, 38, 39, 40, 100):
        for desired in ({"interval_s": 0}, {}):
            board, service = in_step()
            service.tamper({"rejected": {"old" + str(i): 1 for i in range(count)}})
            service.desire(desired)
            connect(board, service)
            wanted = {"interval_s": BAD} if desired else {}
            harness.equal(service.reported.get("rejected", {}), wanted)
            for update in service.updates:
                assert len(update["state"]["reported"]["rejected"] or ()) <= 40
