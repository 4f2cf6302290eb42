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

from firmware import chip

_MOST = const(512)  # bytes of a key in PEM, and of a request


def step(app, job):
    # None: there is more to do; (status, details): done; "trial": restart. What is under way is in
    # job["work"], which is for memory only: the next step, key, what is signed, signature.
    work = job.pop("work", None)
    try:
        if not chip.VERIFIED:
            raise ValueError("an ESP8266 makes no key of its own")
        cert = "certificate"
        if work and job["document"]["fieldmouse"] == cert:
            from firmware.updates import certificate

            return certificate.take(job["document"].get(cert), point(work[0][1]), *work)
        if work:  # without slots.py: there is no memory to spare
            job["work"] = _next(work, app.session.client_id)
            return None  # at the end as if the job came again
        from firmware.updates import slots

        now, _, left = slots.read()
        # Of the certificates that count, and of the others.
        paths = ("certs/b/", "certs/") if now[1] == "b" else ("certs/", "certs/b/")
        trial = slots.on_trial()
        if job["document"]["fieldmouse"] == cert:
            job["work"] = paths, trial, left, now[0] + slots.spare(1)
            return None
        if trial:
            raise ValueError("a trial is under way")
        der = _asked(paths[1])
        if der:
            return "SUCCEEDED", {"csr": binascii.b2a_base64(der).decode().strip()}
        job["work"] = [paths[1], None, None, None, None]
    except ValueError as e:
        return "FAILED", {"reason": str(e)}


def _next(work, thing):
    # In each pass either p256.py or request.py: both would be more than there is memory for.
    path, step, key, info, pair = work
    if pair:
        return _store(path, key, info, pair)
    if step:
        try:
            step()
        except StopIteration as e:
            work[1], work[4 if key else 2] = None, e.value
    elif key and not info:
        from firmware.updates import request

        work[3] = request.info(key, thing)
    else:
        from firmware.updates import p256

        work[1] = p256.steps(p256.sign(key, info) if key else p256.new_key())
    return work


def _asked(path):
    # The request that was made before, unless by cable another key has come.
    from firmware import files

    der, known = files.read(path + "csr.der", _MOST), point(path)
    return der if known and der and known in der else None


def _store(path, key, info, pair):
    from firmware import files
    from firmware.updates import request

    for name in ("csr.der", "cert.pem"):  # they are for another key
        files.attempt(os.remove, path + name)
    files.replace(path + "key.pem", request.pem(key))
    files.replace(path + "csr.der", request.signed(info, pair))


def point(path):
    # The public key (x, y) at the end of key.pem, None when there is none for P-256 (RFC 5915).
    from firmware import files

    try:
        der = binascii.a2b_base64(files.read(path + "key.pem", _MOST).split(b"-----")[2])
        return der[57:] if len(der) == 121 else None
    except (AttributeError, ValueError, IndexError):
        return None
