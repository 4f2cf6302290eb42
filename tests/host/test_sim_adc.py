"""`machine.ADC` of a virtual board."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import world
from tools.sim.board import VirtualBoard
from tools.things import boards

PROGRAM = """
import machine, network, time
from machine import ADC, Pin

def refused(call, *args, **kwargs):
    try:
        return "not refused: {}".format(call(*args, **kwargs))
    except (OSError, ValueError, TypeError) as e:
        return "{} {}".format(type(e).__name__, e)

"""
ATTENUATIONS = ("ATTN_0DB", "ATTN_2_5DB", "ATTN_6DB", "ATTN_11DB")


def run(bench: Workbench, main: str, **options: Any) -> VirtualBoard:
    board = bench.board(PROGRAM + main + '\nprint("done")\n', **options)
    board.wait_for("^done$")
    return board


def said(board: VirtualBoard, word: str) -> list[str]:
    return [line[len(word) + 1 :] for line in board.log if line.startswith(word + " ")]


# How ESP-IDF 5.5 calibrates a chip of 1,100 mV (esp_adc/esp32/adc_cali_line_fitting.c): millivolts
# of a reading of 12 bits by the line of its attenuation; at 11 dB it bends from 2,880 on.
LINES = [(57431, 75), (76236, 78), (105481, 107), (196602, 142)]


@pytest.mark.parametrize("attenuation", range(4))
def test_an_esp32_reads_by_the_line_of_its_calibration(bench: Workbench, attenuation: int) -> None:
    scale, offset = LINES[attenuation]
    slope = 1100 * scale / 4096 / 65536
    top = 2880 if attenuation == 3 else 4095
    pins = {str(pin): round(offset + slope * top * n / 7) for n, pin in enumerate(range(32, 40))}
    main = f"""
for pin in range(32, 40):
    adc = ADC(Pin(pin), atten=ADC.{ATTENUATIONS[attenuation]})
    print("row", pin, adc.read(), adc.read_uv(), adc.read_u16())
"""
    for row in said(run(bench, main, adc_mv=pins), "row"):
        pin, raw, uv, u16 = row.split()
        assert int(uv) == pins[pin] * 1000
        assert abs(offset + slope * int(raw) - pins[pin]) <= 2
        assert int(u16) == int(raw) << 4 | int(raw) >> 8


@pytest.mark.parametrize(
    ("mv", "attenuation", "wanted"),
    [
        (0, "ATTN_11DB", (0, 142_000)),  # its dead zone
        (142, "ATTN_11DB", (0, 142_000)),
        (1850, "ATTN_11DB", (2120, 1_850_000)),
        (2462, "ATTN_11DB", (2880, 2_462_000)),
        (3134, "ATTN_11DB", (4095, 3_134_000)),
        (3300, "ATTN_11DB", (4095, 3_134_000)),  # full
        (1850, "ATTN_0DB", (4095, 1_039_000)),
        (75, "ATTN_0DB", (0, 75_000)),
        (1357, "ATTN_2_5DB", (4095, 1_357_000)),
        (1877, "ATTN_6DB", (4095, 1_877_000)),
    ],
)
def test_the_range_of_an_esp32(
    bench: Workbench, mv: int, attenuation: str, wanted: tuple[int, int]
) -> None:
    main = f'a = ADC(Pin(34), atten=ADC.{attenuation})\nprint("is", a.read(), a.read_uv())'
    board = run(bench, main, adc_mv={"34": mv})
    assert said(board, "is") == ["{} {}".format(*wanted)]


def test_readings_follow_the_world(bench: Workbench) -> None:
    main = """
adc = ADC(Pin(35), atten=ADC.ATTN_11DB)
last = None
while last != 500000:
    now = adc.read_uv()
    if now != last:
        print("uv", now)
        last = now
    time.sleep_ms(5)
"""
    board = bench.board(PROGRAM + main, adc_mv={"35": "1500 + 0*t"})
    board.wait_for("uv 1500000")
    board.set(adc_mv={"35": "2000 + floor(t)*0"})
    board.wait_for("uv 2000000")
    board.set(adc_mv={"35": 500})
    board.wait_for("uv 500000")


@pytest.mark.parametrize(
    ("chip", "first", "second", "others"),
    [
        ("esp32", range(32, 40), [0, 2, 4, 12, 13, 14, 15, 25, 26, 27], [1, 5, 16, 21, 31, 40]),
        ("esp32s2", range(1, 11), range(11, 21), [0, 21, 34]),
        ("esp32s3", range(1, 11), range(11, 21), [0, 21, 34]),
        ("esp32c3", range(5), [], [6, 10, 34]),
        ("esp32c6", range(7), [], [7, 34]),
    ],
)
def test_which_pins_have_an_adc(
    bench: Workbench, chip: str, first: range, second: list[int], others: list[int]
) -> None:
    # MicroPython's ports/esp32/machine_adc.c. The radio takes ADC2 of the plain ESP32 only.
    main = """
w = network.WLAN(network.STA_IF)
def works(pin):
    try:
        return ADC(Pin(pin), atten=ADC.ATTN_11DB).read_uv() >= 0
    except (ValueError, OSError) as e:
        return e.args[0]
for on in (False, True):
    w.active(on)
    print("pins", on, {pin: works(pin) for pin in range(49)})
"""
    board = run(bench, main, chip=chip)
    with_radio = "110" if chip == "esp32" else "True"
    for state in ("False", "True"):
        found = board.wait_for(rf"pins {state} (\{{.*\}})")[1]
        for pin in first:
            assert f" {pin}: True" in found or f"{{{pin}: True" in found
        for pin in second:
            wanted = with_radio if state == "True" else "True"
            assert f"{pin}: {wanted}" in found.strip("{}").split(", "), pin
        for pin in others:
            assert f"{pin}: 'invalid pin'" in found
        if chip == "esp32c3":
            assert " 5: 95" in found  # ESP-IDF refuses it


def test_every_board_of_the_table_is_a_chip_that_there_is() -> None:
    rows = boards.table()["boards"].values()
    chips = {row["chip"] for row in rows if row["profile"] == "esp32"}
    assert len(chips) == 5
    for chip in chips:
        world.check({"chip": chip})


def test_what_an_adc_refuses(bench: Workbench) -> None:
    main = """
print("e", refused(ADC, Pin(34), atten=4))
print("e", refused(ADC, "34"))
print("e", refused(ADC, Pin(34), 3))
adc = ADC(Pin(34))
print("e", adc)
adc.atten(ADC.ATTN_6DB)
print("e", adc, ADC(Pin(34)))
network.WLAN(network.STA_IF).active(True)
print("e", refused(ADC(Pin(4), atten=ADC.ATTN_11DB).read_uv))
"""
    assert said(run(bench, main), "e") == [
        "ValueError invalid attenuation",
        "ValueError expecting a pin",
        "TypeError __call__() takes 2 positional arguments but 3 were given",
        "ADC(Pin(34), atten=0)",
        "ADC(Pin(34), atten=2) ADC(Pin(34), atten=2)",
        "OSError [Errno 110] ETIMEDOUT: ESP_ERR_TIMEOUT",
    ]


@pytest.mark.parametrize(
    ("mv", "wanted"), [(0, 0), (1, 1), (500, 512), (999, 1022), (1000, 1024), (3300, 1024)]
)
def test_an_esp8266_has_one_volt(bench: Workbench, mv: int, wanted: int) -> None:
    main = """
adc = ADC(0)
print("is", adc.read(), adc.read_u16(), ADC(1).read(), hasattr(adc, "read_uv"), adc is ADC(0))
print("e", refused(ADC, 2))
print("e", refused(ADC, Pin(4)))
print("e", refused(ADC, 0, atten=3))
"""
    board = run(bench, main, heap="esp8266", adc_mv={"0": mv})
    assert said(board, "is") == [f"{wanted} {wanted * 65535 // 1024} 65535 False True"]
    errors = said(board, "e")
    assert errors[:2] == ["ValueError ADC(2) doesn't exist", "TypeError can't convert Pin to int"]
    assert errors[2].startswith("TypeError")


@pytest.mark.parametrize("chip", ["esp32", "esp8266"])
@pytest.mark.parametrize("bits", [64, 32])
def test_reading_takes_no_memory(bench: Workbench, chip: str, bits: int) -> None:
    pin = "0" if chip == "esp8266" else "Pin(34)"
    read = "read_u16" if chip == "esp8266" else "read_uv"
    main = f"""
import micropython
pin = {pin}
micropython.heap_lock()
value = ADC(pin).{read}()
micropython.heap_unlock()
print("is", value)
"""
    volts = {"0": 500} if chip == "esp8266" else {"34": 500}
    board = run(bench, main, heap=chip, bits=bits, adc_mv=volts)
    assert said(board, "is") == ["32767" if chip == "esp8266" else "500000"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"adc_mv": {"34": 3601}}, "adc_mv.34: 3601 is outside 0 to 3600"),
        ({"adc_mv": {"34": -1}}, "adc_mv.34: -1 is outside"),
        ({"adc_mv": {"pin": 5}}, "adc_mv: "),
        ({"adc_mv": {"34": "volts"}}, "adc_mv.34: "),
        ({"chip": "esp8266"}, "chip: "),
    ],
)
def test_a_voltage_that_cannot_be(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError) as caught:
        world.check(document)
    assert message in caught.value.message
