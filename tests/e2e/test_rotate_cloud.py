"""`rotate --remote` as a user types it, against the local AWS, with a board that hears jobs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Device
from tools.aws import local, rotate_remote
from tools.aws.clients import Clients
from tools.things.folder import Folder, Record, things_dir


@pytest.fixture
def here(cloud: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the local things."""
    file = local.write(cloud.info, tmp_path / "sim" / "cloud.json")
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(file))
    monkeypatch.setattr(rotate_remote, "_POLL_S", 0.2)
    return things_dir(True)


def record(folder: Path) -> Record:
    found = Folder(folder).record()
    assert found is not None
    return found


def status(clients: Clients, number: str) -> str:
    there = clients.iot.describe_certificate(certificateId=number)
    return str(there["certificateDescription"]["status"])


def test_there_and_back(
    here: Path,
    new_device: Callable[..., Device],
    boot: Any,
    clients: Clients,
    listener: Any,
    said: Any,
) -> None:
    device = new_device(interval_s=1, updates=True)
    folder = here / device.thing
    shutil.copytree(device.things, folder)
    board = boot(device, bits=32, heap="esp32", time_scale=10)
    listener.wait(f"devices/{device.thing}/data", timeout=40)
    for slot in ("ab", "aa"):
        old = record(folder)
        shown = said("rotate", device.thing, "--remote", "--grace", "0", "--local").out
        new = record(folder)
        assert f"{device.thing}: runs under {new.certificate_id}" in shown
        assert shown.rstrip().endswith(f"{old.certificate_id} is INACTIVE")
        assert (device.folder / "slot").read_text() == slot
        used = device.folder / "certs" / ("b" if slot == "ab" else "") / "cert.pem"
        assert used.read_bytes() == (folder / "certs/cert.pem").read_bytes()
        assert status(clients, old.certificate_id) == "INACTIVE"
        assert status(clients, new.certificate_id) == "ACTIVE"
        assert new.key_on_board and not (folder / "certs/key.pem").exists()
        # And it goes on under that alone, from a power cut on.
        board.kill()
        newest = max(m["seq"] for m in listener.on(f"devices/{device.thing}/data"))
        board.start()
        listener.wait(
            f"devices/{device.thing}/data", lambda m, n=newest: m["seq"] > n + 2, timeout=40
        )
    seqs = {m["seq"] for m in listener.on(f"devices/{device.thing}/data")}
    assert seqs == set(range(1, max(seqs) + 1))
    said("provision", device.thing, "--local")
    assert json.loads((folder / "config.json").read_text())["updates"] is True


def test_a_pipe_of_old_certificates(
    here: Path, new_device: Callable[..., Device], boot: Any, clients: Clients
) -> None:
    devices = [new_device(interval_s=1, updates=True) for _ in range(2)]
    names = " ".join(device.thing for device in devices)
    old = {}
    for device in devices:
        shutil.copytree(device.things, here / device.thing)
        old[device.thing] = record(here / device.thing).certificate_id
        boot(device, bits=32, heap="esp32", time_scale=10)
    tools = f"{sys.executable} -m tools"
    rotate = f"{tools} rotate --from - --remote --grace 0 --per-minute 30 --local"
    command = f"{tools} things {names} --local --older-than {{}} | {rotate}"
    none = sh(command.format("300d"))
    assert "0 done, 0 failed" in none and all(status(clients, n) == "ACTIVE" for n in old.values())
    began = time.monotonic()
    shown = sh(command.format("0d"))
    assert time.monotonic() - began > 2  # 30 a minute
    assert "2 done" in shown
    for thing, number in old.items():
        assert status(clients, number) == "INACTIVE"
        assert status(clients, record(here / thing).certificate_id) == "ACTIVE"
        assert record(here / thing).key_on_board


def sh(command: str) -> str:
    nobody = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "none"}
    ran = subprocess.run(
        ["/bin/sh", "-c", command],
        env=os.environ | nobody,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
