# Owns the only loop, and routes messages. What is imported at the top stays in memory.

from micropython import const

from firmware import chip, sampler, settings, shadow_sync  # noqa: F401
from firmware.core.errors import LinkError
from firmware.core.telemetry import RECORD_BYTES, TEXT_BYTES, write_json
from firmware.net.connection import SUBSCRIBE
from firmware.outbox import Outbox  # noqa: F401

if not chip.VERIFIED:
    from firmware import soft_watchdog  # noqa: F401

_IDLE_MS = const(1_000)  # the longest wait for the socket
_ADDRESS_S = const(10)  # how often the address is checked while all seems well
_STUCK_S = const(600)  # no pass without an error: a restart
_ALARM = const(-3)  # tag of an alarm in the session
_SOON_MS = const(100)  # between two looks at Wi-Fi, backoff and blinking


class App:
    def run(self, unload, prepared):
        # prepared: what config.prepare() gave; emptied, because the configuration need not stay.
        self.unload, self.fault = unload, False  # fault: it ends by sampler or outbox
        self.cause, self.safe, self.counted_s, self.last_crash, self.trial = prepared.pop()
        try:
            from firmware import startup

            feed = startup.build(self, *prepared)
            del startup
            self.unload()
            if not feed:
                from firmware import power

                feed = power.attach(self, prepared)
            del prepared[:]
            self.unload()
            self.upkeep("take_rtc")
            self.fault = True
            while True:
                self.step()
                feed()
        except Exception as e:
            from firmware import board, crash

            crash.end(self, e, board)

    def step(self):
        # Only taking and storing readings may end the program, all else the link (issue 9, B8).
        clock, outbox = self.clock, self.outbox
        clock.step()
        # While old readings are sent, what reads them stays.
        spare = "firmware.outbox_files" if outbox and outbox.waiting > self.window else None
        if outbox:
            if clock.offset is not None and abs(clock.offset - (self.sampler.started or 0)) > 2:
                self.upkeep("start")
            self.sampler.step()
            self.unload(spare)
        try:
            if not self._step(spare):
                self._wait()
            self.good_s = clock.s
        except Exception as e:
            if clock.s - self.good_s > _STUCK_S:  # upkeep.py, which restarts, may not load either
                self.fault = False
                raise
            bug = not isinstance(e, MemoryError)
            if not bug and self.outbox and self.sampler.driver:
                self.sampler.release()  # and once more with the next pass
                return
            self.connection.failed(LinkError("bug", type(e).__name__, e) if bug else e)
            self.joining = None  # it may have been that, or the time: no tight circle
            clock.ask_s = max(clock.ask_s, clock.s + _ADDRESS_S)
            chip.sleep_ms(_IDLE_MS)

    def _wait(self):
        self.unload()
        wait_ms = _SOON_MS if self.runner or not self.connection.up else _IDLE_MS
        wait_ms = min(wait_ms, self.sampler.next_due_ms()) if self.outbox else wait_ms
        if not self.connection.wait(wait_ms):
            chip.sleep_ms(wait_ms)

    def _step(self, spare):
        # All but the readings. True when there is more to send at once.
        clock, link = self.clock, self.connection
        busy = self.safe or self.counted_s or self.trial or "trial" in self.settings.state
        if clock.s >= self.check_s and (busy or not link.up):
            self.upkeep("check")
            self.unload(spare)
        network = self._network()
        if clock.heard or (network and clock.s >= clock.ask_s):
            self.upkeep("ask_time")
        self.unload(spare)
        # TLS needs the time: without it no certificate can be checked.
        if network and clock.offset is None:
            self.upkeep("step_link")
        else:
            link.step(network)
        self.unload(spare)
        more = self._answer(link.up)
        self.unload(spare)
        if link.up and clock.s >= self.job_s:
            more = self.jobs() or more
            self.unload(spare)
        if link.up and self.outbox and clock.offset is not None:
            self._queue()
        return more or (link.up and self.session.due() >= 0 and not self.session.transport.out)

    def _answer(self, up):
        try:
            # A message that has come counts as older than a command that is done after it.
            if self.runner and not (up and self.shadow.message) and not self.runner.step(up):
                self.runner = None
            return up and self.shadow.step()
        except MemoryError:
            chip.log("app: no memory for an answer, later")
            if not self.sampler.due:  # else a reading would never come to its end
                self.sampler.release()
            self.shadow.lost()

    def upkeep(self, what="restart"):  # the latter for commands
        from firmware import upkeep

        getattr(upkeep, what)(self)

    def jobs(self, *message):
        from firmware.updates import jobs

        return jobs.step(self, *message)

    def _network(self):
        # True while joined, with an address. wifi.py is in the heap only on the way there: after a
        # loss, and at boot, even where an ESP8266 has joined by itself what it remembers.
        if self.joining is None:
            if self.ssid is not None and self.wlan.isconnected():
                try:
                    if self.clock.s % _ADDRESS_S or self.wlan.ifconfig()[0] != "0.0.0.0":
                        return True
                except (OSError, RuntimeError):  # ESP32: nobody knows the address
                    pass
            from firmware.net.wifi import joining

            args = self.clock, chip.random, chip.log, self.ssid
            self.joining = joining(self.wlan, self.networks, *args)
            self.connection.wifi_drops += self.ssid is not None
        ssid = next(self.joining)
        if ssid:
            self.ssid, self.joining = ssid, None
        return self.joining is None

    def _queue(self):
        # At most drain_per_s in a second. While many wait the window is as large as it may be.
        session, outbox = self.session, self.outbox
        if self.clock.s != self.since_s:
            self.since_s, self.sent = self.clock.s, 0
        window = self.window_max if outbox.waiting > self.window_max else self.window
        # Where nothing asks for alarms, or has, no page need be read for them.
        asked = self.sampler.extra is not False or "alarms" in self.settings.state
        while session.used < window and self.sent < self.settings.values["drain_per_s"]:
            frame = asked and outbox.get(outbox.read)
            if frame and frame[outbox.at] > RECORD_BYTES:
                from firmware import alarms

                if not alarms.send(self):
                    break
            seq = outbox.next_unsent()
            if not seq:
                break
            session.take(seq)
            self.sent += 1

    def encode(self, seq, buf, at):
        self.unload("firmware.outbox_files")  # what was loaded for a message goes
        try:
            frame = self.outbox.get(seq)
        except MemoryError:  # the driver comes back with the next reading
            self.sampler.release()
            frame = self.outbox.get(seq)
        if not frame:
            return 0
        i, starts = self.outbox.at, self.settings.state.get("start")
        if frame[i] > 12 and len(buf) < TEXT_BYTES + at:  # more than a usual sensor measures
            buf.extend(bytes(TEXT_BYTES))
        end = write_json(buf, at, frame, i, self.session.client_id, starts)
        if frame[i] > RECORD_BYTES:
            from firmware.core import several

            end = several.add(buf, end, several.text(frame, i))
            self.unload()
        return end

    def facts(self, full):
        self.unload()
        from firmware import device_info

        return device_info.report(self, full)

    def make_room(self):
        self.shadow.connected()  # nothing of the last session
        self.sampler.release()
        self.unload()

    def filters(self):
        from firmware.core.topics import subscribes

        return subscribes(self.commands.decode(), self.prefix.decode(), self.job is not None)

    def on_message(self, topic, payload):
        again = True
        while again:  # once more without the driver, should there be no memory
            again = False
            self.unload()
            try:
                if topic == self.commands:
                    if not self.runner:
                        from firmware.command_runner import CommandRunner

                        sampler = self.outbox and self.sampler
                        self.runner = CommandRunner(self.shadow, sampler, self.topic, self.upkeep)
                    self.runner.receive(payload, self.session.transport.op & 1)  # RETAIN
                elif topic.startswith(self.prefix):
                    from firmware.core import shadow

                    shadow.receive(self.shadow, topic[len(self.prefix) :], payload)
                elif self.job:
                    self.jobs(topic, payload)
            except Exception as e:  # not acknowledged, it would come again in every session
                bug = not isinstance(e, MemoryError)
                again = not bug and self.sampler.driver
                if again:
                    self.sampler.release()
                    continue
                text = "a bug, {}, in".format(e) if bug else "no memory for"
                chip.log("app: {} a message, dropped".format(text))
                self.shadow.junk += bug
                self.shadow.lost()
        self.unload()

    def on_ack(self, tag):
        self.offline_s = None  # for upkeep.check()
        if tag > 0:
            self.trial = self.trial and 2  # a step to its good end (updates/trial.py)
            self.outbox.ack(tag)
        elif tag == _ALARM:
            self.alarmed = -self.alarmed
        elif tag == SUBSCRIBE:
            self.connection.failures[2] = 0
            # Only now: else, after a power cut, a session without subscriptions would be trusted.
            jobs = "*" * (self.job is not None)  # of jobs, too
            self.settings.note("filters", self.commands.decode() + jobs)
