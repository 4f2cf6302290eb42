"""Watchdog, crash log and safe mode, on a virtual board against MiniStack (issue 3, section 6).

A fault is planted by the board's main.py before the firmware starts: everything after that is the
firmware as it is shipped.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from itertools import pairwise

import pytest

from tests.e2e.conftest import Device
from tests.e2e.test_main_job import WAIT_S, command, desire, reported, shadow, wait_until
from tools.board.stage import ROOT, stage

# Parts of a pass of the loop: module, class, method; or module, generator.
STEPS = {
    "clock": ("firmware.core.timing", "Clock", "step"),
    "wifi": ("firmware.net.wifi", "joining"),
    "connection": ("firmware.net.connection", "Connection", "step"),
    "session": ("firmware.net.session", "Session", "step"),
    "sampler": ("firmware.sampler", "Sampler", "step"),
    "outbox": ("firmware.outbox", "Outbox", "put"),
    "queue": ("firmware.outbox", "Outbox", "next_unsent"),
    "shadow": ("firmware.shadow_sync", "ShadowSync", "step"),
    "runner": ("firmware.command_runner", "CommandRunner", "step"),
}
# Without these there are no readings: what nobody expected there restarts the board. Anywhere else
# it costs the session.
ENDS = ("clock", "sampler", "outbox")


# In front of main.py. What is named here keeps its name: the steps, and what a fault looks at.
PLANTS = """
import planted

planted.plant({steps}, ("sensor", "settings"))
"""
PLANTED = """
passes = 0

def fault(self):
{body}

def passed(self):
    global passes
    passes += 1
    if passes >= {first}:
        fault(self)

def plant(steps, _):
    try:
        with open("lives") as f:
            lives = int(f.read())
    except OSError:
        lives = 0
    with open("lives", "w") as f:
        f.write(str(lives + 1))
    if lives >= {times}:
        return
    module, name, *method = steps["{step}"]
    found = __import__(module, None, None, (name,))
    for inner in method:
        found, name = getattr(found, name), inner
    sound = getattr(found, name)

    def step(self, *args):
        passed(self)
        return sound(self, *args)

    def generator(*args):
        for given in sound(*args):
            passed(None)
            yield given

    setattr(found, name, step if method else generator)
"""


def plant(device: Device, step: str, fault: str, times: int = 1000, first: int = 5) -> None:
    """Make ``step`` execute ``fault`` from its ``first`` pass on, in the first ``times`` lives.

    Modules that are imported before main.py's own code stay in memory, with the fault.
    """
    body = textwrap.indent(textwrap.dedent(fault).strip(), " " * 4)
    planted = PLANTED.format(body=body, step=step, times=times, first=first)
    before_main(device, PLANTS.format(steps=STEPS), planted)


def before_main(device: Device, code: str, planted: str) -> None:
    """Stage the device anew, with ``code`` in front of main.py: no name in it is shortened.

    ``planted`` is the module of that name, which is not part of the program: the firmware is
    made once for all that differ in it only.
    """
    source = device.folder.with_name("source")
    shutil.copytree(
        ROOT / "firmware", source / "firmware", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "boot.py", source)
    (source / "main.py").write_text(code + (ROOT / "main.py").read_text("utf-8"), "utf-8")
    thing = device.things
    stage(thing / "config.json", thing / "certs", device.folder, source=source)
    (device.folder / "planted.py").write_text(planted, "utf-8")


def test_a_step_that_hangs_is_ended_by_the_watchdog(device, boot, clients, listener):
    plant(device, "sampler", "while True: pass", times=1)
    board = boot(device, wdt_scale=0.03)
    board.wait_for(r"board: reset \(watchdog\)", timeout=WAIT_S)
    state = reported(clients, device.thing, reset_cause="wdt")
    assert "watchdog" in state["last_crash"]
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 2)
    assert board.boots == 2


def test_a_hang_inside_c_code_too(device, boot, clients):
    plant(device, "session", "import time\ntime.sleep_ms(10**8)", times=1)
    board = boot(device, wdt_scale=0.03)
    board.wait_for(r"board: reset \(watchdog\)", timeout=WAIT_S)
    reported(clients, device.thing, reset_cause="wdt")


@pytest.mark.parametrize("step", ENDS)
def test_an_exception_in_any_step_is_logged_and_the_board_restarts(
    device, boot, clients, listener, step
):
    plant(device, step, "raise ValueError('planted in ' + str(passes))", times=1)
    board = boot(device)
    board.wait_for(r"crash: ValueError planted", timeout=WAIT_S)
    board.wait_for(r"board: reset", timeout=WAIT_S)
    state = reported(clients, device.thing, safe_mode=False, reset_cause="hard")
    assert "ValueError: planted" in state["last_crash"]
    command(clients, device.thing, {"action": "get_log", "id": 1})
    results = f"devices/{device.thing}/commands/result"
    log = listener.wait(results, lambda m: m["id"] == 1)["crash"]
    assert "Traceback" in log and "line" in log and "after" in log
    listener.wait(f"devices/{device.thing}/data")
    assert board.boots == 2


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ENDS])
def test_an_exception_anywhere_else_costs_the_session_only(device, boot, clients, listener, step):
    # Three of them, as TypeErrors of the link, once led to safe mode: an hour without a reading.
    data = f"devices/{device.thing}/data"
    plant(device, step, "if passes < 9: raise TypeError('planted')")
    board = boot(device)
    if step == "runner":  # which is there only while there are commands
        reported(clients, device.thing, safe_mode=False)
        command(clients, device.thing, {"action": "identify", "id": "blink"})
    board.wait_for(r"link: bug TypeError planted, next try", timeout=WAIT_S)
    reported(clients, device.thing, safe_mode=False, reset_cause="pwron")
    last = listener.wait(data, lambda m: m["seq"] >= 20, timeout=2 * WAIT_S)["seq"]
    readings = {m["seq"]: m["timestamp"] for m in listener.on(data)}
    times = [readings[seq] for seq in range(1, last + 1)]
    assert max(b - a for a, b in pairwise(times)) <= 5, times  # taken all the while
    assert board.boots == 1


def test_safe_mode_goes_on_reading_unless_it_is_that_which_fails(device, boot, clients, listener):
    plant(device, "session", "import time\ntime.sleep_ms(10**8)", times=3)
    board = boot(device, wdt_scale=0.03)
    board.wait_for(r"SAFE MODE", timeout=5 * WAIT_S)
    state = reported(clients, device.thing, safe_mode=True, sensor_found="bme280@0x76")
    assert "watchdog" in state["last_crash"]
    data = f"devices/{device.thing}/data"
    last = max((m["seq"] for m in listener.on(data)), default=0)
    listener.wait(data, lambda m: m["seq"] >= last + 5)
    command(clients, device.thing, {"action": "read_now", "id": "now"})
    results = f"devices/{device.thing}/commands/result"
    assert listener.wait(results, lambda m: m["id"] == "now")["ok"]
    numbers = {m["seq"] for m in listener.on(data)}
    # The watchdog may end a write that LittleFS would undo: that seq is passed over.
    torn = {int(seq) - 1 for seq in re.findall(r"next seq (\d+)", "\n".join(board.log))}
    missing = set(range(1, max(numbers))) - numbers
    assert missing <= torn and len(missing) < 2
    assert board.boots == 4


def test_three_crashes_lead_to_safe_mode_which_says_why_and_takes_the_cure(
    new_device, boot, clients, listener
):
    device = new_device(interval_s=1, sensor="bme280@0x77")
    plant(device, "sampler", "if not self.sensor: raise ValueError('bad setting')")
    board = boot(device)
    board.wait_for(r"SAFE MODE", timeout=3 * WAIT_S)
    assert board.boots == 4
    state = reported(clients, device.thing, safe_mode=True)
    assert "bad setting" in state["last_crash"]
    command(clients, device.thing, {"action": "read_now", "id": "no"})
    results = f"devices/{device.thing}/commands/result"
    assert listener.wait(results, lambda m: m["id"] == "no")["reason"] == "safe mode"
    desire(clients, device.thing, sensor="auto")
    board.wait_for(r"app: safe mode ends, trying again", timeout=WAIT_S)
    reported(clients, device.thing, safe_mode=False, sensor="auto")
    listener.wait(f"devices/{device.thing}/data", lambda m: m["seq"] >= 2)
    assert board.boots == 5


def test_safe_mode_is_left_by_a_reboot_command(device, boot, clients, listener):
    plant(device, "sampler", "raise ValueError('early')", times=3)
    board = boot(device)
    reported(clients, device.thing, safe_mode=True)
    command(clients, device.thing, {"action": "reboot", "id": "out"})
    reported(clients, device.thing, safe_mode=False)
    listener.wait(f"devices/{device.thing}/data")
    assert board.boots == 5


@pytest.mark.parametrize("file", ["app", "board", "config"])
def test_a_file_that_is_missing_is_named_and_the_board_tries_again(device, boot, listener, file):
    path = device.folder / "firmware" / f"{file}.mpy"
    code = path.read_bytes()
    path.unlink()
    board = boot(device, time_scale=10)
    board.wait_for(r"main: cannot run the firmware, restarting in 30 s", timeout=WAIT_S)
    name = file.split("/")[-1]
    board.wait_for(rf"ImportError: .*{name}", timeout=WAIT_S)
    path.write_bytes(code)
    board.wait_for(r"board: reset \(machine.reset\)", timeout=WAIT_S)
    listener.wait(f"devices/{device.thing}/data")
    assert board.boots == 2


def test_power_cycles_are_counted_and_no_crashes(device, boot, clients, listener):
    board = boot(device)
    for n in range(4):
        listener.wait(f"devices/{device.thing}/status", lambda m, n=n: m.get("boots") == n + 1)
        board.kill()
        board.start()
    reported(clients, device.thing, safe_mode=False, reset_cause="pwron")


@pytest.mark.parametrize("world", [{"wired": [21, 22]}, {"highest_pin": 39}])
def test_wrong_pins_are_mended_from_the_cloud(device, boot, clients, listener, world):
    config = device.config | {"i2c": {"id": 0, "sda": 48, "scl": 47}}
    (device.folder / "config.json").write_text(json.dumps(config))
    board = boot(device, **world)
    state = wait_until(lambda: shadow(clients, device.thing).get("reported"), "connected")
    assert state["i2c"]["sda"] == 48
    assert "sensor_found" not in state
    assert ("i2c settings" if "highest_pin" in world else "nothing") in state["sensor_last_error"]
    desire(clients, device.thing, i2c={"sda": 21, "scl": 22})
    listener.wait(f"devices/{device.thing}/data")
    assert board.boots == 1
    state = shadow(clients, device.thing)
    assert (state["reported"]["i2c"]["sda"], state.get("delta")) == (21, None)
