# heap: 48wk
# The power fails before, and in the middle of, every single write and erase of a scenario:
# whatever put() had returned must be there afterwards, or have been acknowledged or counted as
# dropped; nothing corrupt, nothing under two seqs, no seq used twice.
#
# The scenario runs once on flash that keeps a journal (flash_journal.py); then each prefix of the
# journal is a board that lost power there. FIELDMOUSE_FUZZ: how many of them, about, lose
# power a second time while they recover.
#
# All cuts are tried with the objects of a board; with those of 64 bits, which write the very same
# to flash, one in four.

import sys

import harness
from firmware.outbox import Outbox
from flash_journal import Journal
from powercut import BLOCKS, scenario
from powercut_check import replay


def boot():
    return Outbox("data/outbox", 8192, lambda text: None)


def test_no_cut_loses_a_reading():
    journal = Journal(BLOCKS, 400_000)
    journal.format()
    journal.begin()
    journal.mount()
    history = scenario(journal, boot)
    journal.umount()
    harness.equal(replay(history, journal, harness.count(300), 4 if sys.maxsize >> 32 else 1), 0)


harness.run(globals())
