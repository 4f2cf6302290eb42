# The part of `esp32` that this firmware may ask for: ESP-IDF's heap, which Wi-Fi, lwIP and mbedTLS
# share with Python's. Figures as seen on an emulated WROOM-32 (shared/memory-facts.md 6) while
# Python's heap has its first 56,000 bytes; between those, by what Wi-Fi and a session were seen to
# take: (free in all, largest free block). A handshake takes 33 KB more for a moment.

import network
import socket

HEAP_DATA = 4  # MALLOC_CAP_8BIT in ESP-IDF

_BOOT = (142628, 110592)
_ACTIVE = (100400, 94200)
_JOINED = (92000, 86800)
_CONNECTED = (66176, 59392)
_HANDSHAKE = 33000
_SMALL = (16648, 5440, 5120, 4072)  # a region that nothing of this touches
_least = _BOOT[0]


def _now():
    station = network.station
    if not station.active():
        return _BOOT
    if not station.joined():
        return _ACTIVE
    return _CONNECTED if socket.connected() else _JOINED


def largest():
    return _now()[1]


def idf_heap_info(capabilities):
    # (size, free, largest free block, least ever free) of each region, in bytes.
    global _least
    free, block = _now()
    _least = min(_least, free - (_HANDSHAKE if free == _CONNECTED[0] else 0))
    return [_SMALL, (143360, free - _SMALL[1], block, max(0, _least - _SMALL[1]))]
