# The access points of the setting "wifi", and what a WLAN of either port takes for an argument.
#
# They are made when the setting changes, so that looking at them costs no memory.

import binascii

import _sim

AUTH_OPEN = 0
AUTH_WPA2_PSK = 3
NO_ADDRESS = ("0.0.0.0",) * 4
_NOTHING = {}


class AccessPoint:
    def __init__(self, number, row):
        self.ssid = row.get("ssid")  # None: whatever is asked for
        self.password = row.get("password", "" if self.ssid else None)  # None: any will do
        own = "02f1e1d001{:02x}".format(number)
        self.bssid = binascii.unhexlify(row.get("bssid", own).replace(":", ""))
        self.channel = row.get("channel", number % 13 + 1)
        self.rssi = row.get("rssi")

    def signal(self):
        return wifi().get("rssi", -58) if self.rssi is None else self.rssi

    def found(self):
        # As a row of scan().
        ssid = (self.ssid or "fieldmouse").encode()
        auth = AUTH_WPA2_PSK if self.password else AUTH_OPEN
        return ssid, self.bssid, self.channel, self.signal(), auth, 0 if _sim.ESP8266 else False


_seen = None  # the setting that _there was made from
_there = []


def wifi():
    return _sim.get("wifi", _NOTHING)


def access_points():
    global _seen, _there
    now = wifi()
    if now is not _seen:
        _seen = now
        rows = now.get("networks", (_NOTHING,)) if now.get("up", True) else ()
        _there = [AccessPoint(i, row) for i, row in enumerate(rows)]
    return _there


def text(value):
    # As mp_obj_str_get_data() takes it.
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError("can't convert '{}' object to str implicitly".format(type(value).__name__))


def address(value):
    # None: by DHCP.
    if value == "dhcp":
        return None
    if not isinstance(value, (tuple, list)):
        raise ValueError("invalid arguments")
    if len(value) != 4:
        raise ValueError("requested length 4 but object has length {}".format(len(value)))
    for i, part in enumerate(value):
        if i == 1 and isinstance(part, int):
            continue
        numbers = part.split(".")
        if len(numbers) != 4 or not all([n.isdigit() and int(n) < 256 for n in numbers]):
            raise ValueError("invalid arguments")
    return tuple(value)
