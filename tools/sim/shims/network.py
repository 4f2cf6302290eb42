# `network.WLAN` of an ESP32 or ESP8266, joined to nothing. Setting "wifi": see tools/sim/world.py.
# The host's own network carries the traffic.
#
# As the ports have it (network_wlan.c of each):
#
#   connect()    with an SSID sets everything anew, a channel from config() is forgotten; without
#                one it takes what is set. An ESP32 refuses it while it still tries
#   trying       goes on by itself until disconnect(), or as often as config(reconnects=) says
#   which one    of several with the SSID: an ESP32's the first by channel, an ESP8266's the
#                strongest; with bssid= only that one
#   status()     of an ESP32 keeps the last error until there is an address. After disconnect() it
#                says "idle", also while it connects
#   ifconfig()   shows a static address even when not joined
#   config()     of an ESP8266's station writes the channel over the first byte of the BSSID

import _sim
import utime
from _air import AUTH_OPEN, AUTH_WPA2_PSK, NO_ADDRESS, access_points, address, text, wifi  # noqa: F401

_ESP8266 = _sim.ESP8266
STA_IF = 0
AP_IF = 1
if _ESP8266:
    STAT_IDLE = 0
    STAT_CONNECTING = 1
    STAT_WRONG_PASSWORD = 2
    STAT_NO_AP_FOUND = 3
    STAT_CONNECT_FAIL = 4
    STAT_GOT_IP = 5
    _LOST = STAT_NO_AP_FOUND
    _NOT_STARTED = _NO_SSID = "Cannot connect to AP"
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
    _NOT_STARTED = "Wifi Not Started"
    _NO_SSID = "Wifi SSID Invalid"

_LEFT = 8  # ASSOC_LEAVE: told to
_JOIN_MS = 100
_PINNED_MS = 30
_CHANNELS = 14
_BSSID_BYTES = 6
_SSID_BYTES = 32
_ADDRESS = ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")


class _Interface:
    def __init__(self, active):
        self._active = active
        self._ssid = self._bssid = None  # what connect() has set
        self._key = ""
        self._channel = 0  # where the scan of connect() begins
        self._radio = 1  # where the radio is
        self._trying = False
        self._why = 0  # it failed the last time
        self._since = 0
        self._failures = 0
        self._reconnects = -1
        self._joined = None  # the access point
        self._static = None
        self._pm = 1
        self._txpower = 20

    def active(self, is_active=None):
        if is_active is None:
            return self._active
        if not is_active:
            self._leave()
        self._active = bool(is_active)
        return None if _ESP8266 else self._active

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self._active:
            raise OSError(_NOT_STARTED)
        busy = self._busy()
        if ssid is not None or key is not None or (_ESP8266 and bssid is not None):
            if busy:
                raise OSError("Wifi Internal State Error")
            self._configure(text(ssid) or b"", text(key) or b"", text(bssid))
        elif busy:
            raise OSError("Wifi Internal Error")
        if not self._ssid:
            raise OSError(_NO_SSID)
        self._joined = None
        self._trying = True
        self._failures = 0
        if _ESP8266:
            self._why = 0
        self._since = utime.ticks_ms()

    def _configure(self, ssid, key, bssid):
        if bssid is not None and len(bssid) != _BSSID_BYTES:
            raise ValueError
        self._ssid = ssid[:_SSID_BYTES].decode()
        self._key = key.decode()
        self._bssid = bssid
        self._channel = 0

    def _busy(self):
        # ESP-IDF then refuses much; the ESP8266's SDK does not.
        self._step()
        return self._trying and self._joined is None and not _ESP8266

    def disconnect(self):
        if not self._active:
            raise OSError(_NOT_STARTED)
        self._leave()

    def isconnected(self):
        return self._step()

    def status(self, param=None):
        up = self._step()
        if param is None:
            if up:
                return STAT_GOT_IP
            if self._why == _LEFT or not (self._why or self._trying):
                return STAT_IDLE
            failed = self._why == STAT_NO_AP_FOUND or self._why == STAT_WRONG_PASSWORD
            return self._why if failed or not self._trying else STAT_CONNECTING
        if param != "rssi":
            raise ValueError("unknown status param")
        if not up:
            if _ESP8266:
                return 31  # what its SDK says for a failure
            raise OSError("Wifi Not Connected")
        return self._joined.signal()

    def scan(self):
        if not self._active:
            raise OSError("STA must be active")
        if self._busy():
            return []  # ESP-IDF refuses, and the port does not say so
        utime.sleep_ms(wifi().get("scan_ms", 0))
        return sorted([ap.found() for ap in access_points()], key=lambda row: -row[3])

    def ifconfig(self, *args):
        if args:
            self._static = address(*args)
            return None
        return self._static or (_ADDRESS if self._step() else NO_ADDRESS)

    def config(self, *args, **settings):
        if not settings:
            if len(args) != 1:
                raise TypeError("can query only one param")
            return self._get(args[0])
        if args:
            raise TypeError("either pos or kw args are allowed")
        for name, value in settings.items():
            self._set(name, value)
        return None

    def joined(self):
        return self._joined is not None

    def radio_channel(self):
        return self._radio

    def stay_on(self, channel):
        self._radio = channel

    def _get(self, name):
        if name == "channel":
            if not self._active and not _ESP8266:
                raise OSError(_NOT_STARTED)
            self._step()
            return self._radio
        if name == "mac":
            import machine

            return machine.unique_id()
        if name in ("ssid", "essid"):
            return self._ssid or ""
        if name == "pm":
            return self._pm
        if name == "txpower" and not _ESP8266:
            return float(self._txpower)
        if name == "reconnects" and not _ESP8266:
            return self._reconnects
        if name in ("hidden", "security"):
            raise OSError("AP required")
        raise ValueError("unknown config param")

    def _set(self, name, value):
        if name == "channel":
            self._set_channel(value)
        elif name == "txpower":
            self._txpower = value
        elif name == "pm":
            self._pm = value
        elif name == "reconnects" and not _ESP8266:
            self._reconnects = value
        elif name in ("ssid", "essid", "hidden", "security", "key", "password"):
            raise OSError("AP required")
        elif name != "hostname":
            raise ValueError("unknown config param")

    def _set_channel(self, channel):
        good = 1 <= channel <= _CHANNELS
        if _ESP8266:
            if not good:
                raise OSError("can't set channel")
            if self._bssid:
                self._bssid = bytes((channel,)) + self._bssid[1:]
        else:
            if not self._active:
                raise OSError(_NOT_STARTED)
            if self._trying:
                raise OSError("Wifi Internal State Error")
            if not good:
                raise RuntimeError("Wifi Unknown Error 0x0102")
            self._channel = channel
        self._radio = channel

    def _leave(self):
        if self._trying and not _ESP8266:
            self._why = _LEFT
        elif self._trying:
            self._why = 0
        self._trying = False
        self._joined = None

    def _step(self):
        # True when there is an address. The driver keeps trying by itself, and so does this.
        if not self._trying:
            return False
        if self._joined:
            for ap in access_points():
                if ap.bssid == self._joined.bssid and ap.ssid == self._joined.ssid:
                    self._joined = ap
                    return True
            self._failed(_LOST)
            return False
        ap = self._target()
        left = self._takes(ap) - utime.ticks_diff(utime.ticks_ms(), self._since)
        if left > 0:
            return False
        if ap is None:
            self._failed(STAT_NO_AP_FOUND)
        elif ap.password is not None and ap.password != self._key:
            self._failed(STAT_WRONG_PASSWORD)
        elif self._static is None and -left < wifi().get("dhcp_ms", 0):
            pass
        elif self._static is None or self._static[0] != NO_ADDRESS[0]:
            self._joined = ap
            self._radio = ap.channel
            self._why = 0
        return self._joined is not None

    def _takes(self, ap):
        # Milliseconds until it is joined, or not found.
        join_ms = wifi().get("join_ms", _JOIN_MS)
        known = self._radio if _ESP8266 else self._channel
        if ap is None or ap.bssid != self._bssid or ap.channel != known:
            return join_ms
        return min(join_ms, wifi().get("join_pinned_ms", _PINNED_MS))

    def _target(self):
        best = None
        for ap in access_points():
            if self._fits(ap) and (best is None or self._rank(ap) < self._rank(best)):
                best = ap
        return best

    def _fits(self, ap):
        if self._bssid is not None and self._bssid != ap.bssid:
            return False
        return ap.ssid is None or ap.ssid == self._ssid

    def _rank(self, ap):
        if _ESP8266:
            return -ap.signal()
        return 0 if ap.channel == self._channel else ap.channel

    def _failed(self, why):
        self._joined = None
        self._why = why
        self._since = utime.ticks_ms()
        self._failures += 1
        if 0 <= self._reconnects < self._failures:
            self._trying = False


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
_access_point = _Interface(_ESP8266)  # a fresh ESP8266 is one (its inisetup.py)
if _ESP8266 and _sim.get("reset_cause") == "deepsleep":
    station.stay_on(_sim.state().get("radio", 1))  # the SDK remembers it
access_points()
