# The forms of a P-256 key and of its certificate signing request (p256.py). On demand.

import binascii

# SubjectPublicKeyInfo up to the point (RFC 5480, 2).
SPKI = b"0Y0\x13\x06\x07*\x86H\xce=\x02\x01\x06\x08*\x86H\xce=\x03\x01\x07\x03B\x00\x04"
_SHA256 = b"0\x0a\x06\x08*\x86H\xce=\x04\x03\x02"  # ecdsa-with-SHA256 (RFC 5758, 3.2)


def pem(key):
    # RFC 5915, 3, in the text form that boards read.
    number = key[0].to_bytes(32, "big")
    der = b"0w\x02\x01\x01\x04 " + number + b"\xa0\x0a" + SPKI[13:23] + b"\xa1D" + SPKI[23:]
    der += point(key)
    text = b"".join([binascii.b2a_base64(der[at : at + 48]) for at in (0, 48, 96)])
    return b"-----BEGIN EC PRIVATE KEY-----\n" + text + b"-----END EC PRIVATE KEY-----\n"


def point(key):
    return key[1].to_bytes(32, "big") + key[2].to_bytes(32, "big")


def info(key, thing):
    # What is signed (RFC 2986, 4.1). A common name has at most 64 characters (X.520).
    thing = thing if isinstance(thing, bytes) else thing.encode()  # as a Session has it
    name = _der(0x30, b"\x06\x03\x55\x04\x03", _der(0x0C, thing[:64]))
    name = _der(0x30, _der(0x31, name))
    return _der(0x30, b"\x02\x01\x00", name, SPKI, point(key), b"\xa0\x00")


def signed(data, pair):
    # PKCS#10 as DER (RFC 2986, 4.2).
    pair = b"".join([_integer(number) for number in pair])
    return _der(0x30, data, _SHA256, _der(3, b"\x00", _der(0x30, pair)))


def _der(tag, *parts):
    # The shortest of three forms of the length (X.690, 10.1).
    body = b"".join(parts)
    size = len(body)
    head = (size,) if size < 128 else (0x81, size) if size < 256 else (0x82, size >> 8, size & 255)
    return bytes((tag,) + head) + body


def _integer(number):
    # Without zeros in front; but its first bit is its sign.
    data = b"\x00" + number.to_bytes(32, "big")
    while not data[0] and data[1] < 128:
        data = data[1:]
    return _der(2, data)
