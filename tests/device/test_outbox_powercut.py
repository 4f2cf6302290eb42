# heap: 48wk
# The power fails before, and in the middle of, every single write and erase of a scenario:
# whatever put() had returned must be there afterwards, or have been acknowledged or counted as
# dropped; nothing corrupt, nothing under two seqs, no seq used twice.
#
# The scenario runs once on flash that keeps a journal (flash_journal.py); then each prefix of the
# journal is a board that lost power there. FIELDMOUSE_FUZZ: how many of them, about, lose
# power a second time while they recover.
#
# What is written is the same with 32 and 64 bits: a board's kind tries three of four cuts, the
# other one the rest.

import sys

import harness
from firmware.outbox import Outbox
from flash_journal import Journal
from powercut import BLOCKS, scenario
from powercut_check import replay


def boot():
    return Outbox("data/outbox", 8192, lambda text: None)


def _mine(number):
    return (number & 3 == 0) == (sys.maxsize >> 32 > 0)


def test_no_cut_loses_a_reading():
    journal = Journal(BLOCKS, 400_000)
    journal.format()
    journal.begin()
    journal.mount()
    history = scenario(journal, boot)
    journal.umount()
    harness.equal(replay(history, journal, harness.count(300), _mine), 0)


harness.run(globals())
