# A chip that sleeps, with an oscillator that is off, and as much of the App as power.py looks at.
# To be imported before firmware/wake.py.

import sys
import time

import firmware
import harness
from firmware import chip
from firmware.core.timing import Clock

EPOCH = 946684800 if time.gmtime(0)[0] == 1970 else 0
START = 848_000_000  # November 2026
AWAKE_MS = 700  # a wake


class Slept(BaseException):
    pass


class Chip:
    # machine. All in ms since 2000; the RTC's memory outlasts everything but forget().
    DEEPSLEEP_RESET = 4

    def __init__(self):
        self.fresh(0)

    def fresh(self, ppm):
        self.true_ms, self.rtc_ms, self.booted_ms = START * 1000, 0, START * 1000
        self.ppm, self.kept, self.asked, self.dogs = ppm, b"", [], 0
        self.jump_s = 0  # by which the servers are off

    def pass_ms(self, ms):
        self.true_ms += ms
        self.rtc_ms += ms

    def boot(self):
        self.booted_ms = self.true_ms
        self.pass_ms(300)

    def now(self):
        return self.true_ms - self.booted_ms

    def reset_cause(self):
        return self.DEEPSLEEP_RESET

    def WDT(self, timeout):
        self.dogs += 1

    def deepsleep(self, ms):
        harness.equal(type(ms), int)
        assert 0 < ms < 1 << 31
        self.awake_ms = self.now()
        self.asked.append(ms)
        del self.asked[:-20]
        self.rtc_ms += ms
        self.true_ms += ms * 1_000_000 // (1_000_000 + self.ppm)
        raise Slept

    def RTC(self):
        return self

    def memory(self, data=None):
        if data is None:
            return self.kept
        if len(data) > 2048:
            raise ValueError("buffer too long")
        self.kept = bytes(data)

    def datetime(self, when=None):
        if when is None:
            t = time.gmtime(self.rtc_ms // 1000 + EPOCH)
            return t[:3] + t[6:7] + t[3:6] + (self.rtc_ms % 1000 * 1000,)
        self.rtc_ms = when * 1000


CHIP = Chip()


class Rtc:
    memory = True  # hasattr(machine.RTC, "memory")

    def __call__(self):
        return CHIP


class Board:
    EPOCH = EPOCH

    def set_rtc(self, s2000):
        CHIP.datetime(s2000)

    def date(self, s2000):
        return str(s2000)

    def watchdog(self):
        CHIP.kept = b"run"
        return lambda: None


CHIP.RTC = Rtc()
sys.modules["machine"] = CHIP
sys.modules["firmware.board"] = firmware.board = Board()
LINES = []
chip.log, chip.sleep_ms, chip.VERIFIED = LINES.append, CHIP.pass_ms, True
chip.ticks_ms, chip.ticks_diff = CHIP.now, lambda a, b: a - b


class Box:
    # An object with these attributes.
    def __init__(self, **parts):
        for name in parts:
            setattr(self, name, parts[name])


class Sampler:
    # Takes a reading in one step; `taken`: (s2000, seq) of all lives.
    taken = []
    fails = False

    def __init__(self, clock, settings):
        self.clock, self.settings, self.probes, self.kept = clock, settings, (self,), []
        self.sensor, self.fault, self.last, self.same = "sht3x@0x44", None, 7, 2
        self.count = self.failures = self.turn_s = self.interval_s = self.at = 0
        self.due, self.extra, self.divider, self.last_error = True, None, None, None

    def step(self):
        CHIP.pass_ms(AWAKE_MS - 300)
        if self.fails:
            self.failures += 1
            if self.failures >= 3:  # sensors.failed()
                self.sensor, self.fault = None, "no sht3x found"
            return
        self.clock.step()
        self.due, self.failures, self.fault = False, 0, None
        self.sensor = "sht3x@0x44"
        self.taken.append(self.clock.offset + self.clock.s)

    def next_due_ms(self):
        return 1000


class Settings:
    def __init__(self, values):
        self.values, self.state = values, {}

    def note(self, key, value):
        self.state[key] = value


def app(values, cause="deepsleep"):
    # One that has just been made.
    clock = Clock(CHIP.now, lambda a, b: a - b)
    made = Box(clock=clock, cause=cause, safe=False, counted_s=0, fault=True, joining=None)
    made.settings, made.sampler = Settings(values), Sampler(clock, values)
    made.outbox, made.rtc_s2000 = Box(waiting=0), CHIP.rtc_ms // 1000
    made.session = Box(lw_topic=b"devices/x/status", used=0, owed=b"", doubt=False, waiting={})
    made.session.set_last_will = lambda *args: setattr(made, "will", args)
    made.session.transport = Box(push=lambda: True)
    made.connection = Box(up=False, failures=[0, 0, 0], wait=lambda ms: False, on_up=None)
    made.shadow = Box(
        out=None, sensor=None, fault=None, since_s=0, local={}, desired=None, birth_s=9
    )
    made.shadow.pending = made.shadow.message = made.shadow.get_due = False
    made.shadow.update_due, made.shadow.connected = False, lambda present: None
    made.facts = lambda full: {"firmware": "1"}
    made.wlan, made.networks, made.ssid, made.runner = None, [], "barn", None
    made.calls, made.window, made.window_max, made.alarmed = [], 8, 24, 0
    made.upkeep, made.unload = made.calls.append, lambda: None
    return made


class Packets:
    sent = []

    def disconnect(self, session):
        del self.sent[:]  # the clean end

    def document(self, session, topic, text, tag, retain):
        self.sent.append((topic, text, tag, retain))


class Rejoin:
    # In place of net/rejoin.py, which has test_rejoin.py.
    def joining(self, *args):
        return "joining"

    def remember(self, wlan, ssid, known, s2000, pinned):
        return [ssid, None, 0, None, s2000]

    def leave(self, wlan):
        pass

    def forget(self, wlan):
        pass


net = firmware.net = sys.modules["firmware.net"] = Box(packets=Packets(), rejoin=Rejoin())
sys.modules["firmware.net.packets"], sys.modules["firmware.net.rejoin"] = net.packets, net.rejoin
