"""What the live view makes of the messages it is given."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from tools.sim import devices
from tools.sim.view import Fleet

READING = {
    "device_id": "barn",
    "timestamp": 1795248682,
    "temperature": 21.37,
    "humidity": 45.06,
    "pressure": 1013.25,
    "seq": 4711,
}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fleet(*names: str) -> tuple[Fleet, Clock]:
    clock = Clock()
    return Fleet(list(names or ["barn"]), clock), clock


def shadow(desired: Any, reported: Any, before: Any = None) -> dict[str, Any]:
    """A document of `update/documents`; ``before`` is (desired, reported) of the former one."""
    made: dict[str, Any] = {"current": {"state": {"desired": desired, "reported": reported}}}
    if before is not None:
        made["previous"] = {"state": {"desired": before[0], "reported": before[1]}}
    return made


def picture(of: Fleet, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(of.render("title"))
    return console.export_text()


DOCUMENTS = "$aws/things/barn/shadow/update/documents"


def test_a_reading_becomes_a_row_and_a_line() -> None:
    seen, clock = fleet()
    assert "waiting" in picture(seen)
    line = seen.message("devices/barn/data", READING)
    assert line == "08:11:22  barn  21.37 °C  45.1 %RH  1013.2 hPa  seq 4711"
    clock.now += 5
    seen.message("devices/barn/data", READING | {"seq": 4712, "timestamp": 1795248687})
    seen.message("devices/barn/data", READING | {"seq": 4712, "timestamp": 1795248687})
    text = picture(seen)
    for cell in ("barn", "08:11:27", "21.37", "45.1", "1013.2", "4712", "5 s"):
        assert cell in text
    assert seen.readings == 3


def test_the_first_reading_is_timed_from_the_boot() -> None:
    seen, clock = fleet("barn", "shed")
    assert seen.slowest_first_s() is None
    for name, took in (("barn", 2.0), ("shed", 1.0)):
        seen.booted(name)
        clock.now += took
        seen.message(f"devices/{name}/data", READING)
        clock.now += 60
        seen.message(f"devices/{name}/data", READING)
    assert seen.slowest_first_s() == 2.0


def test_a_sensor_without_humidity_has_empty_cells() -> None:
    seen, _ = fleet()
    line = seen.message("devices/barn/data", {"timestamp": 0, "temperature": -0.5, "seq": 1})
    assert line == "00:00:00  barn  -0.50 °C  seq 1"


def test_a_change_of_the_shadow_is_timed_from_wish_to_report() -> None:
    seen, clock = fleet()
    told = seen.message(
        DOCUMENTS, shadow({"interval_s": 2}, {"interval_s": 5}, ({}, {"interval_s": 5}))
    )
    assert told == "barn: shadow: interval_s = 2 desired"
    clock.now += 0.25
    was = ({"interval_s": 2}, {"interval_s": 5})
    told = seen.message(DOCUMENTS, shadow({"interval_s": 2}, {"interval_s": 2}, was))
    assert told == "barn: shadow: interval_s = 2 after 0.25 s"
    assert "interval_s = 2 after 0.25 s" in picture(seen)
    assert seen.things["barn"].applied_s == 0.25


def test_a_change_made_at_the_device_is_shown_once() -> None:
    seen, _ = fleet()
    both = {"interval_s": 9}
    was = ({"interval_s": 2}, {"interval_s": 2})
    assert seen.message(DOCUMENTS, shadow(both, both, was)) == "barn: shadow: interval_s = 9"


def test_a_birth_is_no_change_and_a_rejection_is_one() -> None:
    seen, _ = fleet()
    birth = {"interval_s": 5, "firmware": "0.1.0"}
    assert seen.message(DOCUMENTS, shadow({}, birth)) is None
    assert seen.message(DOCUMENTS, shadow({}, birth, ({"sensor": "auto"}, {}))) is None
    rejected = birth | {"rejected": {"interval_s": "must be a whole number"}}
    told = seen.message(DOCUMENTS, shadow({"interval_s": 0}, rejected, ({}, birth)))
    assert told is not None
    assert "interval_s = 0 desired" in told
    assert "must be a whole number" in told


def test_strange_messages_are_survived() -> None:
    seen, _ = fleet()
    junk: list[Any] = [None, [], "x", 3, {"state": 7}, {"state": {"desired": 1, "reported": []}}]
    for thing in junk:
        assert seen.message(DOCUMENTS, {"current": thing, "previous": thing}) is None
    strange = {"timestamp": "now", "temperature": True, "humidity": [], "seq": {}}
    seen.message("devices/barn/data", strange)
    seen.message("devices/barn/data", {"timestamp": 10**30})
    for topic in ("devices/other/data", "x", "", "$aws/things/other/shadow/update/documents"):
        assert seen.message(topic, READING) is None
    assert "barn" in picture(seen)


def test_markup_in_a_log_or_shadow_is_only_text() -> None:
    seen, _ = fleet()
    seen.log("barn", "[red]not red[/red] [/]")
    both = {"sensor": "[bold]x[/]"}
    seen.message(DOCUMENTS, shadow(both, both, ({}, {"sensor": "auto"})))
    text = picture(seen)
    assert "[red]not red[/red] [/]" in text
    assert "[bold]x[/]" in text


def test_presence_comes_from_the_status_topic() -> None:
    seen, _ = fleet()
    assert seen.message("devices/barn/status", {"online": False}) == "barn: offline"
    assert "offline" in picture(seen)
    assert (
        seen.message("devices/barn/status", {"online": True, "version": "0.1.0"}) == "barn: online"
    )


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
