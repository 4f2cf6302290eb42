# heap: 64wk
# The station finds its way back to a network, by the rules in firmware/net/wifi.py.

import harness
from fakes import Clock, Log
from firmware.net.wifi import joining

HOME = {"ssid": "home", "password": "correct horse"}
SHED = {"ssid": "shed", "password": "battery staple"}
OPEN = {"ssid": "open"}


class Wlan:
    # network.WLAN that joins when told to by the test.
    def __init__(self):
        self.calls = []
        self.joined = False
        self.address = "192.168.4.2"
        self.code = 1001
        self.found = []
        self.error = None
        self.dead = False

    def note(self, *call):
        self.calls.append(call)
        del self.calls[:-60]

    def active(self, on):
        self.note("active", on)
        if self.dead:
            raise RuntimeError("Wifi Unknown Error 0x0101")

    def connect(self, *args):
        self.note("connect", *args)
        if self.error:
            raise self.error

    def disconnect(self):
        self.note("disconnect")
        if self.dead:
            raise RuntimeError("Wifi Unknown Error 0x3010")

    def isconnected(self):
        return self.joined

    def ifconfig(self):
        if self.dead:
            raise RuntimeError("Wifi Unknown Error 0x5001")
        return (self.address, "255.255.255.0", "192.168.4.1", "192.168.4.1")

    def status(self, what=None):
        if what == "rssi":
            if not self.joined:
                raise OSError("Wifi Not Connected")
            if self.dead:
                raise RuntimeError("Wifi Unknown Error -1")
            return -61
        return self.code

    def scan(self):
        self.note("scan")
        if self.error:
            raise self.error
        return [(ssid, b"\x02" * 6, 1, rssi, 3, False) for ssid, rssi in self.found]

    def take(self):
        calls, self.calls = self.calls, []
        return calls


class Rig:
    # Does with joining() what the app does: goes on with it until the network is joined, looks
    # from then on whether it still is, and makes a new one when it is lost.
    def __init__(self, *networks, share=0, log=None):
        self.wlan = Wlan()
        self.clock = Clock()
        self.log = log or Log()
        self.share = share  # of the longest pause: 0 or 1
        self.networks = list(networks)
        self.ssid = None  # joined, or joined last
        self.drops = 0
        self.wifi = None
        self.looked_s = 0
        self.up = False

    def random(self, limit):
        return self.share * (limit - 1)

    def joined(self):
        clock, wlan = self.clock, self.wlan
        if self.wifi is None:
            if self.ssid is not None and wlan.isconnected():
                if clock.s - self.looked_s < 10:
                    return True
                self.looked_s = clock.s
                try:
                    if wlan.ifconfig()[0] != "0.0.0.0":
                        return True
                except (OSError, RuntimeError):
                    pass
            self.drops += self.ssid is not None
            self.wifi = joining(wlan, self.networks, clock, self.random, self.log, self.ssid)
        ssid = next(self.wifi)
        if ssid is None:
            return False
        self.ssid = ssid
        self.wifi = None
        self.looked_s = clock.s
        return True

    def run(self, ms, every_ms=100):
        for _ in range(ms // every_ms):
            self.up = self.joined()
            self.clock.pass_ms(every_ms)
        return self

    def join(self):
        self.run(3000)
        self.wlan.joined = True
        self.run(200)
        assert self.up
        self.wlan.take()


def joined(*networks, **kwargs):
    rig = Rig(*networks, **kwargs)
    rig.join()
    return rig


def connects(calls):
    return [call[1] for call in calls if call[0] == "connect"]


def test_joins_the_one_network_without_a_scan():
    rig = Rig(HOME).run(3000)
    wanted = [("active", True), ("disconnect",), ("connect", "home", "correct horse")]
    harness.equal(rig.wlan.take(), wanted)
    assert not rig.up
    rig.wlan.joined = True
    rig.run(200)
    assert rig.up
    harness.equal((rig.ssid, rig.drops, rig.wifi), ("home", 0, None))
    harness.equal(rig.log.lines[-1], "wifi: up 192.168.4.2, -61 dBm")


def test_a_second_passes_between_disconnect_and_connect():
    # An open network gets no password.
    for network, password in ((HOME, "correct horse"), (OPEN, None)):
        rig = Rig(network).run(100)
        harness.equal(rig.wlan.take()[-1], ("disconnect",))
        rig.run(900)
        harness.equal(rig.wlan.take(), [])
        rig.run(300)
        harness.equal(rig.wlan.take(), [("connect", network["ssid"], password)])


def test_the_strongest_known_network_first_and_the_hidden_last():
    rig = Rig({"ssid": "hidden", "password": "12345678"}, SHED, HOME, OPEN)
    rig.wlan.found = [(b"neighbour", -20), (b"home", -50), (b"shed", -60), (b"shed", -40)]
    rig.wlan.found.append((b"open", -80))
    rig.run(120000)
    calls = rig.wlan.take()
    harness.equal(connects(calls)[:4], ["shed", "home", "open", "hidden"])
    harness.equal(calls.count(("scan",)), 2)


def test_without_a_scan_in_the_order_of_the_config():
    rig = Rig(SHED, HOME)
    rig.wlan.error = OSError("scan failed")
    rig.run(8000)
    harness.equal(connects(rig.wlan.take())[:2], ["shed", "home"])


def test_no_address_is_not_up():
    rig = Rig(HOME).run(3000)
    rig.wlan.joined = True
    for address, up in (("0.0.0.0", False), ("10.0.0.7", True), ("0.0.0.0", False)):
        rig.wlan.address = address
        rig.run(11_000)  # one that goes is noticed within ten seconds
        harness.equal((address, rig.up), (address, up))


def test_202_is_never_final():
    rig = Rig(HOME)
    rig.wlan.code = 202
    rig.run(200000)
    assert "wifi: not joined home, wrong password" in rig.log.lines
    assert len(connects(rig.wlan.take())) >= 4
    rig.wlan.joined = True
    rig.run(60000)
    assert rig.up


def test_a_loss_is_left_to_the_driver_first():
    # Then disconnect, a pause and connect.
    rig = Rig(HOME)
    for back in (True, False):
        rig.join()
        rig.wlan.joined, rig.wlan.code = False, 200
        rig.run(100)
        assert not rig.up
        harness.equal(rig.log.lines[-1], "wifi: lost home, beacon lost")
        rig.run(9000)
        harness.equal(rig.wlan.take(), [])
        if back:
            rig.wlan.joined = True
            rig.run(200)
            assert rig.up
            harness.equal((rig.drops, rig.wlan.take()), (1, []))
    rig.run(1100)
    harness.equal(rig.wlan.take(), [("disconnect",)])
    rig.run(700)
    harness.equal(rig.wlan.take(), [])
    rig.run(400)
    harness.equal(connects(rig.wlan.take()), ["home"])


def test_a_driver_that_refuses():
    for error in (OSError("Wifi Internal State Error"), RuntimeError("Wifi Unknown Error 0x0102")):
        rig = Rig(HOME, SHED)
        rig.wlan.error = error
        rig.run(5000)
        assert "wifi: driver, {}".format(error) in rig.log.lines, rig.log.lines
        assert ("disconnect",) in rig.wlan.take()[2:]
        rig.wlan.error = None
        rig.run(30000)
        rig.wlan.joined = True
        rig.run(200)
        assert rig.up


def test_the_pause_grows_and_stays_below_its_cap():
    rig = Rig(HOME, share=1)
    times = []
    for second in range(600):
        rig.run(1000)
        if connects(rig.wlan.take()):
            times.append(second)
    gaps = [times[i + 1] - times[i] for i in range(len(times) - 1)]
    assert gaps[0] < gaps[2] < gaps[4], gaps
    assert sorted(gaps)[-2] <= 20 + 30 + 3, gaps  # the longest: the radio was off and on


def test_the_radio_is_switched_off_and_on_after_five_minutes():
    rig = Rig(HOME).run(290000)
    calls = rig.wlan.take()
    harness.equal(calls.count(("active", False)), 0)
    rig.run(60000)
    calls = rig.wlan.take()
    at = calls.index(("active", False))
    harness.equal(calls[at + 1], ("active", True))
    rig.run(600000)
    assert rig.wlan.take().count(("active", False)) in (1, 2)


def test_a_new_scan_once_the_radio_is_on_again():
    for networks in ((HOME, SHED), (HOME, SHED, OPEN), (HOME, SHED, OPEN, HOME)):
        rig = Rig(*networks, log=lambda text: None).run(2000)
        rig.wlan.take()
        rig.run(360_000)
        calls = rig.wlan.take()
        at = calls.index(("active", True))
        harness.equal(calls[at - 1 : at], [("active", False)])
        harness.equal(calls[at + 1 : at + 3], [("disconnect",), ("scan",)])


def test_a_radio_that_does_not_start():
    # ESP32: esp_wifi_start() and esp_wifi_stop() may want memory that TLS holds just now.
    said = set()
    rig = Rig(HOME, log=said.add)
    rig.wlan.dead = True
    rig.run(30_000)
    assert 2 <= rig.wlan.take().count(("active", True)) <= 30
    harness.equal(said, {"wifi: driver, Wifi Unknown Error 0x0101"})
    rig.wlan.dead = False
    rig.run(30_000)
    rig.join()
    rig.wlan.dead = True
    rig.run(15_000)  # connected, but nobody knows the address
    assert not rig.up
    rig.wlan.joined = False
    rig.run(340_000)
    assert ("active", False) in rig.wlan.take()
    rig.wlan.dead = False
    rig.run(60_000)
    rig.join()


def test_a_network_back_after_a_week():
    rig = joined(HOME, log=lambda text: None)
    rig.wlan.joined = False
    rig.run(7 * 86400 * 1000, every_ms=20000)
    rig.wlan.joined = True
    rig.run(60000)
    assert rig.up


def test_the_password_is_never_logged():
    lines = []

    def log(text):
        assert "horse" not in text and "staple" not in text, text
        lines.append("home" in text)

    rig = Rig(HOME, SHED, log=log)
    for error in (OSError("Wifi Internal State Error"), None):
        rig.wlan.error = error
        rig.run(60000)
    rig.wlan.joined = True
    rig.run(30000)
    rig.wlan.joined = False
    rig.run(60000)
    assert sum(lines) > 3


def test_words_for_what_the_driver_says():
    # ESP32: MicroPython's own (network.STAT_*) and ESP-IDF's reasons; ESP8266: below 10.
    words = {
        1000: "idle",
        1001: "still connecting",
        200: "beacon lost",
        201: "no access point",
        202: "wrong password",
    }
    late = "handshake timeout, wrong password?"
    words.update({15: late, 203: "refused", 204: late, 205: "refused", 8: "status is 8"})
    words.update({0: "idle", 1: "still connecting", 2: words[202], 3: "no access point"})
    words.update({4: "refused"})
    for code, word in words.items():
        rig = Rig(HOME)
        rig.wlan.code = code
        rig.run(23_000)
        harness.equal(rig.log.lines[1], "wifi: not joined home, " + word)
        rig.join()
        rig.wlan.joined = False
        rig.run(100)
        harness.equal(rig.log.lines[-1], "wifi: lost home, " + word)


def test_a_new_one_after_each_loss():
    # What counts over the whole run is kept by the app.
    rig = Rig(HOME, SHED)
    rig.wlan.found = [(b"home", -40)]
    rig.join()
    first = None
    for n in range(1, 6):
        harness.equal((rig.wifi, rig.ssid), (None, "home"))
        rig.wlan.joined = False
        rig.run(100)
        assert rig.wifi is not first
        first = rig.wifi
        harness.equal((rig.drops, rig.log.lines[-1][:15]), (n, "wifi: lost home"))
        harness.equal(rig.wlan.take(), [])
        rig.run(15_000)
        calls = rig.wlan.take()
        harness.equal(calls[0], ("disconnect",))
        harness.equal(connects(calls)[0], "home")
        rig.wlan.joined = True
        rig.run(5000)
        assert rig.up
        rig.wlan.take()
    harness.equal(rig.drops, 5)


def test_after_a_loss_the_pauses_start_short_again():
    rig = Rig(HOME, share=1).run(500_000)
    rig.wlan.joined = True
    rig.run(60_000)
    assert rig.up
    rig.wlan.joined = False
    rig.wlan.take()
    rig.run(10_000 + 1000 + 1000 + 300)
    harness.equal(connects(rig.wlan.take()), ["home"])


def test_what_is_joined_already_is_left_at_boot():
    # An ESP8266 joins by itself what it remembers: perhaps a network of somebody else's.
    rig = Rig(HOME)
    rig.wlan.joined = True
    rig.run(100)
    assert not rig.up
    harness.equal(rig.wlan.take(), [("active", True), ("disconnect",)])
    rig.run(3000)
    assert rig.up
    harness.equal((rig.ssid, connects(rig.wlan.take())), ("home", ["home"]))


def test_an_address_without_rssi_is_joined():
    for error in (OSError("Wifi Not Connected"), RuntimeError("x"), ValueError("x")):
        rig = Rig(HOME)

        def status(what=None, error=error):
            if what:
                raise error
            return 1010

        rig.wlan.status = status
        rig.join()
        harness.equal(rig.log.lines[-1], "wifi: up 192.168.4.2")


def test_waiting_allocates_nothing():
    rig = Rig(HOME).run(500)

    def step():
        return next(rig.wifi)

    assert not harness.no_heap(step)  # the pause before connect()
    rig.run(3000)
    harness.equal(connects(rig.wlan.take()), ["home"])
    assert not harness.no_heap(step)
    rig.wlan.joined = True
    rig.run(200)
    rig.wlan.joined = False
    rig.run(200)
    assert not harness.no_heap(step)


def test_all_well_allocates_nothing():
    rig = joined(HOME)
    assert rig.joined()
    assert harness.no_heap(rig.joined)
