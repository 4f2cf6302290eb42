"""The health of a thing: what is made of all that it says, and what `--filter` asks of it."""

from __future__ import annotations

import itertools
import random
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from firmware.core import optional
from tools.aws import health_filter
from tools.aws.facts import _LONGEST_SLEEP_S, Evidence
from tools.aws.health import STATES, Health, assess, natural, span, worst_first
from tools.aws.health_filter import FIELDS, parse, version
from tools.aws.health_table import sleep_text
from tools.doctor import session
from tools.doctor.context import Fault
from tools.errors import ToolError

NOW = 1_795_248_682.0
BIRTH = {
    "online": True,
    "firmware": "1.2.0",
    "reset_cause": "pwron",
    "safe_mode": False,
    "sensor_found": "sht3x@0x44",
    "rssi_dbm": -61,
    "free_heap_bytes": 21_000,
    "dropped_readings": 0,
    "waiting_readings": 1,
    "uptime_s": 900,
    "clock_source": "ntp",
    "timestamp": int(NOW) - 20,
}


def reading(age_s: float = 2, **more: Any) -> dict[str, Any]:
    stamp = int(NOW - age_s)
    return {"device_id": "g-1", "timestamp": stamp, "temperature": 21.5, "seq": 7} | more


def shadow(age_s: float, **reported: Any) -> dict[str, Any]:
    stamps = {key: {"timestamp": int(NOW - age_s)} for key in reported}
    return {"state": {"reported": reported}, "metadata": {"reported": stamps}}


def health(birth: Any = None, status_age_s: float = 20, **more: Any) -> Health:
    given: dict[str, Any] = {
        "status": BIRTH | (birth or {}),
        "status_at": NOW - status_age_s,
        "reading": reading(),
        "heard_at": NOW - 1,
        "listened_s": 7200,
        "shadow": shadow(3600, interval_s=10),
        "certificates": (("abc", "ACTIVE"),),
        "certified_at": NOW - 86_400,
    }
    return assess(Evidence("g-1", **(given | more)), NOW)


def keys(h: Health) -> list[str]:
    return [problem.key for problem in h.problems]


SILENT: dict[str, Any] = {"reading": None, "heard_at": None, "listened_s": 0}
WILL: dict[str, Any] = {"status": {"online": False}, "status_at": NOW - 300}


def test_all_well() -> None:
    h = health({"boots": 4})
    assert (h.state, h.healthy, h.problems) == ("online", True, ())
    assert (h.interval_s, h.last_reading_at, h.last_reading_age_s) == (10, int(NOW - 2), 2)
    assert (h.sensor, h.rssi_dbm, h.free_heap_bytes) == ("sht3x@0x44", -61, 21_000)
    assert (h.version, h.boots, h.uptime_s, h.reset_cause) == ("1.2.0", 4, 900, "pwron")
    assert (h.waiting, h.dropped, h.clock, h.certificate_age_s) == (0, 0, "known", 86_400)
    assert h.seen_at == NOW - 1
    # Also when birth message and shadow are minutes old.
    assert health(status_age_s=300, shadow=shadow(300, interval_s=10)).seen_at == NOW - 1


@pytest.mark.parametrize("heard", [False, True])
def test_a_board_without_a_sensor_is_never_healthy(heard: bool) -> None:
    birth = {**BIRTH, "sensor_last_error": "none found"}
    del birth["sensor_found"]
    # A reading from before it was lost, sent late.
    arrived = {"reading": reading(500), "heard_at": NOW - 1} if heard else SILENT
    h = health(**{"status": birth} | arrived)
    assert h.sensor == "none"
    assert not h.healthy
    assert "no sensor: none found" in [p.text for p in h.problems]
    assert h.state == ("online" if heard else "late")


def test_a_sensor_that_is_found_after_the_birth_is_there() -> None:
    birth = {key: value for key, value in BIRTH.items() if key != "sensor_found"}
    facts = {"interval_s": 10, "firmware": "1.2.0", "sensor_found": "bme280@0x76"}
    h = health(status=birth, shadow=shadow(20, **facts), **SILENT)
    assert (h.sensor, h.state) == ("bme280@0x76", "online")
    # One that went after the birth is gone: null is not in the shadow.
    del facts["sensor_found"]
    h = health(shadow=shadow(10, **facts), **SILENT)
    assert (h.sensor, h.healthy) == ("none", False)


def test_an_error_that_is_over_is_no_problem() -> None:
    h = health({"sensor_last_error": "sht3x: bad CRC", "sensor_errors": 3})
    assert (h.sensor_last_error, h.sensor_errors, h.healthy) == ("sht3x: bad CRC", 3, True)


@pytest.mark.parametrize(
    "more",
    [
        {"heard_at": NOW - 41, "reading": reading(41)},
        {**SILENT | {"listened_s": 41}},
        {**SILENT, "birth": {"last_reading": int(NOW) - 100}},
        {**SILENT, "status_age_s": 8000, "shadow": shadow(8000, interval_s=10)},
    ],
    ids=["silent", "listened", "said so", "no report"],
)
def test_late(more: Any) -> None:
    h = health(**more)
    assert (h.state, h.healthy, keys(h)) == ("late", False, ["late"])


def test_what_waits() -> None:
    assert health(**SILENT).waiting == 1  # as it said
    assert health().waiting == 0  # a fresh reading came later, and they come in order
    assert health(reading=reading(500)).waiting == 1  # one that had been stored
    assert health(status_age_s=0).waiting == 1
    assert health(waiting=7).waiting == 7  # counted


def test_late_counts_by_the_interval_in_force() -> None:
    assert health(heard_at=NOW - 39).state == "online"
    assert health(heard_at=NOW - 900, listened_s=30).state == "online"  # the connection was away
    slow = shadow(3600, interval_s=600)
    assert health(heard_at=NOW - 1800, shadow=slow).state == "online"
    assert health(shadow=slow, **SILENT | {"listened_s": 60}).state == "online"
    assert (
        health(shadow=None, **SILENT | {"listened_s": 60}).state == "online"
    )  # the default, 60 s


def test_a_board_that_has_just_started_is_not_late_for_its_last_reading_before() -> None:
    h = health({"last_reading": int(NOW) - 9000, "uptime_s": 3}, **SILENT)
    assert (h.state, h.last_reading_at) == ("online", int(NOW) - 9000)


def test_offline() -> None:
    h = health(**WILL, **SILENT)
    assert (h.state, keys(h), h.since) == ("offline", ["offline"], NOW - 300)
    assert h.problems[0].text == "not connected for 5 min"
    gone = {"connected": False, "disconnectedSince": int((NOW - 7200) * 1000)}
    h = health(connection=gone, **SILENT)
    assert (h.state, h.since) == ("offline", NOW - 7200)


def test_a_will_that_came_late_does_not_end_the_session_after_it() -> None:
    assert health(**WILL).state == "online"
    assert health(**WILL, connection={"connected": True}, **SILENT).state == "online"


@pytest.mark.parametrize(
    ("until_s", "state"), [(600, "asleep"), (-100, "asleep"), (-121, "late"), (10**9, "offline")]
)
def test_asleep(until_s: int, state: str) -> None:
    will = {"online": False, "asleep_until": int(NOW) + until_s}
    h = health(status=will, **SILENT)
    assert (h.state, h.healthy) == (state, state == "asleep")
    assert ("overdue" in keys(h)) == (state == "late")


# The birth message of a board that sleeps: it connects every six readings of ten minutes.
SLEEPER = {**BIRTH, "online": False, "asleep_until": int(NOW) + 3000, "reset_cause": "deepsleep"}
SLOW: dict[str, Any] = {"shadow": shadow(600, interval_s=600, batch=6), "status_age_s": 600}


def asleep(birth: Any = None, **more: Any) -> Health:
    return health(**{"status": SLEEPER | (birth or {})} | SLOW | SILENT | more)


def test_a_board_that_sleeps_says_all_of_itself() -> None:
    h = asleep()
    assert (h.state, h.healthy, h.asleep_until) == ("asleep", True, int(NOW) + 3000)
    assert (h.version, h.sensor, h.rssi_dbm, h.clock) == ("1.2.0", "sht3x@0x44", -61, "known")
    assert (h.since, h.seen_at, h.reset_cause) == (NOW - 600, NOW - 600, "deepsleep")
    assert sleep_text(h) == f"asleep until {datetime.fromtimestamp(NOW + 3000):%H:%M}"
    assert keys(asleep({"safe_mode": True})) == ["safe_mode"]
    assert keys(asleep({"sensor_found": None})) == ["sensor"]
    far = asleep({"asleep_until": int(NOW) + 86_400})
    assert sleep_text(far) == f"asleep until {datetime.fromtimestamp(NOW + 86_400):%Y-%m-%d}"
    assert sleep_text(health()) == ""


def test_doctor_says_until_when_it_sleeps() -> None:
    check = session.HEALTH["connection"]
    until = f"asleep until {datetime.fromtimestamp(NOW + 3000):%H:%M}"
    assert check(SimpleNamespace(health=asleep(), is_local=False)) == until  # type: ignore[arg-type]
    late: Any = SimpleNamespace(health=asleep({"asleep_until": int(NOW) - 900}), is_local=False)
    with pytest.raises(Fault, match="overdue for 15 min") as caught:
        check(late)
    assert "power and Wi-Fi" in caught.value.remedy
    said = "power: the files for a battery are not on the board, it does not sleep"
    with pytest.raises(Fault) as caught:
        found = health({"config_problems": [said]})
        session.HEALTH["settings"](SimpleNamespace(health=found, thing="g-1"))  # type: ignore[arg-type]
    assert caught.value.remedy == "make deploy THING=g-1 PORT=..."


def test_what_it_sends_behind_its_birth_message_makes_it_neither_online_nor_late() -> None:
    h = asleep(reading=reading(595), heard_at=NOW - 595, listened_s=9000)
    assert (h.state, h.healthy, h.waiting, h.last_reading_at) == ("asleep", True, 0, NOW - 595)
    # Between two connects nothing is due, and what has been measured there nobody knows.
    assert asleep(listened_s=9000).healthy
    awake = asleep(connection={"connected": True}, listened_s=9000)
    assert (awake.state, awake.healthy) == ("online", True)
    assert asleep(connection={"connected": False}).state == "asleep"


def test_what_waits_on_a_board_that_sleeps_is_told_of_a_backlog_only() -> None:
    assert asleep({"waiting_readings": 6}).waiting is None  # sent since
    assert asleep({"waiting_readings": 300}).waiting == 300
    assert asleep({"waiting_readings": 6}, waiting=4).waiting == 4  # counted
    assert asleep(lost=2).healthy is False


def test_the_longer_it_sleeps_the_later_it_may_be() -> None:
    # Its oscillator is up to 5 % off: of an hour that is three minutes.
    for over_s, state in ((120 + 175, "asleep"), (120 + 185, "late")):
        times: Any = {"status_age_s": 3600 + over_s, "shadow": shadow(9000, interval_s=600)}
        h = asleep({"asleep_until": int(NOW) - over_s}, **times)
        assert (h.state, keys(h)) == (state, ["overdue"] * (state == "late"))
    assert sleep_text(h) == h.problems[0].text == "overdue for 5 min"


def test_the_longest_sleep_that_a_configuration_allows_is_believed() -> None:
    longest = max(range(10**3), key=lambda n: not optional.check("batch", n, {}, "")[1] and n)
    assert longest * 86_400 == _LONGEST_SLEEP_S
    for more_s, state in ((0, "asleep"), (1000, "offline")):
        until = int(NOW) + _LONGEST_SLEEP_S + more_s
        assert asleep({"asleep_until": until}, status_age_s=0).state == state


@pytest.mark.parametrize("status", [{"online": False, "asleep_until": None}, SLEEPER])
def test_one_that_does_not_know_the_time_is_reckoned_with_by_its_settings(status: Any) -> None:
    status = {key: value for key, value in status.items() if value != SLEEPER["asleep_until"]}
    for age_s, state in ((3500, "asleep"), (4000, "late")):
        h = health(status=status, status_age_s=age_s, shadow=SLOW["shadow"], **SILENT)
        assert (h.state, h.asleep_until) == (state, int(NOW - age_s) + 3600)
    # Twelve times a minute, where it says nothing of its settings.
    assert health(status=status, shadow=None, **SILENT).asleep_until == int(NOW - 20) + 720


def test_never_heard_of_and_not_to_be_known() -> None:
    nothing: dict[str, Any] = {"status": None, "status_at": None, "shadow": None, **SILENT}
    assert health(**nothing).state == "never"
    h = health(**nothing, unknown={"status": "AWS denies iot:GetRetainedMessage"})
    assert (h.state, h.healthy) == ("unknown", False)
    assert health(**nothing | {"certificates": ()}).problems[0].key == "certificate"
    # Without a status a shadow shows that it lives, not that it is connected.
    assert health(**nothing | {"shadow": shadow(60, interval_s=10)}).state == "unknown"


@pytest.mark.parametrize(
    ("more", "key", "text"),
    [
        ({"birth": {"dropped_readings": 12}}, "dropped", "12 readings dropped"),
        ({"birth": {"clock_source": None}}, "clock", "clock unknown"),
        ({"reading": reading(time="estimated")}, "clock", "clock estimated"),
        ({"birth": {"other_board": "a1b2"}}, "other_board", "another board uses this thing: a1b2"),
        ({"birth": {"safe_mode": True, "last_crash": "OSError 5"}}, "safe_mode", "OSError 5"),
        ({"birth": {"reset_cause": "wdt"}}, "restart", "restarted: wdt"),
        ({"birth": {"config_problems": ["ntp: x"]}}, "config", "config.json: ntp: x"),
        ({"shadow": shadow(9, interval_s=5, rejected={"i2c": "x"})}, "rejected", "rejected: i2c"),
        ({"certificates": (("a", "REVOKED"),)}, "certificate", "certificate REVOKED"),
    ],
)
def test_what_keeps_an_online_thing_from_being_healthy(more: Any, key: str, text: str) -> None:
    h = health(**more)
    assert (h.state, h.healthy) == ("online", False)
    assert key in keys(h)
    assert text in next(p.text for p in h.problems if p.key == key)


def test_an_old_restart_is_forgiven() -> None:
    assert health({"reset_cause": "wdt", "uptime_s": 86_500}).healthy


def test_the_newer_of_birth_and_shadow_counts() -> None:
    facts = {"interval_s": 10, "firmware": "1.2.0", "sensor_found": "x", "rssi_dbm": -80}
    assert health(shadow=shadow(5, **facts)).rssi_dbm == -80
    assert health(shadow=shadow(500, **facts)).rssi_dbm == -61
    assert health(**WILL, shadow=shadow(500, **facts), **SILENT).rssi_dbm == -80


JUNK: list[Any] = [
    *(None, True, -(2**70), 2**400, 1e300, float("nan"), "\x1b[31m" * 99, "", [], {}),
    *([1, [2]], {"a": {"b": 1}}, int(NOW), "online", {"timestamp": 2**90}),
]


def test_anything_may_be_published() -> None:
    seed = 20261122
    rng = random.Random(seed)
    names = [*BIRTH, "asleep_until", "last_reading", "boots", "sensor_last_error", "other_board"]
    for _ in range(3000):
        status = {name: rng.choice([*JUNK, BIRTH.get(name)]) for name in names}
        part = {name: rng.choice(JUNK) for name in (*names, "interval_s", "rejected")}
        document = rng.choice([{"state": part}, shadow(5, **part), rng.choice(JUNK)])
        said = {"timestamp": rng.choice(JUNK), "temperature": rng.choice(JUNK), "seq": 1}
        connection = {"connected": rng.choice(JUNK), "disconnectedSince": rng.choice(JUNK)}
        h = health(status=status, shadow=document, reading=said, connection=connection)
        assert h.state in STATES, seed
        assert h.interval_s is None or 1 <= h.interval_s <= 86_400, seed
        texts = [p.text for p in h.problems] + [str(h.sensor), str(h.version), str(h.clock)]
        assert all(text.isprintable() and len(text) < 500 for text in texts), (seed, texts)
        assert h.last_reading_age_s is None or h.last_reading_age_s >= 0, seed
        worst_first(h)


def test_worst_first_and_in_natural_order() -> None:
    found = {
        "demo-10": health(),
        "demo-9": health(),
        "new": health(status=None, status_at=None, shadow=None, **SILENT),
        "gone-10": health(**WILL, **SILENT),
        "gone-2": health(**WILL, **SILENT),
        "slow": health(heard_at=NOW - 100),
        "dropping": health({"dropped_readings": 1}),
    }
    made = [Health(**{**vars(h), "thing": name}) for name, h in found.items()]
    order = [h.thing for h in sorted(made, key=worst_first)]
    assert order == ["gone-2", "gone-10", "slow", "dropping", "new", "demo-9", "demo-10"]


def test_natural_order_takes_any_name() -> None:
    names = ["", "9" * 40, "a²", "-1", "1-", "a-1", "a-01"]
    assert sorted(names, key=natural)[0] == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d"), (-5, "0 s")],
)
def test_spans(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_an_interval_that_is_shorter_since_is_no_late_reading() -> None:
    birth = {"uptime_s": 90_000, "last_reading": int(NOW) - 2400, "online": True}
    changed = shadow(300, firmware="1", sensor_found="sht3x@0x44", interval_s=60)
    assert health(birth, 600, **SILENT, shadow=changed).state == "late"
    for desired_age_s, state in ((900, "late"), (301, "online")):
        desired = {"interval_s": {"timestamp": int(NOW - desired_age_s)}}
        changed["metadata"]["desired"] = desired
        assert health(birth, 600, **SILENT, shadow=changed).state == state


# The language of `--filter`.


def green(**more: Any) -> Health:
    status = {"online": True, "firmware": "1.9.0", "rssi_dbm": -81, "waiting_readings": 3}
    status |= {"sensor_found": "sht3x@0x44", "clock_source": "ntp", "reset_cause": "pwron"}
    reading = {"timestamp": int(NOW) - 300, "temperature": 21.5, "seq": 7}
    given: dict[str, Any] = {"status": status | more, "status_at": NOW - 9, "reading": reading}
    return assess(Evidence("Green-10", heard_at=NOW - 5, **given), NOW)


@pytest.mark.parametrize(
    "holds",
    [
        *("", "state=online", "name~green*", "thing=green-10", "version<1.10", "version>=1.9"),
        *("version=1.9.0", "version!=2", "rssi<-80", "waiting>0", "waiting<=3", "age>=5min"),
        *("age<1h", "interval=?", "sensor~sht*", "healthy=yes", "problem!=sensor"),
        *("temperature>21.4", "humidity=?", "rssi!=?", "dropped!=0", "certificate=?"),
        "state=online version<1.10 rssi<-80 waiting>0 name~green*",
    ],
)
def test_holds(holds: str) -> None:
    assert parse(holds)(green())


@pytest.mark.parametrize(
    "fails",
    [
        *("state=late", "name~barn*", "version>1.10", "rssi>-80", "humidity>0", "dropped=0"),
        *("age>6min", "healthy=no", "state=online waiting=0", "problem=sensor", "rssi=?"),
    ],
)
def test_fails(fails: str) -> None:
    assert not parse(fails)(green())


@pytest.mark.parametrize(
    ("interval_s", "holds", "fails"),
    [
        # It may have sent a newer one since: at most so old, as its birth message said.
        (60, ("age<1h", "age<=10min", "age!=600", "age=?"), ("age>5min", "age>=1s", "age=600")),
        (900, ("age>5min", "age=600", "age<1h"), ("age=?", "age>10min")),  # the next is not due
    ],
)
def test_an_age_that_was_not_heard(
    interval_s: int, holds: tuple[str, ...], fails: tuple[str, ...]
) -> None:
    every = shadow(3600, interval_s=interval_s)
    found = health({"last_reading": int(NOW) - 600}, **SILENT | {"listened_s": 6}, shadow=every)
    assert [term for term in (*holds, *fails) if parse(term)(found)] == list(holds)


def test_problems_and_certificates() -> None:
    ill = green(sensor_found=None, dropped_readings=2)
    ill = Health(**{**vars(ill), "certificates": (("a", "REVOKED"), ("b", "ACTIVE"))})
    both = parse("problem=dropped dropped>1 certificate=revoked certificate~act* healthy=no")
    assert both(ill) and not both(green())


@pytest.mark.parametrize(
    ("wrong", "why", "hint"),
    [
        ("late", "is not FIELD=VALUE", "fields: name, rssi"),
        ("sate=late", 'did you mean "state"?', "fields: "),
        ("state=sleepy", "state is never 'sleepy'", "offline, late"),
        ("state<late", "state does not take <", "= != ~"),
        ("rssi<weak", "rssi_dbm is compared with a number", "rssi_dbm>0"),
        ("waiting>3min", "compared with a number", "waiting>0"),
        ("age>soon", "compared with a number", "age>5min"),
        ("rssi~8*", "does not take ~", "for texts"),
        ("healthy=maybe", "never so", "healthy=yes"),
        ("problem=bored", "never 'bored'", "safe_mode"),
        ("waiting>", "compared with a number", "waiting>0"),
        ("version<foo", "compared with a version", "version<1.10"),
        ("version=", "compared with a version", "version<1.10"),
        ("version>1.x", "compared with a version", "version<1.10"),
        ("rssi=nan", "compared with a number", "rssi"),
    ],
)
def test_what_is_wrong_is_said(wrong: str, why: str, hint: str) -> None:
    with pytest.raises(ToolError) as caught:
        parse(wrong)
    assert why in caught.value.message
    assert hint in caught.value.hint


def test_versions_compare_as_versions() -> None:
    ordered = ["", "0.9", "1.2-rc1", "1.2", "1.2.1", "1.9", "1.10", "2"]
    for low, high in itertools.combinations(ordered, 2):
        assert version(low) < version(high)
    assert version("1.2") == version("1.2.0")
    assert version("v1.2.x") == version("1.2")


def test_every_field_can_be_asked_for() -> None:
    assert set(vars(green())) - {"reading", "unknown"} <= set(FIELDS)
    for field in FIELDS:
        assert isinstance(parse(f"{field}!=?")(green()), bool)
    assert set(health_filter._SHORT.values()) <= set(FIELDS)
