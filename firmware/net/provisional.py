# A step of the link while no time is known and no NTP server answers (docs/security.md). Server
# and host name are verified as always; the dates against a provisional time, which the RTC has for
# this step only: the last good time, or the build time, and later what the server's certificates
# show. Nothing is stamped with it, and it is not saved. On demand; not on an ESP8266.

from micropython import const

from firmware.net.der import behind, element

_MOMENT_S = const(60)
_STEP_S = const(2_592_000)  # 30 days; certificates live 47 at least, from 2029 on
_LIFE_S = const(473_040_000)  # as in clock.py


def step(link, settings, floor, board):
    clock, context = link.clock, link.context
    if clock.provisional is None:
        clock.provisional = max(floor, settings.state.get("clock", 0))
    if not link.opening:
        text = "clock: no NTP server answers, trying TLS at a provisional time, "
        link.log(text + board.date(clock.provisional))
    # MicroPython >= 1.23; but not where boot had no memory for a context.
    shows = hasattr(context, "verify_callback")
    seen = [None, 0]  # the topmost certificate, the latest date
    try:
        if shows:
            context.verify_callback = lambda cert, depth: _look(seen, cert)
        board.provisional_rtc(clock.provisional)
        link.step(True)
    finally:
        board.provisional_rtc(0)
        if shows:
            context.verify_callback = None
    if not link.up and not link.opening:
        try:
            clock.provisional = _next(link.last_reason, clock.provisional, seen, floor)
        except Exception as e:
            link.log("clock: {} {}".format(type(e).__name__, e))


def _look(seen, cert):
    # For each certificate, from the topmost down. 0 leaves mbedTLS's verdict as it is. An
    # exception would jump out of the middle of mbedTLS, and `cert` lies on the C stack: copies
    # only (extmod/modtls_mbedtls.c).
    try:
        seen[0] = seen[0] or bytes(cert)
        seen[1] = max(seen[1], not_before(cert))
    except Exception:
        pass
    return 0


def _next(reason, s2000, seen, floor):
    # The gravest reason is the only one that is named: a chain that is not signed as it should
    # be, or is another server's, moves nothing. Where no date is shown that is later: in steps.
    if reason == "tls expired":
        return floor  # the last good time was wrong
    if reason != "tls not yet valid":
        return s2000
    later = seen[1] + _MOMENT_S if seen[0] and _ours(seen[0]) else 0
    later = later if later > s2000 else s2000 + _STEP_S
    return later if later <= floor + _LIFE_S else s2000


def _ours(cert):
    # Whether it is one of those in certs/ca, byte for byte.
    import binascii

    from firmware.net import tls

    data = tls.read("ca")
    texts = data.split(b"-----BEGIN CERTIFICATE-----")[1:]
    return cert in [data] + [binascii.a2b_base64(text.split(b"-----END")[0]) for text in texts]


def not_before(cert):
    # s2000 from which on it is valid: the first one of its validity. ValueError or IndexError.
    at, _ = element(cert, behind(cert, b"\x02\x30\x30"), 0x30)
    tag = cert[at]
    at, end = element(cert, at, tag)
    text = bytes(cert[at:end])
    if tag == 0x17:  # UTCTime has two digits of the year, GeneralizedTime four
        text = (b"20" if text < b"5" else b"19") + text
    if tag not in (0x17, 0x18) or len(text) != 15 or text[14:] != b"Z" or not text[:14].isdigit():
        raise ValueError
    return _s2000(int(text[:4]), [int(text[i : i + 2]) for i in range(4, 14, 2)])


def _s2000(year, rest):
    # Years that begin in March: the day that comes every fourth year is their last one.
    month, day, hours, minutes, seconds = rest
    month = (month + 9) % 12
    year -= month // 10
    days = 365 * year + year // 4 - year // 100 + year // 400 + (306 * month + 5) // 10 + day - 1
    return (days - 730_425) * 86_400 + hours * 3_600 + minutes * 60 + seconds
