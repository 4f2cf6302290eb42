"""A command that AWS delivers twice at once (at least once, another packet id, aws-facts 1.2)."""

from __future__ import annotations

from tests.e2e.test_crash_path import plant
from tests.e2e.test_main_job import command, reported


def test_an_id_acts_once_even_when_both_copies_wait(device, boot, clients, listener):
    # While the first command is slow, the others arrive together.
    plant(device, "runner", "import time; time.sleep_ms(1500)", first=1)
    boot(device)
    reported(clients, device.thing, safe_mode=False)
    for number in (6, 7, 7, 8):
        command(clients, device.thing, {"action": "identify", "id": number})
    results = f"devices/{device.thing}/commands/result"
    listener.wait(results, lambda m: m["id"] == 8, timeout=30)
    assert [m["id"] for m in listener.on(results)] == [6, 7, 8]
