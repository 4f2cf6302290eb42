# The job "certificate" (rotate.py): only one that is for the key in the slot is tried. On demand.

import binascii
import os
from micropython import const

from firmware import files
from firmware.net.der import behind, element

_MOST = const(4096)  # of a certificate in PEM; AWS's have 1,224 bytes


def take(text, known, paths, trial, tried, letters):
    # As rotate.step(); ValueError with the reason. known: of the key in the slot that is not in
    # use, the second of paths. letters: of the slots with it.
    path = paths[1]
    if not isinstance(text, str) or len(text) > _MOST:
        raise ValueError("not one certificate")
    if _same(paths[0], text):  # the power went, or the job has come twice
        return "trial" if trial else ("SUCCEEDED", {})
    if trial:
        raise ValueError("a trial is under way")
    if tried and _same(path, text):
        raise ValueError(tried)
    if not known:
        raise ValueError("there is no key for it")
    if point(text) != known:
        raise ValueError("it is for another key")
    files.replace(path + "cert.pem", text)
    files.attempt(os.remove, path + "csr.der")
    from firmware.updates import slots

    slots.trial(letters)
    return "trial"


def _same(path, text):
    return files.read(path + "cert.pem", _MOST) == text.encode()


def point(text):
    # Of the certificate's key: what its subjectPublicKeyInfo ends with.
    try:
        before, begin, text, end, after = text.strip().split("-----")
        if (before, begin, end, after) != ("", "BEGIN CERTIFICATE", "END CERTIFICATE", ""):
            raise ValueError
        der = binascii.a2b_base64(text)
        if element(der, 0, 0x30)[1] != len(der):
            raise ValueError
        at = behind(der, b"\x02\x30\x30\x30\x30\x30")
        return der[at - 64 : at]
    except (ValueError, IndexError):
        raise ValueError("not one certificate")
