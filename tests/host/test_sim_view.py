"""What the live view makes of the messages it is given."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from firmware.core.telemetry import crc16
from tools.aws import health_table
from tools.sim import devices
from tools.sim.view import View, stored

AT = 1795248682
HERE = f"{dt.datetime.fromtimestamp(AT):%H:%M:%S}"  # the time of day of people here
READING = {
    "device_id": "barn",
    "timestamp": AT,
    "temperature": 21.37,
    "humidity": 45.06,
    "pressure": 1013.25,
    "seq": 4711,
}


def fleet(*names: str) -> tuple[View, SimpleNamespace]:
    clock = SimpleNamespace(now=AT + 1.0)
    return View(list(names or ["barn"]), lambda: clock.now), clock


def take(seen: View, topic: str, document: Any) -> str:
    return seen.message(topic, json.dumps(document).encode())


def outbox(folder: Path, following: int, low: int) -> None:
    """What a board's flash says: docs/outbox.md, On flash."""
    head = struct.pack("<BII", 0xF5, following, low) + bytes(3)
    (folder / "data" / "outbox").mkdir(parents=True, exist_ok=True)
    crc = struct.pack("<H", crc16(head, 0, 12))
    (folder / "data" / "outbox" / "b").write_bytes(head + crc + b"frames")


def shadow(desired: Any, reported: Any, before: Any = None) -> dict[str, Any]:
    """A document of `update/documents`; ``before`` is (desired, reported) of the former one."""
    made: dict[str, Any] = {"current": {"state": {"desired": desired, "reported": reported}}}
    if before is not None:
        made["previous"] = {"state": {"desired": before[0], "reported": before[1]}}
    return made


def picture(of: View, width: int = 120, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(of.render(width, height))
    return console.export_text()


DOCUMENTS = "$aws/things/barn/shadow/update/documents"


def test_a_reading_becomes_a_row_and_a_line() -> None:
    seen, clock = fleet()
    assert "never" in picture(seen)
    line = take(seen, "devices/barn/data", READING)
    assert line == f"{HERE}  barn  21.37 °C  45.1 %RH  1013.2 hPa  seq 4711"
    clock.now += 5
    take(seen, "devices/barn/data", READING | {"seq": 4712, "timestamp": AT + 5})
    take(seen, "devices/barn/data", READING | {"seq": 4712, "timestamp": AT + 5})
    text = picture(seen, 150)
    there = f"{dt.datetime.fromtimestamp(AT + 5):%H:%M:%S}"
    for cell in ("barn", "online", there, "21.37", "45.1", "1013.2", "4712", "1 s"):
        assert cell in text
    assert (seen.readings, seen.lost) == (3, 0)


def test_the_first_reading_is_timed_from_the_boot(tmp_path: Path) -> None:
    seen, clock = fleet("barn", "shed")
    assert seen.slowest_first_s() is None
    for name, took in (("barn", 2.0), ("shed", 1.0)):
        seen.booted(name, tmp_path)
        clock.now += took
        take(seen, f"devices/{name}/data", READING | {"device_id": name})
        clock.now += 60
        take(seen, f"devices/{name}/data", READING | {"device_id": name})
    assert seen.slowest_first_s() == 2.0


def test_a_sensor_without_humidity_has_empty_cells() -> None:
    seen, _ = fleet()
    bare = {"device_id": "barn", "timestamp": AT, "temperature": -0.5, "seq": 1}
    assert take(seen, "devices/barn/data", bare) == f"{HERE}  barn  -0.50 °C  seq 1"
    assert "%RH" not in picture(seen)  # a column that nobody has anything for


def test_an_estimated_time_is_marked() -> None:
    seen, _ = fleet()
    line = take(seen, "devices/barn/data", READING | {"time": "estimated"})
    assert line.startswith(f"~{HERE}  barn")
    assert f"~{HERE}" in picture(seen)
    assert "clock estimated" in picture(seen)


def test_what_waits_on_a_board_and_what_is_lost(tmp_path: Path) -> None:
    seen, clock = fleet()

    def looked(times: int) -> tuple[int | None, int]:
        for _ in range(times):
            clock.now += 1
            seen.look()
        return seen.things["barn"].evidence.waiting, seen.lost

    outbox(tmp_path, 11, 11)  # ten before this run
    seen.booted("barn", tmp_path)
    for seq in (11, 12, 15):
        take(seen, "devices/barn/data", READING | {"seq": seq})
    outbox(tmp_path, 21, 13)  # not acknowledged: 13, 14, which may still come, and 16 to 20
    assert looked(9) == (7, 0)
    outbox(tmp_path, 21, 19)
    assert looked(1) == (2, 0)  # the board may know of a delivery before this view has it
    assert looked(9) == (2, 5)  # 13, 14, 16, 17, 18
    assert "5 readings lost" in picture(seen)
    for seq in (13, 14, 16, 17, 18, 19, 20):
        take(seen, "devices/barn/data", READING | {"seq": seq})
    outbox(tmp_path, 21, 21)
    assert looked(9) == (0, 0)


def test_a_damaged_outbox_is_passed_over(tmp_path: Path) -> None:
    assert stored(tmp_path) is None
    outbox(tmp_path, 5, 3)
    (tmp_path / "data" / "outbox" / "a").write_bytes(b"\xf5" + bytes([255] * 13))
    assert stored(tmp_path) == (5, 3)
    (tmp_path / "data" / "outbox" / "b").write_bytes(b"\xf5")
    assert stored(tmp_path) is None


def test_a_change_of_the_shadow_is_timed_from_wish_to_report() -> None:
    seen, clock = fleet()
    told = take(
        seen, DOCUMENTS, shadow({"interval_s": 2}, {"interval_s": 5}, ({}, {"interval_s": 5}))
    )
    assert told == "barn: shadow: interval_s = 2 desired"
    clock.now += 0.25
    was = ({"interval_s": 2}, {"interval_s": 5})
    told = take(seen, DOCUMENTS, shadow({"interval_s": 2}, {"interval_s": 2}, was))
    assert told == "barn: shadow: interval_s = 2 after 0.25 s"
    assert "interval_s = 2 after 0.25 s" in picture(seen)


def test_a_change_made_at_the_device_is_shown_once() -> None:
    seen, _ = fleet()
    both = {"interval_s": 9}
    was = ({"interval_s": 2}, {"interval_s": 2})
    assert take(seen, DOCUMENTS, shadow(both, both, was)) == "barn: shadow: interval_s = 9"


def test_a_birth_is_no_change_and_a_rejection_is_one() -> None:
    seen, _ = fleet()
    birth = {"interval_s": 5, "firmware": "0.1.0"}
    assert take(seen, DOCUMENTS, shadow({}, birth)) == ""
    assert take(seen, DOCUMENTS, shadow({}, birth, ({"sensor": "auto"}, {}))) == ""
    # Nor is what a board reports every hour.
    later = birth | {"rssi_dbm": -70}
    assert take(seen, DOCUMENTS, shadow({}, later, ({}, birth | {"rssi_dbm": -60}))) == ""
    rejected = birth | {"rejected": {"interval_s": "must be a whole number"}}
    told = take(seen, DOCUMENTS, shadow({"interval_s": 0}, rejected, ({}, birth)))
    assert "interval_s = 0 desired" in told
    assert "must be a whole number" in told


def test_markup_in_a_log_or_shadow_is_only_text() -> None:
    seen, _ = fleet()
    seen.log("barn", "[red]not red[/red] [/]")
    both = {"sensor": "[bold]x[/]"}
    take(seen, DOCUMENTS, shadow(both, both, ({}, {"sensor": "auto"})))
    text = picture(seen)
    assert "[red]not red[/red] [/]" in text
    assert "[bold]x[/]" in text


def test_presence_comes_from_the_status_topic() -> None:
    seen, _ = fleet()
    assert take(seen, "devices/barn/status", {"online": False}) == "barn: offline"
    assert "offline" in picture(seen)
    birth = {"online": True, "firmware": "0.1.0", "sensor_found": "sht3x@0x44"}
    assert take(seen, "devices/barn/status", birth) == "barn: online"
    assert take(seen, "devices/barn/status", birth) == ""  # the hourly one
    assert "online" in picture(seen)
    asleep = {"online": False, "asleep_until": AT + 60}
    assert take(seen, "devices/barn/status", asleep).startswith("barn: asleep until ")
    assert "asleep" in picture(seen)


def test_a_board_that_sleeps_is_asleep_until_it_is_overdue() -> None:
    seen, clock = fleet()
    take(seen, DOCUMENTS, shadow({}, {"interval_s": 60, "batch": 10}))
    birth = {"online": False, "asleep_until": AT + 600, "firmware": "0.1.0", "rssi_dbm": -61}
    until = f"{dt.datetime.fromtimestamp(AT + 600):%H:%M}"
    birth |= {"sensor_found": "sht3x@0x44", "clock_source": "rtc", "waiting_readings": 1}
    assert take(seen, "devices/barn/status", birth) == f"barn: asleep until {until}"
    take(seen, "devices/barn/data", READING)  # what it has sends it right behind that
    for after_s in (1, 500, 700):
        clock.now = AT + after_s
        (row,) = [line for line in picture(seen).splitlines() if line.startswith("barn")]
        assert "asleep" in row and f"until {until}" in row and "21.37" in row, after_s
        assert "-61" in row
    again = birth | {"asleep_until": AT + 1300}
    assert take(seen, "devices/barn/status", again).startswith("barn: asleep until ")
    clock.now = AT + 1300 + 180
    text = picture(seen)
    assert "late" in text and "overdue for 3 min" in text


def test_a_board_without_a_sensor_does_not_look_healthy() -> None:
    seen, _ = fleet()
    take(seen, "devices/barn/status", {"online": True, "firmware": "0.1.0"})
    text = picture(seen)
    assert "late" in text and "no sensor" in text and "online " not in text


def test_a_view_that_is_cut_off_says_so() -> None:
    seen, _ = fleet()
    seen.link("connection lost (AWS_IO_SOCKET_CLOSED); trying again")
    assert "connection lost, trying again" in picture(seen)
    seen.link("connected again")
    assert "lost, trying" not in picture(seen)


def test_every_column_of_the_table_has_its_place() -> None:
    assert set(health_table._FIRST) == set(health_table._COLUMNS)


def test_twenty_boards_fit_into_24_lines_of_100_columns() -> None:
    names = [f"demo-{n}" for n in range(1, 21)]
    seen, _ = fleet(*names)
    for number, name in enumerate(names):
        birth = {"online": number != 7, "firmware": "0.1.0", "rssi_dbm": -50 - number}
        more = {"clock_source": "ntp", "waiting_readings": 0}
        take(seen, f"devices/{name}/status", birth | more)
        if number != 7:
            take(seen, f"devices/{name}/data", READING | {"device_id": name, "seq": number})
        seen.log(name, f"board: reset {number}")
    lines = picture(seen, 100, 24).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[2:22]] == ["demo-8", *names[:7], *names[8:]]
    for heading in ("state", "°C", "waiting", "lost", "dBm", "age"):
        assert heading in lines[1]


def test_many_boards_show_only_what_matters_of_their_logs() -> None:
    names = [f"barn-{n}" for n in range(9)]
    seen, _ = fleet(*names)
    seen.log("barn-3", "[  1.000] wifi: up")
    seen.log("barn-3", "board: reset (watchdog)")
    text = picture(seen)
    assert "wifi: up" not in text
    assert "barn-3  board: reset (watchdog)" in text


def test_names_count_on_from_the_first() -> None:
    assert devices.names("demo-1", 3) == ["demo-1", "demo-2", "demo-3"]
    assert devices.names("barn", 3) == ["barn", "barn-2", "barn-3"]
    assert devices.names("x-9", 2) == ["x-9", "x-10"]
