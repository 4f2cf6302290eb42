# Owns the only loop, and routes messages. What is imported at the top stays in the heap; what is
# imported inside a function leaves again (loading.py): startup.py makes the objects, upkeep.py
# has what happens now and then.

import gc

from micropython import const

# Resident as well, though only startup.py names what is in them.
import firmware.net.session
import firmware.outbox
import firmware.sampler
import firmware.settings
import firmware.shadow_sync  # noqa: F401
from firmware import chip, loading
from firmware.core.telemetry import write_json
from firmware.net.connection import UP

if not chip.VERIFIED:
    from firmware import soft_watchdog  # noqa: F401  its timer holds it

_RESULT = const(-2)  # tag of the documents of commands
_OLD = "firmware.outbox_files"
_IDLE_MS = const(1_000)  # the longest wait for the socket
_SOON_MS = const(100)  # between two looks at Wi-Fi, backoff and blinking
_AGAIN_MS = const(30_000)  # a crash in safe mode must not become a tight circle
_SAFE_S = const(3600)  # perhaps the cause has gone: a full disk, a bus that was shorted
_CHANGED_S = const(3)  # or a setting was the cause; time to report it
_ADDRESS_S = const(10)  # how often the address is checked while all seems well
_FIRST_S = const(120)  # to get on line after a start: Wi-Fi, the time, an ESP8266's handshake


class App:
    def __init__(self):
        # The rest: startup.build().
        self.joining = None  # looks for a network while there is none
        self.ssid = None  # joined, or lost last
        self.wifi_drops = 0
        self.runner = None  # while there are commands to be done
        self._looked_s = self._checked_s = 0
        self._safe_s = _SAFE_S
        self._second = self._sent = 0  # readings sent in this second

    def run(self):
        from firmware import board

        feed = board.watchdog()
        board = None
        loading.unload()
        gc.collect()
        gc.threshold(gc.mem_free() // 4)
        link = self.connection
        while True:
            more = self._step()
            feed()
            if not more:
                loading.unload()
                wait_ms = _IDLE_MS
                if self.outbox:
                    wait_ms = min(wait_ms, self.sampler.next_due_ms())
                if self.runner or link.state != UP:
                    wait_ms = min(wait_ms, _SOON_MS)
                if not link.wait(wait_ms):
                    chip.sleep_ms(wait_ms)

    def _step(self):
        # One pass. True when there is more to send at once.
        now, link, session, outbox = self.clock, self.connection, self.session, self.outbox
        now.step()
        network = self._network()
        if network and now.s >= now.ask_s:
            self._upkeep("ask_time")
        # While old readings are sent, what reads them stays.
        spare = _OLD if outbox and outbox.waiting > self.window else None
        if outbox:
            self.sampler.step()
            loading.unload(spare)
        # TLS needs the time: without it no certificate can be checked.
        up = link.state == UP
        link.step(network and now.offset is not None)
        if link.state == UP and not up:
            return True
        up = link.state == UP
        more = False
        loading.unload(spare)
        try:
            if up:
                more = self.shadow.step()
            if self.runner:
                self.runner.step(up)
                if not self.runner.busy():
                    self.runner = None
        except MemoryError:
            chip.log("app: no memory for an answer, later")
            self.shadow.lost()
        loading.unload(spare)
        if up and outbox:
            self._queue()
        if now.s != self._checked_s:
            self._checked_s = now.s
            self._check(now.s, up)
        return more or (up and session.due() >= 0 and not session.transport.out)

    def _check(self, s, up):
        # Once a second.
        link = self.connection
        if self.counted_s and s >= self.counted_s:
            self._upkeep("alive")
        if self.safe and s >= self._safe_s:
            self._upkeep("leave_safe_mode")
        if not up:
            limit_s = self.settings.values["offline_reboot_s"]
            if limit_s and not link.sessions:
                limit_s = max(limit_s, _FIRST_S)
            if limit_s and link.outage_s() >= limit_s:
                self._upkeep("offline")
            if link.starved or (self.session.reserve is None and not chip.VERIFIED):
                self._upkeep("memory")

    def _upkeep(self, what):
        from firmware import upkeep

        getattr(upkeep, what)(self)

    def restart(self):
        self._upkeep("restart")

    def _network(self):
        # True while joined, with an address. Wifi is in the heap only on the way there: at boot
        # and after a loss. At boot always: an ESP8266 joins by itself what it remembers.
        s = self.clock.s
        if self.joining is None:
            if self.ssid is not None and self.wlan.isconnected():
                if s - self._looked_s < _ADDRESS_S:
                    return True
                self._looked_s = s
                try:
                    if self.wlan.ifconfig()[0] != "0.0.0.0":
                        return True
                except (OSError, RuntimeError):  # ESP32: nobody knows the address
                    pass
            self._upkeep("join")
        if not self.joining.step():
            return False
        self.ssid = self.joining.ssid
        self.joining = None
        self._looked_s = s
        return True

    def _queue(self):
        # Readings: as many at a time as the window has room for, never more in a second than
        # drain_per_s. While many wait the window is as large as it may be.
        session, outbox = self.session, self.outbox
        if self.clock.s != self._second:
            self._second = self.clock.s
            self._sent = 0
        window = self.slots if outbox.waiting > self.slots else self.window
        while session.used < window and self._sent < self.settings.values["drain_per_s"]:
            if outbox.next_unsent() is None:
                break
            session.reading(outbox.read - 1)
            self._sent += 1

    def encode(self, seq, buf, at):
        try:
            record = self.outbox.get(seq)
        except MemoryError:  # for what reads old ones, beside what a message has loaded
            loading.unload()
            record = self.outbox.get(seq)
        return 0 if record is None else write_json(buf, at, record, seq, self.thing)

    def facts(self, full):
        loading.unload()
        from firmware import device_info

        facts = device_info.report(self, full)
        device_info = None
        loading.unload()
        return facts

    def filters(self):
        from firmware.core import topics

        return topics.subscribes((0, self.commands.decode(), 0, 0, self.prefix.decode()))

    def on_message(self, topic, payload):
        loading.unload()
        try:
            if topic == self.commands:
                if not self.runner:
                    self._upkeep("make_runner")
                    loading.unload()
                self.runner.receive(payload)
            elif topic.startswith(self.prefix):
                self.shadow.receive(topic[len(self.prefix) :], payload)
        except MemoryError:
            # Not acknowledged, it would come again in every session. What the shadow said is asked
            # for once more, later.
            chip.log("app: no memory for a message, dropped")
            self.shadow.lost()

    def on_ack(self, tag):
        if tag > 0:
            self.outbox.ack(tag)
        elif tag == _RESULT and self.runner:
            self.runner.ack()

    def apply(self, key):
        # settings.values[key] has changed.
        if key == "interval_s":
            self.sampler.changed()
        elif key in ("sensor", "i2c"):
            self.sampler.restart()
        if self.safe:
            self._safe_s = self.clock.s + _CHANGED_S

    def open_bus(self):
        from firmware import board

        return board.i2c(self.settings.values["i2c"])

    def recover(self):
        from firmware import board

        return board.recover(self.settings.values["i2c"])


def main(prepared):
    # prepared: what startup.prepare() gave; emptied, because the configuration need not stay.
    cause, safe = prepared[-1][:2]
    try:
        app = App()
        from firmware import startup

        startup.build(app, *prepared)
        startup = None
        prepared.clear()
        app.run()
    except Exception as e:
        from firmware import upkeep

        upkeep.crashed(e, cause)
        if safe:
            chip.sleep_ms(_AGAIN_MS)
        upkeep.restart(None)
