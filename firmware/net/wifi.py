# Brings the station into one of the networks in the config, at boot and when the network was lost.
# Loaded on demand: a Wifi lives until step() returns True.
#
#   state    leaves on                                          to
#   OFF      wait over, and the radio starts                    PAUSE
#   PAUSE    wait over                                          JOINING (the next network)
#   PAUSE    no network for _TOGGLE_S                           OFF
#   JOINING  connected, and the address is not 0.0.0.0          the end: step() returns True
#   JOINING  wait over, or connect() refused                    PAUSE, longer after each round
#
# It starts OFF at boot, and JOINING after a loss: the driver of the ESP tries by itself first.
# Before every connect() comes disconnect() and at least _SETTLE_MS: an ESP32 that is told to
# connect while it still tries gets stuck. No status is final, "wrong password" (202) least of all:
# an access point that is starting up gives it, too (issues mqtt-as 132, micropython 17661).
# Blocks only in scan(), 2 s to 3 s, with several networks and none joined.

from micropython import const

from firmware.core.timing import Deadline, pause_ms

_OFF = const(0)
_PAUSE = const(1)
_JOINING = const(2)

_SETTLE_MS = const(1_000)
_JOIN_MS = const(20_000)  # DHCP of a slow router included
_REJOIN_MS = const(10_000)
_ROUND_MS = const(1_000)  # jitter of the pause after the first round; doubles
_ROUND_MAX_MS = const(30_000)
_TOGGLE_S = const(300)
_OFF_MS = const(2_000)
# Of ESP-IDF's errors MicroPython knows some; the rest become the second (esp32/network_common.c).
# ESP32's status("rssi") raises when the network has just gone.
_FAULTS = (OSError, RuntimeError, ValueError)
# status() of ESP32 (ESP-IDF's reasons, and MicroPython's own from 1000) and ESP8266 (below 10).
_WORDS = {2: "auth", 3: "no ap", 4: "refused", 15: "auth", 200: "beacon lost", 201: "no ap"}
_WORDS.update({202: "auth", 203: "refused", 204: "auth", 205: "refused", 0: "idle", 1000: "idle"})
_WORDS.update({1: "connecting", 1001: "connecting"})


class Wifi:
    def __init__(self, wlan, networks, clock, random, log, ssid=None):
        self.wlan = wlan  # network.WLAN of the station
        self.networks = networks  # [{"ssid", "password"}]; an open one has no password
        self._clock = clock
        self._random = random
        self._log = log
        self.ssid = ssid  # tried, joined, or at first the one that was lost; None at boot
        self.next = []  # networks still to try in this round
        self.failures = 0  # rounds without success
        self.retry_s = clock.s + _TOGGLE_S  # when the radio is switched off and on
        self._wait = Deadline(clock)
        self.state = _OFF
        if ssid is not None:
            self._note("lost")
            self._enter(_JOINING, _REJOIN_MS)

    def step(self):
        # True once joined, with an address.
        wlan = self.wlan
        if self.state == _JOINING and wlan.isconnected():
            ip, rssi = "0.0.0.0", None
            try:
                ip = wlan.ifconfig()[0]
                rssi = wlan.status("rssi")
            except _FAULTS:
                pass
            if ip != "0.0.0.0":
                self._log("wifi: up {} rssi {}".format(ip, rssi))
                return True
        if self._wait.left_ms():
            return False
        if self.state == _JOINING:
            self._note("not joined")
            self._leave()
        elif self.state == _OFF:
            # An ESP8266 starts to join what it remembers as soon as it is active.
            self._enter(_OFF, _OFF_MS)
            if self._do(wlan.active, True):
                self.next = []
                self._leave()
        elif self._clock.s >= self.retry_s:
            self._log("wifi: no network, switching the radio off and on")
            self.retry_s = self._clock.s + _TOGGLE_S
            self._enter(_OFF, _OFF_MS)
            self._do(wlan.active, False)
        else:
            self._connect()
        return False

    def _connect(self):
        # The strongest first; what the scan does not show may be hidden and comes last.
        if not self.next:
            seen = {}
            if len(self.networks) > 1:
                try:
                    for found in self.wlan.scan():
                        seen[found[0]] = max(found[3], seen.get(found[0], -128))
                except _FAULTS as e:
                    self._log("wifi: no scan, {}".format(e))
            # By place in the config where equal: sorting is not stable here.
            known = enumerate(self.networks)
            order = [(-seen.get(network["ssid"].encode(), -129), i) for i, network in known]
            self.next = [self.networks[i] for _, i in sorted(order)]
        network = self.next.pop(0)
        self.ssid = network["ssid"]
        self._log("wifi: joining {}".format(self.ssid))
        self._enter(_JOINING, _JOIN_MS)
        given = (self.ssid, network["password"]) if network.get("password") else (self.ssid,)
        if not self._do(self.wlan.connect, *given):
            self._leave()

    def _leave(self):
        self._do(self.wlan.disconnect)
        wait_ms = _SETTLE_MS
        if not self.next:
            self.failures += 1
            wait_ms += pause_ms(self._random, self.failures, _ROUND_MS, _ROUND_MAX_MS)
        self._enter(_PAUSE, wait_ms)

    def _do(self, call, *args):
        # False when the driver refuses. ESP32: no memory for the radio just now.
        try:
            call(*args)
            return True
        except _FAULTS as e:
            self._log("wifi: driver, {}".format(e))
            return False

    def _note(self, what):
        status = self.wlan.status()
        why = _WORDS.get(status, "status {}".format(status))
        self._log("wifi: {} {}, {}".format(what, self.ssid, why))

    def _enter(self, state, wait_ms):
        self.state = state
        self._wait.start(wait_ms)
