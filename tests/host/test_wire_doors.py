"""Every place where something from the wire, or from a board, is shown or written: harmless.

A door is a function from a text that means harm to what a terminal, or a file for people, gets.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import queue
import threading
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rich.console
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.host.hostile import KNOWN, TEXTS
from tools import cli, errors, wire
from tools.aws import (
    cli_shadow,
    cli_things,
    cli_watch,
    clients,
    collect,
    command,
    fleet,
    mqtt,
    publish,
    route,
    shadow,
    watch,
)
from tools.aws.facts import Evidence
from tools.board import cli as board_cli
from tools.board import deploy, device_cli, mpremote, ports, prepare, rescue, serial_log
from tools.board import stage as staging
from tools.board.bench_view import BenchView
from tools.board.view import Lines
from tools.doctor import cli as cli_doctor
from tools.doctor import session
from tools.doctor.context import Context
from tools.doctor.run import Finding, one
from tools.errors import ToolError
from tools.sim.boardlog import Log
from tools.sim.view import View
from tools.things import bulk
from tools.things.folder import Folder

NUMBERS = st.sampled_from([-(2**36), 2**400, 1e300, math.inf, math.nan, True, None, [], 21])
Door = Callable[[str, Any], str]
DOORS: list[Door] = []


def door(made: Door) -> Door:
    """Mark one of the doors, so that none is forgotten below."""
    DOORS.append(made)
    return made


def plain() -> Console:
    """A console that adds nothing to what it is given, as a pipe."""
    return Console(file=io.StringIO(), width=400, soft_wrap=True, highlight=False)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Echo:
    """What `typer.echo` prints, while it is entered."""

    def __init__(self) -> None:
        self.text = ""

    def __enter__(self) -> Echo:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(typer, "echo", self._echo)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def set(self, owner: Any, name: str, value: Any) -> None:
        self._patch.setattr(owner, name, value)

    def _echo(self, message: object = "", nl: bool = True, err: bool = False) -> None:
        self.text += str(message) + "\n" * nl


def reading(text: str, number: Any, **more: Any) -> bytes:
    given = {"device_id": "g-1", "timestamp": number, "temperature": number, "seq": text}
    return json.dumps(given | {"humidity": number, "time": text, text: text} | more).encode()


def change(text: str, number: Any) -> bytes:
    state = {"state": {"reported": {text: text, "rejected": {text: number}}, "desired": text}}
    state["state"]["desired"] = {text: text, "interval_s": text}
    return json.dumps({"previous": {"state": text}, "current": state}).encode()


def messages(text: str, number: Any) -> list[tuple[str, bytes]]:
    good = {"timestamp": 1795248682, "temperature": 21, "seq": 1}
    return [
        ("devices/g-1/data", reading(text, number)),
        ("devices/g-1/data", reading(text, 21, seq=number)),
        ("devices/g-1/data", json.dumps({"device_id": text, **good}).encode()),
        (f"devices/{text}/data", json.dumps({"device_id": text, **good}).encode()),
        ("devices/g-1/data", reading(text, 21, timestamp=1795248682, seq=1)),
        ("devices/g-1/status", json.dumps({"online": text, text: text}).encode()),
        (
            "devices/g-1/commands/result",
            json.dumps({"action": text, "reason": text, "log": [text]}).encode(),
        ),
        ("$aws/things/g-1/shadow/update/documents", change(text, number)),
        (f"$aws/things/{text}/shadow/update/documents", change(text, number)),
        ("devices/g-1/data", text.encode("utf-8", "surrogatepass")),
    ]


@door
def watch_table(text: str, number: Any) -> str:
    seen, claimed, console = watch.Watch(), watch.Watch(data="sensors/data"), plain()
    for topic, payload in messages(text, number):
        seen.take(topic, payload)
        claimed.take("sensors/data", payload)
        console.print(seen.table())
    assert seen.odd
    console.print(claimed.table())
    return said(console)


@door
def watch_lines(text: str, number: Any) -> str:
    probe, arrived = watch.Watch(), queue.SimpleQueue[tuple[str, bytes]]()
    last = ("devices/z/data", reading("", 21, device_id="z", seq=1))
    for message in (*messages(text, number), last):
        arrived.put(message)
        probe.take(*message)
    with Echo() as echo:
        count = sum(thing.count for thing in probe.things.values())
        cli_watch._show(watch.Watch(), arrived, count, live=False)
        assert arrived.empty()
        for message in (*messages(text, number), last):
            arrived.put(message)
        cli_watch._show(watch.Watch(), arrived, count, live=False, as_json=True)
    assert arrived.empty()
    return echo.text


@door
def subscribe(text: str, number: Any) -> str:
    class Fake:
        def __init__(self, way: Any, made: Any, name: str, take: Any, tell: Any) -> None:
            self._take = take

        def __enter__(self) -> Fake:
            for message in messages(text, number):
                self._take(*message)
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def subscribe(self, pattern: str, qos: int) -> None:
            pass

    with Echo() as echo:
        echo.set(mqtt, "Connection", Fake)
        echo.set(clients, "of", lambda local: types.SimpleNamespace(cloud=None))
        echo.set(route, "route", lambda *_: None)
        publish.subscribe(["#"], count=len(messages(text, number)))
    return echo.text


@door
def shadow_get(text: str, number: Any) -> str:
    document = {"state": {"reported": {text: [text, number]}}, "metadata": {text: number}}
    with Echo() as echo:
        access = types.SimpleNamespace(get=lambda name: document)
        echo.set(cli_shadow, "_access", lambda *_: contextlib.nullcontext(access))
        cli_shadow.shadow_get("g-1")
    found = json.loads(echo.text)
    assert json.dumps(found) == json.dumps(document)
    return echo.text


@door
def shadow_answer(text: str, number: Any) -> str:
    rejected = {"interval_s": text}
    reported = {"rejected": rejected, "sensor": text, "i2c": text, "sensor_last_error": text}
    shown = ""
    for found in (None, text):
        document = {"state": {"reported": reported | {"sensor_found": found}}}
        access: Any = types.SimpleNamespace(thing="g-1", get=lambda document=document: document)
        desired = {"interval_s": 5, "sensor": text, "i2c": None}
        with Echo() as echo, pytest.raises(ToolError) as caught:
            cli_shadow._follow(desired, access, shadow.Before(), None, 0, threading.Event())
        shown += echo.text + errors.lines(caught.value)
    return shown


@door
def command_result(text: str, number: Any) -> str:
    shown = ""
    results: list[dict[str, Any]] = [
        {"ok": True, "log": text, "crash": text},
        {"ok": True, "log": number, "crash": [text]},
        {"ok": text, "reason": text},
        {"reason": [text, number]},
    ]
    for result in results:
        with Echo() as echo:
            made = types.SimpleNamespace(iot=None)
            echo.set(clients, "of", lambda local, made=made: made)
            echo.set(shadow, "check_thing", lambda *_: None)
            echo.set(command, "spinner", lambda text: contextlib.nullcontext())
            echo.set(command, "ask", lambda *_, result=result: result)
            with contextlib.suppress(typer.Exit):
                command.command("g-1", "get_log")
        shown += echo.text
    return shown


@door
def error(text: str, number: Any) -> str:
    console = io.StringIO()
    with Echo() as echo:

        def command(**_: Any) -> None:
            raise ToolError(f"AWS says {text}", text)

        echo.set(cli, "_command", lambda app: command)
        echo.set(cli.sys, "stderr", console)
        assert cli.main([]) == 2
    return console.getvalue()


@door
def doctor(text: str, number: Any) -> str:
    console = plain()
    cli_doctor._show(console, Finding("last report", "failed", text, text))
    return said(console)


@door
def doctor_session(text: str, number: Any) -> str:
    console = plain()
    odd: list[Any] = [text, number, [text], {text: text}]
    for value in odd:
        status = {"link_last_reason": value, "link_drops": value, "config_problems": value}
        reported = {"safe_mode": value, "last_crash": value, "rssi_dbm": value, "firmware": value}
        for facts in (reported, reported | {"safe_mode": False}, value, {}):
            data = types.SimpleNamespace(
                get_connection=lambda clientId: {},
                get_retained_message=lambda topic, status=status: {
                    "payload": json.dumps(status).encode(),
                    "lastModifiedTime": 1795248682000,
                },
                get_thing_shadow=lambda thingName, facts=facts: {
                    "payload": io.BytesIO(
                        json.dumps(
                            {"state": {"reported": facts}, "metadata": {"reported": facts}}
                        ).encode()
                    )
                },
            )
            iot = types.SimpleNamespace(
                describe_thing=lambda thingName: {},
                list_thing_principals=lambda thingName: {"principals": []},
            )
            clients: Any = types.SimpleNamespace(data=data, iot=iot, cloud=None)
            context = Context(clients, "g-1", Folder(Path("nowhere")), listen_s=0)
            for check in (session.report, session.last_disconnect, *session.HEALTH.values()):
                cli_doctor._show(console, one("last", partial(check, context)))
    return said(console)


@door
def table_of_things(text: str, number: Any) -> str:
    told = {"online": True, "firmware": text, "sensor_last_error": text, "rssi_dbm": number}
    told |= {"other_board": text, "reset_cause": text, "config_problems": [text], "boots": number}
    shadow_ = {"state": {"reported": {"interval_s": number, "rejected": {text: number}}}}
    known = [
        Evidence(text, told, 1.0, json.loads(reading("1", 21)), 2.0, shadow=shadow_),
        Evidence("g-1", {"online": text}, 1.0, shadow={"state": {"reported": told}}),
        Evidence("g-2", certificates=((text, text),), unknown={"shadow": wire.short(text)}),
    ]
    console = plain()
    with Echo() as echo:
        echo.set(clients, "of", lambda local: None)
        echo.set(collect, "everything", lambda *_: known)
        echo.set(rich.console, "Console", lambda **_: console)
        echo.set(cli_things, "spinner", lambda text: Echo())
        cli_things.things()
        cli_things.things(as_json=True)
    return said(console) + echo.text


@door
def fleet_failure(text: str, number: Any) -> str:
    def fail(thing: str) -> str:
        raise ToolError(text)

    with Echo() as echo, pytest.raises(ToolError) as caught:
        echo.set(rich.console, "Console", lambda **_: plain())
        bulk.run(["g-1", "g-2"], fail)
    return echo.text + errors.lines(caught.value)


@door
def logs(text: str, number: Any) -> str:
    log = object.__new__(serial_log.SerialLog)
    port = types.SimpleNamespace(in_waiting=0, close=lambda: None)
    data = f"[ 1.000] link: {text}\r\n".encode("utf-8", "surrogatepass")
    log.port, log._held, log._patience_s, log._serial = "x", b"", 0.0, port
    chunks = [data, b""]
    port.read = lambda size: chunks.pop(0) if chunks else b""
    console = plain()
    with Echo() as echo:
        echo.set(rich.console, "Console", lambda **_: console)
        echo.set(serial_log, "SerialLog", lambda *_, **__: log)
        echo.set(ports, "choose", lambda given: given)
        device_cli.logs("x", reset=False, seconds=0.01)
    return said(console)


@door
def crash_log(text: str, number: Any) -> str:
    with Echo() as echo:
        name = deploy.CRASH_LOG
        echo.set(mpremote, "wake", lambda port: None)
        echo.set(mpremote, "listing", lambda *_: ({name: ""}, set()))
        data = text.encode("utf-8", "surrogatepass")
        echo.set(mpremote, "fetch", lambda *_: {name: data})
        echo.set(mpremote, "run", lambda *_: "")
        echo.set(ports, "choose", lambda given: given)
        device_cli.crashlog("x")
    return echo.text


@door
def removed_files(text: str, number: Any) -> str:
    with Echo() as echo:
        echo.set(ports, "choose", lambda given: given)
        echo.set(prepare, "board_of", lambda *_: None)
        echo.set(prepare, "tree", lambda *_: {})
        done = deploy.Deployed([], [text], False)
        echo.set(deploy, "deploy", lambda *_: done)
        device_cli.deploy("g-1", "x")
    return echo.text


@door
def port_names(text: str, number: Any) -> str:
    return str(ports.Port("/dev/ttyUSB0", text))


@door
def flashing(text: str, number: Any) -> str:
    console = plain()
    with Lines(console) as view:
        view.step("boot", text)
    return said(console)


@door
def bench(text: str, number: Any) -> str:
    console = plain()
    view = BenchView(console)
    row = view.row("/dev/ttyUSB0")
    row.named(text, text)
    row.step("boot", text)
    view.label(text, text)
    console.print(view._table())
    return said(console)


@door
def traceback(text: str, number: Any) -> str:
    with Echo() as echo:
        echo.set(staging, "source_lines", lambda text, board, power: text)
        file: Any = io.StringIO(text)
        board_cli.traceback(file)
    return echo.text


@door
def sim_view(text: str, number: Any) -> str:
    view, console = View(["g-1"]), plain()
    deep = ("devices/g-1/data", b'{"a":' * 10_000)
    for topic, payload in [*messages(text, number), deep]:
        console.print(view.message(topic, payload), highlight=False, markup=False, soft_wrap=True)
        console.print(view.render(400, 24))
    return said(console).translate(dict.fromkeys(map(ord, "─━┃│┏┓└┘┡┩╇╭╮╰╯"), "-"))


@door
def sim_log(text: str, number: Any) -> str:
    printed: list[str] = []
    log = Log(lambda: False, printed.append)
    log.add(text)
    return "\n".join([*printed, *log.kept(), *log.follow()])


@pytest.mark.parametrize("made", DOORS, ids=lambda made: made.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, NUMBERS)
def test_nothing_a_terminal_acts_on_comes_through(made: Door, text: str, number: Any) -> None:
    shown = made(text, number)
    bad = {c for c in shown if not c.isprintable() and c not in "\n\t"}
    assert bad == set(), f"{bad!r} of {text!r}"
    shown.encode("utf-8")  # no half of a character, which a terminal could not be sent


@pytest.mark.parametrize("made", DOORS, ids=lambda made: made.__name__)
def test_what_was_measured_does_nothing(made: Door) -> None:
    for text in KNOWN:
        shown = made(text, -(2**36))
        assert not [c for c in shown if not c.isprintable() and c not in "\n\t"]


@pytest.mark.parametrize("made", [doctor, bench, flashing, fleet_failure, table_of_things, logs])
def test_markup_is_text(made: Door) -> None:
    assert "[bold]x[/bold] [red]" in made("[bold]x[/bold] [red]", 0)
    assert "[/]" in made("[/]", 0)


def test_a_shadow_that_cannot_be_read_is_said() -> None:
    # Python reads no integer of more than 4,300 digits; eight kilobytes of shadow can have one.
    payload = b'{"state": {"reported": {"x": ' + b"9" * 5000 + b"}}}"
    data = types.SimpleNamespace(get_thing_shadow=lambda **_: {"payload": io.BytesIO(payload)})
    with pytest.raises(ToolError, match="cannot be read"):
        shadow.get(data, "g-1")


@given(TEXTS, NUMBERS)
def test_cells_of_csv_files(tmp_path_factory: Any, text: str, number: Any) -> None:
    folder = tmp_path_factory.mktemp("csv")
    fleet.write_result(folder / "r.csv", [fleet.Result("g-1", "failed", error=text)])
    seen = watch.Watch([], folder / "w.csv")
    for topic, payload in messages(text, number):
        seen.take(topic, payload)
    seen.close()
    for name in ("r.csv", "w.csv"):
        written = Path(folder, name).read_text("utf-8")
        assert written.replace("\n", "").isprintable()
        rows = list(csv.reader(written.splitlines()))
        assert {len(row) for row in rows} == {len(rows[0])}
        for cell in (cell for row in rows for cell in row if not _is_number(cell)):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_the_result_names_things_as_they_are(tmp_path: Path) -> None:
    # tools/things/fleet.py reads it back; a name of a thing is no formula.
    things = ["-x", "_1", "=cmd|x"]
    fleet.write_result(tmp_path / "r.csv", [fleet.Result(thing, "made") for thing in things])
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text("utf-8").splitlines()))
    assert [row["thing"] for row in rows] == ["-x", "_1", "'=cmd|x"]


def _is_number(cell: str) -> bool:
    try:
        return bool(cell) and float(cell) == float(cell)
    except ValueError:
        return False


@pytest.mark.parametrize("name", ["../../x", "/etc", "a/b", "..", "", "\x1b[2J", 7, ["x"], None])
def test_the_thing_of_a_board_is_no_path(name: Any) -> None:
    assert rescue._thing(json.dumps({"thing_name": name}).encode()) == "unknown"
    assert rescue._thing(b'{"thing_name": "g-1"}') == "g-1"
    assert rescue._thing(b"[" * 100_000) == ""


@pytest.mark.parametrize("path", ["data/../../x", "data/..", "data/a/../../../x", "data/..\\x"])
def test_files_of_a_board_stay_in_their_folder(path: str) -> None:
    assert not rescue._is_kept(path)
    assert rescue._is_kept("data/outbox/0000012d")
