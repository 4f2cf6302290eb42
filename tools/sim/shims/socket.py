# `socket` on a network whose name server says what the setting "hosts" says: {"localhost":
# ["127.0.0.2", "127.0.0.3"]} gives these addresses in this order, [] is a name nobody knows, and
# a name that is not listed goes to the host's own resolver. The rest is the built-in module.

import _sim
import usocket
from usocket import *  # noqa: F403

_NO_SUCH_NAME = -2  # EAI_NONAME, as lwIP and glibc have it
_AF_INET6 = 10
_F_GETFD = 1

_fcntl = _sim.libc().func("i", "fcntl", "ii")
_stream = -1  # file descriptor of the newest TCP socket


def socket(family=usocket.AF_INET, kind=usocket.SOCK_STREAM, proto=0):
    global _stream
    made = usocket.socket(family, kind, proto)
    if kind == usocket.SOCK_STREAM:
        _stream = made.fileno()
    return made


def connected():
    # Whether a TCP socket is open: what takes memory of ESP-IDF (esp32.py).
    return _stream >= 0 and _fcntl(_stream, _F_GETFD) >= 0


def getaddrinfo(host, port, *rest):
    hosts = _sim.get("hosts")
    if not hosts or host not in hosts:
        return usocket.getaddrinfo(host, port, *rest)
    found = []
    for address in hosts[host]:
        if address is not None:
            found += usocket.getaddrinfo(address, port, *rest)
        elif not _sim.ESP8266:
            # A name with an IPv6 address only: ports/esp32/modsocket.c leaves the address out.
            found.append((_AF_INET6, usocket.SOCK_STREAM, 0, host, None))
    if not found:
        raise OSError(_NO_SUCH_NAME)
    return found
