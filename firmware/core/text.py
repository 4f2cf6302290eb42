# Small work on text from outside, for the board (loaded on demand) and for tools/. It is done on
# bytes: MicroPython keeps every single character that text was ever indexed or iterated to, for
# good (its string intern pool), and whoever can send text could so fill the heap.


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
    # ', did you mean "x"?' for the closest known word within two edits (letters to change, add,
    # leave out or swap with the next), else nothing. Words over 32 letters are not compared: the
    # work must stay small.
    best = ""
    best_edits = 3
    word = raw(word) if len(word) <= 32 else b""
    for candidate in sorted(known):
        b = raw(candidate)
        before = None
        row = list(range(len(b) + 1))
        for i in range(len(word)):
            after = [i + 1]
            for j in range(len(b)):
                edits = min(row[j] + (word[i] != b[j]), row[j + 1] + 1, after[j] + 1)
                if i and j and word[i] == b[j - 1] and word[i - 1] == b[j]:
                    edits = min(edits, before[j - 1] + 1)
                after.append(edits)
            before = row
            row = after
        if row[-1] < min(best_edits, len(b)):  # not every letter: that makes x of anything
            best_edits = row[-1]
            best = ', did you mean "{}"?'.format(candidate)
    return best
