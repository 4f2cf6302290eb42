"""An outage longer than the board's patience: it restarts, and its readings are still there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import Device, Listener
from tools.sim import chaos
from tools.sim.board import VirtualBoard
from tools.sim.chaos_proxy import Proxy
from tools.sim.cloud import LocalCloud

SCALE = 40.0
REBOOT_S = 600


def test_after_offline_reboot_s_the_board_restarts_and_nothing_is_lost(
    cloud: LocalCloud,
    new_device: Callable[..., Device],
    boot: Callable[..., VirtualBoard],
    listener: Listener,
) -> None:
    plan = chaos.parse(f"refuse/{REBOOT_S + 100}s").faster(SCALE)
    with Proxy(cloud.info.mqtt_port, plan) as proxy:
        settings: dict[str, Any] = {"interval_s": 10, "offline_reboot_s": REBOOT_S}
        device = new_device(port=proxy.port, **settings)
        topic = f"devices/{device.thing}/data"
        board = boot(device, time_scale=SCALE)
        listener.wait(topic)
        proxy.begin()
        board.wait_for(rf"app: offline for {REBOOT_S // 100}\d\d s, restarting", timeout=40)
        board.wait_for(r"reset \(machine\.reset\)")
        mark = board.log.index("board: reset (machine.reset)")
        waiting = int(board.wait_for(r"outbox: (\d+) waiting", after=mark)[1])
        assert waiting >= REBOOT_S // 10 - 10
        board.wait_for("link: up", timeout=20, after=mark)
        last = listener.wait(topic, lambda m: m["seq"] > waiting + 5, timeout=20)["seq"]
        seqs = list(dict.fromkeys(m["seq"] for m in listener.on(topic) if m["seq"] <= last))
        assert seqs == list(range(1, last + 1))
        assert board.boots == 2
