"""Scenes: what happens to the chips of a virtual board, and when."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import scene, world

EVER = 1_000_000_000


def test_events_come_in_order_of_time() -> None:
    text = "crc@40..50:0x44, unplug@30.5 ,plug@60,sda@0..1.25"
    assert scene.parse(text) == [
        ("sda", 0, 1250, None),
        ("unplug", 30_500, EVER, None),
        ("crc", 40_000, 50_000, 0x44),
        ("plug", 60_000, EVER, None),
    ]
    assert scene.parse(["unplug@1..2:0x18", "nack@3..4,freeze@3..9"]) == [
        ("unplug", 1000, EVER, 0x18),
        ("plug", 2000, EVER, 0x18),
        ("nack", 3000, 4000, None),
        ("freeze", 3000, 9000, None),
    ]
    assert scene.parse([]) == []


def test_every_kind_is_described() -> None:
    assert scene.__doc__ is not None
    for kind in scene.KINDS:
        assert re.search(rf"^    {kind}  +\S", scene.__doc__, re.M), kind


@pytest.mark.parametrize(
    ("value", "said", "hint"),
    [
        ("", "cannot read ''", "unplug@30"),
        ("unplug@30,,plug@60", "cannot read ''", "unplug@30"),
        ("unplug", "cannot read 'unplug'", "unplug@30"),
        ("unplug30", "cannot read 'unplug30'", "unplug@30"),
        ("boom@30", "'boom@30': boom is none of unplug, plug, crc", "unplug@30"),
        ("UNPLUG@30", "cannot read 'UNPLUG@30'", "unplug@30"),
        ("crc@40", "'crc@40' does not say until when", "crc@40..60"),
        ("crc@..50", "'crc@..50': '' is no time", "crc@40..50"),
        ("crc@40..", "'crc@40..': '' is no time", "crc@40..50"),
        ("crc@50..40", "'crc@50..40' ends before it begins", "crc@30..60"),
        ("crc@50..50", "ends before it begins", "crc@30..60"),
        ("nack@1m..2m", "'1m' is no time, 0 to 1,000,000 seconds", "unplug@30"),
        ("nack@-1..2", "'-1' is no time", "unplug@30"),
        ("nack@1..1e9", "'1e9' is no time", "unplug@30"),
        ("nack@0..1000001", "'1000001' is no time", "unplug@30"),
        ("plug@60", "'plug@60': nothing was unplugged before it", "unplug@0,plug@60"),
        ("plug@6:0x44", "'plug@6:0x44': nothing", "unplug@0:0x44,plug@6:0x44"),
        ("unplug@3:0x45,plug@6:0x44", "'plug@6:0x44': nothing", "unplug@0:0x44"),
        ("unplug@3,plug@6:0x44,plug@7:0x44", "'plug@7:0x44': nothing", "unplug@0:0x44"),
        ("unplug@3,plug@6,plug@7:0x44", "'plug@7:0x44': nothing", "unplug@0:0x44"),
        ("plug@6..7", "'plug@6..7': it stays plugged in", "plug@6"),
        ("crc@4..5:68", "'68' is no address, 0x08 to 0x77", "crc@40..50:0x44"),
        ("crc@4..5:0x78", "'0x78' is no address", "crc@40..50:0x44"),
        ("crc@4..5:", "'' is no address", "crc@40..50:0x44"),
        ("sda@4..5:0x44", "sda is of the whole bus", "sda@10..20"),
        ("temperature=ramp(20,30,60..120)", "temperature is a key of its own", "--temperature"),
        ("co2@5", "co2 is a key of its own", '"co2": "ramp(20, 30, 60, 120)"'),
        (30, "is neither text nor a list of texts", "unplug@30"),
        (["unplug@30", 5], "is neither text nor a list of texts", "unplug@30"),
        ({"at": 30}, "is neither text nor a list of texts", "unplug@30"),
    ],
    ids=str,
)
def test_a_mistake_is_named_with_what_would_be_right(value: Any, said: str, hint: str) -> None:
    with pytest.raises(ToolError) as caught:
        world.check({"scene": value})
    assert caught.value.message.startswith("scene: ")
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_all_chips_and_one_of_them() -> None:
    for good in (
        "unplug@3,plug@6:0x44,plug@7",
        "unplug@3:0x44,plug@6",
        "unplug@3,plug@6:0x44,unplug@7:0x44,plug@8:0x44",
        "unplug@3,plug@6:0x44,unplug@9,plug@10:0x44",
        "unplug@3,unplug@4:0x44,plug@5",
    ):
        assert world.check({"scene": good}) == {"scene": good}


def test_an_address_has_a_chip(bench: Workbench) -> None:
    sensors = [{"chip": "sht3x"}, {"chip": "bme280", "present": False}]
    for keys, found in (({"sensors": sensors}, "0x44"), ({"sensor": "none"}, "none")):
        with pytest.raises(ToolError) as caught:
            world.check({"scene": "crc@1..2:0x76", **keys})
        said = f"scene: crc@1:0x76: no chip there; chips: {found}"
        assert caught.value.message == said
    with pytest.raises(ToolError, match=r"unplug@30:0x44: no chip there; chips: 0x76$"):
        bench.board("", scene="unplug@30:0x44")
    assert world.check({"sensors": sensors, "scene": "unplug@1:0x44"})


SCAN = """
import machine, time
bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21))
last = None
print("start", bus.scan())
while True:
    seen = bus.scan()
    if seen != last:
        print("at", time.ticks_ms(), seen)
        last = seen
    time.sleep_ms(10)
"""


@pytest.mark.parametrize(("bits", "scale"), [(64, 1), (32, 10)])
def test_chips_go_and_come_back(bench: Workbench, bits: int, scale: int) -> None:
    board = bench.board(
        SCAN,
        bits=bits,
        time_scale=scale,
        sensor="bme280,sht3x",
        scene=["unplug@2:0x44,unplug@3", "plug@4:0x76,plug@5"],
    )
    wanted: tuple[list[int], ...] = ([68, 118], [118], [], [118], [68, 118])
    for number, seen in enumerate(wanted):
        after = 1 + number
        found = board.wait_for(rf"at (\d+) {re.escape(str(seen))}$", after=after)
        if number:
            ms = 1000 * (number + 1)
            assert ms - 100 * scale <= int(found[1]) < ms + 100 * scale + 400, (seen, found[1])
    assert board.boots == 1


FAULTS = """
import machine, time
bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21))
buf = bytearray(2)
last = None
bus.writeto_mem(0x18, 2, b"\\x05\\x50")  # a limit, which is 0 after power-on
while True:
    try:
        bus.readfrom_mem_into(0x18, 5, buf)
        t = (buf[0] & 15) * 16 + buf[1] / 16
        bus.readfrom_mem_into(0x18, 2, buf)
        seen = "limit {:02x}{:02x}".format(*buf)
    except OSError as e:
        t, seen = None, "errno {}".format(e.errno)
    try:
        bus.readfrom_mem_into(0x76, 0xD0, buf)
        seen += " other {:02x}".format(buf[0])
    except OSError as e:
        seen += " other errno {}".format(e.errno)
    if seen != last:
        print(seen)
        last = seen
    print("t", time.ticks_ms(), t)
    time.sleep_ms(50)
"""


def degrees(log: list[str], start_s: float, end_s: float) -> set[str]:
    """What the thermometer has said from then till then."""
    found = [re.fullmatch(r"t (\d+) (.*)", line) for line in log]
    return {m[2] for m in found if m and start_s * 1000 <= int(m[1]) < end_s * 1000}


def test_one_chip_has_faults_and_the_other_goes_on(bench: Workbench) -> None:
    board = bench.board(
        FAULTS,
        time_scale=4,
        sensor="mcp9808,bme280",
        temperature="20 + floor(t*2)/2",
        scene="crc@2..3:0x18,nack@4..5:0x18,freeze@7..10:0x18,stuck@12..14:0x18,unplug@15..16:0x18",
    )
    whole = "limit 0550 other 60"
    steps = ("limit ffff other 60", whole, "errno 19 other 60", whole, "errno 19 other 60")
    at = 0
    for step in (whole, *steps, "limit 0000 other 60"):  # it has lost its power
        board.wait_for(f"^{step}$", after=at, timeout=20)
        at = next(n for n, line in enumerate(board.log) if n >= at and line == step) + 1
    board.wait_for("^t 17[0-9]{3} 3[567]")
    log = board.log
    # The board's clock begins with MicroPython: a quarter of a second and more after the scene's.
    assert len(degrees(log, 5.1, 6.5)) > 2
    assert len(degrees(log, 7.2, 9.5)) == 1
    assert len(degrees(log, 10.4, 11.5)) > 1
    assert len(degrees(log, 12.2, 13.5)) == 1
    assert degrees(log, 15.1, 15.5) == {"None"}


def test_sda_is_held_low_whatever_the_clock_does(bench: Workbench) -> None:
    board = bench.board(
        """
        import time
        from machine import I2C, Pin
        bus = I2C(0, scl=Pin(22), sda=Pin(21))
        while bus.scan():
            time.sleep_ms(10)
        print("low at", time.ticks_ms())
        try:
            bus.readfrom(0x76, 1)
        except OSError as e:
            print("errno", e.errno)
        sda = Pin(21, Pin.OPEN_DRAIN, value=1)
        scl = Pin(22, Pin.OPEN_DRAIN, value=1)
        for _ in range(20):
            scl.value(0)
            scl.value(1)
        print("sda", sda.value())
        while not sda.value():
            time.sleep_ms(10)
        print("free at", time.ticks_ms())
        print("found", I2C(0, scl=Pin(22), sda=Pin(21)).scan())
        """,
        scene="sda@0.8..2",
    )
    assert int(board.wait_for(r"low at (\d+)")[1]) < 1200
    board.wait_for("errno 110")
    board.wait_for("sda 0")
    assert 1900 <= int(board.wait_for(r"free at (\d+)")[1]) < 2400
    board.wait_for(r"found \[118\]")


def test_a_chip_that_was_away_while_nobody_looked_has_lost_its_power(bench: Workbench) -> None:
    board = bench.board(
        """
        import machine, time
        bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21))
        bus.writeto_mem(0x18, 2, b"\\x05\\x50")
        time.sleep(3)
        print("limit", bus.readfrom_mem(0x18, 2, 2), bus.readfrom_mem(0x18, 5, 2))
        """,
        time_scale=4,
        sensor="mcp9808",
        temperature=25,
        scene="unplug@1..2",
    )
    # And has measured since: plugged in for a second.
    board.wait_for(r"limit b'\\x00\\x00' b'\\xc1\\x90'")


def test_a_scene_counts_from_the_next_power_on(bench: Workbench) -> None:
    board = bench.board(SCAN)
    board.wait_for(r"at \d+ \[118\]")
    board.set(scene="unplug@0")
    board.set(temperature=5)
    board.wait_for("start")
    assert not any("[]" in line for line in board.log)
    board.kill()
    mark = len(board.log)
    board.start()
    board.wait_for(r"start \[\]", after=mark)
