# heap: 52wk
# Two boards with one thing: what each finds in the shadow (firmware/core/shadow.py).

import harness
from shadow_setup import Board, ShadowService, connect

SAID = "shadow: another board uses this thing: "


def made(ident, state=()):
    board = Board(state=state)
    board.facts["board_id"] = ident
    return board


def said(board):
    return [line[len(SAID) :] for line in board.log.lines if line.startswith(SAID)]


def test_another_id_after_ours_is_another_board():
    one, two, service = made("aa"), made("bb"), ShadowService()
    for board, wanted in ((one, None), (two, None), (one, "bb"), (two, "aa"), (two, None)):
        connect(board, service)
        harness.equal(board.session.rival, wanted)
        harness.equal(service.reported["board_id"], board.facts["board_id"])
    harness.equal((said(one), said(two)), (["bb"], ["aa"]))


def test_it_is_known_after_a_restart():
    service = ShadowService()
    one = made("aa")
    connect(one, service)
    connect(made("bb"), service)
    again = made("aa", state=one.settings.state)
    connect(again, service)
    harness.equal((again.session.rival, again.settings.state["board_id"]), ("bb", "aa"))


def test_a_board_that_was_replaced_is_none():
    service = ShadowService()
    service.tamper({"board_id": "old"})
    board = made("aa")
    connect(board, service)
    harness.equal((board.session.rival, service.reported["board_id"]), (None, "aa"))
    connect(board, service)
    harness.equal((board.session.rival, said(board)), (None, []))


def test_what_aws_has_not_accepted_does_not_count():
    service = ShadowService()
    service.tamper({"board_id": "old"})
    for code in (400, 413, 500):
        board = made("aa")
        service.refuse = [code] * 3
        connect(board, service)
        connect(board, service)
        harness.equal((code, board.session.rival), (code, None))
        service.tamper({"board_id": "old"})


def test_flash_that_was_copied_to_another_board():
    service = ShadowService()
    one = made("aa")
    connect(one, service)
    copy = made("bb", state=one.settings.state)
    connect(copy, service)
    harness.equal((copy.session.rival, copy.settings.state["board_id"]), (None, "bb"))
    connect(one, service)
    connect(copy, service)
    harness.equal((one.session.rival, copy.session.rival), ("bb", "aa"))


def test_a_shadow_that_was_deleted_and_ids_that_are_none():
    service = ShadowService()
    board = made("aa")
    connect(board, service)
    service.delete()
    connect(board, service)
    for ident in (None, 5, [], {}, True):
        service.tamper({"board_id": ident})
        connect(board, service)
        harness.equal((ident, board.session.rival), (ident, None))
        harness.equal(service.reported["board_id"], "aa")  # put right
    service.tamper({"board_id": "\x1b[2J" + "x" * 100})
    connect(board, service)
    harness.equal(board.session.rival, "?[2J" + "x" * 36)
    connect(board, service)
    harness.equal(board.session.rival, None)


harness.run(globals())
