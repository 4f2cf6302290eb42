# A P-256 key and signatures by it, on an ESP32 family chip. On demand. Where much is reckoned
# there is a generator, to be asked for its next step between two readings; what it returns is
# the result: `pem, der = yield from made(thing)`, or finish(made(thing)).
#
# Randomness: os.urandom() is esp_random() there, which is true randomness only while Wi-Fi is on
# (ESP-IDF 5.3, API reference, Random Number Generation): call it while there is a session.
# Not constant in time. There is one signature a key, and nobody who could measure it.

import hashlib
import os

# The curve (SEC 2, 2.4.2; NIST SP 800-186, 3.2.1.3): y² = x³ - 3 x + b modulo _P; _N points.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_X = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_Y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def finish(steps):
    try:
        while True:
            next(steps)
    except StopIteration as e:
        return e.value


def steps(work):
    # A function for the next step. A generator holds the globals of whoever has called next()
    # last: they are ours, and the caller may leave memory between two steps.
    return lambda: next(work)


def made(thing):
    # A new key as PEM and its signing request as DER, in steps.
    key = yield from new_key()
    info = _formed("info", key, thing)
    pair = yield from sign(key, info)
    return _formed("pem", key), _formed("signed", info, pair)


def _formed(what, *args):
    # A function of its own: what a generator has touched stays in its memory.
    from firmware.updates import request

    return getattr(request, what)(*args)


def new_key(number=0):
    # (private number, x, y), in steps. By rejection: FIPS 186-5, A.2.2.
    while not 0 < number < _N:
        number = int.from_bytes(os.urandom(32), "big")
    x, y = yield from _sum(number)
    return number, x, y


def sign(key, data, nonce=0):
    # ECDSA's (r, s) with SHA-256, in steps (FIPS 186-5, 6.4.1).
    digest = hashlib.sha256(data).digest()
    r = s = 0
    while not (r and s):
        while not 0 < nonce < _N:
            # Random, and of key and message as well: should the random numbers repeat, the nonce
            # does not. Cheaper than RFC 6979, whose HMAC no port has.
            secret = key[0].to_bytes(32, "big") + digest + os.urandom(32)
            nonce = int.from_bytes(hashlib.sha256(secret).digest(), "big")
        r = (yield from _sum(nonce))[0] % _N
        s = _inverse(nonce, _N) * (int.from_bytes(digest, "big") + key[0] * r) % _N
        nonce = 0
    # A bit that fell over while it was made would give the key away, or cost a journey.
    if not (yield from verify(key, data, r, s)):
        raise ValueError("p256: a signature came out wrong")
    return r, s


def verify(key, data, r, s):
    # FIPS 186-5, 6.4.2. The point is our own; one that is not on the curve would not fit.
    if not (0 < r < _N and 0 < s < _N):
        return False
    s = _inverse(s, _N)
    u = int.from_bytes(hashlib.sha256(data).digest(), "big") * s % _N
    found = yield from _sum(u, r * s % _N, key[1], key[2])
    return found is not None and found[0] % _N == r


def _sum(u, v=0, x=0, y=0):
    # u G + v (x, y), None at infinity; u, v < 2^256. About a thirtieth of a second a step.
    u, v = u.to_bytes(32, "big"), v.to_bytes(32, "big")
    made = 1, 1, 0
    for i in range(256):
        made = _twice(*made)
        if u[i >> 3] << (i & 7) & 0x80:
            made = _plus(*made, _X, _Y)
        if v[i >> 3] << (i & 7) & 0x80:
            made = _plus(*made, x, y)
        if not i & 31:
            yield
    x, y, z = made
    if z:
        z = _inverse(z, _P)
        zz = z * z % _P
        return x * zz % _P, y * zz * z % _P


# Points as (x, y, z) for (x/z², y/z³), infinity has z = 0: no division but the last one (Guide to
# Elliptic Curve Cryptography, 3.2.2).


def _twice(x, y, z):
    zz = z * z
    slope = 3 * (x - zz) * (x + zz) % _P
    yy = y * y % _P
    mean = 4 * x * yy % _P
    x = (slope * slope - 2 * mean) % _P
    return x, (slope * (mean - x) - 8 * yy * yy) % _P, 2 * y * z % _P


def _plus(x, y, z, x2, y2):
    if not z:
        return x2, y2, 1
    zz = z * z % _P
    run = (x2 * zz - x) % _P
    rise = (y2 * zz * z - y) % _P
    if not run:
        return (1, 1, 0) if rise else _twice(x, y, z)
    rr = run * run % _P
    cube = rr * run % _P
    mean = x * rr % _P
    x = (rise * rise - cube - 2 * mean) % _P
    return x, (rise * (mean - x) - y * cube) % _P, z * run % _P


def _inverse(number, modulus):
    # Euclid's, extended: a twentieth of what a power costs.
    a, b, u, v = number, modulus, 1, 0
    while a:
        q = b // a
        a, b, u, v = b - q * a, a, v - q * u, u
    return v % modulus
