# heap: 128wk
# The power fails before, and in the middle of, every write and erase of boots that know the time,
# never learn it, or learn it late: no reading lost, and no date that is wrong and not marked.

import harness
from flash_journal import Journal
from no_time_board import BUILT, Board

ON = BUILT + 1_000_000  # of the first boot
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
        board = Life(ON + 1000 * n, taken, known, journal, stored)
        board.run(35)
        return board

    life(0, True)
    journal.begin()
    stored[:] = [0] * len(stored)
    life(1)
    life(2)
    board = life(3)
    board.know()
    board.run(20)
    board.send(10)
    board.outbox.flush()
    life(4)
    life(5, True)
    board = life(6)
    board.know()
    board.run(20)
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
    journal = Journal(16, 600_000)
    journal.format()
    journal.mount()
    taken, stored = scenario(journal)
    journal.umount()
    cuts = exact = estimated = 0
    for ops, flash in journal.cuts():
        cuts += 1
        least = sum([at <= ops for at in stored])
        flash.mount()
        probe = Board(LATER, [], cuts % 2)
        known = taken[: probe.outbox.next - 1]
        board = Board(LATER, known, cuts % 2)
        board.run(15)
        if not cuts % 2:
            board.know()
            board.run(1)
        found = look(board, known, least + 2)
        harness.equal(Board(LATER + 1000, list(known), True).waiting(), found)
        exact += sum([s2000 > 0 for _, _, s2000 in found])
        estimated += sum([s2000 < 0 for _, _, s2000 in found])
        flash.umount()
    print("cuts tried {}, dates exact {}, estimated {}".format(cuts, exact, estimated))
    assert cuts > 250 and estimated > 1000, (cuts, estimated)


harness.run(globals())
