"""Short cuts of `make soak`: reconnects, publishes past the last packet id, mutated input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import cuts, fuzz, publishes, reconnects
from tools.dev.cli import SOAKS as PARTS


@pytest.mark.parametrize("bits", [64, 32])
def test_reconnects_leave_no_byte_and_no_socket_behind(umqtt_dir: Path, bits: int) -> None:
    done = reconnects.run(60, umqtt_dir, bits)
    print(done)
    assert done.drift_bytes == 0
    assert done.sockets == 1
    assert done.end["sent"] == done.end["acked"] >= 60 * 8
    assert set(done.end["reasons"]) == {"closed", "no_connack", "no_pingresp", "timeout", "tls"}


@pytest.mark.parametrize("bits", [64, 32])
def test_packet_ids_begin_anew_and_nothing_is_lost(umqtt_dir: Path, bits: int) -> None:
    done = publishes.run(5_000, umqtt_dir, first_pid=65_000, bits=bits)
    print(done)
    assert (done.lost, done.doubled, done.out_of_order) == (0, 0, 0)
    assert done.first_ids == 1
    assert done.end["acked"] == 5_000 and done.end["in_order"] and done.end["sessions"] == 1


def test_cuts_and_turned_bits_are_survived(umqtt_dir: Path) -> None:
    done = cuts.run(cuts.plan(601), umqtt_dir)
    print(done)
    assert done.cuts >= 12
    assert (done.drift_bytes, done.sockets) == (0, 1)
    assert done.end["sent"] == done.end["acked"]


@pytest.mark.parametrize("name", fuzz.KINDS)
def test_mutated_input(umqtt_dir: Path, name: str) -> None:
    done = fuzz.run(name, 2_000, umqtt_dir, 64, seed=7)
    assert done.ok, done.said


def test_no_fuzzing_is_left_out_of_the_soak() -> None:
    from tests.soak.__main__ import PARTS as KNOWN

    assert {path.stem for path in fuzz.DEVICE_TESTS.glob("test_*fuzz*.py")} == set(fuzz.KINDS)
    assert set(PARTS) == set(KNOWN)


def test_a_fault_in_the_input_is_seen(umqtt_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "KINDS", {"test_mqtt_fuzz": 0})  # no input: nothing was proved
    assert not fuzz.run("test_mqtt_fuzz", 1, umqtt_dir, 64, seed=7).ok
