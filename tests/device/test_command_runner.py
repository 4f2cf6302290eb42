# heap: 96wk
# From the payload of a command to its act and its result.

import json
import sys

import firmware
import harness
from fakes import Clock, Log, opened
from firmware import chip, crash
from firmware.command_runner import CommandRunner
from firmware.core import schema
from firmware.core.commands import ACTIONS

TOPIC = b"devices/t-1/commands/result"


class Settings:
    def __init__(self):
        self.values = {"interval_s": 60, "i2c": {"id": 0, "sda": 21, "scl": 22}}
        self.state, self.seen = {}, []
        self.problem = None

    def set(self, key, value):
        if not self.problem:
            self.values[key] = value
        return self.problem

    def note(self, key, value):
        self.state[key] = json.loads(json.dumps(value))


class Sampler:
    def __init__(self):
        self.readings = self.errors = self.asked = 0
        self.last_error = self.extra = None
        self.sensor = "bme280@0x76"

    def __setattr__(self, name, value):
        if name == "due":
            self.asked += 1
        else:
            object.__setattr__(self, name, value)


class Session:
    def __init__(self):
        self.waiting = self.unheard = ()  # unheard: (-2,) while PUBACKs do not come
        self.sent = []

    def take(self, tag, packet, at, more):
        topic, payload, retain = opened(packet + more, at)
        assert (topic, tag, retain) == (TOPIC, -2, False) and not self.waiting
        self.sent.append(json.loads(payload))
        self.waiting = self.unheard


class Board:
    LED_PIN = 2

    def __init__(self):
        self.leds = []

    def led(self, on):
        self.leds.append(on)


class Shadow:
    # Of ShadowSync what the runner has to do with.
    def __init__(self):
        self.clock, self.settings, self.session = Clock(), Settings(), Session()
        self.settings.log = self.log = Log()
        self.local, self.desired, self.update_due = {}, None, False
        self.wrong, self.tried = {"interval_s": "too small"}, {"interval_s": "0"}


class Bench:
    def __init__(self, safe=False):
        self.sampler = None if safe else Sampler()
        self.board, self.shadow = Board(), Shadow()
        self.clock = self.shadow.clock
        self.settings, self.session = self.shadow.settings, self.shadow.session
        sys.modules["firmware.board"] = firmware.board = self.board
        self.restarts = 0
        self.busy = None  # what step() said last
        self.make()

    def make(self):
        # As after a restart.
        self.settings.seen = []
        self.runner = CommandRunner(self.shadow, self.sampler, TOPIC, self.restart)

    def restart(self):
        self.restarts += 1

    def hear(self, action, retained=0, **fields):
        fields["action"] = action
        self.runner.receive(json.dumps(fields).encode(), retained)

    def steps(self, count=20, ms=0, up=True):
        for _ in range(count):
            self.clock.pass_ms(ms)
            self.busy = self.runner.step(up)
        return self.session.sent

    def acked(self, steps):
        self.session.waiting = ()
        self.steps(steps)

    def outcomes(self):
        return [(told["id"], told["ok"], told["reason"]) for told in self.steps()]


def heard(*action, **fields):
    bench = Bench()
    bench.hear(*action, **fields)
    return bench


def test_nothing_happens_inside_the_callback():
    bench = Bench()
    harness.equal((bench.steps(1), bench.busy), ([], False))
    bench.hear("set_reporting_interval", interval_seconds=30, id=1)
    bench.hear("read_now")
    harness.equal((bench.settings.values["interval_s"], bench.sampler.asked), (60, 0))
    harness.equal((bench.settings.state, bench.session.sent), ({}, []))
    bench.steps(1, up=False)
    assert bench.busy


def test_a_new_interval_is_in_force_and_a_change_at_the_device():
    bench = heard("set_reporting_interval", interval_seconds=30, id="a")
    told = {"id": "a", "action": "set_reporting_interval", "ok": True, "reason": None}
    harness.equal(bench.steps(), [told])
    harness.equal(bench.settings.values["interval_s"], 30)
    shadow = bench.shadow
    harness.equal((shadow.local, shadow.update_due), ({"interval_s": 60}, True))
    harness.equal(bench.settings.state, {"seen": ["a"], "local": {"interval_s": 60}})
    harness.equal((shadow.wrong, shadow.tried), ({}, {}))  # a desired value is older
    assert not bench.busy


def test_an_interval_that_cannot_be_is_not_a_change():
    bench = Bench()
    bench.settings.problem = "not done: errno 28"
    bench.hear("set_reporting_interval", interval_seconds=30, id=1)
    bench.hear("set_reporting_interval", interval_seconds=0, id=2)
    bench.hear("set_reporting_interval", id=3)
    problem = "interval_seconds: " + schema.check("interval_s", 0, {})[1]
    harness.equal(
        bench.outcomes(),
        [(1, False, "not done: errno 28"), (2, False, problem), (3, False, problem)],
    )
    harness.equal((bench.shadow.local, bench.settings.state), ({}, {"seen": [1]}))
    assert not bench.shadow.update_due and bench.shadow.wrong


def test_read_now_answers_when_there_is_a_reading():
    bench = heard("read_now", id=1)
    harness.equal((bench.steps(9, 1000), bench.sampler.asked), ([], 1))
    assert bench.busy
    bench.sampler.readings += 1
    harness.equal(bench.outcomes(), [(1, True, None)])


def test_read_now_answers_with_the_fault_or_that_there_is_none():
    bench = heard("read_now", id=1)
    bench.steps(1)
    bench.sampler.errors += 1
    bench.sampler.last_error = "bus: errno 19"
    bench.steps()
    bench.hear("read_now", id=2)
    bench.steps(12, 1000)
    silent = "nothing happened within 10 s"
    harness.equal(bench.outcomes(), [(1, False, "bus: errno 19"), (2, False, silent)])
    assert not bench.busy


def test_one_at_a_time():
    bench = heard("read_now", id=1)
    bench.hear("identify", id=2)
    harness.equal((bench.steps(5, 1000), bench.board.leds), ([], []))
    bench.sampler.readings += 1
    harness.equal([told["id"] for told in bench.steps()], [1, 2])


def test_safe_mode_has_no_readings():
    bench = Bench(safe=True)
    bench.hear("read_now", id=1)
    harness.equal(bench.outcomes(), [(1, False, "safe mode")])


def test_identify_blinks_twenty_times_and_ends_dark():
    bench = heard("identify", id=1)
    harness.equal(bench.steps(3)[0]["ok"], True)
    bench.steps(30, 100)
    assert 0 < len(bench.board.leds) < 20
    assert bench.busy
    bench.steps(40, 100, up=False)  # also without a session
    harness.equal(bench.board.leds, [True, False] * 10)
    assert not bench.busy


def test_blinks_last_a_quarter_of_a_second():
    bench = heard("identify")
    bench.steps(5)
    harness.equal(len(bench.board.leds), 1)
    bench.steps(249, 1)
    harness.equal(len(bench.board.leds), 1)
    bench.steps(1, 1)
    harness.equal(len(bench.board.leds), 2)


def test_identify_leaves_the_pins_of_the_sensor_alone():
    for name in ("sda", "scl"):
        bench = Bench()
        bench.settings.values["i2c"][name] = 2
        bench.hear("identify", id=1)
        harness.equal(bench.outcomes(), [(1, False, "the LED's pin is one of the sensor's")])
        harness.equal(bench.board.leds, [])


def test_reboot_comes_after_the_puback_of_its_result():
    bench = Bench()
    bench.session.unheard = (-2,)
    bench.hear("reboot", id="b")
    bench.steps(40, 100)
    harness.equal([told["id"] for told in bench.session.sent], ["b"])
    harness.equal((bench.settings.state, bench.restarts), ({"seen": ["b"]}, 0))
    assert bench.busy
    bench.acked(1)
    harness.equal(bench.restarts, 1)


def test_what_comes_with_a_reboot_is_answered_before_it():
    bench = Bench()
    bench.session.unheard = (-2,)
    bench.hear("identify", id="before")
    for action, ident in (("reboot", "b"), ("identify", "c"), ("explode", "d")):
        bench.hear(action, id=ident)
    for _ in range(6):
        harness.equal(bench.restarts, 0)
        if len(bench.session.sent) == 3:
            bench.hear("identify", id="e")  # meanwhile
        bench.session.waiting = ()
        bench.steps(3, 10)
    told = [(told["id"], told["ok"], told["reason"]) for told in bench.session.sent]
    unknown = "unknown action, known: " + " ".join(ACTIONS)
    wanted = [("before", True, None), ("b", True, None), ("c", False, "restarting")]
    wanted += [("d", False, unknown), ("e", False, "restarting")]
    harness.equal(told, wanted)
    harness.equal(bench.settings.state, {"seen": ["before", "b"]})  # the others may come again
    assert bench.restarts and not bench.board.leds[2:]


def test_a_reboot_without_id_not_right_after_a_start():
    # Whoever asks again and again, or a broker that delivers again, would never let it work.
    bench = heard("reboot")
    why = "without an id not in the first minute after a start"
    harness.equal((bench.outcomes(), bench.restarts), ([(None, False, why)], 0))
    bench.hear("reboot", id=1)
    bench.steps(3)
    assert bench.restarts
    bench = Bench()
    bench.clock.pass_ms(60_000)
    bench.hear("reboot")
    harness.equal((bench.outcomes(), bench.restarts > 0), ([(None, True, None)], True))


def test_retained_commands_are_refused():
    # AWS delivers them in each new session, and nobody knows when they were meant.
    bench = Bench()
    bench.clock.pass_ms(90_000)
    bench.hear("reboot", retained=1)
    bench.hear("set_reporting_interval", retained=1, interval_seconds=30, id=5)
    refused = "retained commands are refused"
    wanted = [(None, False, refused), (5, False, refused)]
    harness.equal((bench.outcomes(), bench.restarts), (wanted, 0))
    harness.equal((bench.settings.values["interval_s"], bench.settings.state), (60, {}))
    bench.hear("set_reporting_interval", interval_seconds=30, id=5)  # the same, live
    harness.equal(bench.outcomes()[2:], [(5, True, None)])


def test_reboot_waits_five_seconds_at_most():
    # And no longer for what comes with it.
    bench = heard("reboot", id="b")
    bench.steps(3)
    harness.equal((len(bench.session.sent), bench.restarts > 0), (1, True))
    for up, more in ((True, 0), (False, 0), (True, 1), (False, 1)):
        bench = Bench()
        bench.session.unheard = (-2,)
        for action in ("reboot", "identify")[: 1 + more]:
            bench.hear(action, id=action)
        bench.steps(3)
        bench.steps(48, 100, up)
        harness.equal((len(bench.session.sent), bench.restarts, bench.busy), (1, 0, True))
        bench.steps(3, 100, up)
        assert bench.restarts


def test_an_ack_of_an_earlier_result_is_no_reason_to_leave():
    bench = heard("identify")
    bench.steps(3)
    bench.session.waiting = bench.session.unheard = (-2,)
    bench.hear("reboot", id=1)
    bench.steps(3)
    bench.acked(3)
    harness.equal((bench.restarts, len(bench.session.sent)), (0, 2))
    bench.acked(1)
    harness.equal(bench.restarts, 1)


def test_get_log_sends_the_running_log_and_the_end_of_the_crash_log():
    limits = []
    sound = crash.read

    def read(limit_bytes):
        limits.append(limit_bytes)
        return "line\n" * 600

    crash.read = read
    try:
        chip.log("sensor: 21.37 °C, the newest")
        bench = heard("get_log", id=1)
        (told,) = bench.steps()
    finally:
        crash.read = sound
    harness.equal((told["ok"], limits), (True, [1280]))
    assert told["log"].startswith("[") and told["log"].endswith(" °C, the newest\n"), told["log"]
    assert told["crash"] and told["crash"] == "line\n" * (len(told["crash"]) // 5), told["crash"]


def test_what_is_no_command_is_answered():
    bench = Bench()
    bench.runner.receive(b"junk")
    bench.hear("rebot", id=2)
    harness.equal(
        bench.outcomes(),
        [
            (None, False, "must be a JSON object of at most 1024 bytes"),
            (2, False, "unknown action, known: " + " ".join(ACTIONS)),
        ],
    )
    harness.equal(bench.settings.state, {})


def test_an_id_that_was_refused_may_come_again_corrected():
    for steps in (20, 0):  # 0: while the refused one waits
        bench = heard("rebot", id=1)
        bench.steps(steps)
        bench.hear("identify", id=1)
        harness.equal([told["ok"] for told in bench.steps()], [False, True])


def test_the_same_id_acts_once_also_after_a_restart():
    # The power may have gone before its result was out: after a restart it is answered, once.
    bench = Bench()
    for boot in range(3):
        del bench.session.sent[:]
        for _ in range(3):
            bench.hear("identify", id=7)
            bench.hear("read_now", id="7")
            bench.steps(100, 100)
        wanted = [(False, "restarted before its result")] * 2
        if not boot:
            wanted = [(True, None), (False, "nothing happened within 10 s")]
        harness.equal([told["id"] for told in bench.session.sent], [7, "7"])
        harness.equal([(told["ok"], told["reason"]) for told in bench.session.sent], wanted)
        harness.equal((len(bench.board.leds), bench.sampler.asked), (20, 1))
        harness.equal(bench.settings.state, {"seen": [7, "7"]})
        bench.make()


def test_an_id_of_an_earlier_boot_is_ok_only_where_that_is_known():
    # A value may have crashed the board, and have been taken back.
    for boots in range(2):
        bench = heard("set_reporting_interval", interval_seconds=7, id="a")
        bench.hear("reboot", id="b")
        bench.steps()
        del bench.session.sent[:]
        bench.make()
        bench.settings.values["interval_s"] = 60 if boots else 7
        bench.hear("set_reporting_interval", retained=1, interval_seconds=7, id="a")
        bench.hear("reboot", id="b")
        good = (True, "done before the last restart")
        bad = (False, "restarted before its result")
        told = [(told["ok"], told["reason"]) for told in bench.steps()]
        harness.equal(told, [bad if boots else good, good])
        assert not bench.runner.wait  # no restart


def test_a_retained_copy_of_what_was_done_is_silent():
    bench = heard("identify", id=1)
    bench.steps()
    bench.hear("identify", retained=1, id=1)
    bench.make()
    for _ in range(3):  # sessions
        bench.hear("identify", retained=1, id=1)
        bench.steps()
    told = [(told["ok"], told["reason"]) for told in bench.session.sent]
    harness.equal(told, [(True, None), (False, "restarted before its result")])


def test_a_reboot_without_id_is_young_when_it_arrives_not_when_it_acts():
    bench = Bench()
    bench.clock.pass_ms(59_000)
    bench.hear("reboot")
    bench.clock.pass_ms(60_000)  # a slow command before it, say
    harness.equal(
        bench.outcomes(), [(None, False, "without an id not in the first minute after a start")]
    )


def test_the_mark_of_a_change_is_written_with_it():
    bench = Bench()
    sound, found = bench.settings.set, []

    def set(key, value):
        found.append(bench.settings.state.get("local"))
        return sound(key, value)

    bench.settings.set = set
    for seconds, problem in ((30, None), (20, None), (10, "not done: errno 28")):
        bench.settings.problem = problem
        bench.hear("set_reporting_interval", interval_seconds=seconds, id=seconds)
        bench.steps()
    harness.equal(found, [{"interval_s": 60}, {"interval_s": 60}, {"interval_s": 60}])
    harness.equal(bench.settings.state["local"], {"interval_s": 60})
    bench.shadow.local.clear()
    bench.settings.state.pop("local")
    bench.hear("set_reporting_interval", interval_seconds=10)
    bench.steps()
    assert "local" not in bench.settings.state and not bench.shadow.local


def test_a_second_copy_that_waits_is_ignored():
    # AWS may deliver it twice before the first is done, and remembered.
    bench = Bench()
    for ident in (7, 7, 8, 7, None, None):
        bench.hear("identify", id=ident)
    harness.equal([told["id"] for told in bench.steps()], [7, 8, None, None])


def test_what_is_wrong_is_said_also_when_many_wait():
    bench = Bench()
    for _ in range(4):
        bench.hear("identify")
    bench.hear("explode")
    harness.equal(bench.steps()[4]["reason"][:14], "unknown action")


def test_what_has_no_id_is_not_remembered():
    bench = heard("identify")
    harness.equal((len(bench.steps()), bench.settings.state), (1, {}))


def test_four_may_wait_four_more_are_answered_and_the_rest_dropped():
    bench = Bench()
    for ident in range(12):
        bench.hear("identify", id=ident)
    busy = "busy: 4 commands are waiting"
    wanted = [(n, True, None) for n in range(4)] + [(n, False, busy) for n in range(4, 8)]
    harness.equal(bench.outcomes(), wanted)
    harness.equal(bench.settings.state["seen"], [0, 1, 2, 3])  # a busy one may come again


def test_without_a_session_or_with_a_result_in_flight_nothing_begins():
    bench = heard("set_reporting_interval", interval_seconds=5)
    bench.steps(5, up=False)
    bench.session.waiting = (-2,)
    bench.steps(5)
    harness.equal((bench.settings.values["interval_s"], bench.session.sent), (60, []))
    bench.session.waiting = ()
    harness.equal(len(bench.steps()), 1)


def test_a_result_waits_for_a_session():
    bench = heard("read_now", id=1)
    bench.steps(1)
    bench.sampler.readings += 1
    bench.steps(5, up=False)
    assert bench.busy
    harness.equal(bench.outcomes(), [(1, True, None)])


def once(function):
    # There is no memory the first time.
    tried = []

    def called(*args):
        tried.append(1)
        if len(tried) == 1:
            raise MemoryError
        return function(*args)

    return called


def test_no_memory_to_restart_now():
    bench = Bench()
    bench.runner.restart = once(bench.restart)
    bench.hear("reboot", id=1)
    harness.raises(MemoryError, bench.steps)
    bench.steps(1)
    harness.equal((bench.outcomes(), bench.restarts > 0), ([(1, True, None)], True))


def test_no_memory_to_send_what_is_done():
    for outage in (False, True):  # right after it
        bench = Bench()
        bench.session.take = once(bench.session.take)
        bench.hear("set_reporting_interval", interval_seconds=30, id=1)
        if outage:
            bench.steps(1)
            bench.steps(6, 1000, up=False)
        harness.equal(bench.outcomes(), [(1, True, None)])


def test_a_result_that_never_fits():
    bench = Bench()
    bench.session.take = once(bench.session.take)
    bench.hear("get_log", id=1)
    bench.steps(1)
    bench.clock.pass_ms(5000)
    harness.raises(MemoryError, bench.steps)
    harness.equal(bench.outcomes(), [(1, False, "no memory")])


def test_waiting_costs_no_memory():
    bench = heard("read_now")
    bench.steps(1)
    harness.no_heap(lambda: bench.runner.step(True))
    bench.sampler.readings += 1
    bench.steps()
    bench.hear("identify")
    bench.steps(3)
    harness.no_heap(lambda: bench.runner.step(True))
