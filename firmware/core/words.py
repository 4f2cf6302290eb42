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
    # Levenshtein distance by rows; limit when it is that or more.
    if len(a) > _NEAR_CHARS or abs(len(a) - len(b)) >= limit:
        return limit
    row = list(range(len(b) + 1))
    for i in range(len(a)):
        diagonal, row[0] = row[0], i + 1
        for j in range(len(b)):
            cost = diagonal if a[i] == b[j] else diagonal + 1
            diagonal = row[j + 1]
            row[j + 1] = min(cost, diagonal + 1, row[j] + 1)
    return min(limit, row[-1])
