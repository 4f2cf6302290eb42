import harness
from firmware.core.documents import load


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
        harness.equal(load(payload, 8), None)


def test_depth_is_counted_exactly():
    for depth in range(1, 20):
        inner = b'{"a":' * depth + b"1" + b"}" * depth
        harness.equal(load(inner, 8) is None, depth > 8)
        harness.equal(load(b'{"a": ' + b"[" * depth + b"]" * depth + b"}", 8) is None, depth > 7)


def test_brackets_in_text_and_side_by_side_are_no_depth():
    assert load(b'{"a": "[[[[[[", "b": "\\"[[[[", "c": "\\\\"}', 1)
    assert not load(b'{"a": "\\\\", "b": [[1]]}', 2)
    assert load(b'{"a": "\\\\", "b": [[1]]}', 3)
    assert load(b'{"a": [[]' + b", []" * 50 + b"]}", 3)


def test_a_document_that_was_cut_off_is_none():
    # json.loads of MicroPython before 1.26 takes '{"action": "reboot"' for an object.
    whole = b'{"a": {"b": [1, 2]}, "c": "}]\\""}'
    assert load(whole, 8)
    for end in range(len(whole)):
        assert not load(whole[:end], 8), whole[:end]


def test_the_scan_does_not_recurse():
    for payload in (b"[" * 3000, b"]" * 3000, b'{"a":' * 3000):
        assert not load(payload, 8)
    assert load(b'{"a": [' + b"[]," * 200 + b"[]]}", 3)


harness.run(globals())
