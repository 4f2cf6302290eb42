"""The small parts of flashing: ports, log lines, the boot check, config changes, the fleet."""

from __future__ import annotations

import json
import os
import pty
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import cli
from tools.board import (
    bench_queue,
    boot_check,
    device_cli,
    edit_config,
    ports,
    prepare,
    rescue,
    serial_log,
)
from tools.errors import ToolError

GOOD = [
    "[     0.016] app: fieldmouse 0.1.0, reset by power_on",
    "[     0.017] config: barn-1 at abc-ats.iot.eu-west-1.amazonaws.com",
    "[     0.110] sensor: bme280@0x76",
    "[     1.327] wifi: joining barn",
    "[     1.427] wifi: up 192.168.4.2, -58 dBm",
    "[     1.447] clock: 2026-11-21 10:10:03 UTC from pool.ntp.org",
    "[     1.458] link: up, session new",
]
CONFIG = {"thing_name": "barn-1", "endpoint": "localhost", "wifi": [{"ssid": "barn"}]}


class Log:
    """A serial log that plays lines."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def lines(self, until: float | None = None) -> Iterator[str]:
        yield from self._lines


def watch(lines: list[str], until: str = "") -> tuple[boot_check.Outcome, list[str]]:
    seen: list[str] = []
    on_step = lambda name, text, ok: seen.append(f"{name}{'+' if ok else '-'}")  # noqa: E731
    return boot_check.watch(Log(lines), on_step, 1.0, until), seen


def test_good_boot_passes_every_step_as_it_happens():
    outcome, seen = watch(GOOD)
    assert outcome.ok
    assert seen == ["config+", "sensor+", "Wi-Fi-", "Wi-Fi+", "time+", "AWS+"]
    assert outcome.passed[1] == ("sensor", "bme280@0x76")


def test_until_ends_early():
    outcome, seen = watch(GOOD, "sensor")
    assert outcome.ok
    assert seen == ["config+", "sensor+"]


@pytest.mark.parametrize(
    ("cut", "line", "failed", "why", "remedy"),
    [
        (2, "[ 1.000] sensor: none found", "sensor", "none found", "wiring"),
        (3, "[ 9.000] wifi: not joined barn, no AP", "Wi-Fi", "not joined barn", "2.4 GHz"),
        (5, "[ 9.000] clock: pool.ntp.org: no answer, errno 110", "time", "no answer", "port 123"),
        (6, "[ 9.000] link: closed, next try in 900 ms", "AWS", "closed", "doctor"),
    ],
)
def test_missing_step_names_the_last_complaint_and_the_remedy(cut, line, failed, why, remedy):
    line = line.replace("[ ", "[    ")
    outcome, _ = watch([*GOOD[:cut], line])
    assert not outcome.ok
    assert outcome.failed == failed
    assert why in outcome.why
    assert remedy in outcome.remedy


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("The filesystem appears to be corrupted. If you had important", "make flash"),
        ("invalid header: 0xffffffff", "make flash"),
        ("[     0.050] app: SAFE MODE after repeated crashes, see get_log", "crashlog"),
    ],
)
def test_what_waiting_cannot_mend_ends_at_once(line, remedy):
    outcome, _ = watch([line, *GOOD])
    assert outcome.failed == "boot"
    assert remedy in outcome.remedy


def test_bad_config_is_told_with_its_problem():
    problem = "[     0.020] config: PROBLEM wifi: is missing"
    stuck = "[     0.030] config: cannot start; send a good config.json over the serial port"
    outcome, _ = watch([problem, stuck])
    assert outcome.failed == "boot"
    assert "wifi: is missing" in outcome.why


def test_crash_without_a_log_line_is_reported():
    outcome, _ = watch(["Traceback (most recent call last):", "ImportError: no module named 'x'"])
    assert "ImportError" in outcome.why


def test_crash_counts_more_than_a_complaint():
    lines = ["[     9.000] wifi: not joined barn", "[     9.100] crash: OSError [Errno 2] ENOENT"]
    assert watch([*GOOD[:3], *lines])[0].why == "the firmware crashed: OSError [Errno 2] ENOENT"


def test_nothing_at_all():
    assert watch([])[0].why == "no log from the board"


def test_log_that_begins_late_is_good_when_the_board_reaches_aws():
    late = "[     3.458] link: up, session new"
    outcome, seen = watch(["[     2.427] wifi: up 192.168.4.2, -58 dBm", late])
    assert outcome.ok
    assert seen == ["Wi-Fi+", "AWS+"]
    assert not watch([*GOOD[:2], *GOOD[3:]])[0].ok  # a log from its start must show the sensor


def test_log_lines():
    assert serial_log.parse("[     1.427] wifi: up 10.0.0.2") == (1.427, "wifi", "up 10.0.0.2")
    assert serial_log.parse("ets Jul 29 2019") is None
    assert serial_log.style("[     1.427] wifi: up") == "blue"
    assert serial_log.style("Traceback (most recent call last):") == "bold red"
    assert serial_log.style("waiting for download") == "dim"


def test_ports_by_number(monkeypatch):
    one = ports.Port("/dev/null", "CP2102 USB to UART")
    two = ports.Port("/dev/zero", "USB JTAG/serial debug unit")
    monkeypatch.setattr(ports, "found", list)
    with pytest.raises(ToolError, match="no board found"):
        ports.choose("")
    monkeypatch.setattr(ports, "found", lambda: [one])
    assert ports.choose("") == "/dev/null"
    monkeypatch.setattr(ports, "found", lambda: [one, two])
    with pytest.raises(ToolError) as e:
        ports.choose("")
    assert "/dev/zero  USB JTAG/serial debug unit" in e.value.message
    assert ports.choose("rfc2217://localhost:4000") == "rfc2217://localhost:4000"
    with pytest.raises(ToolError, match="there is no port /dev/nope") as e:
        ports.choose("/dev/nope")
    assert "/dev/null" in e.value.hint


@pytest.fixture
def port(tmp_path, monkeypatch):
    """Where there is no port yet."""
    monkeypatch.setattr(ports, "_LOOK_S", 0.01)
    return tmp_path / "ttyACM0"


def test_a_port_that_is_not_there_is_waited_for(port, monkeypatch):
    said: list[str] = []
    threading.Timer(0.2, port.touch).start()
    assert ports.wait(str(port), said.append) == str(port)
    assert len(said) == 1  # once
    assert f"there is no port {port}; a board that sleeps has none: press its reset" in said[0]
    assert "waiting 10 min, Ctrl-C ends" in said[0]
    assert ports.wait(str(port), said.append) == str(port)
    assert len(said) == 1  # it is there
    plugged: list[ports.Port] = []
    monkeypatch.setattr(ports, "found", lambda: list(plugged))
    threading.Timer(0.2, lambda: plugged.append(ports.Port(str(port), ""))).start()
    assert ports.wait("", said.append) == str(port)
    assert "no board found" in said[1]


def test_logs_wait_for_the_port_of_a_board_that_sleeps(port, capsys):
    master, slave = pty.openpty()

    def plug() -> None:
        port.symlink_to(os.ttyname(slave))
        time.sleep(0.3)
        os.write(master, b"[     0.200] power: awake for 20 s, Ctrl-C gives the REPL\r\n")

    threading.Timer(0.2, plug).start()
    device_cli.logs(str(port), seconds=1.5)
    said = capsys.readouterr()
    assert "a board that sleeps has none" in said.err
    assert "awake for 20 s" in said.out
    os.close(master)
    os.close(slave)
    with pytest.raises(ToolError, match="there is no port"):
        device_cli.logs(f"{port}9", seconds=0.1)  # it waits no longer than it would listen
    with pytest.raises(ToolError, match="there is no port"):
        device_cli.crashlog(f"{port}9", wait=False)


def test_it_is_not_waited_for_for_ever(port):
    began = time.monotonic()
    with pytest.raises(ToolError, match="there is no port"):
        ports.wait(str(port), lambda text: None, 0.1)
    assert time.monotonic() - began < 1


def test_a_port_that_has_just_come_gets_its_rights_a_moment_later(port, monkeypatch):
    may = {"use": False}
    monkeypatch.setattr(os, "access", lambda path, mode: may["use"])

    def plug() -> None:
        port.touch()
        time.sleep(0.2)
        may["use"] = True

    threading.Timer(0.2, plug).start()
    assert ports.wait(str(port), lambda text: None) == str(port)
    may["use"] = False  # and one that was there had time enough
    with pytest.raises(ToolError, match="no right"):
        ports.wait(str(port), lambda text: None)


def test_the_log_of_a_silent_board_says_why_that_may_be(monkeypatch):
    monkeypatch.setattr(serial_log, "_QUIET_S", 0.2)
    for before, wanted in ((b"", 1), (b"[     0.200] sensor: bme280@0x76\n", 0)):
        with serial_log.SerialLog("loop://") as log:
            log._serial.write(before)
            lines = list(log.lines(time.monotonic() + 0.6, hint=True))
            assert sum("nothing yet; a board on a battery" in line for line in lines) == wanted
            assert list(log.lines(time.monotonic() + 0.3)) == []  # where nobody has asked


def test_port_without_the_right(monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ToolError, match="no right to use /dev/null") as e:
        ports.choose("/dev/null")
    assert "dialout" in e.value.hint


@pytest.mark.parametrize(
    ("given", "where", "value"),
    [
        ("interval_s=30", ["interval_s"], 30),
        ("sensor=bme280@0x76", ["sensor"], "bme280@0x76"),
        ("i2c.sda=4", ["i2c", "sda"], 4),
        ("wifi.0.ssid=12345678", ["wifi", 0, "ssid"], "12345678"),
        ("wifi.0.password=in the=barn", ["wifi", 0, "password"], "in the=barn"),
        ("wifi.1.ssid=house", ["wifi", 1, "ssid"], "house"),
        ("ntp=time.local", ["ntp"], ["time.local"]),
        ('ntp=["a.b","c.d"]', ["ntp"], ["a.b", "c.d"]),
    ],
)
def test_config_change(given, where, value):
    found = edit_config.change(CONFIG, [given])
    for step in where:
        found = found[step]
    assert found == value


def test_config_change_takes_out_and_asks():
    new = edit_config.change(CONFIG | {"interval_s": 9}, ["interval_s="])
    assert new == CONFIG
    asked: list[str] = []
    new = edit_config.change(
        CONFIG, ["wifi.0.password=-"], lambda k: asked.append(k) or "secret12"
    )
    assert asked == ["wifi.0.password"]
    assert new["wifi"][0]["password"] == "secret12"
    assert CONFIG["wifi"] == [{"ssid": "barn"}]  # the given one is as it was


@pytest.mark.parametrize(
    "given",
    ["interval_s=soon", "intervall_s=30", "wifi=", "wifi.5.ssid=x", "endpoint.x=1", "novalue"],
)
def test_config_change_that_would_break_the_board(given):
    with pytest.raises(ToolError) as e:
        edit_config.change(CONFIG, [given])
    assert "soon" not in str(e.value)


def test_board_of_a_thing(tmp_path):
    assert prepare.board_of(tmp_path, "esp32s3").name == "esp32s3"
    assert prepare.board_of(tmp_path, "").name == "esp32"
    (tmp_path / "thing.json").write_text(json.dumps({"board": "esp8266"}))
    assert prepare.board_of(tmp_path, "").name == "esp8266"
    with pytest.raises(ToolError, match=r"has no config\.json"):
        prepare.tree(tmp_path, prepare.board_of(tmp_path, ""))


def test_the_configurations_of_a_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path))
    for name in ("b-1", "b-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**CONFIG, "thing_name": name}))
    file = tmp_path / "fleet.csv"
    file.write_text("thing,site\nb-1,x\nb-9,a b\nb-2,y\n")
    words = ["config", "--from", str(file), "interval_s=31", "drain_per_s=7"]
    assert cli.main(words) == 2
    assert "--no-send" in capsys.readouterr().err
    assert cli.main([*words, "--no-send"]) == 2
    shown = capsys.readouterr()
    assert "2 done, 1 failed" in shown.out
    assert "b-9: " in shown.err
    for name in ("b-1", "b-2"):
        found = json.loads((tmp_path / name / "config.json").read_text())
        assert (found["interval_s"], found["drain_per_s"], found["thing_name"]) == (31, 7, name)
    assert cli.main(["config", "b-1", "--no-send"]) == 2
    assert "nothing to change" in capsys.readouterr().err


def row(thing: str, mac: str) -> bench_queue.Row:
    return bench_queue.Row(thing, mac, "ESP32", "esp32", "1.25.0", "0.1.0", "/dev/x", "2026-11-21")


def test_fleet_queue_and_record(tmp_path: Path):
    things = ["a", "b", "c"]
    first = bench_queue.Queue(things, tmp_path)
    assert first.take({"b", "c"}) == "b"
    first.give_back("b")
    assert first.take(set(things)) == "b"  # what failed is the next again
    first.done(row("b", "24:6f:28:00:00:01"))
    again = bench_queue.Queue(things, tmp_path)
    assert again.waiting() == ["a", "c"]
    assert again.thing_of("24:6f:28:00:00:01") == "b"
    assert again.take({"x"}) == ""


def test_half_written_record_line_counts_as_not_done(tmp_path: Path):
    made = bench_queue.Queue(["a", "b"], tmp_path)
    made.done(row("a", "m1"))
    made.done(row("b", "m2"))
    text = made.record.read_text()
    made.record.write_text(text[: text.rindex("ESP32")])
    assert bench_queue.Queue(["a", "b"], tmp_path).waiting() == ["b"]


def test_rescued_files_outlive_an_interrupted_run(tmp_path: Path):
    files = {"data/outbox/1": b"x" * 10, "data/clock": b"\0\1"}
    rescue.save(tmp_path, "24:6f:28:aa:bb:cc", files)
    assert rescue.pending(tmp_path, "24:6f:28:aa:bb:cc") == files
    assert rescue.pending(tmp_path, "24:6f:28:aa:bb:cd") == {}
    rescue.forget(tmp_path, "24:6f:28:aa:bb:cc")
    assert rescue.pending(tmp_path, "24:6f:28:aa:bb:cc") == {}
