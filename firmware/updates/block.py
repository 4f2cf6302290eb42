# A block of an MQTT stream, inside the MQTT callback: it is appended to the file that it is for if
# it is the one that is wanted now, and else dropped. On demand; fetch.py asks for them.

import binascii
from micropython import const

from firmware.core.text import load
from firmware.updates import slots

BYTES = const(1024)  # aws-facts 5.7: 256 at least
_WAIT_S = const(10)


def receive(app, job, kind, payload):
    if kind != "streams/{}/data/json".format(job["document"]["stream"]) or "want" not in job:
        return
    try:
        document = load(payload, 4)
        number, length, text = document.get("i"), document.get("l"), document.get("p")
        if document.get("f") != 0 or number != job["want"] or not isinstance(text, str):
            return
        document = None
        data = binascii.a2b_base64(text)
    except (ValueError, TypeError):
        app.shadow.junk += 1
        return
    path, at, size = job["file"][:3]
    have = slots.size(path)
    start = at + have - number * BYTES
    more = min(size - have, BYTES - start)
    if length != len(data) or not 0 <= start < start + more <= length <= BYTES:
        app.shadow.junk += 1  # cut off, or of another size: asked for again
        return
    with open(path, "ab") as f:
        f.write(memoryview(data)[start : start + more])
    job["want"], job["tries"] = number + 1, 0
    app.job_s = app.clock.s + (_WAIT_S if have + more < size and number + 1 < job["end"] else 0)
