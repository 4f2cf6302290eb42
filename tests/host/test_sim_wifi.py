"""`network.WLAN` of a virtual board: which access point, how fast, and what the ports refuse."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import world
from tools.sim.board import VirtualBoard

CHIPS = ["esp32", "esp8266"]
# One network of three, the strongest neither first nor on the lowest channel.
MESH: list[dict[str, Any]] = [
    {
        "ssid": "barn",
        "password": "right",
        "rssi": -70,
        "bssid": "02:00:00:00:00:0a",
        "channel": 11,
    },
    {"ssid": "barn", "password": "right", "rssi": -80, "bssid": "02:00:00:00:00:0b", "channel": 3},
    {"ssid": "barn", "password": "right", "rssi": -60, "bssid": "02:00:00:00:00:0c", "channel": 6},
]
PROGRAM = """
import machine, network, time

w = network.WLAN(network.STA_IF)
B = b"\\x02\\x00\\x00\\x00\\x00"
IDLE, TRYING, GOT_IP = network.STAT_IDLE, network.STAT_CONNECTING, network.STAT_GOT_IP
NONE = network.STAT_NO_AP_FOUND

def wait(limit_ms=5000):
    # Milliseconds until joined, or None.
    began = time.ticks_ms()
    while not w.isconnected():
        waited = time.ticks_diff(time.ticks_ms(), began)
        if waited > limit_ms:
            return None
        time.sleep_ms(2)
    return time.ticks_diff(time.ticks_ms(), began)

def refused(call, *args, **kwargs):
    try:
        return "not refused: {}".format(call(*args, **kwargs))
    except (OSError, ValueError, TypeError, RuntimeError) as e:
        return "{} {}".format(type(e).__name__, e)

"""


def run(bench: Workbench, main: str, chip: str = "esp32", **wifi: Any) -> VirtualBoard:
    """A board that has run ``main``, its station switched on."""
    lines = [PROGRAM, "w.active(True)", *main.splitlines(), 'print("done")']
    board = bench.board("\n".join(line.strip("\n") for line in lines), heap=chip, wifi=wifi)
    board.wait_for("^done$", timeout=20)
    return board


@pytest.mark.parametrize("chip", CHIPS)
def test_a_scan_shows_each_access_point(bench: Workbench, chip: str) -> None:
    shed = {"ssid": "shed", "rssi": -90}
    board = run(bench, 'for row in w.scan(): print("row", row)', chip, networks=[*MESH, shed])
    hidden = "0" if chip == "esp8266" else "False"
    assert [line for line in board.log if line.startswith("row")] == [
        rf"row (b'barn', b'\x02\x00\x00\x00\x00\x0c', 6, -60, 3, {hidden})",
        rf"row (b'barn', b'\x02\x00\x00\x00\x00\n', 11, -70, 3, {hidden})",
        rf"row (b'barn', b'\x02\x00\x00\x00\x00\x0b', 3, -80, 3, {hidden})",
        rf"row (b'shed', b'\x02\xf1\xe1\xd0\x01\x03', 4, -90, 0, {hidden})",
    ]


def test_a_scan_takes_its_time(bench: Workbench) -> None:
    main = "a = time.ticks_ms()\nw.scan()\nprint('took', time.ticks_diff(time.ticks_ms(), a))"
    board = run(bench, main, scan_ms=300)
    assert 300 <= int(board.wait_for(r"took (\d+)")[1]) < 2000


@pytest.mark.parametrize(("chip", "joined"), [("esp32", "3 -80"), ("esp8266", "6 -60")])
def test_which_one_of_a_mesh(bench: Workbench, chip: str, joined: str) -> None:
    # A fast scan ends at the first; all the same no other than the one asked for.
    main = """
w.connect("barn", "right")
print("joined", wait() is not None, w.config("channel"), w.status("rssi"))
for last in b"\\x0a\\x0b\\x0c":
    w.disconnect()
    w.connect("barn", "right", bssid=B + bytes([last]))
    print("pinned", wait() is not None, w.config("channel"), w.status("rssi"))
"""
    board = run(bench, main, chip, networks=MESH)
    assert [line for line in board.log if line != "done"][:4] == [
        f"joined True {joined}",
        "pinned True 11 -70",
        "pinned True 3 -80",
        "pinned True 6 -60",
    ]


@pytest.mark.parametrize("chip", CHIPS)
def test_a_wrong_bssid_finds_nothing(bench: Workbench, chip: str) -> None:
    main = """
w.connect("barn", "right", bssid=B + b"\\x77")
print("joined", wait(600), w.status() == NONE)
w.disconnect()
print("left", w.status() == IDLE)
w.connect("barn", "right")
print("again", wait() is not None, w.status() == GOT_IP)
"""
    board = run(bench, main, chip, networks=MESH)
    board.wait_for("joined None True")
    board.wait_for("left True")
    board.wait_for("again True True")


@pytest.mark.parametrize(
    ("steps", "fast"),
    [
        # The only order of an ESP32: the first connect() stores what the last one takes.
        ("w.connect(*A, bssid=C)\nw.disconnect()\nw.config(channel=6)\nw.connect()", True),
        ("w.connect(*A, bssid=C)\nw.disconnect()\nw.config(channel=7)\nw.connect()", False),
        ("w.connect(*A)\nw.disconnect()\nw.config(channel=6)\nw.connect()", False),
        ("w.config(channel=6)\nw.connect(*A, bssid=C)", False),  # forgets the channel
        ("w.connect(*A, bssid=C)", False),
        ("w.connect(*A)", False),
    ],
    ids=str,
)
def test_a_pinned_connect_is_faster(bench: Workbench, steps: str, fast: bool) -> None:
    main = f'A, C = ("barn", "right"), B + b"\\x0c"\n{steps}\nprint("took", wait())'
    board = run(bench, main, networks=MESH, join_ms=700, join_pinned_ms=50)
    took_ms = int(board.wait_for(r"took (\d+)")[1])
    assert (40 <= took_ms < 500) if fast else (690 <= took_ms < 3000)


def test_a_stored_channel_is_tried_first(bench: Workbench) -> None:
    main = """
w.connect("barn", "right")
w.disconnect()
w.config(channel=11)
w.connect()
print("joined", wait() is not None, w.config("channel"))
"""
    run(bench, main, networks=MESH).wait_for("joined True 11")


def test_an_esp8266_remembers_its_channel_in_a_sleep(bench: Workbench) -> None:
    main = """
w.connect("barn", "right", bssid=B + b"\\x0c")
print("took", machine.reset_cause(), wait())
if machine.reset_cause() == 0:
    machine.deepsleep(1)
"""
    board = run(bench, main, "esp8266", networks=MESH, join_ms=700, join_pinned_ms=50)
    assert int(board.wait_for(r"took 0 (\d+)")[1]) >= 690
    assert int(board.wait_for(r"took 5 (\d+)")[1]) < 500


def test_an_esp8266_spoils_its_bssid_by_a_channel(bench: Workbench) -> None:
    main = """
w.connect("barn", "right", bssid=B + b"\\x0c")
w.config(channel=6)
print("joined", wait(400))
w.connect("barn", "right", bssid=B + b"\\x0c")
print("joined", wait() is not None)
"""
    board = run(bench, main, "esp8266", networks=MESH)
    board.wait_for("joined None")
    board.wait_for("joined True")


@pytest.mark.parametrize("chip", CHIPS)
def test_a_static_address_needs_no_dhcp(bench: Workbench, chip: str) -> None:
    main = """
HOME = ("10.0.0.7", "255.255.255.0", "10.0.0.1", "10.0.0.53")
print("address", w.ifconfig()[0])
w.connect("barn", "right")
print("dhcp", wait(), w.ifconfig()[0])
w.disconnect()
w.ifconfig(HOME)
print("shown", w.isconnected(), w.ifconfig() == HOME)
w.connect("barn", "right")
print("static", wait(), w.ifconfig()[3])
w.disconnect()
w.ifconfig("dhcp")
print("address", w.ifconfig()[0])
w.connect("barn", "right")
print("again", wait(), w.ifconfig()[0])
w.disconnect()
w.ifconfig(("0.0.0.0",) * 4)
w.connect("barn", "right")
print("none", wait(600))
"""
    board = run(bench, main, chip, networks=MESH, join_ms=100, dhcp_ms=800)
    assert int(board.wait_for(r"dhcp (\d+) 192.168.4.2")[1]) >= 890
    board.wait_for("shown False True")
    assert 90 <= int(board.wait_for(r"static (\d+) 10.0.0.53")[1]) < 700
    assert int(board.wait_for(r"again (\d+) 192.168.4.2")[1]) >= 890
    board.wait_for("none None")
    assert board.log.count("address 0.0.0.0") == 2


def test_what_an_esp32_refuses(bench: Workbench) -> None:
    main = """
w.active(False)
for call in (w.connect, w.disconnect, w.scan):
    print("off", refused(call))
print("off", refused(w.config, channel=6))
print("off", refused(w.config, "channel"))
w.active(True)
print("on", refused(w.connect))
print("on", refused(w.config, channel=15))
print("on", refused(w.config, "bssid"))
print("on", refused(w.config, ssid="x"))
print("on", refused(w.config, "pm", "mac"))
print("on", refused(w.connect, "barn", "x", bssid=B))
print("on", refused(w.connect, "barn", "x", bssid=bytearray(6)))
print("on", refused(w.connect, 5))
print("on", refused(w.status, "rssi"))
for bad in (("1.2.3.4",), "DHCP", ("1.2.3.4", 24, "gate", "1.1.1.1"), 5):
    print("on", refused(w.ifconfig, bad))
w.connect("barn", "wrong")
print("busy", w.scan(), refused(w.connect, "barn", "right"))
print("busy", refused(w.connect))
print("busy", refused(w.config, channel=6))
"""
    board = run(bench, main, networks=MESH)
    assert [line for line in board.log if line.split()[0] in ("off", "on", "busy")] == [
        "off OSError Wifi Not Started",
        "off OSError Wifi Not Started",
        "off OSError STA must be active",
        "off OSError Wifi Not Started",
        "off OSError Wifi Not Started",
        "on OSError Wifi SSID Invalid",
        "on RuntimeError Wifi Unknown Error 0x0102",
        "on ValueError unknown config param",
        "on OSError AP required",
        "on TypeError can query only one param",
        "on ValueError ",
        "on TypeError can't convert 'bytearray' object to str implicitly",
        "on TypeError can't convert 'int' object to str implicitly",
        "on OSError Wifi Not Connected",
        "on ValueError requested length 4 but object has length 1",
        "on ValueError invalid arguments",
        "on ValueError invalid arguments",
        "on ValueError invalid arguments",
        "busy [] OSError Wifi Internal State Error",
        "busy OSError Wifi Internal Error",
        "busy OSError Wifi Internal State Error",
    ]


def test_the_status_of_an_esp32_says_little(bench: Workbench) -> None:
    main = """
w.connect("barn", "right", bssid=B + b"\\x77")
print("first", w.status())
wait(300)
print("failed", w.status())
w.disconnect()
w.connect("barn", "right")
print("while it connects", w.status())
wait()
print("up", w.status())
w.connect("barn", "wrong")
wait(300)
w.config(pm=network.WLAN.PM_NONE, txpower=8)
print("wrong", w.status(), w.config("pm"), w.config("txpower"), w.config("ssid"))
"""
    board = run(bench, main, networks=MESH)
    for said in ("first 1001", "failed 201", "while it connects 1000", "up 1010"):
        board.wait_for(f"^{said}$")
    board.wait_for("wrong 202 0 8.0 barn")


def test_a_driver_told_so_gives_up(bench: Workbench) -> None:
    main = """
w.config(reconnects=0)
w.connect("barn", "right", bssid=B + b"\\x77")
wait(400)
print("given up", w.status(), w.config("reconnects"))
w.connect("barn", "right")
print("joined", wait() is not None)
"""
    board = run(bench, main, networks=MESH)
    board.wait_for("given up 201 0")
    board.wait_for("joined True")


@pytest.mark.parametrize("chip", CHIPS)
def test_an_access_point_goes_and_another_stays(bench: Workbench, chip: str) -> None:
    main = """
last = None
while True:
    if last is None:
        w.connect("barn", "right", bssid=B + b"\\x0c")
    now = w.isconnected(), w.config("channel")
    if now != last:
        print("now", *now)
        last = now
    if last == (False, 6) and pinned and w.status() == NONE:
        pinned = False
        w.disconnect()
        w.connect("barn", "right")
    time.sleep_ms(10)
"""
    lines = [PROGRAM, "w.active(True)", "pinned = True", main]
    board = bench.board("\n".join(lines), heap=chip, wifi={"networks": MESH})
    board.wait_for("now True 6")
    board.set(wifi={"networks": MESH[:1]})
    board.wait_for("now False 6")
    board.wait_for("now True 11")


@pytest.mark.parametrize("chip", CHIPS)
def test_asking_takes_no_memory(bench: Workbench, chip: str) -> None:
    main = """
import micropython
w.connect("barn", "right")
for state in ("trying", "up"):
    micropython.heap_lock()
    w.isconnected()
    w.status()
    w.ifconfig()
    micropython.heap_unlock()
    wait()
print("without", w.status() == GOT_IP)
"""
    run(bench, main, chip, networks=MESH).wait_for("without True")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"bssid": "02:00"}, "wifi.networks[0].bssid: "),
        ({"bssid": "02-00-00-00-00-01"}, "wifi.networks[0].bssid: "),
        ({"channel": 0}, "wifi.networks[0].channel: "),
        ({"channel": 15}, "wifi.networks[0].channel: "),
        ({"ssid": "x" * 33}, "wifi.networks[0].ssid: "),
    ],
    ids=str,
)
def test_an_access_point_that_cannot_be(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError) as caught:
        world.check({"wifi": {"networks": [{"ssid": "barn", **row}]}})
    assert said in caught.value.message


def test_each_access_point_has_its_own_bssid() -> None:
    twice = [
        {"ssid": "a", "bssid": "02:00:00:00:00:0A"},
        {"ssid": "b", "bssid": "02:00:00:00:00:0a"},
    ]
    with pytest.raises(ToolError, match="two with the bssid 02:00:00:00:00:0a"):
        world.check({"wifi": {"networks": twice}})
