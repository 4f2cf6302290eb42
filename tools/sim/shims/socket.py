# `socket` on a network whose name server says what the setting "hosts" says: {"localhost":
# ["127.0.0.2", "127.0.0.3"]} gives these addresses in this order, [] is a name nobody knows, and
# a name that is not listed goes to the host's own resolver. The rest is the built-in module.
#
# A datagram socket that is made after a name was looked up for port 123 leads to the NTP servers
# of the setting "ntp" (tools/sim/world.py), which answer with the host's clock. There is one,
# made before the firmware starts.

import errno

import _sim
import usocket
import utime
from usocket import *  # noqa: F403

_NO_SUCH_NAME = -2  # EAI_NONAME, as lwIP and glibc have it
_AF_INET6 = 10
_F_GETFD = 1
_NTP = 123
_S1900 = 2208988800  # seconds from 1900, where NTP begins to count, to 1970
_ANSWER_MS = 20
_NOTHING = {}

_fcntl = _sim.libc().func("i", "fcntl", "ii")
_stream = -1  # file descriptor of the newest TCP socket


class _Ntp:
    def __init__(self):
        self.next = False  # the next datagram socket is this one
        self._answer = bytearray(48)
        self._asked = None  # (host, port) of a question without an answer
        self._timeout_s = 0

    def settimeout(self, seconds):
        self._timeout_s = seconds

    def sendto(self, data, address):
        self._asked = address
        self._answer[24:32] = data[40:48]
        return len(data)

    def recvfrom(self, size):
        ntp, address, self._asked = _sim.get("ntp", _NOTHING), self._asked, None
        up = ntp.get("up", True) and _sim.get("wifi", _NOTHING).get("up", True)
        if not (up and address) or ("hosts" in ntp and address[0] not in ntp["hosts"]):
            utime.sleep_ms(int(self._timeout_s * 1000))
            raise OSError(errno.ETIMEDOUT)
        utime.sleep_ms(_ANSWER_MS)
        answer = self._answer
        answer[0] = ntp.get("leap", 0) << 6 | 0x24
        answer[1] = ntp.get("stratum", 2)
        if ntp.get("forged"):
            answer[24] ^= 0x55
        off_s = ntp.get("offset_s", 0) + ntp.get("offsets", _NOTHING).get(address[0], 0)
        s1900 = _sim.host_ms() // 1000 + _S1900 + off_s
        answer[40:44] = (s1900 & 0xFFFFFFFF).to_bytes(4, "big")
        return bytes(answer), address

    def close(self):
        self._asked = None


_ntp = _Ntp()


def socket(family=usocket.AF_INET, kind=usocket.SOCK_STREAM, proto=0):
    global _stream
    if kind == usocket.SOCK_DGRAM and _ntp.next:
        _ntp.next = False
        return _ntp
    made = usocket.socket(family, kind, proto)
    if kind == usocket.SOCK_STREAM:
        _stream = made.fileno()
    return made


def connected():
    # Whether a TCP socket is open: what takes memory of ESP-IDF (esp32.py).
    return _stream >= 0 and _fcntl(_stream, _F_GETFD) >= 0


def getaddrinfo(host, port, *rest):
    hosts = _sim.get("hosts")
    if port == _NTP and not (hosts and host in hosts):
        _ntp.next = True
        return [(usocket.AF_INET, usocket.SOCK_DGRAM, 0, host, (host, port))]
    if not hosts or host not in hosts:
        return usocket.getaddrinfo(host, port, *rest)
    found = []
    for address in hosts[host]:
        if address is not None and port == _NTP:
            _ntp.next = True
            found.append((usocket.AF_INET, usocket.SOCK_DGRAM, 0, host, (host, port)))
        elif address is not None:
            found += usocket.getaddrinfo(address, port, *rest)
        elif not _sim.ESP8266:
            # A name with an IPv6 address only: ports/esp32/modsocket.c leaves the address out.
            found.append((_AF_INET6, usocket.SOCK_STREAM, 0, host, None))
    if not found:
        raise OSError(_NO_SUCH_NAME)
    return found
