# heap: 144wk
# Readings of boots that had no time: what becomes of their dates.

import json
import os
import struct

import harness
from firmware import upkeep
from firmware.core import telemetry
from flash import Flash, Journal, mounted
from no_time_board import BUILT, Board, remove

FLASH = mounted(Flash(24))
ON = BUILT + 1_000_000  # of the first boot


def fresh():
    FLASH.fresh()
    return []


def check(board, taken, first_exact, until):
    # Nothing lost; dated by those that know, and else bounded by what is known: no earlier than
    # the reading before it, no later than it was taken, or the next boot that is known began.
    found = board.waiting()
    harness.equal([number for _, number, _ in found], list(range(len(taken))))
    harness.equal([seq for seq, _, _ in found], list(range(found[0][0], found[0][0] + len(taken))))
    last = BUILT
    for _, number, s2000 in found:
        if number >= first_exact:
            harness.equal(s2000, taken[number])
        else:
            assert s2000 < 0 or s2000 == taken[number], (number, s2000)
            assert s2000 >= -until, (number, s2000, until)
        assert last <= abs(s2000) <= taken[number], (number, s2000, last)
        last = abs(s2000)
    return found


def test_the_boot_that_learns_the_time_dates_all_its_readings():
    taken = fresh()
    board = Board(ON, taken).run(35)
    harness.equal(
        [s2000 for _, _, s2000 in board.waiting()], [-BUILT - n for n in (0, 10, 20, 30)]
    )
    board.know(20)
    check(board, taken, 0, ON + 100)
    harness.equal(board.starts(), [1, ON])
    # What is sent again after a restart has the time that it had.
    before = board.waiting()
    harness.equal(Board(ON + 100, taken, True).waiting(), before)
    harness.equal(Board(ON + 100, taken).waiting(), before)


def test_a_start_that_was_wrong_is_put_right():
    # By a second NTP server or AWS: what was stored without a time is dated anew.
    taken = fresh()
    board = Board(ON, taken).run(35)
    board.clock.offset = ON + 63_072_000
    board.run(1)
    harness.equal(board.starts(), [1, ON + 63_072_000])
    board.know(20)
    check(board, taken, 0, ON + 100)
    harness.equal(board.starts(), [1, ON])
    ops = FLASH.ops
    for drift in (1, 2, 0):  # of a sync every six hours
        board.clock.offset = ON + drift
        board.run(1)
    harness.equal((board.starts(), FLASH.ops), ([1, ON], ops))
    # The entry of an earlier boot is not this one's to change.
    board = Board(ON + 1000, taken, True).run(15)
    board.clock.offset += 500
    board.run(10)
    harness.equal((board.starts(), board.sampler.started), ([1, ON], ON + 1500))


def test_a_time_that_was_dropped():
    # Stamps stay; what has none is dated by what the boot learns later, or estimated.
    for older, undated in ((True, True), (True, False), (False, True), (False, False)):
        taken = fresh()
        if older:
            board = Board(ON - 1000, taken).run(15)
            board.know(1)
        n = len(taken)
        board = Board(ON, taken)
        board.run(15 if undated else 0)
        board.clock.offset, stamped = ON - 500_000, len(taken)
        board.run(10)
        board.clock.offset = None
        until = len(taken)
        board.run(20)
        found = board.waiting()
        assert all([s2000 < 0 for _, _, s2000 in found[until:] + found[n:stamped]]), found
        # The bound is of the boot's start: an estimate is not later than it was taken.
        assert all([-s2000 <= taken[number] for _, number, s2000 in found[until:]]), found
        board.know(20)
        for _, number, s2000 in board.waiting():
            wrong = stamped <= number < until
            harness.equal(s2000, taken[number] - 500_000 if wrong else taken[number])


def test_a_last_good_time_before_the_build_is_no_bound():
    taken = fresh()
    board = Board(ON, taken)
    board.settings.note("clock", BUILT - 1)
    board.run(1)
    harness.equal(board.starts(), [1, -BUILT])


def lives(taken):
    # One that knows, three that never do, one that learns it; each is on for 35 s.
    for n, known in enumerate((True, False, False, False)):
        Board(ON + 1000 * n, taken, known).run(35)
    return Board(ON + 4000, taken).run(35)


def test_boots_that_never_learn_it_are_estimated():
    taken = fresh()
    board = lives(taken)
    board.know(20)
    found = check(board, taken, 16, ON + 4000)
    estimated = [number for _, number, s2000 in found if s2000 < 0]
    harness.equal(estimated, list(range(4, 16)))
    # Each boot from the reading before it on, with the time between its own readings.
    harness.equal([taken[3] + s2000 for _, _, s2000 in found[4:8]], [0, -10, -20, -30])
    harness.equal(found[8][2], found[7][2])
    for later in range(3):  # and so it stays, known or not
        again = Board(ON + 5000 + 1000 * later, taken, later == 1).run(5)
        harness.equal(again.waiting()[: len(found)], found)


def test_an_estimate_ends_where_the_next_known_boot_began():
    # The last good time was wrong, years ahead: what is known later bounds it.
    taken = fresh()
    board = Board(ON, taken)
    board.settings.note("clock", ON + 60_000_000)
    board.run(15)
    board = Board(ON + 1000, taken, True).run(15)
    harness.equal([s2000 for _, _, s2000 in board.waiting()[:2]], [-ON - 1000, -ON - 1000])
    harness.equal(board.starts(), [1, -ON - 60_000_000, 3, ON + 1000])


def test_a_boot_that_knew_the_time_from_the_start_ends_an_estimate():
    taken = fresh()
    Board(ON, taken).run(15)
    board = Board(ON + 1000, taken, True).run(1)
    harness.equal(board.starts(), [1, -BUILT, 3, ON + 1000])
    found = board.waiting()
    later = Board(ON + 2000, taken, True).run(1)
    harness.equal((later.waiting()[:3], later.starts()), (found, board.starts()))


def test_what_no_stored_reading_needs_goes():
    taken = fresh()
    for n in range(5):
        board = Board(ON + 1000 * n, taken).run(15)
        board.know(5)
        board.send()
        board.outbox.flush()
        harness.equal(board.starts(), [2 * n + 1, ON + 1000 * n])
    board = Board(ON + 5000, taken, True)
    ops = FLASH.ops
    upkeep.start(board)  # the time was there before the first reading: nothing to write
    harness.equal(
        (board.starts(), FLASH.ops, board.sampler.started), ([9, ON + 4000], ops, ON + 5000)
    )


def test_a_boot_that_stored_nothing_leaves_nothing():
    taken = fresh()
    for n in range(3):
        board = Board(ON + 1000 * n, taken)
        upkeep.start(board)  # and the power went
    harness.equal(board.starts(), [1, -BUILT])


def test_more_boots_than_are_told_apart():
    taken = fresh()
    for n in range(20):
        Board(ON + 1000 * n, taken).run(15)
    board = Board(ON + 20_000, taken, True).run(5)
    harness.equal(len(board.starts()), 2 * 16)
    check(board, taken, 40, ON + 20_000)
    assert board.waiting()[0][2] < 0


def test_settings_that_are_gone():
    # Nothing says any more which boot it was: before the next one that is known.
    taken = fresh()
    Board(ON, taken).run(35)
    os.remove("data/settings.json")
    for later, known in ((1000, True), (2000, False)):
        board = Board(ON + later, taken, known).run(5)
        harness.equal([s2000 for _, _, s2000 in board.waiting()[:4]], [-ON - 1000] * 4)


def test_estimates_ascend_though_the_newest_reading_is_damaged():
    taken = fresh()
    Board(ON, taken, True).run(35)
    board = Board(ON + 100, taken).run(35)
    open(board.outbox.paths[1], "wb").close()  # the one written last
    board = Board(ON + 200, taken).run(35)
    times = [abs(s2000) for _, _, s2000 in board.waiting()]
    harness.equal((len(times), times), (11, sorted(times)))


def test_an_outbox_that_is_gone_takes_its_boots_along():
    taken = fresh()
    Board(ON, taken).run(35)
    remove("data/outbox")
    del taken[:]
    board = Board(ON + 1000, taken).run(15)
    harness.equal(board.starts(), [1, -BUILT])
    board.know(5)
    check(board, taken, 0, ON + 2000)


def test_a_long_uptime_and_years_to_come():
    # 2^30 s2000 is 2034: no small int on a board any more.
    for start in (ON, (1 << 30) + 5, (1 << 31) + 5):
        frame = b"\x04" + struct.pack("<II", 7, 500_000_000)
        harness.equal(telemetry.time_of(frame, 0, [3, start, 9, start + 1]), start + 500_000_000)
        harness.equal(telemetry.time_of(frame, 0, [3, -start]), -start - 500_000_000)
        harness.equal(telemetry.time_of(frame, 0, [3, -start, 9, start + 1]), -start - 1)
        frame = b"\x04" + struct.pack("<II", 7, start)
        for starts in (None, (), [3, ON], [8, -ON]):
            harness.equal(telemetry.time_of(frame, 0, starts), start)


def payload(s2000, starts):
    record = bytearray(telemetry.RECORD_BYTES)
    buf = bytearray(telemetry.TEXT_BYTES + 3)
    telemetry.pack(record, 0, s2000, (2137, 4512, 101325))
    frame = bytes([len(record)]) + struct.pack("<I", 7) + record + b"\xaa\x55"
    return bytes(buf[: telemetry.write_json(buf, 0, frame, 0, b"t-1", starts)])


def test_an_estimate_says_so_in_the_payload():
    text = payload(60, [1, -ON])
    wanted = b'"pressure": 1013.25, "time": "estimated"}'
    harness.equal(text[-len(wanted) :], wanted)
    harness.equal(json.loads(text)["timestamp"], ON + 60 + 946684800)
    text = payload(60, [1, ON])
    harness.equal((json.loads(text)["timestamp"], text[-9:]), (ON + 60 + 946684800, b" 1013.25}"))
    harness.equal(payload(ON + 60, ()), text)


LATER = ON + 100_000  # of the board that comes back


class Life(Board):
    # stored: where the journal was when each put() had returned.
    def __init__(self, on, taken, known, journal, stored):
        super().__init__(on, taken, known)
        put = self.outbox.put

        def noted(record, size):
            seq = put(record, size)
            stored.append(journal.ops)
            return seq

        self.outbox.put = noted


def scenario(journal):
    taken, stored = [], []

    def life(n, known=False):
        return Life(ON + 1000 * n, taken, known, journal, stored).run(35)

    life(0, True)
    journal.begin()
    stored[:] = [0] * len(stored)
    life(1)
    life(2)
    board = life(3)
    board.know(20)
    board.send(10)
    board.outbox.flush()
    life(4)
    life(5, True)
    board = life(6)
    board.know(20)
    board.send()
    board.outbox.flush()
    life(7)
    return taken, stored


def look(board, taken, least):
    found = board.waiting()
    numbers = [number for _, number, _ in found]
    harness.equal([seq - 1 for seq, _, _ in found], numbers)
    harness.equal(numbers, list(range(numbers[0], numbers[-1] + 1)) if found else [])
    assert board.outbox.next - 1 >= least, (board.outbox.next, least)
    last = BUILT
    for _, number, s2000 in found:
        assert s2000 == taken[number] or 0 < -s2000 <= LATER, (number, s2000, taken[number])
        assert last <= abs(s2000) <= taken[number], (number, s2000, last, taken[number])
        last = abs(s2000)
    harness.equal(board.outbox.corrupt, 0)
    return found


def test_no_cut_loses_a_reading_or_makes_a_wrong_date():
    FLASH.umount()
    journal = mounted(Journal(16, 600_000))
    taken, stored = scenario(journal)
    journal.umount()
    cuts = exact = estimated = 0
    for ops, flash in journal.cuts():
        cuts += 1
        least = sum([at <= ops for at in stored])
        flash.mount()
        probe = Board(LATER, [], cuts % 2)
        known = taken[: probe.outbox.next - 1]
        board = Board(LATER, known, cuts % 2).run(15)
        if not cuts % 2:
            board.know(1)
        found = look(board, known, least + 2)
        harness.equal(Board(LATER + 1000, list(known), True).waiting(), found)
        exact += sum([s2000 > 0 for _, _, s2000 in found])
        estimated += sum([s2000 < 0 for _, _, s2000 in found])
        flash.umount()
    print("cuts tried {}, dates exact {}, estimated {}".format(cuts, exact, estimated))
    assert cuts > 250 and estimated > 1000, (cuts, estimated)
    FLASH.mount()
