# Keeps the station interface joined to one of the networks in the config.
#
#   state    leaves on                                          to
#   PAUSE    wait over                                          JOINING (the next network)
#   PAUSE    no network for _TOGGLE_MS                          OFF
#   JOINING  connected, and the address is not 0.0.0.0          UP
#   JOINING  _JOIN_MS over, or connect() refused                PAUSE, longer after each round
#   UP       not connected any more                             JOINING, _REJOIN_MS: the driver
#                                                               of the ESP tries by itself first
#   OFF      _OFF_MS over, and the radio starts                 PAUSE
#
# Before every connect() comes disconnect() and at least _SETTLE_MS: an ESP32 that is told to
# connect while it still tries gets stuck. No status is final, "wrong password" (202) least of
# all: it is also what an access point gives that is starting up (peers.md table C, 8; issues
# mqtt-as 132, micropython 17661). When to restart the board for good is decided elsewhere.
# Blocks only in scan(), 2 s to 3 s, and only with several networks and none joined.

from micropython import const

PAUSE = const(0)
JOINING = const(1)
UP = const(2)
OFF = const(3)

_SETTLE_MS = const(1_000)
_JOIN_MS = const(20_000)  # DHCP of a slow router included
_REJOIN_MS = const(10_000)
_PAUSE_MAX_MS = const(30_000)
_TOGGLE_MS = const(300_000)
_OFF_MS = const(2_000)
_LOOK_MS = const(10_000)  # how often the address is checked while all seems well
_NO_ADDRESS = "0.0.0.0"
# Of ESP-IDF's errors MicroPython knows some; the rest become the second (esp32/network_common.c).
_FAULTS = (OSError, RuntimeError)
# status() of ESP32 (ESP-IDF reasons) and of ESP8266 (below 10).
_WORDS = {2: "auth", 3: "no ap", 4: "refused", 15: "auth", 200: "beacon lost", 201: "no ap"}
_WORDS.update({202: "auth", 203: "refused", 204: "auth", 205: "refused"})


class Wifi:
    def __init__(self, wlan, networks, clock, random, log):
        self._wlan = wlan  # network.WLAN of the station
        self._networks = networks  # [{"ssid", "password"}]; an open one has no password
        self._clock = clock
        self._random = random
        self._log = log
        self.state = OFF
        self.ssid = None  # tried or joined
        self.drops = 0  # times joined and lost again since boot
        self.last_reason = None  # why it is or was down, in a word
        self._queue = []  # networks still to try in this round
        self._round_ms = _SETTLE_MS  # pause after this round; doubles
        self._wait_ms = 0  # how long this state lasts
        self._since = self._looked = clock.now()
        self._down_since = clock.now()  # last time joined, or last toggled

    @property
    def up(self):
        return self.state == UP

    def step(self):
        if self.state == UP:
            self._watch()
        elif self.state == JOINING:
            self._join()
        elif self._age_ms(self._since) >= self._wait_ms:
            if self.state == OFF:
                self._on()
            elif self._age_ms(self._down_since) >= _TOGGLE_MS:
                self._off()
            else:
                self._connect()

    def rssi(self):
        # dBm, None while not joined. An ESP32 raises when the network has just gone.
        if self.state == UP:
            try:
                return self._wlan.status("rssi")
            except (OSError, RuntimeError, ValueError):
                pass
        return None

    def ip(self):
        return self._address() if self.state == UP else None

    def _address(self):
        try:
            return self._wlan.ifconfig()[0]
        except _FAULTS:
            return _NO_ADDRESS

    def _joined(self):
        return self._wlan.isconnected() and self._address() != _NO_ADDRESS

    def _watch(self):
        if self._wlan.isconnected() and self._age_ms(self._looked) < _LOOK_MS:
            return
        self._looked = self._clock.now()
        if self._joined():
            return
        self.drops += 1
        self._down_since = self._clock.now()
        self._note("lost")
        self._enter(JOINING, _REJOIN_MS)

    def _join(self):
        if self._joined():
            self._enter(UP, 0)
            self._queue = []
            self._round_ms = _SETTLE_MS
            self._looked = self._since
            self._log("wifi: up {} rssi {}".format(self.ip(), self.rssi()))
        elif self._age_ms(self._since) >= self._wait_ms:
            self._note("not joined")
            self._leave()

    def _connect(self):
        if not self._queue:
            self._queue = self._order()
        network = self._queue.pop(0)
        self.ssid = network["ssid"]
        self._log("wifi: joining {}".format(self.ssid))
        self._enter(JOINING, _JOIN_MS)
        try:
            if network.get("password"):
                self._wlan.connect(self.ssid, network["password"])
            else:
                self._wlan.connect(self.ssid)
        except _FAULTS as e:  # ESP32: "Wifi Internal State Error"
            self._fault(e)
            self._leave()

    def _fault(self, error):
        self.last_reason = "driver"
        self._log("wifi: driver says {}".format(error))

    def _leave(self):
        try:
            self._wlan.disconnect()
        except _FAULTS:
            pass  # not started: nothing to leave
        if self._queue:
            self._enter(PAUSE, _SETTLE_MS)
            return
        self._enter(PAUSE, _SETTLE_MS + self._random(self._round_ms))
        self._round_ms = min(self._round_ms * 2, _PAUSE_MAX_MS)

    def _off(self):
        self._log("wifi: nothing works, switching the radio off and on")
        self._down_since = self._clock.now()
        self._switch(False)
        self._enter(OFF, _OFF_MS)

    def _on(self):
        # An ESP8266 starts to join what it remembers as soon as it is active.
        if self._switch(True):
            self._queue = []
            self._leave()
        else:
            self._enter(OFF, _OFF_MS)

    def _switch(self, on):
        try:
            self._wlan.active(on)
            return True
        except _FAULTS as e:  # ESP32: no memory for the radio just now
            self._fault(e)
            return False

    def _order(self):
        # The strongest first; what the scan does not show may be hidden and comes last.
        if len(self._networks) == 1:
            return self._networks[:]
        seen = {}
        try:
            for found in self._wlan.scan():
                seen[found[0]] = max(found[3], seen.get(found[0], -128))
        except _FAULTS as e:
            self._log("wifi: no scan, {}".format(e))
        order = []
        for i, network in enumerate(self._networks):
            order.append((-seen.get(network["ssid"].encode(), -129), i))
        order.sort()  # by place in the config where equal: sort() is not stable here
        return [self._networks[i] for _, i in order]

    def _note(self, what):
        status = self._wlan.status()
        self.last_reason = _WORDS.get(status, "status {}".format(status))
        self._log("wifi: {} {}, {}".format(what, self.ssid, self.last_reason))

    def _enter(self, state, wait_ms):
        self.state = state
        self._wait_ms = wait_ms
        self._since = self._clock.now()

    def _age_ms(self, mark):
        return self._clock.diff(self._clock.now(), mark)
