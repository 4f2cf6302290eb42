# `network.WLAN` of an ESP32 or ESP8266, joined to nothing. Setting "wifi": see tools/sim/world.py.
# The host's own network carries the traffic.

import _sim
import utime

STA_IF = 0
AP_IF = 1
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
if _sim.ESP8266:
    STAT_IDLE = 0
    STAT_CONNECTING = 1
    STAT_WRONG_PASSWORD = 2
    STAT_NO_AP_FOUND = 3
    STAT_CONNECT_FAIL = 4
    STAT_GOT_IP = 5
    _LOST = STAT_NO_AP_FOUND
else:
    STAT_IDLE = 1000
    STAT_CONNECTING = 1001
    STAT_GOT_IP = 1010
    STAT_BEACON_TIMEOUT = 200  # these are ESP-IDF's reason codes
    STAT_NO_AP_FOUND = 201
    STAT_WRONG_PASSWORD = 202
    STAT_ASSOC_FAIL = 203
    STAT_HANDSHAKE_TIMEOUT = 204
    _LOST = STAT_BEACON_TIMEOUT

_JOIN_MS = 100
_ADDRESS = ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")
_NO_ADDRESS = ("0.0.0.0",) * 4
_NOTHING = {}


def _wifi():
    return _sim.get("wifi", _NOTHING)


class _Interface:
    def __init__(self, active):
        self._active = active
        self._ssid = None
        self._key = None
        self._reason = STAT_IDLE  # what status() says
        self._since = 0

    def active(self, is_active=None):
        if is_active is None:
            return self._active
        self._active = bool(is_active)
        if not is_active:
            self._reason = STAT_IDLE
        return None

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._active:
            raise OSError("Wifi Not Started")
        if ssid is None and self._reason == STAT_CONNECTING and not _sim.ESP8266:
            raise OSError("Wifi Internal State Error")
        if ssid is not None:
            self._ssid = ssid.decode() if isinstance(ssid, bytes) else ssid
            self._key = key or ""
        self._reason = STAT_CONNECTING
        self._since = utime.ticks_ms()

    def disconnect(self):
        self._reason = STAT_IDLE

    def isconnected(self):
        return self._step() == STAT_GOT_IP

    def status(self, param=None):
        status = self._step()
        if param is None:
            return status
        if param != "rssi":
            raise ValueError("unknown status param")
        if status != STAT_GOT_IP:
            if _sim.ESP8266:
                return 31  # what its SDK says for a failure
            raise OSError("Wifi Not Connected")
        return (self._access_point() or _NOTHING).get("rssi", _wifi().get("rssi", -58))

    def scan(self):
        if not self._active:
            raise OSError("STA must be active")
        if not _wifi().get("up", True):
            return []
        found = []
        for i, ap in enumerate(_wifi().get("networks") or [{"ssid": "fieldmouse"}]):
            auth = AUTH_WPA2_PSK if ap.get("password") else AUTH_OPEN
            bssid = b"\x02\xf1\xe1\xd0\x01" + bytes([i])
            rssi = ap.get("rssi", _wifi().get("rssi", -58))
            found.append((ap["ssid"].encode(), bssid, 1 + i, rssi, auth, False))
        return sorted(found, key=lambda ap: -ap[3])

    def ifconfig(self):
        return _ADDRESS if self.isconnected() else _NO_ADDRESS

    def config(self, param=None, **settings):
        if param is None:
            return None
        if param == "mac":
            import machine

            return machine.unique_id()
        raise ValueError("unknown config param")

    def joined(self):
        return self._reason == STAT_GOT_IP

    def _step(self):
        # The ESP32 driver keeps trying by itself after connect(), and so does this.
        if self._reason == STAT_IDLE:
            return STAT_IDLE
        waited = utime.ticks_diff(utime.ticks_ms(), self._since)
        ap = self._access_point()
        if self._reason == STAT_GOT_IP and ap is None:
            self._reason = _LOST
            self._since = utime.ticks_ms()
        elif self._reason != STAT_GOT_IP and waited >= _wifi().get("join_ms", _JOIN_MS):
            self._since = utime.ticks_ms()
            if ap is None:
                self._reason = STAT_NO_AP_FOUND
            elif ap.get("password", self._key if ap is _wifi() else "") != self._key:
                self._reason = STAT_WRONG_PASSWORD
            else:
                self._reason = STAT_GOT_IP
        return self._reason

    def _access_point(self):
        wifi = _wifi()
        if not wifi.get("up", True):
            return None
        if "networks" not in wifi:
            return wifi
        for ap in wifi["networks"]:
            if ap["ssid"] == self._ssid:
                return ap
        return None


class _Wlan:
    # network.WLAN: gives the one object of each interface.
    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __call__(self, interface_id=STA_IF):
        if interface_id not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        return _access_point if interface_id == AP_IF else station


WLAN = _Wlan()
station = _Interface(False)
_access_point = _Interface(_sim.ESP8266)  # a fresh ESP8266 is one (its inisetup.py)
