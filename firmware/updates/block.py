# A block of an MQTT stream, inside the MQTT callback: it is appended to the file that it is for if
# it is the one that is wanted now, and else dropped. On demand; fetch.py asks for them.
#
# The message is the largest that a board gets while it has other work: its text is decoded where
# it lies, in pieces, and neither JSON nor files.py is loaded for more than the rest of it.

import binascii
import json
import os
from micropython import const

BYTES = const(1024)  # aws-facts 5.7: 256 at least
_WAIT_S = const(10)
_TEXT = const(256)  # characters of base64 at once, for 192 bytes
_REST = const(512)  # all but that; with a clientToken


def receive(app, job, kind, payload):
    if kind != "streams/{}/data/json".format(job["document"]["stream"]) or "want" not in job:
        return
    try:
        begin, end = _text(payload)
        document = json.loads(bytes(payload[:begin]) + bytes(payload[end:]))
        number, length = document["i"], document["l"]
        if document["f"] != 0 or document["p"] or number != job["want"]:
            return
        size = (end - begin) // 4 * 3 - (payload[end - 1] == 0x3D) - (payload[end - 2] == 0x3D)
        path, at, whole = job["file"][:3]
        try:
            have = os.stat(path)[6]
        except OSError:
            have = 0
        start = at + have - number * BYTES
        more = min(whole - have, BYTES - start)
        if length != size or (end - begin) & 3 or not 0 <= start < start + more <= size <= BYTES:
            raise ValueError  # cut off, or of another size: asked for again
        with open(path, "ab") as f:
            _append(f, payload[begin:end], start, start + more)
    except OSError as e:
        job["error"], app.job_s = e, app.clock.s
        return
    except (ValueError, TypeError, KeyError, IndexError):
        app.shadow.junk += 1
        return
    job["want"], job["asks"] = number + 1, 0
    app.job_s = app.clock.s + (_WAIT_S if have + more < whole and number + 1 < job["end"] else 0)


def _text(payload):
    # Where the text of "p" is, between its quotes. There is no backslash in a block.
    begin, inside, named = 0, False, False
    for at in range(len(payload)):
        if payload[at] == 0x22:
            if inside:
                if named:
                    break
                named = at - begin == 1 and payload[begin] == 0x70
            begin, inside = at + 1, not inside
    if len(payload) - at + begin > _REST:
        raise ValueError
    return begin, at


def _append(f, text, start, end):
    # Bytes start to end of what `text` is the base64 of. Should it be damaged in the middle, what
    # came before is good.
    done = 0
    for at in range(0, len(text), _TEXT):
        piece = text[at : at + _TEXT]
        data = binascii.a2b_base64(piece)
        if len(data) < min(_TEXT // 4 * 3, end - done):
            raise ValueError
        low, high = max(start - done, 0), min(end - done, len(data))
        if low < high:
            f.write(memoryview(data)[low:high])
        done += len(data)
