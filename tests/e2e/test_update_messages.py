"""An update with messages lost, doubled and out of order: no reading is.

tests/device/test_update_messages.py has each message by itself, without readings.
"""

from __future__ import annotations

from pathlib import Path

from tests.e2e.updates import THING, Field, Kit


def test_no_reading_is_lost_while_messages_are(tmp_path: Path, umqtt_dir: Path) -> None:
    kit = Kit(tmp_path / "kit", umqtt_dir)
    with Field(kit, tmp_path) as field:
        field.start()
        # Of each kind one does not arrive, and the answer to the next one is lost.
        for kind in ("get", "update"):
            field.jobs.ignore[kind] = field.jobs.lose[kind] = 1
        for k in (1, 4):
            field.streams.lose(k)
        for k in (2, 3, 6):
            field.streams.double(k)
        field.streams.shorten(5)
        field.offer(kit.release(changed={"firmware/drivers/sht3x.py": b"x = 1\n" * 300}))
        ended = field.ended()
        assert (ended.status, ended.details) == ("SUCCEEDED", {"version": "9.0.0"})
        # After the restart as well.
        field.jobs.lose["get"] = 1
        before = len(field.readings())
        field.broker.wait_for(lambda: len(field.readings()) > before + 2, 60)
        seqs = field.readings()
        assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))
        assert field.slot() == "ba"
        assert [line for line in field.board.log if "on trial" in line][1:] == []
        final = [u for u in field.jobs.updates if u.request.get("status") == "SUCCEEDED"]
        assert {update.thing for update in final} == {THING}
