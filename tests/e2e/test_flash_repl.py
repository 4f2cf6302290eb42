"""mpremote against a board in use: its own commands, and deploy, logs, crashlog and config."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.esp import fixtures
from tests.esp.fixtures import Cli, cli, plug  # noqa: F401
from tests.host import pki
from tools.board import image, mpremote, prepare
from tools.errors import ToolError
from tools.sim.esp import images
from tools.sim.esp.server import Server
from tools.things import boards

# Prints its log, ignores one Ctrl-C, and would run for ever: a busy board.
STUBBORN = b"""
import time
print("[     0.100] config: barn-1 at localhost")
while True:
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        if "stubborn" not in globals():
            stubborn = True
            continue
        raise
"""


@pytest.fixture
def board(plug: Callable[..., Server], tmp_path: Path) -> Server:
    """A flashed board whose main.py runs."""
    server = plug()
    fixtures.put(server, images.firmware(), image.tree(fixtures.tree(tmp_path / "tree")))
    server.wait_for("link: up")
    return server


def mp(server: Server, *args: str | Path) -> str:
    """Run mpremote as a person does; it must succeed."""
    argv = [sys.executable, "-m", "mpremote", "connect", server.url, *map(str, args)]
    ran = subprocess.run(
        argv, env=fixtures.environment(), capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_mpremote_as_on_a_real_board(board, tmp_path):
    """ls, cp both ways, exec, soft reset, mount and run, in as few sessions as it takes."""
    noise = bytes(range(256)) * 13
    here, back = tmp_path / "noise.bin", tmp_path / "back.bin"
    here.write_bytes(noise)
    out = mp(
        board,
        *("ls", ":firmware", "+", "cp", here, ":noise.bin", "+", "cp", ":noise.bin", back),
        *("+", "soft-reset", "+", "exec", "import os; print(os.stat('noise.bin')[6])"),
    )
    assert "version.py" in out
    assert f"\n{len(noise)}\n" in out.replace("\r", "")
    assert back.read_bytes() == noise
    assert fixtures.files_of(board)["noise.bin"] == noise
    (tmp_path / "mounted").mkdir()
    hello = tmp_path / "mounted" / "hello.py"
    hello.write_text("print('from the host', 6 * 7)\n")
    os.utime(hello, (0x03000300, 0x03000300))  # bytes that are Ctrl-C and zero go through
    said = mp(board, "mount", tmp_path / "mounted", "exec", "import hello")
    assert "from the host 42" in said
    boots = board.board.boots
    mp(board, "reset")
    board.wait_for(rf"(?s)(link: up.*){{{2}}}")
    assert board.board.boots > boots


def test_error_on_the_board_reaches_us(board):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        mp(board, "exec", "1/0")


def test_ctrl_c_as_the_program_ends(plug):
    """A signal that was sent while it ran, and comes when there is a prompt, is a key."""
    server = plug()
    fixtures.put(server, images.firmware(), {"main.py": b""})
    server.wait_for(">>> ")
    boots = server.board.boots
    server.do(lambda: server.board._app.send_signal(signal.SIGINT))
    assert mp(server, "exec", "print(6 * 7)") == "42\n"
    assert server.board.boots == boots


def test_busy_main_is_interrupted(plug, tmp_path):
    server = plug()
    fixtures.put(server, images.firmware(), {"main.py": STUBBORN, "data/x": b"abc"})
    server.wait_for("config: barn-1")
    notes: list[str] = []
    code = "import os; print(os.listdir('data'))"
    # mpremote itself would give up after ten seconds.
    said = mpremote.run(server.url, ["exec", code], limit_s=3, note=notes.append)
    assert "['x']" in said
    assert notes == ["the board is busy, or sleeps, attempt 2 of 5"]


def test_sync_sends_what_changed_and_nothing_else(board, tmp_path):
    old = fixtures.files_of(board)
    new = {p: d for p, d in old.items() if p != "firmware/core/rules.py"}
    new["firmware/net/link.py"] = b"# link\n"
    new["main.py"] = old["main.py"].replace(b"sleep(1)", b"sleep(2)")
    sent, removed = mpremote.sync(board.url, new, ["firmware", "certs"])
    assert sent == ["firmware/net/link.py", "main.py"]
    assert removed == ["firmware/core/rules.py"]
    board.wait_for(r"(?s)(link: up.*){2}")
    assert fixtures.files_of(board) == new
    assert mpremote.sync(board.url, new, ["firmware", "certs"]) == ([], [])


def test_full_file_system_says_so(plug):
    server = plug()
    vfs = (0x200000, 0x10000)  # 64 KB
    files = {"main.py": b"", "data/outbox": b"x" * 30_000}
    fixtures.put(server, images.firmware(vfs=vfs), files)
    with pytest.raises(ToolError, match="file system is full"):
        mpremote.sync(server.url, {"firmware/big.py": b"y" * 40_000}, ["firmware"])
    assert fixtures.files_of(server)["data/outbox"] == files["data/outbox"]


@pytest.fixture
def provisioned(cli: Cli) -> Path:
    """things/barn-1/ with a configuration and certificates."""
    folder = cli.things / "barn-1"
    pki.folder(folder / "certs")
    config = {
        "thing_name": "barn-1",
        "endpoint": "localhost",
        "wifi": [{"ssid": "barn", "password": "in-the-barn"}],
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_deploy_config_and_crashlog(plug, cli, provisioned):
    server = plug()
    old = prepare.tree(provisioned, boards.get("esp32")) | {
        "main.py": b"print('old')\n",
        "firmware/gone.py": b"",
        "data/crash.log": b"it broke\n",
        "data/crash.log.runs": b"[1,1,1]",
        "data/outbox": b"readings",
    }
    del old["certs/ca.pem"]
    fixtures.put(server, images.firmware(), old)
    said = cli.ok("deploy", "barn-1", "--port", server.url)
    assert "sent     main.py" in said
    assert "sent     certs/ca.pem" in said
    assert "removed  firmware/gone.py" in said
    assert "removed  data/crash.log.runs" in said
    found = fixtures.files_of(server)
    assert found["data/outbox"] == b"readings"
    assert json.loads(found["config.json"])["endpoint"] == "localhost"
    assert "it broke" in cli.ok("crashlog", "--port", server.url)
    said = cli.ok("config", "barn-1", "interval_s=30", "i2c.sda=4", "--port", server.url)
    assert "sent; the board restarts" in said
    on_board = json.loads(fixtures.files_of(server)["config.json"])
    assert on_board["interval_s"] == 30
    assert on_board["i2c"] == {"id": 0, "sda": 4, "scl": 22, "freq_hz": 100000}
    assert json.loads((provisioned / "config.json").read_text())["interval_s"] == 30
    said = cli.refused("config", "barn-1", "interval_s=soon", "--port", server.url)
    assert "interval_s" in said
    assert "soon" not in said


def test_logs_follow_the_board_through_a_reset(board):
    argv = [sys.executable, "-m", "tools", "logs", "--port", board.url, "--reset"]
    with subprocess.Popen(
        [*argv, "--seconds", "60"],
        cwd=fixtures.ROOT,
        env=fixtures.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as logs:
        clock = threading.Timer(40, logs.kill)
        clock.start()
        assert logs.stdout is not None
        seen: list[str] = []
        ups = 0
        for line in logs.stdout:
            seen.append(line.rstrip())
            if "link: up" in line:
                ups += 1
                if ups == 2:
                    break
                board.do(board.board.power_on)  # somebody presses the button
        logs.send_signal(2)
        assert logs.wait(20) == 0
        clock.cancel()
    assert ups == 2, seen
    assert "[     0.200] sensor: bme280@0x76" in seen


def prompt(server: Server) -> bytes:
    """Use `tools repl` as a person does; give what was shown."""
    argv = [sys.executable, "-m", "tools", "repl", "--port", server.url]
    master, slave = pty.openpty()
    with subprocess.Popen(
        argv, cwd=fixtures.ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as repl:
        os.close(slave)
        clock = threading.Timer(40, repl.kill)
        clock.start()
        said = fixtures.until(master, b">>> ")  # at once, without a key
        os.write(master, b"6*7\r")
        said += fixtures.until(master, b"42")
        os.write(master, b"\x1d")  # Ctrl-]
        assert repl.wait(20) == 0
        clock.cancel()
    os.close(master)
    return said


def test_repl_of_a_board(board):
    boots = board.board.boots
    assert b"KeyboardInterrupt" in prompt(board)
    board.wait_for(r"(?s)(link: up.*){2}")  # the firmware runs again
    assert board.board.boots == boots + 1


SLEEPER = b"""
import machine, time
rtc = machine.RTC()
lives = rtc.memory()
print("life", machine.reset_cause(), len(lives))
rtc.memory(lives + b"x")
time.sleep_ms(100)
machine.deepsleep(1500) if len(lives) == 0 else machine.deepsleep()
"""


# As firmware/power.py has it: after power-on there is a moment for a person, then it sleeps.
BATTERY = b"""
import machine, time
print("life", machine.reset_cause())
time.sleep(3 if machine.reset_cause() != 4 else 0)
machine.deepsleep()
"""


@pytest.fixture
def asleep(plug: Callable[..., Server], provisioned: Path) -> Server:
    """A board behind a USB chip, which has a port while it sleeps for good."""
    file = provisioned / "config.json"
    config = json.loads(file.read_text()) | {"power": "battery"}
    file.write_text(json.dumps(config))
    server = plug()
    files = prepare.tree(provisioned, boards.get("esp32"))
    files |= {"main.py": BATTERY, "data/crash.log": b"it broke\n", "data/outbox": b"readings"}
    fixtures.put(server, images.firmware(), files)
    server.wait_for("life 1")
    time.sleep(3.5)
    return server


def test_a_board_that_sleeps_is_woken_up_to_be_deployed(asleep, cli):
    boots = asleep.board.boots
    said = cli.ok("deploy", "barn-1", "--port", asleep.url)
    assert "busy" not in said  # at the first attempt
    assert "1 sent, " in said and "sent     main.py" in said
    assert asleep.board.boots > boots
    assert fixtures.files_of(asleep)["data/outbox"] == b"readings"


def test_a_board_that_sleeps_has_a_prompt_and_a_crash_log(asleep, cli):
    assert "it broke" in cli.ok("crashlog", "--port", asleep.url)
    time.sleep(4)  # asleep again
    prompt(asleep)


def test_another_power_brings_other_files(plug, cli, provisioned):
    server = plug()
    tree = prepare.tree(provisioned, boards.get("esp32")) | {"main.py": b"", "data/outbox": b"r"}
    fixtures.put(server, images.firmware(), tree)
    assert not [path for path in fixtures.files_of(server) if "wake" in path]
    said = cli.ok("config", "barn-1", "power=battery", "batch=6", "--port", server.url)
    assert "sent     config.json" in said and "sent     firmware/wake.mpy" in said
    files = fixtures.files_of(server)
    wanted = prepare.tree(provisioned, boards.get("esp32"))
    assert {path: files[path] for path in wanted} == wanted
    assert (json.loads(files["config.json"])["power"], files["data/outbox"]) == ("battery", b"r")


def test_a_board_that_sleeps_answers_nobody_and_comes_back(
    plug: Callable[..., Server], tmp_path: Path
) -> None:
    server = plug()
    files = image.tree(fixtures.tree(tmp_path / "tree", **{"main.py": SLEEPER}))
    fixtures.put(server, images.firmware(), files)
    server.wait_for("life 1 0")
    boots = server.board.boots  # it may have booted before there was anything to run
    began = time.monotonic()
    server.wait_for("life 4 1")
    assert time.monotonic() - began > 1.3
    time.sleep(0.5)
    assert server.board.boots == boots + 1  # for good
    server.do(server.board.power_on)
    server.wait_for("(?s)life 4 1.*life 1 0")


def test_deploy_to_a_board_with_a_key_of_its_own(plug, cli, provisioned):
    tree = prepare.tree(provisioned, boards.get("esp32"))
    own = {f"certs/b/{name}.pem": tree.pop(f"certs/{name}.pem") for name in ("cert", "key")}
    old = {"slot": b"bb", "b/firmware/app.py": b"", "certs/cert.pem": b"old", "certs/key.pem": b""}
    server = plug()
    fixtures.put(server, images.firmware(), tree | own | old | {"main.py": b"print('old')\n"})
    # As `rotate --remote` leaves the folder.
    (provisioned / "certs/key.pem").unlink()
    (provisioned / "thing.json").write_text(json.dumps({"key_on_board": True}))
    said = cli.ok("deploy", "barn-1", "--port", server.url)
    assert "sent     main.py" in said and "removed  b/firmware/app.py" in said
    found = fixtures.files_of(server)
    assert found["slot"] == b"ab" and found.items() >= own.items()
    assert not [path for path in found if path.startswith("b/")]
    assert "0 sent" in cli.ok("deploy", "barn-1", "--port", server.url)
    fixtures.put(server, images.firmware(), tree | {"slot": b"aa"})
    assert "makes a key for the cable" in cli.refused("deploy", "barn-1", "--port", server.url)
