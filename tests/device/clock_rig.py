# A clock, its NTP servers and the loop that asks them. It stands in for board.py and for query().

import fakes
from firmware.core.timing import Clock
from firmware.net import clock as ntp

FLOOR = 848534400
NOW = FLOOR + 5000000


class Settings:
    # state and note() of firmware/settings.py: what a full flash does not take counts until the
    # restart.
    def __init__(self, good=None):
        self.state = {} if good is None else {"clock": good}
        self.saves = 0

    def note(self, key, value):
        self.saves += 1
        self.state[key] = value


class Rig:
    module = ntp  # may be loaded anew
    verified = True

    # Of board.py as well what ask() needs; query() stands in place of the module's.
    def __init__(self, answers=(), rtc=0, good=None):
        self.answers = list(answers)  # s2000, None: no answer; then NOW and counting
        self.asked = []
        self.silent = False
        self.wrong = {}  # server: its error in seconds
        self.blocks_ms = 0  # how long a question takes
        self.rtc = rtc
        self.settings = Settings(good)
        self.servers = ["one", "two", "three"]
        self.random = fakes.Fixed(1)
        self.ticks = fakes.Clock()
        self.lines = []
        self.clock = Clock(self.ticks.now, self.ticks.diff)
        ntp.take_rtc(self.clock, rtc, self.settings, FLOOR, self.log)

    def query(self, server, clock, random):
        self.ticks.pass_ms(self.blocks_ms)
        if self.silent:
            raise OSError(110)
        self.asked.append(server)
        if server in self.wrong:
            return NOW + self.ticks.total // 1000 + self.wrong[server]
        answer = self.answers.pop(0) if self.answers else NOW + self.ticks.total // 1000
        if answer is None:
            raise OSError(110)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def log(self, text):
        self.lines.append(text)
        del self.lines[:-5]

    def now_s(self):
        clock = self.clock
        return None if clock.offset is None else clock.offset + clock.s

    def date(self, s2000):
        return "date {}".format(s2000)

    def set_rtc(self, s2000):
        self.rtc = s2000

    def run(self, s, online=True, every_ms=1000):
        # The loop of the app.
        clock = self.clock
        for _ in range(s * 1000 // every_ms):
            clock.step()
            if online and clock.s >= clock.ask_s:
                self.module.query = self.query
                args = self.settings, FLOOR, self, self.log, self.verified
                self.module.ask(clock, *args, self.servers, self.random)
            self.ticks.pass_ms(every_ms)
        clock.step()
        return self.now_s()


def ran(s, *args, **kwargs):
    rig = Rig(*args, **kwargs)
    rig.run(s)
    return rig
