# Small work on text from outside. It is done on bytes: MicroPython keeps every single character
# that text was ever indexed or iterated to, for good (its string intern pool), and whoever can
# send text could so fill the heap.

_NEAR_CHARS = 32  # longer words are not compared: the work must stay small


def raw(text):
    # UTF-8, but half a surrogate pair passes, as it always does in MicroPython.
    return text.encode("utf-8", "surrogatepass")


def utf8_len(text):
    # None when it holds half of a surrogate pair: JSON escapes can make one, and UTF-8 has no
    # form for it (0xED and then 0xA0 or more is what it would be).
    data = raw(text)
    at = data.find(b"\xed")
    while at >= 0:
        if data[at + 1] >= 0xA0:
            return None
        at = data.find(b"\xed", at + 1)
    return len(data)


def printable(text, limit):
    # A key from outside goes to a log line, to a terminal and into JSON.
    data = bytearray(raw(text[:limit])[:limit])
    for i in range(len(data)):
        if not 32 < data[i] < 127:
            data[i] = 0x3F
    return data.decode() if data else "(empty)"


def made_of(text, alphabet):
    # The alphabet is given as bytes.
    for byte in raw(text):
        if byte not in alphabet:
            return False
    return True


def did_you_mean(word, known):
    # ', did you mean "x"?' for the closest known word within two edits, else nothing.
    best, best_edits = None, 3
    if len(word) <= _NEAR_CHARS:
        word = raw(word)
        for candidate in sorted(known):
            limit = min(best_edits, len(candidate))  # not every letter: that makes x of anything
            edits = _edits(word, raw(candidate), limit)
            if edits < limit:
                best, best_edits = candidate, edits
    return ', did you mean "{}"?'.format(best) if best else ""


def _edits(a, b, limit):
    # Letters to change, add, leave out or swap with the next; limit when it is that or more.
    if abs(len(a) - len(b)) >= limit:
        return limit
    before, row = None, list(range(len(b) + 1))
    for i in range(len(a)):
        after = [i + 1]
        for j in range(len(b)):
            edits = min(row[j] + (a[i] != b[j]), row[j + 1] + 1, after[j] + 1)
            if i and j and a[i] == b[j - 1] and a[i - 1] == b[j]:
                edits = min(edits, before[j - 1] + 1)
            after.append(edits)
        before, row = row, after
    return min(limit, row[-1])
