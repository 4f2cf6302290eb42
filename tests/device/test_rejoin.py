# heap: 64wk
# Back into the network of the last connect, by the rules in firmware/net/rejoin.py.

import harness
from fakes import Clock, Log
from firmware.net import rejoin

HOME = {"ssid": "home", "password": "correct horse"}
SHED = {"ssid": "shed", "password": "battery staple"}
OPEN = {"ssid": "open"}
BSSID = [2, 0, 0, 0, 0, 1]
ADDRESS = ["192.168.4.7", "255.255.255.0", "192.168.4.1", "192.168.4.1"]
NOW = 848_000_000
LEASE_S = 43_200
ERRORS = (
    OSError("Wifi Internal State Error"),
    RuntimeError("Wifi Unknown Error 0x0102"),
    ValueError("a channel"),
)
USUAL = [("active", True), ("disconnect",), ("connect", "home", "correct horse")]
SET = ("connect", "home", "correct horse", bytes(BSSID))
PINNED = [SET, ("disconnect",), ("config", "channel", 11), ("connect",)]


class Wlan:
    # network.WLAN that joins when told to by the test. `refuses`: the call that raises `error`.
    def __init__(self):
        self.calls = []
        self.joined = False
        self.stored = "home"  # ESP8266: on its flash
        self.address = ADDRESS[0]
        self.rows = []
        self.refuses = self.error = None

    def note(self, *call):
        self.calls.append(call)
        if self.error and call[: len(self.refuses)] == self.refuses:
            raise self.error

    def active(self, on):
        self.note("active", on)

    def connect(self, *args, bssid=None):
        self.note("connect", *args + ((bssid,) if bssid else ()))

    def disconnect(self):
        self.note("disconnect")

    def config(self, what=None, channel=None):
        if what == "ssid":
            self.note("config", "ssid")
            return self.stored
        self.note("config", "channel", channel)

    def ifconfig(self, given=None):
        if given is not None:
            self.note("ifconfig", given)
            return None
        if self.refuses == ("ifconfig()",):
            raise self.error
        return tuple([self.address] + ADDRESS[1:])

    def isconnected(self):
        if self.refuses == ("isconnected",):
            raise self.error
        return self.joined

    def status(self, what=None):
        if what and self.refuses == ("status",):
            raise self.error
        return -61 if what else 1001

    def scan(self):
        self.note("scan")
        return self.rows

    def take(self):
        calls, self.calls = self.calls, []
        return calls


class Rig:
    # Goes on with joining() as the app does. `calls`: those of the first step, which are all but
    # what follows when it has failed.
    def __init__(self, pinned=True, networks=(HOME,), known=None, age_s=0, wlan=None):
        self.wlan, self.clock, self.log = wlan or Wlan(), Clock(), Log()
        self.known = known or ["home", BSSID[:], 11, ADDRESS[:], NOW - age_s]
        args = self.clock, lambda limit: 0, self.log, self.known, NOW, pinned
        self.wifi = rejoin.joining(self.wlan, list(networks), *args)
        self.ssid = next(self.wifi)
        self.calls = self.wlan.take()

    def run(self, ms):
        # Until it is joined, or so long.
        for _ in range(ms // 50):
            self.clock.pass_ms(50)
            self.ssid = next(self.wifi)
            if self.ssid:
                return self
        return self

    def join(self):
        self.wlan.joined = True
        self.run(100)
        harness.equal(self.ssid, self.known[0])
        harness.equal(self.wlan.take(), [])
        harness.equal(self.log.lines[-1], "wifi: up {}, -61 dBm".format(self.wlan.address))


def fell_back(rig):
    # Once, and by nothing that it knew.
    harness.equal(rig.known, [])
    calls = rig.run(1500).wlan.take()
    if calls[0] != ("ifconfig", "dhcp"):
        calls = rig.calls + calls
        calls = calls[calls.index(("ifconfig", "dhcp")) :]
    harness.equal(calls, [("ifconfig", "dhcp")] + USUAL)
    rig.run(100_000)
    later = rig.wlan.take()
    assert ("connect", "home", "correct horse") in later, later
    for call in later:
        assert call not in PINNED[:1] + PINNED[2:] and call[0] != "ifconfig", call


def test_an_esp32_is_told_all_in_the_order_that_it_needs():
    rig = Rig()
    wanted = [("active", True), ("ifconfig", tuple(ADDRESS))] + PINNED
    harness.equal(rig.calls, wanted)
    harness.equal(rig.log.lines, ["wifi: back to home"])
    rig.join()
    harness.equal(rig.known, ["home", BSSID, 11, ADDRESS, NOW])


def test_an_address_is_good_for_as_long_as_its_lease():
    for age_s, good in ((0, True), (LEASE_S - 1, True), (LEASE_S, False), (-1, False)):
        rig = Rig(age_s=age_s)
        harness.equal(("ifconfig", tuple(ADDRESS)) in rig.calls, good)
        harness.equal(rig.calls[-4:], PINNED)
        rig.join()
        harness.equal(rig.known[3], ADDRESS if good else None)
        # Then it is the router's again.
        rejoin.remember(rig.wlan, "home", rig.known, NOW, True)
        harness.equal(rig.known[3:], [ADDRESS, NOW - age_s if good else NOW])


def test_without_an_access_point_or_an_address():
    known = ["home", None, 0, ADDRESS, NOW]
    harness.equal(Rig(known=known).calls[1:], [("ifconfig", tuple(ADDRESS)), USUAL[2]])
    harness.equal(Rig(known=["home", None, 0, None, 0]).calls[1:], USUAL[2:])


def test_an_open_network_gets_no_password():
    known = ["open", BSSID, 11, None, NOW]
    rig = Rig(networks=(HOME, OPEN), known=known)
    harness.equal(rig.calls[1], ("connect", "open", None, bytes(BSSID)))


def test_an_esp8266_takes_what_it_has_stored():
    rig = Rig(pinned=False)
    harness.equal(rig.calls, [("active", True), ("config", "ssid"), ("connect",)])
    rig.run(7_900)
    harness.equal((rig.wlan.take(), len(rig.known)), ([], 5))
    rig.join()


def test_an_esp8266_that_has_stored_another_looks_around():
    wlan = Wlan()
    wlan.stored = "shed"
    rig = Rig(pinned=False, wlan=wlan)
    assert "wifi: driver, another network is stored" in rig.log.lines
    assert ("connect",) not in rig.calls, rig.calls
    fell_back(rig)


def test_what_does_not_lead_back_is_tried_once_and_forgotten():
    for pinned, limit_ms in ((True, 3_000), (False, 8_000)):
        rig = Rig(pinned)
        rig.run(limit_ms - 100)
        harness.equal((rig.wlan.take(), len(rig.known)), ([], 5))
        rig.run(100)
        harness.equal(rig.wlan.take()[0], ("ifconfig", "dhcp"))
        harness.equal(rig.known, [])
        rig.run(1500)
        harness.equal(rig.wlan.take(), USUAL[2:])
        rig.wlan.joined = True
        rig.run(100)
        harness.equal((rig.ssid, rig.log.lines.count("wifi: back to home")), ("home", 1))


def test_no_address_is_not_up():
    wlan = Wlan()
    wlan.joined, wlan.address = True, "0.0.0.0"
    rig = Rig(wlan=wlan)
    rig.run(2_900)
    harness.equal((rig.ssid, rig.wlan.take()), (None, []))
    wlan.address = ADDRESS[0]
    rig.join()


def test_a_network_that_is_no_longer_in_the_config_is_not_joined():
    rig = Rig(networks=(SHED,))
    harness.equal(rig.calls[:1], [("ifconfig", "dhcp")])
    harness.equal((rig.known, rig.log.lines), ([], []))
    rig.run(1500)
    harness.equal(rig.wlan.take()[-1], ("connect", "shed", "battery staple"))


def test_whatever_the_driver_refuses_the_usual_way_follows():
    esp32 = [("active",), ("ifconfig", tuple(ADDRESS))] + PINNED
    esp8266 = [("active",), ("config", "ssid"), ("connect",)]
    for pinned, steps in ((True, esp32), (False, esp8266)):
        for step in steps:
            for error in ERRORS:
                wlan = Wlan()
                wlan.refuses, wlan.error = step, error
                rig = Rig(pinned, wlan=wlan)
                wlan.error = None
                assert "wifi: driver, {}".format(error) in rig.log.lines, (step, rig.log.lines)
                harness.equal(rig.known, [])
                rig.run(5_000)
                wlan.joined = True
                rig.run(30_000)
                harness.equal(rig.ssid, "home")


def test_a_driver_that_fails_while_it_joins():
    for step in (("isconnected",), ("ifconfig()",)):
        for error in ERRORS:
            rig = Rig()
            rig.wlan.joined = True
            rig.wlan.refuses, rig.wlan.error = step, error
            rig.run(50)
            rig.wlan.refuses, rig.wlan.error = (), None
            rig.wlan.joined = False
            fell_back(rig)


def test_it_stays_where_nobody_says_how_strong_it_is():
    for error in ERRORS:
        rig = Rig()
        rig.wlan.joined = True
        rig.wlan.refuses, rig.wlan.error = ("status",), error
        rig.run(100)
        harness.equal((rig.ssid, len(rig.known)), ("home", 5))
        harness.equal(rig.log.lines[-1], "wifi: up {}, ? dBm".format(ADDRESS[0]))


def test_an_address_that_cannot_be_forgotten_stops_nothing():
    for error in ERRORS:
        rig = Rig()
        rig.wlan.refuses, rig.wlan.error = ("ifconfig", "dhcp"), error
        rig.run(5_000)
        assert USUAL[2] in rig.wlan.take()


def row(ssid, last, channel, rssi):
    return (ssid, bytes(BSSID[:5] + [last]), channel, rssi, 3, False)


def test_it_remembers_the_strongest_with_that_name():
    wlan = Wlan()
    wlan.rows = [row(b"home", 1, 6, -70), row(b"shed", 2, 1, -30), row(b"home", 3, 11, -52)]
    wlan.rows += [row(b"home", 4, 13, -80), row(b"", 5, 3, -20)]
    for known in (None, [], ["shed", BSSID, 6, ADDRESS, NOW - 9]):
        found = rejoin.remember(wlan, "home", known, NOW, True)
        harness.equal(found, ["home", BSSID[:5] + [3], 11, ADDRESS, NOW])
        harness.equal(wlan.take(), [("scan",)])


def test_a_hidden_one_is_remembered_by_its_name():
    wlan = Wlan()
    wlan.rows = [row(b"", 5, 3, -20), row(b"homestead", 6, 3, -20)]
    found = rejoin.remember(wlan, "home", None, NOW, True)
    harness.equal(found, ["home", None, 0, ADDRESS, NOW])


def test_it_keeps_what_led_back():
    wlan = Wlan()
    wlan.rows = [row(b"home", 3, 1, -20)]
    wlan.address = "192.168.4.99"
    known = ["home", BSSID, 11, ADDRESS, NOW - 9]
    assert rejoin.remember(wlan, "home", known, NOW, True) is known
    harness.equal(known, ["home", BSSID, 11, ADDRESS, NOW - 9])
    harness.equal(wlan.take(), [])


def test_an_esp8266_does_not_scan():
    wlan = Wlan()
    wlan.rows = [row(b"home", 3, 1, -20)]
    for known in (None, [], ["shed", None, 0, None, 0], ["home", None, 0, None, 0]):
        found = rejoin.remember(wlan, "home", known, NOW, False)
        harness.equal((found, wlan.take()), (["home", None, 0, None, 0], []))


def test_what_cannot_be_remembered_is_not():
    # The connect has gone well, and the board is about to sleep: it must not end in a crash.
    wanted = ["home", BSSID[:5] + [3], 1, ADDRESS, NOW]
    for error in ERRORS:
        for step, known in ((("scan",), None), (("ifconfig()",), wanted[:3] + [[], NOW])):
            wlan = Wlan()
            wlan.rows = [row(b"home", 3, 1, -20)]
            wlan.refuses, wlan.error = step, error
            found = rejoin.remember(wlan, "home", None, NOW, True)
            harness.equal(found, known)
            wlan.refuses, wlan.error = (), None
            harness.equal(rejoin.remember(wlan, "home", found, NOW, True), wanted)


def test_it_takes_its_leave():
    wlan = Wlan()
    rejoin.leave(wlan)
    harness.equal(wlan.take(), [("disconnect",), ("active", False)])
    for error in ERRORS:
        for step in (("disconnect",), ("active",)):
            wlan.refuses, wlan.error = step, error
            rejoin.leave(wlan)
            harness.equal(wlan.take(), [("disconnect",), ("active", False)])
