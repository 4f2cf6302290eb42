"""Versions that are no good: the board is back on the old one by itself, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import Execution
from tests.e2e.updates import Field, Kit

_BROKEN = b"raise RuntimeError('broken on purpose')\n"
_LONG_S = 90.0
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def field(kit: Kit, tmp_path: Path) -> Iterator[Field]:
    with Field(kit, tmp_path, scale=20) as made:
        made.start()
        yield made


def _source(path: str, more: str) -> dict[str, bytes | None]:
    """A file of the firmware as source, with something behind it."""
    compiled = path.removesuffix(".py") + ".mpy"
    return {compiled: None, path: Path(path).read_bytes() + more.encode()}


def _back(field: Field, kit: Kit, reason: str) -> Execution:
    """It went back, said so, and takes the next one that is good."""
    ended = field.ended(timeout_s=_LONG_S)
    assert ended.status == "FAILED"
    assert ended.details["reason"].startswith("gone back: " + reason)
    reported = field.reported(firmware=kit.version)
    assert not reported.get("safe_mode")
    field.broker.wait_for(lambda: field.slot() == "aa", _LONG_S)
    assert not any("SAFE MODE" in line for line in field.board.log)
    _good_after_it(field, kit)
    return ended


def _good_after_it(field: Field, kit: Kit, slot: str = "ba") -> None:
    field.offer(kit.release("9.0.1"), "next")
    ended = field.ended("next", _LONG_S)
    assert (ended.status, ended.details) == ("SUCCEEDED", {"version": "9.0.1"})
    assert field.slot() == slot
    field.reported(firmware="9.0.1")
    field.complete()


@pytest.mark.parametrize(
    ("name", "crash"),
    [("app", "broken on purpose"), ("config", "broken on purpose"), ("chip", "watchdog")],
)
def test_a_crash_at_import(field: Field, kit: Kit, name: str, crash: str) -> None:
    # chip.py is loaded before what could write it down: then the watchdog is boot.py's.
    field.board.set(wdt_scale=0.5)
    changed = {f"firmware/{name}.mpy": None, f"firmware/{name}.py": _BROKEN}
    field.offer(kit.release(changed=changed))
    ended = _back(field, kit, "three starts")
    assert crash in ended.details["crash"]


def test_what_main_imports_is_damaged(field: Field, kit: Kit) -> None:
    # Then nothing of the firmware runs: the watchdog is boot.py's.
    field.board.set(wdt_scale=0.5)
    chip = kit.firmware()["firmware/chip.mpy"]
    field.offer(kit.release(changed={"firmware/chip.mpy": b"X" + chip[1:]}))
    _back(field, kit, "three starts")


def test_a_day_ends_no_version_that_is_good(field: Field, kit: Kit) -> None:
    # The timer of boot.py was set before it was.
    mark = len(field.board.log)
    field.offer(kit.release())
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.board.set(timer_scale=1e-3)  # 86 s
    field.board.wait_for("update: good", _LONG_S, mark)
    boots = field.board.boots
    field.board.wait_for(r"^\[ +[0-9]+", _LONG_S, mark)
    so_far = len(field.readings())
    field.broker.wait_for(lambda: len(field.readings()) > so_far + 50, _LONG_S)
    assert (field.slot(), field.board.boots) == ("ba", boots)
    field.complete()


def test_a_loop_without_end(field: Field, kit: Kit) -> None:
    mark = len(field.board.log)
    field.offer(kit.release(changed=_source("firmware/startup.py", "\nwhile True:\n    pass\n")))
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.board.set(wdt_scale=0.1)
    field.board.wait_for("gone back", _LONG_S, mark)
    field.board.set(wdt_scale=None)
    _back(field, kit, "three starts")


def test_one_that_eats_the_heap(field: Field, kit: Kit) -> None:
    # So much that no session is possible, and what is thrown is no end of the program.
    mark = len(field.board.log)
    hog = "\nchip.hog = bytearray(14_000)\n"
    field.offer(kit.release(changed=_source("firmware/startup.py", hog)))
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.board.set(timer_scale=0.002)
    field.board.wait_for("gone back", _LONG_S, mark)
    field.board.set(timer_scale=None)
    _back(field, kit, "")


def test_one_that_cannot_connect(field: Field, kit: Kit) -> None:
    # Whatever the link calls in there, there is none: each try ends at once.
    changed = {"firmware/net/connect.mpy": None, "firmware/net/connect.py": b"nothing = None\n"}
    mark = len(field.board.log)
    field.offer(kit.release(changed=changed))
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.board.set(timer_scale=0.002)
    field.board.wait_for("gone back: day", _LONG_S, mark)
    field.board.set(timer_scale=None)
    _back(field, kit, "no reading with the shadow accepted within a day")


@pytest.mark.parametrize("what", ["PUBACK", "shadow"])
def test_good_only_with_both(
    field: Field, kit: Kit, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = len(field.board.log)
    field.offer(kit.release())
    field.board.wait_for("update: restarting", _LONG_S, mark)
    if what == "PUBACK":
        field.broker.script.withhold["PUBACK"] = -1
    else:
        place = field.broker.responders.index(field.shadow._respond)
        field.broker.responders[place] = lambda *_: []
    field.board.wait_for("fieldmouse 9.0.0", _LONG_S, mark)
    sessions, readings = len(field.broker.live()), len(field.readings())
    field.broker.wait_for(lambda: len(field.readings()) > readings + 5, _LONG_S)
    assert field.slot().startswith("ba aa "), sessions
    if what == "PUBACK":
        field.broker.script.withhold["PUBACK"] = 0
    else:
        field.broker.responders[place] = field.shadow._respond
        field.broker.kick()
    ended = field.ended(timeout_s=_LONG_S)
    assert (ended.status, field.slot()) == ("SUCCEEDED", "ba")
    field.complete()


def test_power_cuts_do_not_end_a_trial(field: Field, kit: Kit) -> None:
    mark = len(field.board.log)
    field.broker.script.withhold["PUBACK"] = 0
    field.offer(kit.release())
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.broker.script.withhold["PUBACK"] = -1
    for _ in range(5):
        mark = len(field.board.log)
        field.board.kill()
        field.board.start()
        field.board.wait_for("fieldmouse 9.0.0", _LONG_S, mark)
        assert field.slot() in ("ba aa 3", "ba aa 2")
    field.broker.script.withhold["PUBACK"] = 0
    assert field.ended(timeout_s=_LONG_S).status == "SUCCEEDED"
    assert field.slot() == "ba"
    field.complete()


def test_three_starts_without_being_good(field: Field, kit: Kit) -> None:
    # Whatever restarts it, a command here: each counts.
    mark = len(field.board.log)
    field.offer(kit.release())
    field.board.wait_for("update: restarting", _LONG_S, mark)
    field.broker.script.withhold["PUBACK"] = -1
    for left in (2, 1, 0):
        field.board.wait_for(f"on trial, {left} more starts", _LONG_S, mark)
        mark = len(field.board.log)
        field.board.wait_for("link: up", _LONG_S, mark)
        field.broker.deliver("devices/field-1/commands", _reboot(left))
    field.board.wait_for("gone back: starts", _LONG_S, mark)
    field.broker.script.withhold["PUBACK"] = 0
    _back(field, kit, "three starts")


def _reboot(number: int) -> bytes:
    return b'{"id": "r%d", "action": "reboot"}' % number
