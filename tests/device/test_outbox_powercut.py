# The power fails before, and in the middle of, every single write and erase of a scenario:
# whatever put() had returned must be there afterwards, or have been acknowledged or counted as
# dropped; nothing corrupt, nothing under two seqs, no seq used twice.
#
# The scenario runs once on flash that keeps a journal (flash.py); then each prefix of the journal
# is a board that lost power there. FIELDMOUSE_FUZZ: how many of them lose power a second
# time while they recover.

import harness
import powercut
from flash import Flash

_JOURNAL_BYTES = 1_000_000


def test_no_cut_loses_a_reading():
    journal = Flash(powercut.BLOCKS, _JOURNAL_BYTES)
    start = Flash(powercut.BLOCKS)
    journal.format()
    start.copy(journal)
    journal.forget()
    journal.mount()
    history = powercut.scenario(journal)
    journal.umount()
    harness.equal(powercut.replay(history, journal, start, harness.count(300)), 0)


harness.run(globals())
