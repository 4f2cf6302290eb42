# Walks through a certificate in DER. On demand.


def element(der, at, tag):
    # Where the contents begin and end (ITU-T X.690, 8.1).
    size, start = der[at + 1], at + 2
    if size > 0x80:
        start += size & 0x7F
        size = int.from_bytes(bytes(der[at + 2 : start]), "big")
    if der[at] != tag or start + size > len(der) or start > at + 5:
        raise ValueError
    return start, start + size


def behind(cert, tags):
    # Where in a certificate the fields with those tags end, which follow the version (RFC 5280,
    # 4.1: Certificate, TBSCertificate, version, serial number, algorithm, issuer, validity,
    # subject, subjectPublicKeyInfo).
    at, _ = element(cert, 0, 0x30)
    at, _ = element(cert, at, 0x30)
    if cert[at] == 0xA0:
        _, at = element(cert, at, 0xA0)
    for tag in tags:
        _, at = element(cert, at, tag)
    return at
