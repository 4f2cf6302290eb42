"""The running log: get_log, readings at `log_level` debug, and no secret in either."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.e2e.test_main_job import WAIT_S, command, desire, reported, shadow, wait_until

SECRET = "kp9-wifi-Secret-77"
READING = r"sensor: 21\.37 °C 45\.\d\d %RH 1013\.2\d hPa, seq (\d+)"


def get_log(clients: Any, listener: Any, thing: str, ident: str) -> dict[str, Any]:
    """The answer to get_log."""
    command(clients, thing, {"action": "get_log", "id": ident})
    found: dict[str, Any] = listener.wait(
        f"devices/{thing}/commands/result", lambda m: m["id"] == ident
    )
    return found


@pytest.mark.parametrize("profile", ["esp32", "esp8266"])
def test_the_running_log_with_readings_and_without_secrets(
    new_device, boot, clients, listener, profile
):
    wifi = [{"ssid": "barn", "password": SECRET}]
    device = new_device(board=profile, interval_s=1, wifi=wifi)
    board = boot(
        device, heap=profile, bits=32, temperature="21.37", humidity="45", pressure="1013.25"
    )
    thing = device.thing
    reported(clients, thing, interval_s=1, log_level="info")
    first = get_log(clients, listener, thing, "a")
    assert first["ok"] is True and first["crash"] == ""
    for line in first["log"].splitlines():
        assert line in board.log, line
    assert not any("°C" in line for line in board.log)
    desire(clients, thing, log_level="loud")
    wrong = {"log_level": 'must be "info" or "debug"'}
    reported(clients, thing, rejected=wrong, log_level="info")
    desire(clients, thing, log_level="debug")
    reported(clients, thing, rejected=None, log_level="debug")
    seq = int(board.wait_for(READING, timeout=WAIT_S)[1])
    listener.wait(f"devices/{thing}/data", lambda m: m["seq"] == seq)
    board.wait_for(rf"seq {seq + 12}\b", timeout=WAIT_S)
    second = get_log(clients, listener, thing, "b")["log"]
    lines = second.splitlines()
    assert second.endswith("\n") and len(lines) >= 3, lines
    assert all(line in board.log for line in lines), lines
    assert any(re.search(READING, line) for line in lines), lines
    assert len(second.encode()) <= (1024 if profile == "esp32" else 256)
    # After a restart it is as ever, and nobody desires anything else.
    board.kill()
    mark = len(board.log)
    board.start()
    board.wait_for(r"config: log_level ends", timeout=WAIT_S, after=mark)
    reported(clients, thing, log_level="info")
    wait_until(lambda: "desired" not in shadow(clients, thing), "nothing desired")
    assert "delta" not in shadow(clients, thing)
    third = get_log(clients, listener, thing, "c")["log"]
    assert not any("°C" in line for line in board.log[mark:])
    keys = [(device.folder / "certs" / name).read_bytes() for name in ("key.pem", "key.der")
            if (device.folder / "certs" / name).exists()]  # fmt: skip
    assert keys
    for text in ("\n".join(board.log), first["log"], second, third):
        assert SECRET not in text and "PRIVATE KEY" not in text
        assert not any(
            part.decode() in text for key in keys for part in re.findall(rb"[\w+/]{40,}", key)
        )
    assert board.boots == 1, board.log[-30:]


def test_a_level_desired_while_the_board_was_away_counts(device, boot, clients):
    board = boot(device, temperature="21.37", humidity="45", pressure="1013.25")
    reported(clients, device.thing, log_level="info")
    board.kill()
    desire(clients, device.thing, log_level="debug")
    board.start()
    reported(clients, device.thing, log_level="debug")
    board.wait_for(READING, timeout=WAIT_S)
    desire(clients, device.thing, log_level=None)
    reported(clients, device.thing, log_level="info")
