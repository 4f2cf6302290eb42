# heap: 96wk
# Keys, signatures and requests of firmware/updates/p256.py against published values. What
# `cryptography` and MicroPython's TLS say of them: tests/host/test_p256.py.

import binascii

import harness
from firmware.updates import p256, request

# RFC 6979, A.2.5: private key, public key; nonce and signature of "sample" and "test".
KEY = (
    0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
SIGNED = (
    (
        b"sample",
        0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60,
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    (
        b"test",
        0xD16B6AE827F17175E040871A1C7EC3500192C4C92677336EC2537ACAEE0008E0,
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
)
# Multiples of the base point (NIST, Mathematical routines for the NIST prime elliptic curves).
MULTIPLES = (
    (1, p256._X, p256._Y),
    (
        2,
        0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978,
        0x07775510DB8ED040293D9AC69F7430DBBA7DADE63CE982299E04B79D227873D1,
    ),
    (
        3,
        0x5ECBE4D1A6330A44C8F7EF951D4BF165E6C6B721EFADA985FB41661BC6E7FD6C,
        0x8734640C4998FF7E374B06CE1A64A2ECD82AB036384FB83D9A79B127A27D5032,
    ),
    (
        20,
        0x83A01A9378395BAB9BCD6A0AD03CC56D56E6B19250465A94A234DC4C6B28DA9A,
        0x76E49B6DE2F73234AE6A5EB9D612B75C9F2202BB6923F54FF8240AAA86F640B8,
    ),
    (
        112233445566778899,
        0x339150844EC15234807FE862A86BE77977DBFB3AE3D96F4C22795513AEAAB82F,
        0xB1C14DDFDC8EC1B2583F51E85A5EB3A155840F2034730E9B5ADA38B674336A21,
    ),
    (p256._N - 2, 0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978, None),
    (p256._N - 1, p256._X, p256._P - p256._Y),
)


class Os:
    # os.urandom() that gives what it was given, and then what it counts.
    def __init__(self, *values):
        self.values, self.asked = list(values), 0

    def urandom(self, size):
        harness.equal(size, 32)
        self.asked += 1
        return self.values.pop(0) if self.values else bytes([self.asked]) * 32


def random(*values):
    p256.os = Os(*values)
    return p256.os


def made(number):
    return p256.finish(p256.new_key(number))


def test_public_key_of_rfc_6979():
    harness.equal(made(KEY[0]), KEY)


def test_multiples_of_the_base_point():
    for number, x, y in MULTIPLES:
        got = made(number)
        harness.equal(got[:2], (number, x))
        assert y is None or got[2] == y, number
        # On the curve: b of SEC 2, 2.4.2.
        b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
        harness.equal((got[2] ** 2 - got[1] ** 3 + 3 * got[1] - b) % p256._P, 0)


def test_infinity():
    for pair in ((p256._N, 0), (0, 0), (1, p256._N - 1)):
        harness.equal(p256.finish(p256._sum(*pair, p256._X, p256._Y)), None)
    # The same point once more, which is no addition: G + G, and (n - 1) G + 3 G.
    for pair in ((1, 1), (p256._N - 1, 3)):
        harness.equal(p256.finish(p256._sum(*pair, p256._X, p256._Y))[0], MULTIPLES[1][1])


def test_signatures_of_rfc_6979():
    for text, nonce, r, s in SIGNED:
        harness.equal(p256.finish(p256.sign(KEY, text, nonce)), (r, s))
        harness.equal(p256.finish(p256.verify(KEY, text, r, s)), True)


def test_whatever_is_wrong_is_found():
    text, _, r, s = SIGNED[0]
    n = p256._N
    number, x, y = KEY
    for key, said, pair in (
        (KEY, b"sampl", (r, s)),
        (KEY, text, (s, r)),
        (KEY, text, (r ^ 1, s)),
        (KEY, text, (r, s ^ 1 << 255)),
        (KEY, text, (0, s)),
        (KEY, text, (r, 0)),
        (KEY, text, (n, s)),
        (KEY, text, (r, n + s)),
        ((number, x ^ 1, y), text, (r, s)),
        ((number, y, x), text, (r, s)),
    ):
        harness.equal(p256.finish(p256.verify(key, said, *pair)), False)
    # n - s is as good as s (it is the same point upside down).
    harness.equal(p256.finish(p256.verify(KEY, text, r, n - s)), True)


def test_the_smallest_and_largest_keys_sign():
    for number in (1, 2, p256._N - 2, p256._N - 1):
        key = made(number)
        pair = p256.finish(p256.sign(key, b"x", SIGNED[0][1]))
        harness.equal(p256.finish(p256.verify(key, b"x", *pair)), True)


def test_a_key_is_drawn_again_until_it_is_in_range():
    n = p256._N.to_bytes(32, "big")
    source = random(bytes(32), n, b"\xff" * 32, KEY[0].to_bytes(32, "big"))
    harness.equal(p256.finish(p256.new_key()), KEY)
    harness.equal(source.asked, 4)


def test_the_nonce_is_another_one_for_each_key_message_and_random_number():
    nonces = []
    whole = p256._sum

    def seen(u, v=0, x=0, y=0):
        if not v:
            nonces.append(u)
        return (yield from whole(u, v, x, y))

    key = made(2)
    p256._sum = seen
    try:
        for signer, text, drawn in ((KEY, b"a", b"r"), (KEY, b"b", b"r"), (key, b"a", b"r")):
            random(drawn * 32)
            p256.finish(p256.sign(signer, text))
        random(b"s" * 32)
        p256.finish(p256.sign(KEY, b"a"))
        random(b"r" * 32)
        p256.finish(p256.sign(KEY, b"a"))
    finally:
        p256._sum = whole
    harness.equal(len(nonces), 5)
    harness.equal((len(set(nonces)), nonces[0]), (4, nonces[4]))


def test_a_nonce_that_is_out_of_range_is_not_used():
    # As good as never: 2^-32 of all hashes. One that is too large makes another.
    for nonce in (0, p256._N, p256._N + 1, (1 << 256) - 1):
        source = random()
        r, s = p256.finish(p256.sign(KEY, b"x", nonce))
        harness.equal(source.asked, 1)
        harness.equal(p256.finish(p256.verify(KEY, b"x", r, s)), True)


def test_a_signature_that_comes_out_wrong_is_not_used():
    # One bit falls over somewhere in the nonce's point, in the inverse, in the key.
    whole, inverse = p256._sum, p256._inverse

    def faulty(u, v=0, x=0, y=0):
        found = yield from whole(u, v, x, y)
        return found if v else (found[0] ^ 1 << 77, found[1])

    def faulty_inverse(number, modulus):
        return inverse(number, modulus) ^ (number == SIGNED[0][1])

    for name, function in (("_sum", faulty), ("_inverse", faulty_inverse)):
        before = getattr(p256, name)
        setattr(p256, name, function)
        try:
            work = p256.sign(KEY, b"x", SIGNED[0][1])
            error = harness.raises(ValueError, p256.finish, work)
        finally:
            setattr(p256, name, before)
        harness.equal(error.args, ("p256: a signature came out wrong",))
    for key in (
        (KEY[0] ^ 2, KEY[1], KEY[2]),
        (KEY[0], KEY[1] ^ 2, KEY[2]),
        (KEY[0], KEY[1], KEY[2] ^ 2),
    ):
        harness.raises(ValueError, p256.finish, p256.sign(key, b"x"))


def test_steps():
    # So often readings go on meanwhile.
    random()
    harness.equal(sum(1 for _ in p256.new_key()), 8)
    harness.equal(sum(1 for _ in p256.sign(KEY, b"x")), 16)
    harness.equal(sum(1 for _ in p256.made("x")), 24)


def test_key_and_request_are_of_one_key():
    random(KEY[0].to_bytes(32, "big"))
    pem, der = p256.finish(p256.made("greenhouse-1"))
    harness.equal(pem, request.pem(KEY))
    assert request.info(KEY, "greenhouse-1") in der


def test_request_is_der():
    pair = SIGNED[0][2:]
    for thing in ("x", "greenhouse-1", "T:_-" * 16, "T:_-" * 32):
        der = request.signed(request.info(KEY, thing), pair)
        wide = len(thing) >= 64
        harness.equal(der[:2], b"0\x82" if wide else b"0\x81")
        harness.equal(int.from_bytes(der[2 : 3 + wide], "big"), len(der) - 3 - wide)
        assert thing.encode()[:64] in der and (len(thing) <= 64 or thing[:65].encode() not in der)
        assert request.SPKI + request.point(KEY) in der


def test_integers_of_a_signature():
    # X.690, 8.3.2: as short as possible, positive.
    for number, wanted in (
        (1, b"\x02\x01\x01"),
        (127, b"\x02\x01\x7f"),
        (128, b"\x02\x02\x00\x80"),
        (256, b"\x02\x02\x01\x00"),
        (1 << 255, b"\x02\x21\x00\x80" + bytes(31)),
        ((1 << 255) - 1, b"\x02\x20\x7f" + b"\xff" * 31),
    ):
        harness.equal(request._integer(number), wanted)


def test_pem():
    text = request.pem(KEY)
    lines = text.split(b"\n")
    harness.equal(lines[0], b"-----BEGIN EC PRIVATE KEY-----")
    harness.equal(lines[-2:], [b"-----END EC PRIVATE KEY-----", b""])
    assert max(len(line) for line in lines) == 64
    der = binascii.a2b_base64(b"".join(lines[1:-2]))
    harness.equal(der[7:39], KEY[0].to_bytes(32, "big"))
    harness.equal(der[-64:], request.point(KEY))
    harness.equal((len(der), der[0], der[1]), (121, 0x30, 119))
