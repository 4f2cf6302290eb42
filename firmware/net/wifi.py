# Brings the station into one of the networks in the config, at boot and after a loss. On demand.
# Each next() of joining() is a step; only scan() holds one up, for 2-3 s. Before every connect()
# comes disconnect() and _SETTLE_MS: an ESP32 that is told to connect while it still tries gets
# stuck. No status is final: an access point that is starting up gives "wrong password", too
# (issues mqtt-as 132, micropython 17661).

from micropython import const

from firmware.core.timing import Deadline, pause_ms

_SETTLE_MS = const(1_000)
_JOIN_MS = const(20_000)  # DHCP of a slow router included
_REJOIN_MS = const(10_000)  # the driver of the ESP tries by itself first
_ROUND_MS = const(2_000)  # the longest pause after the first round; doubles
_ROUND_MAX_MS = const(30_000)
_TOGGLE_S = const(300)  # looked at after each round
_OFF_MS = const(2_000)
# Of ESP-IDF's errors MicroPython knows some; the rest become the second (esp32/network_common.c).
_FAULTS = (OSError, RuntimeError, ValueError)
# status() % 1000 of ESP32 (ESP-IDF's reasons, and MicroPython's own from 1000) and ESP8266.
_WORDS = {0: "idle", 1: "still connecting", 2: "wrong password", 3: "no access point"}
_WORDS.update({4: "refused", 15: "handshake timeout, wrong password?", 200: "beacon lost"})
_WORDS.update({201: _WORDS[3], 202: _WORDS[2], 203: _WORDS[4], 204: _WORDS[15], 205: _WORDS[4]})


def joining(wlan, networks, clock, random, log, ssid):
    # Gives None until a network is joined, with an address: then its SSID. `ssid`: what was lost,
    # None at boot.
    failures = 0
    if ssid is not None:
        _note(wlan, log, "lost", ssid)
        yield from _join(wlan, clock, log, ssid, _REJOIN_MS)
    while True:
        if ssid is None:
            while not _call(log, wlan.active, True):
                yield from _wait(clock, _OFF_MS)
            _call(log, wlan.disconnect)  # an ESP8266 joins what it remembers
            yield from _wait(clock, _SETTLE_MS)
        retry_s = clock.s + _TOGGLE_S
        while clock.s < retry_s:
            if len(networks) > 1:
                _call(log, _sort, networks, wlan)
            for network in networks:
                ssid = network["ssid"]
                log("wifi: joining {}".format(ssid))
                called = _call(log, wlan.connect, ssid, network.get("password") or None)
                yield from _join(wlan, clock, log, ssid, _JOIN_MS if called else 0)
            failures += 1
            yield from _wait(clock, pause_ms(random, failures, _ROUND_MS, _ROUND_MAX_MS))
        log("wifi: no network, switching the radio off and on")
        _call(log, wlan.active, False)
        yield from _wait(clock, _OFF_MS)
        ssid = None


def _join(wlan, clock, log, ssid, limit_ms):
    for _ in _wait(clock, limit_ms):
        ip, rssi = "0.0.0.0", None
        try:  # an ESP32 raises when the network has just gone
            if wlan.isconnected():
                ip = wlan.ifconfig()[0]
                rssi = wlan.status("rssi")
        except _FAULTS:
            pass
        if ip != "0.0.0.0":
            log("wifi: up {}{}".format(ip, "" if rssi is None else ", {} dBm".format(rssi)))
            yield ssid
        yield
    _note(wlan, log, "not joined", ssid)
    _call(log, wlan.disconnect)
    yield from _wait(clock, _SETTLE_MS)


def _wait(clock, wait_ms):
    wait = Deadline(clock)
    wait.start(wait_ms)
    while wait.left_ms():
        yield


def _call(log, step, *args):
    # None when the driver refuses: an ESP32 may have no memory for the radio just now.
    try:
        step(*args)
        return True
    except _FAULTS as e:
        log("wifi: driver, {}".format(e))


def _sort(networks, wlan):
    # The strongest first (sorting is not stable here); what the scan does not show may be hidden.
    seen = dict(sorted((found[0], found[3]) for found in wlan.scan()))
    order = [(-seen.get(net["ssid"].encode(), -129), i) for i, net in enumerate(networks)]
    networks[:] = [networks[i] for _, i in sorted(order)]


def _note(wlan, log, what, ssid):
    status = wlan.status()
    word = _WORDS.get(status % 1000, "status is %d" % status)
    log("wifi: {} {}, {}".format(what, ssid, word))
