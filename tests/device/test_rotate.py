# heap: 160wk
# What a board does for the jobs "csr" and "certificate": the same request however often it comes,
# only a certificate for its key, and a power cut at any write (clean, torn) costs nothing.

import binascii
import os

import harness
from firmware import chip, files
from firmware.updates import p256, request, resumed, rotate, work
from flash import Flash, Journal, mounted

FLASH = mounted(Flash(16))
THING = "greenhouse-1"
OLD = {"certs/ca.pem": b"CA", "certs/cert.pem": b"CERT", "certs/key.pem": b"KEY"}


class Session:
    client_id = THING


class App:
    session = Session()

    class clock:
        s = 0


class Keys:
    count = 0


def key():
    n = Keys.count
    return n, n << 8, n << 16


def new_key():
    # Quick, and another one each time: what is reckoned stands in test_p256.py.
    yield
    Keys.count += 1
    return key()


def sign(key, info):
    yield
    harness.equal(info, request.info(key, THING))
    return key[0], 5


SPKI = request.SPKI
p256.new_key, p256.sign = new_key, sign


def fresh(slot=None):
    FLASH.fresh()
    setup(slot)


def setup(slot=None):
    for path, data in OLD.items():
        files.replace(path, data)
    if slot:
        files.replace("slot", slot)


def run(document, most=30):
    # The result of the job.
    job = {"id": "1", "document": document}
    for _ in range(most):
        done = rotate.step(App, job)
        if done:
            harness.equal("work" in job, False)
            return done
    raise AssertionError("it does not come to an end")


def asked():
    status, details = run({"fieldmouse": "csr"})
    harness.equal((status, sorted(details)), ("SUCCEEDED", ["csr"]))
    assert "\n" not in details["csr"]
    return binascii.a2b_base64(details["csr"])


def brought(pem):
    if isinstance(pem, bytes):
        pem = pem.decode()
    return run({"fieldmouse": "certificate", "certificate": pem})


def refused(pem):
    status, details = brought(pem)
    harness.equal(status, "FAILED")
    return details["reason"]


def content(path):
    return files.read(path, 4096)


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body)
    head = bytes((tag, size)) if size < 128 else bytes((tag, 0x82, size >> 8, size & 255))
    return head + body


def public(request):
    # SubjectPublicKeyInfo in a request, or all there is of one.
    at = request.find(SPKI)
    return request[at : at + 91] if at > 0 else request


def certificate(request, version=True, serial=b"\x05", more=b"", rest=bytes(200)):
    # RFC 5280, 4.1; for the key in a request.
    return der(
        0x30,
        der(
            0x30,
            der(0xA0, der(2, b"\x02")) if version else b"",
            der(2, serial),
            der(0x30, b"\x06\x01\x2a"),
            der(0x30, b"issuer"),
            der(0x30, b"validity"),
            der(0x30, b"subject"),
            public(request),
            der(0xA3, rest),
        ),
        der(0x30, b"\x06\x01\x2a"),
        der(3, bytes(70)),
        more,
    )


def pem(cert):
    text = b"-----BEGIN CERTIFICATE-----\n"
    for at in range(0, len(cert), 48):
        text += binascii.b2a_base64(cert[at : at + 48])
    return text + b"-----END CERTIFICATE-----\n"


def unharmed(path=""):
    for name, data in OLD.items():
        harness.equal(content(name), data)


def test_a_request_and_its_certificate():
    fresh()
    request = asked()
    harness.equal(content("certs/b/csr.der"), request)
    key = content("certs/b/key.pem")
    text = pem(certificate(request))
    harness.equal(brought(text), "trial")
    harness.equal(content("slot"), b"ab aa 3")
    harness.equal((content("certs/b/cert.pem"), content("certs/b/key.pem")), (text, key))
    harness.equal(sorted(os.listdir("certs/b")), ["cert.pem", "key.pem"])
    unharmed()


def test_it_goes_back_and_forth():
    # The next one goes into slot a, and the firmware's letter stays.
    for slot, path, moved in (
        (b"aa", "certs/b/", b"ab aa 3"),
        (b"ab", "certs/", b"aa ab 3"),
        (b"ba", "certs/b/", b"bb ba 3"),
        (b"bb", "certs/", b"ba bb 3"),
        (b"aa ab starts", "certs/b/", b"ab aa 3"),
        (b"aa ba starts", "certs/b/", b"ab aa 3"),
    ):
        fresh(slot)
        files.replace("certs/b/cert.pem", "of b")
        request = asked()
        harness.equal(content(path + "csr.der"), request)
        harness.equal(content(path + "cert.pem"), None)  # it was for another key
        text = pem(certificate(request))
        harness.equal(brought(text), "trial")
        harness.equal((content(path + "cert.pem"), content("slot")), (text, moved))
        harness.equal(content("certs/ca.pem"), b"CA")


def test_the_same_request_however_often_the_job_comes():
    fresh()
    first = asked()
    harness.equal([asked(), asked()], [first, first])
    # By cable came another key: the request is for it no more.
    files.replace("certs/b/key.pem", request.pem((7, 7 << 8, 7 << 16)))
    other = asked()
    assert other != first
    for key in (b"", b"junk", b"-----x-----!!-----", request.pem((7, 7, 7))[:-60]):
        files.replace("certs/b/key.pem", key)
        harness.equal(other == asked(), False)
        other = asked()


def test_readings_go_on_meanwhile():
    fresh()
    job = {"id": "1", "document": {"fieldmouse": "csr"}}
    results = [rotate.step(App, job) for _ in range(8)]
    harness.equal((results, content("certs/b/key.pem")), ([None] * 8, None))
    harness.equal((rotate.step(App, job), content("certs/b/csr.der") is None), (None, False))
    assert rotate.step(App, job)


def test_no_memory_begins_again():
    fresh()
    job = {"id": "1", "document": {"fieldmouse": "csr"}}
    p256.sign = failing(MemoryError())
    try:
        harness.raises(MemoryError, steps, job)
    finally:
        p256.sign = sign
    harness.equal("work" in job, False)
    assert asked()


def steps(job):
    for _ in range(30):
        rotate.step(App, job)


def failing(error):
    def sign(key, info):
        yield
        raise error

    return sign


def test_what_fails_says_why():
    fresh()
    p256.sign = failing(ValueError("p256: a signature came out wrong"))
    try:
        done = run({"fieldmouse": "csr"})
    finally:
        p256.sign = sign
    harness.equal(done, ("FAILED", {"reason": "p256: a signature came out wrong"}))
    FLASH.fuse = 1
    job, ended = {"document": {"fieldmouse": "csr"}, "state": "key"}, []
    kept, resumed.ended = resumed.ended, lambda job, done: ended.append(done)
    try:
        for _ in range(30):
            if not ended:
                work.step(App, job, "key")
    finally:
        FLASH.fuse, resumed.ended = None, kept
    ((status, details),) = ended
    harness.equal((status, details["reason"][:7]), ("FAILED", "flash: "))


def test_only_a_certificate_for_its_key():
    fresh()
    harness.equal(refused(pem(certificate(bytes(91)))), "there is no key for it")
    request = asked()
    good = certificate(request)
    text = pem(good)
    other = certificate(public(request)[:-1] + b"\x01")
    for wrong, why in (
        (pem(other), "it is for another key"),
        (pem(certificate(b"0" + public(request)[1:-1] + b"\x02")), "it is for another key"),
        (None, "not one certificate"),
        (b"", "not one certificate"),
        (good[:20].hex(), "not one certificate"),
        (text + text, "not one certificate"),
        (text[1:], "not one certificate"),
        (text + b"x", "not one certificate"),
        (b"Subject: x\n" + text, "not one certificate"),
        (text.replace(b"CERTIFICATE", b"EC PRIVATE KEY"), "not one certificate"),
        (pem(good[:-1]), "not one certificate"),
        (pem(good + b"\x00"), "not one certificate"),
        (pem(certificate(request, rest=bytes(4000))), "not one certificate"),
        (pem(der(0x30, good)), "not one certificate"),
        (pem(b""), "not one certificate"),
        (pem(b"\x30\x84\xff\xff\xff\xff"), "not one certificate"),
    ):
        harness.equal((wrong, refused(wrong)), (wrong, why))
        harness.equal((content("slot"), content("certs/b/cert.pem")), (None, None))
    for size in range(0, len(good)):  # whatever is missing at its end
        assert refused(pem(good[:size])) in ("not one certificate", "it is for another key")
    unharmed()
    harness.equal(asked(), request)
    harness.equal(brought(pem(certificate(request, False, b"\x00" * 20))), "trial")


def test_a_host_made_key_counts_as_well():
    # Slot a as `provision` has filled it; a key that is not of P-256 is none.
    fresh(b"ab")
    files.replace("certs/key.pem", request.pem((9, 9 << 8, 9 << 16)))
    point = request.point((9, 9 << 8, 9 << 16))
    harness.equal(brought(pem(certificate(SPKI + point))), "trial")


def test_the_job_comes_again_after_the_slot_has_moved():
    fresh()
    text = pem(certificate(asked()))
    harness.equal(brought(text), "trial")
    harness.equal(brought(text), "trial")  # the power went before it was noted that it is on trial
    harness.equal(content("slot"), b"ab aa 3")
    files.replace("slot", "ab aa 0")
    harness.equal(brought(text), "trial")
    harness.equal(refused(pem(certificate(bytes(91)))), "a trial is under way")
    harness.equal(run({"fieldmouse": "csr"})[1]["reason"], "a trial is under way")
    files.replace("slot", "ab")  # it was good
    harness.equal(brought(text), ("SUCCEEDED", {}))
    files.replace("slot", "aa ab refused")  # it was not
    harness.equal(refused(text), "refused")
    harness.equal(content("slot"), b"aa ab refused")


def test_an_esp8266_says_why_not():
    fresh()
    chip.VERIFIED = False
    try:
        for kind in ("csr", "certificate"):
            done = run({"fieldmouse": kind})
            harness.equal(done, ("FAILED", {"reason": "an ESP8266 makes no key of its own"}))
    finally:
        chip.VERIFIED = True
    harness.equal(sorted(os.listdir("certs")), ["ca.pem", "cert.pem", "key.pem"])


def test_a_power_cut_at_any_write():
    # Then the same job comes again, as AWS sends it, and a request that was answered stays.
    journal = Journal(16, 400_000)
    FLASH.umount()
    try:
        mounted(journal)
        setup()
        journal.begin()
        first = asked()
        answered = journal.ops
        text = pem(certificate(first))
        harness.equal(brought(text), "trial")
        journal.umount()
        found = []
        for ops, _ in journal.loaded(lambda: found.append(after(first, text))):
            state, request = found[-1]
            if ops >= answered:
                harness.equal(request, first)
        states = [state for state, _ in found]
        harness.equal(sorted(set(states)), ["asked", "brought"])
        harness.equal(states, sorted(states))  # no way back
        assert len(states) > 20
        journal.mount()
        harness.equal(after(first, text), ("trial", first))
        journal.umount()
    finally:
        FLASH.mount()


def after(first, text):
    # What the next start finds is whole, and its jobs come to an end.
    unharmed()
    moved = content("slot")
    if moved:
        harness.equal((moved, content("certs/b/cert.pem")), (b"ab aa 3", text))
        assert content("certs/b/key.pem")
        harness.equal(brought(text), "trial")
        return "trial", first
    if content("certs/b/cert.pem"):
        harness.equal(brought(text), "trial")  # that job was under way
        return "brought", first
    request = asked()
    harness.equal(brought(pem(certificate(request))), "trial")
    return "asked", request
