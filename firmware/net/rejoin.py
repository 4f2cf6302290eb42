# Back into the network of the last connect, by what is known of it: access point, channel,
# address. It is tried once; then the usual way. For a board that sleeps, on demand. `known`:
# [ssid, bssid, channel, address as ifconfig() has it, s2000 of its lease], None where not known.

from micropython import const

from firmware.core.timing import Deadline

_PINNED_MS = const(3_000)
_STORED_MS = const(8_000)  # ESP8266: with DHCP
_LEASE_S = const(43_200)  # then the router is asked again: it may give the address to another
_FAULTS = (OSError, RuntimeError, ValueError)


def joining(wlan, networks, clock, random, log, known, s2000, pinned):
    # As wifi.joining(). `known` is empty afterwards when that did not lead back. pinned: an ESP32.
    ssid, bssid, channel, address, since = known
    keys = [net.get("password") or None for net in networks if net["ssid"] == ssid]
    if not 0 <= s2000 - since < _LEASE_S:
        address = known[3] = None
    wait = Deadline(clock)
    wait.start((_PINNED_MS if pinned else _STORED_MS) if keys else 0)
    try:
        if keys:
            log("wifi: back to {}".format(ssid))
            _connect(wlan, ssid, keys[0], bssid, channel, address, pinned)
        while wait.left_ms():
            if wlan.isconnected() and wlan.ifconfig()[0] != "0.0.0.0":
                rssi = _call(wlan.status, "rssi") or "?"
                log("wifi: up {}, {} dBm".format(wlan.ifconfig()[0], rssi))
                yield ssid
            yield
    except _FAULTS as e:
        log("wifi: driver, {}".format(e))
    del known[:]
    forget(wlan)
    from firmware.net import wifi

    yield from wifi.joining(wlan, networks, clock, random, log, None)


def _connect(wlan, ssid, key, bssid, channel, address, pinned):
    wlan.active(True)
    if not pinned:
        if wlan.config("ssid") != ssid:
            raise ValueError("another network is stored")
        wlan.connect()  # with arguments it would be a write to flash
        return
    if address:
        wlan.ifconfig(tuple(address))
    if bssid:
        # An ESP32 forgets the channel in connect() with arguments, and without one it scans. So
        # those are only set, and the second connect() takes what is set (esp32/network_wlan.c).
        wlan.connect(ssid, key, bssid=bytes(bssid))
        wlan.disconnect()
        wlan.config(channel=channel)
        wlan.connect()
    else:
        wlan.connect(ssid, key)


def forget(wlan):
    # The address; it lasts until the next reset, or this.
    _call(wlan.ifconfig, "dhcp")


def remember(wlan, ssid, known, s2000, pinned):
    # Before the radio goes off. Which access point it is nobody says; but of the strongest in a
    # scan all is known, and an ESP32 would take the first by channel.
    if not known or known[0] != ssid:
        found = _call(wlan.scan) if pinned else ()
        if found is None:  # the usual way, then, and once more
            return None
        rows = [(row[3], row[1], row[2]) for row in found if row[0] == ssid.encode()]
        bssid, channel = (list(max(rows)[1]), max(rows)[2]) if rows else (None, 0)
        known = [ssid, bssid, channel, None, 0]
    if pinned and not known[3]:
        known[3], known[4] = list(_call(wlan.ifconfig) or ()), s2000
    return known


def leave(wlan):
    # An access point should know; and ESP-IDF does not stop the radio before it sleeps.
    _call(wlan.disconnect)
    _call(wlan.active, False)


def _call(step, *args):
    # None when the driver refuses.
    try:
        return step(*args)
    except _FAULTS:
        return None
