# Small work on text from outside.

_NEAR_CHARS = 32  # longer words are not compared: the work must stay small


def utf8_len(text):
    # None for half of a surrogate pair, which JSON escapes can make and UTF-8 has no form for.
    # MicroPython encodes it all the same, as bytes that start with 0xED.
    try:
        raw = text.encode()
    except UnicodeError:
        return None
    if b"\xed" in raw:
        for char in text:
            if 0xD800 <= ord(char) <= 0xDFFF:
                return None
    return len(raw)


def printable(text, limit):
    # A key from outside goes to a log line, to a terminal and into JSON.
    return "".join(c if 32 < ord(c) < 127 else "?" for c in text[:limit]) or "(empty)"


def made_of(text, alphabet):
    for char in text:
        if char not in alphabet:
            return False
    return True


def did_you_mean(word, known):
    # ', did you mean "x"?' for the closest known word within two edits, else nothing.
    best, best_edits = None, 3
    for candidate in sorted(known):
        limit = min(best_edits, len(candidate))  # not every letter: that makes x of anything
        edits = _edits(word, candidate, limit)
        if edits < limit:
            best, best_edits = candidate, edits
    return ', did you mean "{}"?'.format(best) if best else ""


def _edits(a, b, limit):
    # Letters to change, add, leave out or swap with the next; limit when it is that or more.
    if len(a) > _NEAR_CHARS or abs(len(a) - len(b)) >= limit:
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
