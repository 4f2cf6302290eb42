"""What a world may say, and what a board makes of it while it runs."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.sim_device import Workbench
from tools.errors import ToolError
from tools.sim import expression, world
from tools.toolchain import ROOT

# As design.md 6 has it.
WHOLE: dict[str, Any] = {
    "time_scale": 10,
    "epoch": 2000,
    "ntp": {"up": False, "offset_s": 0, "hosts": ["pool.ntp.org"]},
    "wifi": {"up": True},
    "hosts": {"localhost": ["127.0.0.1"], "other.example": [None]},
    "sensors": [
        {"chip": "sht3x", "address": 68, "temperature": "21 + t/60", "present": True},
    ],
}


def test_the_world_of_the_design_is_one() -> None:
    assert world.check(WHOLE) == WHOLE
    assert world.check({}) == {}


def test_every_key_is_described() -> None:
    assert world.__doc__ is not None
    for key in world.SCHEMA:
        assert key in world.__doc__, key


def test_the_chips_are_those_there_are() -> None:
    source = (ROOT / "tools" / "sim" / "chips" / "plug.py").read_text()
    table = next(
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHIPS"
    )
    assert isinstance(table, ast.Dict)
    found = {
        ast.literal_eval(key): tuple(ast.literal_eval(part) for part in value.elts[1:])
        for key, value in zip(table.keys, table.values, strict=True)
        if key is not None and isinstance(value, ast.Tuple)
    }
    assert found == world.CHIPS


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "world: [] is not an object"),
        ({"wether": 1}, "wether: unknown key"),
        ({"time_scale": 0}, "time_scale: 0 is not 1 to 100"),
        ({"time_scale": 101}, "time_scale: 101 is not 1 to 100"),
        ({"time_scale": 0.5}, "time_scale: 0.5 "),
        ({"time_scale": None}, "time_scale: "),
        ({"time_scale": "10"}, 'time_scale: "10" is not'),
        ({"time_scale": True}, "time_scale: true is not"),
        ({"epoch": 1980}, "epoch: 1980 is not 2000 or 1970"),
        ({"ntp": {"up": 1}}, "ntp.up: 1 is not true or false"),
        ({"ntp": {"offset_s": 1.5}}, "ntp.offset_s: 1.5 is not a whole number"),
        ({"ntp": {"hosts": "a"}}, 'ntp.hosts: "a" is not a list'),
        ({"wifi": {"rssi": 3}}, "wifi.rssi: 3 is not -120 to 0"),
        ({"wifi": {"networks": [{}]}}, "wifi.networks[0].ssid: is missing"),
        ({"hosts": {"a": ["nowhere"]}}, 'hosts.a[0]: "nowhere" is not an address, or null'),
        ({"hosts": {"a": None}}, "hosts.a: null is not a list"),
        ({"sensors": {}}, "sensors: {} is not a list"),
        ({"sensors": [{"address": 68}]}, "sensors[0].chip: is missing"),
        ({"sensors": [{"chip": "sht9"}]}, "sensors[0]: no chip 'sht9'; known: aht10, aht20, b"),
        ({"sensors": [{"chip": "sht3x", "address": 70}]}, "sensors[0]: sht3x has addresses 0x44"),
        ({"sensors": [{"chip": "sht3x"}] * 2}, "sensors[1]: two chips at 0x44"),
        ({"sensors": [{"chip": "sht3x", "temperature": "t+"}]}, "sensors[0].temperature: 't+'"),
        ({"sensors": [{"chip": "sht3x", "humidity": 101}]}, "sensors[0].humidity: 101"),
        ({"sensors": [{"chip": "sht3x", "present": "no"}]}, "sensors[0].present"),
        ({"co2": 299}, "co2: 299 is outside 300 to 40000"),
        ({"sensors": [{"chip": "sht3x", "co2": "40001 - t"}]}, "sensors[0].co2: 40001 at t=0"),
        ({"i2c_error": 2}, "i2c_error: 2 is not 0 to 1"),
        ({"i2c_error": "bad"}, 'i2c_error: "bad" is not "nack" or "stuck" or "crc"'),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_key(document: Any, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        world.check(document)
    assert said in caught.value.message
    assert caught.value.hint


def test_what_the_shims_read() -> None:
    sensors = [
        {"chip": "sht3x", "temperature": 3, "co2": 900},
        {"chip": "bme280", "present": False},
    ]
    told = world.wire({"sensor": "none", "sensors": sensors, "temperature": 20})
    own = {"68": {"temperature": 3, "co2": 900}}
    assert told == {"sensor": "sht3x@0x44", "own": own, "temperature": 20}
    assert world.wire({"sensors": []})["sensor"] == "none"


SHOW = """
import machine, network, ntptime, socket, time
bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21))
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("barn", "x")
ntptime.timeout = 0.05

def ask(call, *args):
    try:
        return call(*args)
    except OSError as e:
        return "errno {}".format(e.errno)

last = None
while True:
    seen = [bus.scan(), wlan.isconnected(), isinstance(ask(ntptime.time), int)]
    seen.append(ask(socket.getaddrinfo, "other.example", 1))
    if seen != last:
        print("seen", *seen)
        last = seen
    time.sleep_ms(100)
"""


def write(path: Path, **keys: Any) -> None:
    path.write_text(json.dumps(WHOLE | keys))


def test_a_board_follows_its_world(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    write(file)
    board = bench.board(SHOW, world=file)
    nowhere = r"\[\(10, 1, 0, 'other.example', None\)\]"  # what an ESP32 gives for IPv6 only
    board.wait_for(rf"seen \[68\] True False {nowhere}")
    write(file, ntp={"up": True}, hosts={"other.example": []}, sensors=[])
    board.wait_for(r"seen \[\] True True errno -2")
    write(file, wifi={"up": False})
    board.wait_for(r"seen \[68\] False False")
    file.write_text("{")
    board.wait_for("world: .*: not JSON: .*; the former world goes on")
    write(file, sensors=[{"chip": "sht9"}], hosts={})
    board.wait_for(r"world: .*: sensors\[0\]: no chip 'sht9'.*; the former world goes on")
    write(file, time_scale=2, sensors=[{"chip": "bmp280", "address": 119}])
    board.wait_for("world: world.json read again; time_scale from the next power-on")
    board.wait_for(r"seen \[119\] True")
    assert board.boots == 1


def test_settings_come_before_the_file_and_go_on_without_it(
    bench: Workbench, tmp_path: Path
) -> None:
    file = tmp_path / "world.json"
    file.write_text('{"sensor": "mcp9808"}')
    board = bench.board(SHOW, world=file, sensor="sht3x", ntp={"up": False})
    board.wait_for(r"seen \[24\] True False")
    file.write_text("{}")
    board.wait_for(r"seen \[68\] True False")
    file.unlink()
    board.wait_for("world: .*No such file or directory; the former world goes on")


def test_an_esp8266_has_no_ipv6(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    write(file)
    main = SHOW.replace("C(0, ", "C(").replace("Pin(22)", "Pin(5)").replace("Pin(21)", "Pin(4)")
    board = bench.board(main, world=file, heap="esp8266")
    board.wait_for(r"seen \[68\] True False errno -2")


def test_the_command_refuses_a_world_that_cannot_be(bench: Workbench, tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text('{"wifi": {"up": "no"}}')
    device = bench.device("print(1)")
    command = [sys.executable, "-m", "tools", "board", str(device), "--world", str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f'error: {file}: wifi.up: "no" is not true or false')
    assert "\n  try: " in ran.stderr


# What may be given as a temperature: numbers and harmless expressions.


def check(text: str) -> float | str:
    return expression.check(text, "temperature", -60, 160)


@pytest.mark.parametrize(
    ("text", "value"),
    [("21", 21.0), ("-3.5", -3.5), (" 2*(3+4) ", 14.0), ("2**3", 8.0), ("-60", -60.0)],
)
def test_what_does_not_depend_on_time_is_a_number(text: str, value: float) -> None:
    assert check(text) == value


@pytest.mark.parametrize(
    "text", ["21 + 2*sin(t/60)", "20+t", "min(t, 30)", "abs(-t) % 7", "10*cos(pi*t)", "t // 3"]
)
def test_expressions_stay_expressions(text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "neither a number nor an expression"),
        ("21 +", "neither a number nor an expression"),
        ("x" * 500, "neither a number nor an expression"),
        ("1/0", "division by zero"),
        ("1/t", "division by zero"),
        ("log(t)", "math domain"),
        ("9**9**9", "a power must be"),
        ("t**t", "a power must be"),
        ("1e999", "not finite"),
        ("161", "outside -60 to 160"),
        ("-61 + t/9", "outside -60 to 160"),
        ("sin", "needs its argument"),
        ("sin()", "argument"),
        ("speed", "speed is not known"),
        ("open('x')", "open is not known"),
        ("__import__('os').system('id')", "only numbers"),
        ("t.real", "only numbers"),
        ("(lambda: 1)()", "only numbers"),
        ("[1][0]", "only numbers"),
        ("'a'", "only numbers"),
        ("True", "only numbers"),
        ("max(t, key=abs)", "only numbers"),
        ("1 if t else 2", "only numbers"),
    ],
)
def test_everything_else_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ToolError) as caught:
        check(text)
    assert said in caught.value.message
    assert "for example" in caught.value.hint


@given(st.text(alphabet="0123456789t+-*/%().,sincoexpabfl_ \"'[]{}", max_size=40))
def test_no_text_does_anything_but_pass_or_be_refused(text: str) -> None:
    try:
        found = check(text)
    except ToolError:
        return
    assert isinstance(found, str) or math.isfinite(found)
