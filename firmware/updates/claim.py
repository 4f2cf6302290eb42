# Whether this board was flashed with a claim, a certificate of five minutes, and none of its own
# (docs/updates.md). Then claiming.py takes the place of the App's passes: the board makes its key,
# has AWS sign it and register it as its thing, and tries what it got, as any new certificate.
# Interrupted anywhere it starts again: key and request stay until there is a certificate for them,
# and certs/b/cert.pem is there only once AWS has registered it. On demand.

import json
import os
from micropython import const

from firmware import board, chip, files
from firmware.updates import slots

_CLAIM = const("certs/claim.json")
_REMEDY = const("flash it again with bench-flash --claim")
_ENOENT = const(2)


def start(app, config, context):
    # Puts itself in the place of the App's passes, and gives what feeds the watchdog; None where
    # there is nothing to claim.
    letters, other, left = slots.read()
    if letters[1] == "b":
        return wipe()
    if files.read("certs/b/cert.pem", 1):
        if other:  # there is no other: maybe it had no network for a day
            chip.log("claim: the certificate was not good, {}; once more".format(left))
        files.attempt(os.remove, "certs/b/csr.der")
        slots.trial(letters[0] + "b")
        board.reset()
    try:
        claim = json.loads(files.read(_CLAIM, 2_048))
        claim = claim["template"], dict(claim["parameters"]), int(claim["expires_s2000"])
    except (ValueError, TypeError, KeyError):
        chip.log("claim: {} is damaged; {}".format(_CLAIM, _REMEDY))
        chip.sleep_ms(60_000)
        board.reset()
    chip.log("claim: no certificate yet, asking for one with the claim")
    from firmware.updates.claiming import Claiming

    app.step = Claiming(app, config, context, *claim).step
    return board.watchdog()


def wipe():
    # When the new certificate is good; and at the next start, should the power fail in here.
    # LittleFS writes the zeros to another place: what lay in the first one is gone when that is
    # used again. By then it has run out, as it lives five minutes.
    letters, other, _ = slots.read()
    if letters[1] != "b" or other or not files.read(_CLAIM, 1):
        return
    for path in ("certs/key.pem", "certs/cert.pem", _CLAIM):  # the last one is the mark
        try:
            with open(path, "r+b") as f:
                size = f.seek(0, 2)
                f.seek(0)
                f.write(bytes(size))
            os.remove(path)
        except OSError as e:
            if e.errno != _ENOENT:
                chip.log("claim: {} stays for now, {}".format(path, e))
                return
    chip.log("claim: removed from the board")
