"""What must not keep readings, or the board, from the cloud: policies, rivals, retained orders."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e import packets
from tests.e2e.advisor.bench import THING, Bench
from tools.sim.board import VirtualBoard

Make = Callable[..., Bench]


def whole(bench: Bench) -> int:
    """How many readings have arrived; none may be missing, and a repetition is the same."""
    readings = bench.readings()
    by_seq = {reading["seq"]: reading for reading in readings}
    assert all(by_seq[reading["seq"]] == reading for reading in readings)
    assert sorted(by_seq) == list(range(1, len(by_seq) + 1))
    return len(by_seq)


def births(bench: Bench) -> list[dict[str, Any]]:
    """The birth messages so far."""
    said = [json.loads(p.payload) for p in bench.broker.published(bench.status)]
    return [document for document in said if document["online"]]


@pytest.mark.parametrize("how", ["close", "0x80"])
def test_readings_go_out_though_the_policy_forbids_to_subscribe(make: Make, how: str) -> None:
    bench = make(10)
    script = bench.broker.script
    if how == "close":
        script.close_on["SUBSCRIBE"] = -1
    else:
        script.suback_codes[bench.commands] = 0x80
    bench.start()
    bench.pause(60)
    # By chance the third try comes only then: 8, 16 and 32 s at most lie before the next one.
    bench.wait(lambda: len({r["seq"] for r in bench.readings()}) >= 30, 120)
    count = whole(bench)
    print(f"readings after a minute or two: {count}, sessions: {len(bench.broker.connections)}")
    bench.board.wait_for("link: SUBSCRIBE refused by the AWS policy: sending only", timeout=1)
    last = bench.wait(lambda: births(bench)[-1:])[0]
    assert last["link_last_reason"] == "SUBSCRIBE refused by the AWS policy: sending only"
    # In vain it asks nothing; and once it may, it does as ever.
    gets = [
        p for c in bench.broker.connections for p in c.of("PUBLISH") if p.topic.endswith("get")
    ]
    assert len(gets) <= 6, len(gets)
    script.close_on.clear()
    script.suback_codes.clear()
    bench.wait(lambda: bench.shadow.reported(interval_s=1), 300)
    whole(bench)
    bench.finish()


@pytest.mark.timeout(240)
def test_two_boards_with_one_thing_leave_each_other_time(make: Make) -> None:
    bench = make(6)  # a session that is thrown out must have come to ask for the shadow
    bench.up()
    bench.wait(lambda: bench.shadow.reported(interval_s=1))
    twin = bench.board.folder.with_name("twin")
    shutil.copytree(bench.kit.device, twin)
    shutil.copy(bench.board.folder / "config.json", twin)
    with VirtualBoard(twin, umqtt=bench.kit.umqtt, time_scale=bench.scale) as other:
        other.start()
        bench.pause(60)
        before = len(bench.broker.connections)
        bench.pause(200)
        count = len(bench.broker.connections) - before
        print(*other.log, sep="\n")
        print(f"sessions in 200 s: {count}")
        assert count <= 6
        said = "shadow: another board uses this thing: "
        assert any(said in line for line in [*bench.board.log, *other.log])
        bench.wait(lambda: len(bench.broker.connections) > before, 400)  # each waits up to 300 s
        other.set(wifi={"up": False})  # long enough for the first one to tell
        updates = bench.shadow.updates
        bench.wait(lambda: any(u["state"]["reported"].get("other_board") for u in updates), 400)
    # When the other has gone, all is well: the session that finds the other's id in the shadow
    # replaces it, the next finds its own. The first may be the other's last.
    for _ in range(3):
        bench.wait(lambda: bench.broker.live(THING), 400)
        bench.pause(20)
        bench.broker.kick()
    bench.wait(lambda: "other_board" not in bench.shadow.state["reported"], 120)
    number = len(bench.broker.connections)
    bench.settle()
    bench.broker.kick()
    bench.wait(lambda: bench.broker.live(THING), 30)
    assert len(bench.broker.connections) > number
    assert bench.broker.violations == []


def test_a_board_that_was_replaced_is_no_rival(make: Make) -> None:
    bench = make(10)
    bench.shadow.state["reported"] = {"board_id": "0123456789ab"}
    bench.shadow.version = 7
    bench.up()
    bench.wait(lambda: bench.shadow.state["reported"]["board_id"] != "0123456789ab")
    bench.settle()
    assert not any("another board" in line for line in bench.board.log)
    bench.board.kill()
    bench.board.start()
    bench.pause(30)
    assert not any("another board" in line for line in bench.board.log)


def test_a_retained_reboot_is_refused(make: Make) -> None:
    bench = make(10)
    bench.broker.script.session_present = False
    bench.broker.store.retain(bench.commands, b'{"action": "reboot"}')
    bench.start()
    told = bench.wait(lambda: bench.broker.published(bench.results))
    bench.pause(30)  # it does not restart: finish()
    assert json.loads(told[0].payload) == {
        "id": None,
        "action": "reboot",
        "ok": False,
        "reason": "retained commands are refused",
    }
    whole(bench)
    bench.finish()


def test_what_comes_with_a_reboot_is_answered(make: Make) -> None:
    bench = make(4)
    bench.settle()
    orders = [bench.command("before"), bench.command("out", action="reboot")]
    orders += [bench.command(f"after-{n}") for n in range(2)]
    for order in orders:
        bench.broker.deliver(bench.commands, order)
    bench.board.wait_for(r"board: reset \(machine.reset\)", timeout=20)
    told = {}
    for packet in bench.broker.published(bench.results):
        result = json.loads(packet.payload)
        told[result["id"]] = result["ok"], result["reason"]
    print(told)
    assert told == {
        "before": (True, None),
        "out": (True, None),
        **{f"after-{n}": (False, "restarting") for n in range(2)},
    }
    # What was done, and perhaps not answered before a power cut, is answered when it is repeated.
    bench.wait(lambda: bench.broker.live(THING))
    bench.broker.deliver(bench.commands, bench.command("before"))

    def again() -> bool:
        said = [json.loads(p.payload) for p in bench.broker.published(bench.results)]
        return said[-1] == {
            "id": "before",
            "action": "identify",
            "ok": False,
            "reason": "restarted before its result",
        }

    bench.wait(again)
    assert bench.board.boots == 2


def test_a_will_that_comes_after_the_birth_does_not_stand(make: Make) -> None:
    bench = make(10)
    bench.up()
    bench.wait(lambda: births(bench))
    packet = packets.Packet("PUBLISH", topic=bench.status, payload=b'{"online": false}', qos=1)
    packet.retain = True
    bench.broker._accepted(THING, packet)
    stands = bench.broker.store.retained
    assert stands[bench.status] == b'{"online": false}'
    bench.wait(lambda: b'"online":true' in stands[bench.status], 40)
    birth = json.loads(stands[bench.status])
    assert abs(birth["timestamp"] - time.time()) < 600  # the board's clock is fast
    assert birth["board_id"]
    bench.finish()


def test_an_endpoint_that_is_an_ipv6_address_is_no_crash(make: Make) -> None:
    # `stage` refuses one; a file may come another way.
    bench = make(10, endpoint="2001:db8::1")
    bench.start()
    bench.board.wait_for(r"link: dns \S+.*, next try", timeout=20)
    bench.pause(20)
    assert bench.board.boots == 1
    assert not any("crash" in line for line in bench.board.log)
