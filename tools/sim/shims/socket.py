# `socket` on a network whose name server says what the setting "hosts" says: {"localhost":
# ["127.0.0.2", "127.0.0.3"]} gives these addresses in this order, [] is a name nobody knows, and
# a name that is not listed goes to the host's own resolver. The rest is the built-in module.

import _sim
import usocket
from usocket import *  # noqa: F403

_NO_SUCH_NAME = -2  # EAI_NONAME, as lwIP and glibc have it


def getaddrinfo(host, port, *rest):
    hosts = _sim.get("hosts") or {}
    if host not in hosts:
        return usocket.getaddrinfo(host, port, *rest)
    found = []
    for address in hosts[host]:
        found += usocket.getaddrinfo(address, port, *rest)
    if not found:
        raise OSError(_NO_SUCH_NAME)
    return found
