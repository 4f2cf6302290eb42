# New certificates in the field (docs/updates.md): what a board does for the jobs "csr" and
# "certificate". On demand: jobs.py calls step() about once a pass while such a job is under way
# and there is a session, without which os.urandom() would not be random (p256.py).
#
# In the certificate slot that is not in use: key.pem, then csr.der, which is for that key. They
# stay until the certificate has come: however often the job comes, it is the same request. Then
# cert.pem; csr.der goes, and the slot is on trial. A power cut between any two leaves what the
# same job, which AWS sends again, goes on from.

import binascii
import os
from micropython import const

from firmware import chip, files, slots

_MOST = const(4096)  # of a certificate in PEM; AWS's have 1,224 bytes
_CSR_BYTES = const(512)


def step(app, job):
    # None: there is more to do; (status, details): done; "trial": restart. What is under way is in
    # job["work"], which is for memory only.
    if not chip.VERIFIED:
        return failed("an ESP8266 makes no key of its own")
    document = job["document"]
    work = job.pop("work", None)
    try:
        now, other, left = slots.read()
        if document["fieldmouse"] == "certificate":
            return _certificate(document.get("certificate"), now, other, left)
        if isinstance(left, int):
            return failed("a trial is under way")
        work = work or _csr(app.session.client_id, folder(now, True))
        next(work)
        job["work"] = work
    except StopIteration as e:
        return e.value
    except (OSError, ValueError) as e:
        return failed("{} {}".format(type(e).__name__, e))


def failed(reason):
    return "FAILED", {"reason": reason}


def folder(now, spare=False):
    # Of the certificates that count, or of the others.
    return "certs/b/" if (now[1] == "b") != spare else "certs/"


def _csr(thing, path):
    der = files.read(path + "csr.der", _CSR_BYTES)
    point = _point(path)
    if not der or not point or point not in der:  # by cable another key may have come
        from firmware.updates import p256

        yield  # a pass for what loading has taken
        key = yield from p256.new_key()
        der = yield from p256.csr(key, thing)
        for name in ("csr.der", "cert.pem"):  # they are for another key
            files.attempt(os.remove, path + name)
        files.replace(path + "key.pem", p256.pem(key))
        files.replace(path + "csr.der", der)
    return "SUCCEEDED", {"csr": binascii.b2a_base64(der).decode().strip()}


def _certificate(text, now, other, left):
    path = folder(now, True)
    if not isinstance(text, str) or len(text) > _MOST:
        return failed("not one certificate")
    data = text.encode()
    if files.read(folder(now) + "cert.pem", _MOST) == data:  # the power went, or it came twice
        return "trial" if isinstance(left, int) else ("SUCCEEDED", {})
    if isinstance(left, int):
        return failed("a trial is under way")
    if left and other[1] != now[1] and files.read(path + "cert.pem", _MOST) == data:
        return failed(left)
    point = _point(path)
    if not point:
        return failed("there is no key for it")
    try:
        found = _subject_point(data)
    except (ValueError, IndexError):
        return failed("not one certificate")
    if found != point:
        return failed("it is for another key")
    files.replace(path + "cert.pem", data)
    files.attempt(os.remove, path + "csr.der")
    slots.trial(now[0] + ("a" if now[1] == "b" else "b"))
    return "trial"


def _point(path):
    # The public key (x, y) at the end of key.pem, None when there is none for P-256 (RFC 5915).
    try:
        der = binascii.a2b_base64(files.read(path + "key.pem", _CSR_BYTES).split(b"-----")[2])
        return der[57:] if len(der) == 121 else None
    except (AttributeError, ValueError, IndexError):
        return None


def _subject_point(data):
    # Of the certificate's key; ValueError or IndexError when there is not one certificate. RFC
    # 5280, 4.1: Certificate, TBSCertificate, version, serial number, algorithm, issuer, validity,
    # subject, subjectPublicKeyInfo.
    from firmware.net.provisional import element

    before, begin, text, end, after = data.split(b"-----")
    if (begin, end) != (
        b"BEGIN CERTIFICATE",
        b"END CERTIFICATE",
    ) or before.strip() + after.strip():
        raise ValueError
    der = binascii.a2b_base64(text)
    at, end = element(der, 0, 0x30)
    if end != len(der):
        raise ValueError
    at, _ = element(der, at, 0x30)
    if der[at] == 0xA0:
        _, at = element(der, at, 0xA0)
    for tag in b"\x02\x30\x30\x30\x30":
        _, at = element(der, at, tag)
    _, at = element(der, at, 0x30)
    return der[at - 64 : at]
