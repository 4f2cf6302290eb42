# Brings the station into one of the networks in the config, at boot and after a loss. On demand: a
# Wifi lives until step() returns True.
#
#   state    leaves on                                          to
#   OFF      wait over, and the radio starts                    PAUSE
#   PAUSE    wait over                                          JOINING (the next network)
#   PAUSE    no network for _TOGGLE_S                           OFF
#   JOINING  connected, and the address is not 0.0.0.0          the end: step() returns True
#   JOINING  wait over                                          PAUSE, longer after each round
#
# It starts OFF at boot, and JOINING after a loss: the driver of the ESP tries by itself first.
# Before every connect() comes disconnect() and at least _SETTLE_MS: an ESP32 that is told to
# connect while it still tries gets stuck. No status is final: an access point that is starting up
# gives "wrong password", too (issues mqtt-as 132, micropython 17661). Only scan() blocks, 2-3 s.

from micropython import const

from firmware.core.timing import Deadline, pause_ms

_OFF = const(0)
_PAUSE = const(1)
_JOINING = const(2)

_SETTLE_MS = const(1_000)
_JOIN_MS = const(20_000)  # DHCP of a slow router included
_REJOIN_MS = const(10_000)
_ROUND_MS = const(2_000)  # the longest pause after the first round; doubles
_ROUND_MAX_MS = const(30_000)
_TOGGLE_S = const(300)
_OFF_MS = const(2_000)
# Of ESP-IDF's errors MicroPython knows some; the rest become the second (esp32/network_common.c).
_FAULTS = (OSError, RuntimeError, ValueError)
# status() % 1000 of ESP32 (ESP-IDF's reasons, and MicroPython's own from 1000) and ESP8266.
_WORDS = {0: "idle", 1: "connecting", 2: "auth", 3: "no ap", 4: "refused", 15: "auth"}
_WORDS.update({200: "beacon lost", 201: "no ap", 202: "auth", 203: "refused", 204: "auth"})
_WORDS[205] = "refused"


class Wifi:
    def __init__(self, wlan, networks, clock, random, log, ssid):
        self.wlan = wlan  # network.WLAN of the station
        self.networks = networks  # [{"ssid", "password"}]; an open one has no password
        self.clock = clock
        self.random = random
        self.log = log
        self.ssid = ssid  # tried, joined, or at first the one that was lost; None at boot
        self.next = []  # networks still to try in this round
        self.failures = 0  # rounds without success
        self.retry_s = clock.s + _TOGGLE_S  # when the radio is switched off and on
        self.wait = Deadline(clock)
        self.state = _OFF
        if ssid is not None:
            self.state = _JOINING
            self.wait.start(_REJOIN_MS)
            self.note("lost")

    def step(self):
        # True once joined, with an address.
        if self.state == _JOINING and self.wlan.isconnected():
            ip, rssi = "0.0.0.0", None
            try:  # an ESP32 raises when the network has just gone
                ip = self.wlan.ifconfig()[0]
                rssi = self.wlan.status("rssi")
            except _FAULTS:
                pass
            if ip != "0.0.0.0":
                self.log("wifi: up {} rssi {}".format(ip, rssi))
                return True
        if not self.wait.left_ms():
            try:
                self._step()
            except _FAULTS as e:  # ESP32: no memory for the radio just now
                self.log("wifi: driver, {}".format(e))
        return False

    def _step(self):
        # Whatever the driver refuses, the new state is in force before.
        if self.state == _JOINING:
            self.note("not joined")
            self.disconnect()
        elif self.state == _OFF:
            # An ESP8266 starts to join what it remembers as soon as it is active.
            self.wait.start(_OFF_MS)
            self.wlan.active(True)
            self.disconnect()
        elif self.clock.s >= self.retry_s:
            self.log("wifi: no network, switching the radio off and on")
            self.retry_s = self.clock.s + _TOGGLE_S
            self.state, self.next = _OFF, []
            self.wait.start(_OFF_MS)
            self.wlan.active(False)
        else:
            if not self.next:
                self.scan()
            network = self.next.pop(0)
            self.ssid = network["ssid"]
            self.log("wifi: joining {}".format(self.ssid))
            self.state = _JOINING
            self.wlan.connect(self.ssid, network.get("password") or None)
            self.wait.start(_JOIN_MS)

    def scan(self):
        # The strongest first, by place in the config where equal (sorting is not stable here), and
        # where the scan fails; what it does not show may be hidden and comes last.
        self.next = list(self.networks)
        if len(self.next) > 1:
            seen = {}
            for found in self.wlan.scan():
                seen[found[0]] = max(found[3], seen.get(found[0], -128))
            known = enumerate(self.networks)
            order = [(-seen.get(network["ssid"].encode(), -129), i) for i, network in known]
            self.next = [self.networks[i] for _, i in sorted(order)]

    def disconnect(self):
        self.state = _PAUSE
        wait_ms = _SETTLE_MS
        if not self.next:
            self.failures += 1
            wait_ms = pause_ms(self.random, self.failures, _ROUND_MS, _ROUND_MAX_MS)
        self.wait.start(wait_ms)
        self.wlan.disconnect()

    def note(self, what):
        status = self.wlan.status()
        why = _WORDS.get(status % 1000, "status {}".format(status))
        self.log("wifi: {} {}, {}".format(what, self.ssid, why))
