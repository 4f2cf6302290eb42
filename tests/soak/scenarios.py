"""What an adversary tried, each end to end: virtual boards, proxy, MiniStack, a subscriber.

    no NTP for a day       a power cut takes the router and the clock; a day later the network is
                           back, UDP 123 still blocked: every reading of that day, rightly dated
    no NTP at all          UDP 123 is blocked from the first boot on
    wrong NTP              the server asked first is two years ahead
    no NTP, power cuts     several boots without a clock, then all is well again
    AAAA only              the broker's name has an IPv6 address only for a while
    two boards, one thing  a clone with the same certificate is switched on
    retained reboot        a `reboot` without id lies retained on the topic of commands
    trial, power cuts      settings from the cloud that cost the sensor, the power cut meanwhile

Beside them the power cuts at every single write, on a LittleFS of their own (cuts()).

All times are the board's own seconds, unless a name says otherwise.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.soak import fuzz
from tests.soak.trial import SCALE, Bench
from tests.soak.verdict import COLDEST, RISE, Verdict
from tools.sim import chaos
from tools.sim.board import VirtualBoard

_QUIET = chaos.Plan(())
_DAY_S = 86_400
_DAY_SCALE = 100.0
_WRONG_S = 2 * 365 * _DAY_S
_TWO_SERVERS = ["pool.ntp.org", "time.cloudflare.com"]
_MOST_S = 400.0  # until all that was held back has arrived
_DARK = {"wifi": {"up": False}, "ntp": {"up": False}}
_LIGHT = {"wifi": {"up": True}, "ntp": {"up": True}}
WORKERS = 4


class Play:
    """One board, and what it came to."""

    def __init__(self, bench: Bench, name: str, **options: Any) -> None:
        self.bench, self.verdict = bench, Verdict(name, 1)
        self.scale = bench.scale
        changed = {"port": bench.cloud.info.mqtt_port} | options.pop("config", {})
        self._context = bench.board(_QUIET, changed, **options)
        self.estimated = self.misdated = 0

    def __enter__(self) -> Play:
        self.thing, self.board, _ = self._context.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.verdict.boots += self.board.boots
        self.verdict.log = self.board.log
        self._context.__exit__(*error)

    def pause(self, board_s: float) -> None:
        """Let so much of the board's time go by."""
        time.sleep(board_s / self.scale)

    def power_cut(self, **world: Any) -> None:
        """Switch it off and on again, in another world if need be."""
        self.board.kill()
        self.verdict.boots += self.board.boots
        self.board.set(**world)
        self.board.start()

    def until(self, done: Callable[[], Any], what: str, limit_s: float = _MOST_S) -> bool:
        """Wait until ``done()``; else ``what`` is a problem."""
        end = time.monotonic() + limit_s / self.scale + 5
        while time.monotonic() < end:
            if done():
                return True
            time.sleep(0.1)
        self.verdict.problems.append(what)
        return False

    def readings(self) -> dict[int, dict[str, Any]]:
        """The readings that have arrived, by seq."""
        return {r["seq"]: r for _, r in self.bench.arrived(self.thing)}

    def all_there(self) -> None:
        """Wait for a reading that is made from now on; then every seq must have arrived."""
        newest = max(self.readings(), default=0)
        now_s = self.bench.board_s(time.time())
        self.until(
            lambda: any(
                r["timestamp"] >= now_s - 1 for s, r in self.readings().items() if s > newest
            ),
            "no new reading with the time of day",
        )
        self.pause(15)  # what is held back may go out behind it
        got = self.readings()
        missing = sorted(set(range(1, max(got, default=0) + 1)) - set(got))
        self.verdict.readings, self.verdict.lost = len(got), len(missing)
        self.verdict.duplicates = len(self.bench.arrived(self.thing)) - len(got)
        if missing:
            self.verdict.problems.append(f"lost: {missing[:10]}")

    def judge_dates(self, rise: float = RISE, power_on_s: float | None = None) -> None:
        """Every reading that claims so has its own time; the temperature tells the uptime."""
        on_s = [
            r["timestamp"] - (r["temperature"] - COLDEST) * rise
            for r in self.readings().values()
            if r.get("time") != "estimated"
        ]
        self.estimated = len(self.readings()) - len(on_s)
        on_s.sort()
        # AWS's time is in whole seconds of ours, and half a one may pass until it is heard.
        late_s = 3.0 + 1.5 * self.scale + rise / 100
        most = (on_s[-1] if power_on_s is None else power_on_s) + late_s
        self.misdated = sum(s > most for s in on_s)
        if power_on_s is not None:
            self.misdated += sum(s < power_on_s - late_s for s in on_s)
        if self.misdated:
            self.verdict.problems.append(f"{self.misdated} readings with a wrong time")


def no_ntp_for_a_day(bench: Bench, seed: int) -> Play:
    """The longest: a day at a hundred times our pace."""
    rise = 1_000
    play = Play(
        bench,
        "no NTP for a day",
        temperature=f"{COLDEST} + t/{rise}",
        config={"interval_s": 60, "offline_reboot_s": 3600},
        **_DARK,
    )
    with play:
        began = time.time()
        play.pause(_DAY_S)
        play.board.set(wifi={"up": True})
        play.all_there()
        play.judge_dates(rise, bench.board_s(began))
        if play.verdict.readings < _DAY_S / 60:
            play.verdict.problems.append(f"{play.verdict.readings} readings in a day")
    return play


def no_ntp_at_all(bench: Bench, seed: int) -> Play:
    """Every session begins at a provisional time."""
    with Play(bench, "no NTP at all", ntp={"up": False}) as play:
        began = time.time()
        play.all_there()
        play.judge_dates(power_on_s=bench.board_s(began))
    return play


def wrong_ntp(bench: Bench, seed: int) -> Play:
    """Each of two servers is wrong in turn, the first from the first question on."""
    first, second = _TWO_SERVERS
    ntp = {"up": True, "offsets": {first: _WRONG_S}}
    with Play(bench, "wrong NTP", ntp=ntp, config={"ntp": _TWO_SERVERS}) as play:
        play.all_there()
        play.board.set(ntp={"up": True, "offsets": {second: -_WRONG_S}})
        play.pause(60)
        play.all_there()
    return play


def boots_without_a_clock(bench: Bench, seed: int) -> Play:
    """What an older boot left without a time is dated between its neighbours."""
    draw = random.Random(seed)
    with Play(bench, "no NTP, power cuts") as play:
        play.all_there()
        known = max(r["timestamp"] for r in play.readings().values())
        dark_s = [draw.uniform(20, 90) for _ in range(5)]
        for pause_s in dark_s:
            play.power_cut(**_DARK)
            play.pause(pause_s)
        play.board.set(**_LIGHT)
        back_s = bench.board_s(time.time())
        play.all_there()
        if play.verdict.readings < 0.8 * sum(dark_s):  # one a second, but for the starts
            play.verdict.problems.append(f"{play.verdict.readings} of {sum(dark_s):.0f} stored")
        play.judge_dates()
        dated = [r for r in play.readings().values() if r.get("time") == "estimated"]
        if not dated or not all(known <= r["timestamp"] <= back_s for r in dated):
            play.verdict.problems.append(f"{len(dated)} estimated dates, not all in between")
    return play


def aaaa_only(bench: Bench, seed: int) -> Play:
    """As a resolver behind NAT64 answers; an ESP32 gives None for such an address."""
    with Play(bench, "AAAA only") as play:
        play.all_there()
        hosts = {name: [None] for name in ("localhost", *_TWO_SERVERS)}
        play.power_cut(hosts=hosts)
        play.pause(300)
        play.board.set(hosts={})
        play.all_there()
        play.judge_dates()
        if play.verdict.boots + play.board.boots != 2:
            play.verdict.problems.append("the board has restarted")
    return play


def two_boards(bench: Bench, seed: int) -> Play:
    """The clone has its own flash and its own chip id, and the same certificate."""
    with Play(bench, "two boards, one thing") as play:
        play.all_there()
        folder = Path(f"{play.board.folder}-clone")
        shutil.copytree(play.board.folder, folder, ignore=shutil.ignore_patterns("data"))
        world = {"unique_id": "02f1e1d0beef", "temperature": "100", "time_scale": SCALE}
        clone = VirtualBoard(folder, time_anchor_s=bench.anchor_s, **world)
        try:
            clone.start()
            play.pause(900)
        finally:
            clone.close()
        ups = sum("link: up" in line for line in [*play.board.log, *clone.log])
        play.verdict.drops = ups
        if not any("another board" in line for line in play.board.log):
            play.verdict.problems.append("not noticed")
        if ups > 30:
            play.verdict.problems.append(f"{ups} sessions in 15 minutes")
        mine = [r for _, r in bench.arrived(play.thing) if r["temperature"] < 99]
        play.until(lambda: play.board.log, "no log")
        play.all_there()
        seqs = {r["seq"] for _, r in bench.arrived(play.thing) if r["temperature"] < 99}
        play.verdict.readings, play.verdict.lost = len(seqs), max(seqs) - len(seqs)
        if play.verdict.lost or not mine:
            play.verdict.problems.append(f"{play.verdict.lost} lost")
    return play


def retained_reboot(bench: Bench, seed: int) -> Play:
    """It is delivered at each SUBSCRIBE."""
    with Play(bench, "retained reboot") as play:
        topic, payload = f"devices/{play.thing}/commands", json.dumps({"action": "reboot"})
        data = bench.cloud.clients.data
        data.publish(topic=topic, qos=1, retain=True, payload=payload)
        play.all_there()
        play.power_cut()
        play.pause(120)
        play.all_there()
        play.judge_dates()
        data.publish(topic=topic, qos=1, retain=True, payload=b"")
        answers = [r for r in bench.results(play.thing) if r.get("action") == "reboot"]
        if not answers or any(r["ok"] for r in answers):
            play.verdict.problems.append(f"answers to the command: {answers}")
        if play.verdict.boots + play.board.boots != 2:
            play.verdict.problems.append("the board has restarted")
    return play


def trial_and_power_cuts(bench: Bench, seed: int) -> Play:
    """The pins of a bus without a sensor; the power goes at any moment of the trial."""
    draw = random.Random(seed)
    with Play(bench, "trial, power cuts", wired=[21, 22]) as play:
        play.all_there()
        data = bench.cloud.clients.data
        for number in range(6):
            i2c = {"id": 0, "sda": 25 + number, "scl": 33, "freq_hz": 100_000}
            desired = json.dumps({"state": {"desired": {"i2c": i2c}}})
            data.update_thing_shadow(thingName=play.thing, payload=desired)
            time.sleep(draw.uniform(0, 1.5))  # ours: a write takes as long whatever the scale
            play.power_cut()
            play.until(
                lambda: (
                    "i2c" in (play.bench.reported(play.thing).get("rejected") or {})
                    and play.bench.reported(play.thing)["i2c"]["sda"] == 21
                ),
                f"trial {number}: the old pins are not back",
            )
        play.all_there()
        play.judge_dates()
    return play


# Device tests on the real LittleFS: the power fails before and in the middle of every write.
EVERY_WRITE = ("test_settings_trial", "test_no_time")


def cuts(umqtt: Path) -> Iterator[tuple[str, str, bool]]:
    """(file and word size, how many cuts there were, whether all went well)."""
    for name in EVERY_WRITE:
        for bits in (64, 32):
            done = fuzz.run(name, 10_000, umqtt, bits, 7)
            tried = re.findall(r"^cuts tried .*", done.said, re.M)
            yield f"{name}, {bits} bits", "; ".join(tried), done.ok and bool(tried)


SCENARIOS = (
    no_ntp_for_a_day,
    two_boards,
    boots_without_a_clock,
    aaaa_only,
    trial_and_power_cuts,
    wrong_ntp,
    retained_reboot,
    no_ntp_at_all,
)


def run(seed: int, umqtt: Path | None = None, short: bool = False) -> Iterator[Play]:
    """What each came to, as they end. ``short``: without the day."""
    with (
        Bench(umqtt) as bench,
        Bench(umqtt, scale=_DAY_SCALE) as fast,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        waiting = [
            pool.submit(play, fast if play is no_ntp_for_a_day else bench, seed)
            for play in SCENARIOS[short:]
        ]
        for done in as_completed(waiting):
            yield done.result()
