# The session of a board that has nothing but a claim (claim.py): it joins the network, gets the
# time and connects as any other, with what the App has for that (AWS IoT developer guide, Device
# provisioning MQTT API). On demand.

from micropython import const

from firmware import chip
from firmware.core.errors import LinkError
from firmware.core.timing import Clock, Deadline, pause_ms
from firmware.net.connection import SUBSCRIBE, Connection
from firmware.net.session import Session

_CREATE = const("$aws/certificates/create-from-csr/json")
_REMEDY = const("flash it again with bench-flash --claim")
_ANSWER_MS = const(60_000)
_PROVISION = const("$aws/provisioning-templates/{}/provision/json")
_MOST_BYTES = const(6_144)  # of an answer; the longest has 2 KB
_WAIT_MS = const(100)
_SLOW_MS = (20_000, 3_600_000)
_NO = const(" no_connack refused closed tls SUBSCRIBE claim ")  # of the link's reasons


class Claiming:
    # Of the App it has the way into the network; for that it is its settings, too.
    def __init__(self, app, config, context, template, parameters, expires_s2000):
        from firmware import board  # not for long: it is large

        self.app, self.thing, self.parameters = app, config["thing_name"], parameters
        self.provision, self.expires_s2000 = _PROVISION.format(template), expires_s2000
        clock = app.clock = self.clock = Clock(chip.ticks_ms, chip.ticks_diff)
        app.wlan, app.networks, app.servers = board.wlan(), config["wifi"], config["ntp"]
        app.ssid = app.joining = app.offline_s = None
        app.settings, self.state = self, {}
        app.rtc_s2000 = board.rtc_s2000()
        where = config["endpoint"], config["port"], config["keepalive_s"]
        # Without a last will, which a claim may not publish.
        session = self.session = Session(self.thing.encode(), *where, clock, 0, b"", 0, None)
        session.set_callback(self.receive)
        session.on_ack, session.filters = self.on_ack, self.filters
        args = session, clock, chip.random, chip.log, context, _MOST_BYTES
        app.connection = self.connection = link = Connection(*args)
        link.on_up, link.make_room, link.short = self.on_up, self.nothing, app.unload
        link.failed, self.failures = self.failed, 0  # failures: refused by AWS
        self.late = Deadline(clock)  # for what AWS is to answer
        self.on_up(False)

    def nothing(self, *args):
        pass

    note = nothing  # of the settings

    def filters(self):
        # Before anything is published, as AWS advises.
        kinds = "/accepted", "/rejected"
        return [topic + kind for topic in (_CREATE, self.provision) for kind in kinds]

    def on_up(self, present):
        # Nothing of the last session: an answer to it would not come.
        session = self.session
        session.pids[:], session.used, session.doubt = [0] * len(session.pids), 0, True
        session.waiting.clear()
        self.heard = self.topic = self.out = self.message = None  # topic: of what is asked
        self.job = {"document": {"fieldmouse": "csr"}}  # for rotate.py
        self.dropped = session.oversized
        self.late.start(_ANSWER_MS)

    def on_ack(self, tag):
        self.heard = self.heard or tag == SUBSCRIBE

    def receive(self, topic, payload):
        # Inside the MQTT callback: only taken apart.
        asked = (self.topic or "").encode()
        kind = topic[len(asked) + 1 :]
        if asked and topic[: len(asked) + 1] == asked + b"/" and not self.message:
            from firmware.core.text import load

            try:
                self.message = kind, load(payload, 4)
            except (ValueError, TypeError):
                self.message = b"rejected", {"errorCode": "no JSON"}

    def step(self):
        app, clock, link = self.app, self.clock, self.connection
        clock.step()
        network = app._network()
        if network and clock.s >= clock.ask_s:
            app.upkeep("ask_time")
        app.unload()
        if network and clock.offset is None:
            app.upkeep("step_link")
        else:
            link.step(network)
        app.unload()
        try:
            if link.up:
                self.talk()
        except (LinkError, OSError) as e:  # the latter of the flash
            link.failed(e)
        if not link.wait(_WAIT_MS):
            chip.sleep_ms(_WAIT_MS)

    def talk(self):
        if self.heard and not self.topic and not self.out:
            # As for a new certificate in the field: what an earlier try has made is used again.
            from firmware.updates import rotate

            self.out = rotate.step(self, self.job)
        elif self.out or self.message:
            from firmware.updates import claim_answers

            claim_answers.talk(self)
        elif self.session.oversized > self.dropped:
            raise LinkError("claim", "answer too long")
        elif not self.late.left_ms():
            raise LinkError("timeout", "answer")

    def failed(self, error):
        # Of the link: a session, or a try at one, has. A no by AWS does not get better soon.
        Connection.failed(self.connection, error)
        clock, link = self.clock, self.connection
        expired = clock.offset is not None and clock.offset + clock.s > self.expires_s2000
        if expired or " {} ".format(str(link.last_reason).split(" ")[0]) in _NO:
            self.failures += 1
            link.wait_in.start(pause_ms(chip.random, self.failures, *_SLOW_MS))
            args = "expired" if expired else "refused", _REMEDY, link.wait_in.wait_ms // 1000
            chip.log("claim: {}; {}; next try in {} s".format(*args))
