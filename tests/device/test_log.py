# heap: 48wk
# The ring that keeps the last lines of the log: firmware/chip.py, and what get_log makes of it.

import harness
from fakes import Random
from firmware import chip, crash

HEAD = len("[123456.789] \n")
SIZE = len(chip.buf)
chip.print = lambda *_, **__: None


def ring(size):
    # A fresh one.
    chip.buf, chip.at = bytearray(size), 0


def lines():
    return crash.logs(1)["log"]


def logged(*texts):
    for text in texts:
        chip.log(text)
    return [line.split("] ", 1)[1] for line in lines().split("\n")[:-1]]


def test_it_is_as_large_as_the_board_allows():
    harness.equal(SIZE, 1024 if chip.VERIFIED else 256)


def test_what_was_logged_oldest_first():
    ring(256)
    harness.equal(lines(), "")
    harness.equal(logged("app: one", "wifi: two"), ["app: one", "wifi: two"])
    assert lines().startswith("[") and lines().endswith("wifi: two\n"), lines()


def test_only_whole_lines_and_only_the_newest():
    ring(256)
    texts = ["line: {}".format(n) for n in range(100)]
    found = logged(*texts)
    assert 5 < len(found) < 16, found
    harness.equal(found, texts[-len(found) :])


def test_an_edge_in_the_middle_of_a_character():
    # Wherever it falls, what is left is UTF-8.
    for size in range(60, 90):
        ring(size)
        found = logged("°" * 9, "sensor: 21.37 °C ü€", "°C" * 6)
        harness.equal(found[-1], "°C" * 6)


def test_a_line_longer_than_the_ring():
    ring(64)
    harness.equal(logged("x" * 500), [])
    harness.equal(logged("short"), ["short"])
    harness.equal(logged("y" * 50), [])  # with its head exactly as long


def test_any_lines_at_any_size():
    random = Random(harness.seed())
    for _ in range(harness.count(60)):
        ring(30 + random(300))
        texts = []
        for _ in range(random(30)):
            texts.append("".join([("a", "°", "€", " ")[random(4)] for _ in range(random(40))]))
        found = logged(*texts)
        harness.equal(found, texts[len(texts) - len(found) :])
        # No more is lost than the ring lacks, and the line at its edge.
        lost = texts[: len(texts) - len(found)]
        if lost:
            kept = sum([len(text.encode()) + HEAD for text in found])
            assert kept + len(lost[-1].encode()) + HEAD >= len(chip.buf), (lost, found)


def test_it_stays_where_it_is():
    ring(1024)
    kept = chip.buf
    chip.log("once")
    before = harness.settled_heap()
    for _ in range(300):
        chip.log("again")
    harness.equal((chip.buf is kept, len(kept)), (True, 1024))
    grown = harness.settled_heap() - before
    assert grown < 64, grown
