import harness
from firmware.core import text
from firmware.core.commands import utf8_len


def test_text_is_measured_in_bytes():
    harness.equal([utf8_len(t) for t in ("", "a", "ü", "€")], [0, 1, 2, 3])
    harness.equal([utf8_len(t) for t in ("\ud800", "a\udfff", "\ud7ff")], [None, None, 3])


def test_what_is_shown_is_plain_and_bounded():
    for given, shown in (
        ("abc", "abc"),
        ("", "(empty text)"),
        ("a\n\x1b b", "a???b"),
        ("ü", "??"),
        ("x" * 99, "x" * 9),
        ("\ud800x", "???x"),
    ):
        harness.equal(text.printable(given, 9), shown)
    assert len(text.printable("€" * 99, 9)) <= 9


def unique(i):
    # A text of one character that no other i has, made without touching single characters.
    return bytes([0xE4 + (i >> 12), 0x80 | (i >> 6 & 0x3F), 0x80 | (i & 0x3F)]).decode()


def test_single_characters_leave_nothing_behind():
    # MicroPython interns every character that text is indexed or iterated to, for ever.
    def read(start):
        for i in range(start, start + 400):
            one = unique(i)
            text.printable(one, 9)
            utf8_len(one)
        one = None
        return harness.settled_heap()

    before_bytes = read(0)
    grown_bytes = read(400) - before_bytes
    assert grown_bytes <= 256, grown_bytes


harness.run(globals())
