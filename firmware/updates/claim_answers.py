# What is asked of AWS with a claim, and what its answers mean: functions on `c`, a Claiming. On
# demand.

import json
import os
from micropython import const

from firmware import chip, files
from firmware.core.errors import LinkError
from firmware.core.text import printable
from firmware.net import packets

_CREATE = const("$aws/certificates/create-from-csr/json")
_NEW = const("certs/b/cert.new")  # not registered yet
_CERT_BYTES = const(3_072)
_TOKEN_BYTES = const(2_048)
_ANSWER_MS = const(60_000)


def talk(c):
    if c.message:
        (kind, answer), c.message = c.message, None
        if kind != b"accepted":
            text = "{} {}".format(answer.get("errorCode"), answer.get("errorMessage"))
            raise LinkError("claim", "rejected " + printable(text, 120).replace("?", " "))
        if c.topic == c.provision:
            _registered(c, answer)
        else:
            _ask(c, c.provision, _signed(c, answer), -2)
        return
    (status, details), c.out = c.out, None
    if status == "FAILED":
        raise LinkError("claim", details["reason"])
    text = details["csr"]
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    edge = "-----{} CERTIFICATE REQUEST-----\n"
    request = edge.format("BEGIN") + "\n".join(lines) + "\n" + edge.format("END")
    _ask(c, _CREATE, {"certificateSigningRequest": request}, -1)


def _ask(c, topic, document, tag):
    packets.document(c.session, topic.encode(), json.dumps(document), tag)
    c.topic = topic
    c.late.start(_ANSWER_MS)


def _signed(c, answer):
    # The certificate goes to flash; gives what registers it.
    from firmware.updates import certificate, rotate

    pem, token = answer.get("certificatePem"), answer.get("certificateOwnershipToken")
    if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_BYTES:
        raise LinkError("claim", "no ownership token")
    try:
        ours = isinstance(pem, str) and len(pem) <= _CERT_BYTES and certificate.point(pem)
    except ValueError:
        ours = False
    if not ours or ours != rotate.point("certs/b/"):
        raise LinkError("claim", "no certificate for our key")
    files.replace(_NEW, pem)
    return {"certificateOwnershipToken": token, "parameters": c.parameters}


def _registered(c, answer):
    if answer.get("thingName") != c.thing:
        raise LinkError("claim", "it is the certificate of another thing")
    os.rename(_NEW, "certs/b/cert.pem")
    chip.log("claim: {} has its certificate, restarting".format(c.thing))
    packets.disconnect(c.session)
    from firmware import board

    board.reset()  # then it is tried (claim.py)
