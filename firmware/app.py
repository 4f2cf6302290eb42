# Owns the only loop and steps every object in it; parts.py makes them, control.py does to them
# what the cloud asks for.

import gc

from micropython import const

from firmware import board, seldom, version
from firmware.commander import TAG as RESULT
from firmware.control import Control
from firmware.core import telemetry
from firmware.crash import CrashLog
from firmware.net.link import DOWN
from firmware.news import News, Uptime
from firmware.settings import Settings

_IDLE_MS = const(1_000)  # the longest wait for the socket
_DOWN_MS = const(100)  # between two looks at Wi-Fi and backoff while there is no socket
_AGAIN_MS = const(30_000)  # a crash in safe mode must not become a tight circle
_LAST_BYTES = const(300)  # enough for the last line of the crash log
_SAFE_S = const(3600)  # perhaps the cause has gone: a full disk, a bus that was shorted


class App:
    def __init__(self, settings, prepared, crash, cause, safe, uptime):
        config, problems, true, self.tls = prepared
        self._config = config
        self.settings = settings
        self.crash = crash
        self.safe = safe  # after repeated crashes: connected, but no sensor and no outbox
        self.uptime = uptime
        self._record = bytearray(telemetry.RECORD_BYTES)
        self._more = False
        seldom.forget()
        self._build(config, true, board.Ticks())
        self._reporter.facts = News(self, problems, cause, crash.read(_LAST_BYTES))
        board.log("config: {} at {}".format(config["thing_name"], config["endpoint"]))

    def _build(self, config, true, clock):
        from firmware import parts

        self._clock = clock
        self.wifi = parts.wifi(config, clock)
        self.wall = parts.wall(config, clock)
        topics = self._topics = parts.topics(config)
        self.session = parts.session(
            config, clock, self.tls, topics, self._on_message, self._on_ack
        )
        self.link = parts.link(config, clock, self.session, topics, self.settings, self._online)
        self.link.on_up = self._on_up
        self.sampler = parts.sampler(config, clock, self.wall, self._put)
        self.outbox = self.sender = None
        if not self.safe:
            self.outbox = parts.outbox(config)
            self.sender = parts.sender(config, clock, self.outbox, self.session, topics)
        self.shadow = parts.shadow(true, self._check, self.settings)
        control = self._control = Control(self, config, clock)
        self._reporter = parts.reporter(self.shadow, self.session, topics, clock, control.apply)
        self._commander = control.commander = parts.commander(
            self._check, self.settings, self.session, topics, clock, control.act, self.restart
        )

    # The loop

    def run(self):
        dog = board.watchdog()
        seldom.tidy()
        gc.collect()
        gc.threshold(gc.mem_free() // 4)
        while True:
            self._step()
            dog.feed()
            if not self._commander.busy():  # what it holds belongs to such a module
                seldom.tidy()
            self._wait()

    def _step(self):
        self.uptime.step()
        self.wifi.step()
        self.wall.step(self.wifi.up)
        self.link.step()
        if not self.safe:
            self.sampler.step()
        if self.link.up:
            self._reporter.step()
            self._commander.step()
            self._more = not self.safe and self.sender.step()
        self._control.step()
        self.crash.alive(self.uptime.s)
        if self.safe and self.uptime.s >= _SAFE_S:
            board.log("app: an hour of safe mode, trying again")
            self.restart()
        if self.link.too_long_offline():
            board.log("app: offline for {} s, restarting".format(self.link.outage_s))
            self.restart()

    def _wait(self):
        wait_ms = _IDLE_MS if self.safe else min(_IDLE_MS, self.sampler.next_due_ms())
        if self._control.busy() or self._commander.busy():
            wait_ms = min(wait_ms, _DOWN_MS)
        if self.link.state == DOWN:
            board.sleep_ms(min(wait_ms, _DOWN_MS))
        elif not (self._more and self.link.up):
            self.session.poll_ms(wait_ms)

    def _online(self):
        # TLS needs the time: without it no certificate can be checked.
        return self.wifi.up and self.wall.now_s() is not None

    def _on_up(self, session_present):
        self._control.joined(self._topics)
        self._reporter.connected()

    def _on_message(self, topic, payload):
        try:
            if topic == self._topics.commands:
                self._commander.receive(payload)
            else:
                self._reporter.receive(topic, payload)
        except MemoryError:
            # Not acknowledged, it would come again in every session. What the shadow said is
            # asked for once more, later.
            seldom.forget()
            board.log("app: no memory for a message, dropped")
            self.shadow.wants_get = self.shadow.later = True

    def _on_ack(self, tag):
        if tag >= 0:
            self.sender.acknowledged(tag)
        elif tag == RESULT:
            self._commander.acknowledged()

    def _check(self, key, value):
        from firmware.core.settable import check_setting

        return check_setting(key, value, self._config)

    def restart(self):
        # On purpose: whatever crashed before, the next start is a normal one.
        self.crash.stable()
        if self.outbox:
            self.outbox.flush()
        self.session.disconnect()
        board.reset()

    def _put(self, s2000, temperature_cdeg, humidity_cpct, pressure_pa):
        size = telemetry.pack(self._record, s2000, temperature_cdeg, humidity_cpct, pressure_pa)
        self.outbox.put(self._record, size)


def main():
    crash = CrashLog("data/crash.log", board.log)
    cause = board.reset_cause()
    safe = crash.boot(cause)
    board.log("app: fieldmouse {}, reset by {}".format(version.VERSION, cause))
    if safe:
        board.log("app: SAFE MODE after repeated crashes, see get_log")
    uptime = Uptime(board.Ticks())
    try:
        settings = Settings("data/settings.json", board.log)
        App(settings, _prepared(settings), crash, cause, safe, uptime).run()
    except Exception as e:
        uptime.step()
        crash.record(e, uptime.s, cause)
        board.log("crash: {} {}".format(type(e).__name__, e))
        if safe:
            board.sleep_ms(_AGAIN_MS)
        board.reset()


def _prepared(settings):
    # A function of its own: a name that is still in use keeps its module in the heap.
    from firmware import start

    return start.prepare(settings)
