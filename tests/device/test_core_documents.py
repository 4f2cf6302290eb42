import harness
from firmware.core import documents, words


def test_objects_are_loaded_and_nothing_else():
    harness.equal(documents.load(b'{"a": [1, {"b": null}]}', 100, 8), {"a": [1, {"b": None}]})
    for payload in (
        b"",
        b"[]",
        b"null",
        b"1",
        b'"a"',
        b"{",
        b"}",
        b'{"a"',
        b"\xff",
        b'{"\xff": 1}',
    ):
        harness.equal(documents.load(payload, 100, 8), None)


def test_size_is_checked_before_anything_else():
    harness.equal(documents.load(b'{"a": 1}', 8, 8), {"a": 1})
    harness.equal(documents.load(b'{"a": 1}', 7, 8), None)


def test_depth_is_counted_exactly():
    for depth in range(1, 20):
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        harness.equal(documents.nested_well(inner, 8), depth <= 8)
        harness.equal(documents.load(inner, 500, 8) is None, depth > 8)


def test_brackets_in_text_and_side_by_side_are_no_depth():
    assert documents.nested_well(b'{"a": "[[[[[[", "b": "\\"[[[[", "c": "\\\\"}', 2)
    assert not documents.nested_well(b'{"a": "\\\\", "b": [[1]]}', 2)
    assert documents.nested_well(b'{"a": [[]' + b", []" * 50 + b"]}", 3)


def test_a_document_that_was_cut_off_is_none():
    # json.loads of MicroPython before 1.26 takes '{"action": "reboot"' for an object.
    whole = b'{"a": {"b": [1, 2]}, "c": "}]"}'
    assert documents.nested_well(whole, 8)
    for end in range(1, len(whole)):
        assert not documents.nested_well(whole[:end], 8), whole[:end]


def test_the_scan_does_not_recurse():
    assert not documents.nested_well(b"[" * 3000, 8)
    assert not documents.nested_well(b"]" * 3000, 8)
    assert documents.nested_well(b"[]" * 1500, 1)


def test_words_two_edits_apart_are_guessed():
    known = ("interval_s", "sensor", "i2c", "ntp")
    for word, guess in (
        ("intervall_s", "interval_s"),
        ("intreval_", "interval_s"),
        ("ic2", "i2c"),
    ):
        harness.equal(words.did_you_mean(word, known), ', did you mean "{}"?'.format(guess))
    for word in ("", "x" * 1000, "temperature", "interv"):
        harness.equal(words.did_you_mean(word, known), "")


def test_text_is_measured_in_bytes():
    harness.equal([words.utf8_len(text) for text in ("", "a", "ü", "€")], [0, 1, 2, 3])
    harness.equal(
        [words.utf8_len(text) for text in ("\ud800", "a\udfff", "\ud7ff")], [None, None, 3]
    )


def alien(i):
    # A text of one character that no other i has, made without touching single characters.
    return bytes([0xE4 + (i >> 12), 0x80 | (i >> 6 & 0x3F), 0x80 | (i & 0x3F)]).decode()


def test_strange_characters_leave_nothing_behind():
    # MicroPython interns every character that text is indexed or iterated to, for ever.
    def read(start):
        for i in range(start, start + 400):
            text = alien(i)
            words.printable(text, 9)
            words.made_of(text, b"abc")
            words.utf8_len(text)
            words.did_you_mean(text, ("abc", "xyz"))
        text = None
        return harness.settled_heap()

    before_bytes = read(0)
    grown_bytes = read(400) - before_bytes
    assert grown_bytes <= 256, grown_bytes


harness.run(globals())
