# heap: 48wk
# Text and JSON from outside: what is taken, what is not, what is left out, and what is shown.

import gc
import json

import harness
from firmware.core.commands import utf8_len
from firmware.core.text import load, printable, squeeze


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
        harness.equal(printable(given, 9), shown)
    assert len(printable("€" * 99, 9)) <= 9


def unique(i):
    # A text of one character that no other i has, made without touching single characters.
    return bytes([0xE4 + (i >> 12), 0x80 | (i >> 6 & 0x3F), 0x80 | (i & 0x3F)]).decode()


def test_single_characters_leave_nothing_behind():
    # MicroPython interns every character that text is indexed or iterated to, for ever.
    def read(start):
        for i in range(start, start + 400):
            one = unique(i)
            printable(one, 9)
            utf8_len(one)
        one = None
        return harness.settled_heap()

    before_bytes = read(0)
    grown_bytes = read(400) - before_bytes
    assert grown_bytes <= 256, grown_bytes


def refused(payload, max_depth):
    try:
        load(payload, max_depth)
    except (ValueError, TypeError):
        return True
    return False


def test_objects_are_loaded_and_nothing_else():
    harness.equal(load(b'{"a": [1, {"b": null}]}', 8), {"a": [1, {"b": None}]})
    harness.equal(load(memoryview(b'{"a": 1}'), 8), {"a": 1})
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
        assert refused(payload, 8), payload


def test_depth_is_counted_exactly():
    for depth in range(1, 20):
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        harness.equal(refused(inner, 8), depth > 8)
        inner = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
        harness.equal(refused(inner, 8), depth > 7)


def test_brackets_in_text_and_side_by_side_are_no_depth():
    assert load(b'{"a": "[[[[[[", "b": "\\"[[[[", "c": "\\\\"}', 1)
    assert refused(b'{"a": "\\\\", "b": [[1]]}', 2)
    assert load(b'{"a": "\\\\", "b": [[1]]}', 3)
    assert load(b'{"a": [[]' + b", []" * 50 + b"]}", 3)


def test_a_document_that_was_cut_off_is_none():
    # json.loads of MicroPython before 1.26 takes '{"action": "reboot"' for an object.
    whole = b'{"a": {"b": [1, 2]}, "c": "}]\\""}'
    assert load(whole, 8)
    for end in range(len(whole)):
        assert refused(whole[:end], 8), whole[:end]


def test_the_scan_does_not_recurse():
    for part in (b'{"a":', b"[", b"]"):  # the largest first, while memory is in one piece
        gc.collect()
        assert refused(part * 3000, 8)
    assert load(b'{"a": [' + b"[]," * 200 + b"[]]}", 3)


def squeezed(text):
    # What is left of it: in one piece, byte by byte, in parts, and behind something else.
    left = None
    for part in (len(text), 1, 7, 16):
        for before in (0, 5):
            buf = bytearray(b"{" * before + text.encode())
            state = [0] * 4
            to = at = before
            while at < len(buf):
                # As the transport does: the next part comes where the rest of the last one ends.
                new = buf[at : at + part]
                buf[to : to + len(new)] = new
                at += len(new)
                to = squeeze(buf, to, to + len(new), state)
            harness.equal(bytes(buf[:before]), b"{" * before)
            found = bytes(buf[before:to])
            harness.equal(left or found, found)
            left = found
    return load(left, 8)


def test_what_aws_says_about_the_age_of_keys_is_not_kept():
    inner = '{"reported": {"a": {"timestamp": 1795248682}, "}": [{"timestamp": 1}, "\\"]}"]}}'
    for text in (
        '{"metadata":%s,"state":{"a":1},"version":7}',
        '{"state":{"a":1},"metadata":%s,"version":7}',
        '{"state":{"a":1},"version":7,"metadata":%s}',
        '{ "state" : {"a":1} , "metadata" : %s , "version":7 }',
        '{"state":{"a":1},"version":7,\n"metadata"\n:\n%s\n}',
    ):
        wanted = {"state": {"a": 1}, "version": 7, "metadata": {}}
        harness.equal(squeezed(text % inner), wanted)
        harness.equal(squeezed(text % "{}"), wanted)
    harness.equal(squeezed('{"metadata":[[1],{"a":2}],"b":3}'), {"metadata": [], "b": 3})
    harness.equal(squeezed('{"metadata": %s}' % inner), {"metadata": {}})


def test_what_differs_is_not_kept_twice():
    for inner in ("{}", '{"a": {"b": [1]}, "c": "}"}'):
        text = '{"state":{"desired":{"delta":{"a":1}},"delta": %s,"reported":{"b":2}},"version":7}'
        state = {"desired": {"delta": {"a": 1}}, "delta": {}, "reported": {"b": 2}}
        harness.equal(squeezed(text % inner), {"state": state, "version": 7})


def test_another_member_than_the_delta_may_be_left_out():
    # Of an update that is accepted: what was desired counts.
    text = b'{"state":{"desired":{"a":null,"b":{"c":1}},"reported" : {"b":{"c":[1]}}},"version":7}'
    found = load(bytearray(text), 12, b'"reported":')
    state = {"desired": {"a": None, "b": {"c": 1}}, "reported": {}}
    harness.equal(found, {"state": state, "version": 7})


def test_other_metadata_is_kept():
    for text in (
        '{"state": {"metadata": {"a": {"b": 1}}}, "version": 7}',
        '{"state": {"a": "\\"metadata\\":", "metadata": [1, 2]}, "b": {"c": 1}}',
        '{"metadata": 1, "b": {"c": 2}}',
        '{"metadata": "{", "b": [3]}',
        '{"a": "metadata", "b": {"c": [1]}}',
        '{"metadata2": {"a": 1}, "a": {"metadata": {"metadata": 2}}}',
        '{"delta": {"a": 1}, "state": {"delta": 1, "b": {"delta": {"a": 1}}, "delta2": {"c": 1}}}',
        '{"a": {"x": 1}, "b": {"metadata": {}}, "c": [{"metadata": {"d": 1}}]}',
    ):
        harness.equal(squeezed(text), json.loads(text))


def test_what_is_not_from_aws_does_no_harm():
    for text in ("", "]]]]", '"metadata', '{"metadata":{', '{"metadata":[}]{"a"', '\\"{"'):
        buf = bytearray(text.encode())
        assert squeeze(buf, 0, len(buf), [0] * 4) <= len(buf), text
