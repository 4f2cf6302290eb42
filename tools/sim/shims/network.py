# `network.WLAN` of an ESP32, joined to nothing. Setting "wifi": {"up": true, "rssi": -58,
# "join_ms": 100, "networks": [{"ssid", "password", "rssi"}]}; without "networks" every SSID is
# there and takes any password. The host's own network carries the traffic.

import _sim
import utime

STA_IF = 0
AP_IF = 1
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200  # these are ESP-IDF's reason codes
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_CONNECT_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204
STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY = 210
STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD = 211
STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD = 212

_JOIN_MS = 100
_ADDRESS = ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")
_station = None
_hostname = "mpy-esp32"
_country = "XX"


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name
    return None


def country(code=None):
    global _country
    if code is None:
        return _country
    _country = code
    return None


def _wifi():
    return _sim.get("wifi") or {}


class WLAN:
    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __init__(self, interface_id=STA_IF):
        # Both constructions give the one interface the chip has; its state lives in the module.
        global _station
        if interface_id not in (STA_IF, AP_IF):
            raise ValueError("invalid WLAN interface identifier")
        if interface_id == STA_IF:
            if _station is None:
                _station = _Station()
            self._if = _station
        else:
            self._if = _Station()

    def active(self, is_active=None):
        if is_active is None:
            return self._if.active
        self._if.active = bool(is_active)
        if not is_active:
            self._if.leave()
        return None

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._if.active:
            raise OSError("Wifi Not Started")
        if self._if.reason == STAT_CONNECTING and ssid is None:
            raise OSError("Wifi Internal State Error")
        self._if.join(ssid, key)

    def disconnect(self):
        self._if.leave()

    def isconnected(self):
        return self._if.step() == STAT_GOT_IP

    def status(self, param=None):
        status = self._if.step()
        if param is None:
            return status
        if param != "rssi":
            raise ValueError("unknown status param")
        if status != STAT_GOT_IP:
            raise OSError("Wifi Not Connected")
        return self._if.rssi()

    def scan(self):
        if not self._if.active:
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

    def ifconfig(self, config=None):
        if config is None:
            return _ADDRESS if self.isconnected() else ("0.0.0.0",) * 4
        return None

    def ipconfig(self, param=None, **settings):
        if param is None:
            return None
        ip, mask, gateway, _ = self.ifconfig()
        if param == "addr4":
            return (ip, mask)
        if param == "gw4":
            return gateway
        if param in ("dhcp4", "has_dhcp4"):
            return True
        raise ValueError("unexpected key")

    def config(self, param=None, **settings):
        if param is None:
            self._if.config.update(settings)
            return None
        if param == "mac":
            import machine

            return machine.unique_id()
        if param in ("ssid", "essid"):
            return self._if.ssid or ""
        if param in self._if.config:
            return self._if.config[param]
        raise ValueError("unknown config param")


class _Station:
    def __init__(self):
        self.active = False
        self.ssid = None
        self.key = None
        self.reason = STAT_IDLE  # what status() says
        self.config = {"pm": 1, "txpower": 20.0, "channel": 1, "reconnects": -1}
        self._since = 0

    def join(self, ssid, key):
        if ssid is not None:
            self.ssid = ssid.decode() if isinstance(ssid, bytes) else ssid
            self.key = key or ""
        self.reason = STAT_CONNECTING
        self._since = utime.ticks_ms()

    def leave(self):
        self.reason = STAT_IDLE

    def rssi(self):
        ap = self._access_point()
        return (ap or {}).get("rssi", _wifi().get("rssi", -58))

    def step(self):
        # The ESP32 driver keeps trying by itself after connect(), and so does this.
        if self.reason == STAT_IDLE:
            return STAT_IDLE
        waited = utime.ticks_diff(utime.ticks_ms(), self._since)
        ap = self._access_point()
        if self.reason == STAT_GOT_IP and ap is None:
            self.reason = STAT_BEACON_TIMEOUT
            self._since = utime.ticks_ms()
        elif self.reason != STAT_GOT_IP and waited >= _wifi().get("join_ms", _JOIN_MS):
            self._since = utime.ticks_ms()
            if ap is None:
                self.reason = STAT_NO_AP_FOUND
            elif ap.get("password", self.key) != self.key:
                self.reason = STAT_WRONG_PASSWORD
            else:
                self.reason = STAT_GOT_IP
        return self.reason

    def _access_point(self):
        wifi = _wifi()
        if not wifi.get("up", True):
            return None
        if "networks" not in wifi:
            return wifi
        for ap in wifi["networks"]:
            if ap["ssid"] == self.ssid:
                return {
                    "ssid": self.ssid,
                    "password": ap.get("password", ""),
                    "rssi": ap.get("rssi", -58),
                }
        return None
