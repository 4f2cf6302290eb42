# The first start of a board that was flashed with a claim, a certificate of five minutes, and none
# of its own (docs/updates.md): it makes its key, has AWS sign it and register it as its thing (AWS
# IoT developer guide, Device provisioning MQTT API), and tries what it got, as any other new
# certificate. On demand, in the place of app.py; ends in a restart. Interrupted anywhere it starts
# again: key and request stay until there is a certificate for them, and certs/b/cert.pem is there
# only once AWS has registered it.

import json
import os
from micropython import const

from firmware import board, chip, files, upkeep
from firmware.core.errors import LinkError
from firmware.core.text import load, printable
from firmware.core.timing import Clock, Deadline, pause_ms
from firmware.net import packets
from firmware.net.connection import SUBSCRIBE, Connection
from firmware.net.session import Session
from firmware.updates import slots

_CLAIM = const("certs/claim.json")
_FOLDER = const("certs/b/")
_CERT = const("certs/b/cert.pem")
_NEW = const("certs/b/cert.new")  # not registered yet
_REMEDY = const("flash it again with bench-flash --claim")
_CREATE = const("$aws/certificates/create-from-csr/json")
_PROVISION = const("$aws/provisioning-templates/{}/provision/json")
_MOST_BYTES = const(6_144)  # of an answer; the longest has 2 KB
_CERT_BYTES = const(3_072)
_TOKEN_BYTES = const(2_048)
_ANSWER_MS = const(60_000)
_WAIT_MS = const(100)
_SLOW_MS = (20_000, 3_600_000)
_NO = const(" no_connack refused rejected closed tls SUBSCRIBE answer ")  # of the link's reasons
_ENOENT = const(2)


def run(config, context):
    # Returns only where there is nothing to claim.
    letters, other, left = slots.read()
    if letters[1] == "b":
        wipe()
        return
    if files.read(_CERT, 1):
        if other:  # there is no other: maybe it had no network for a day
            chip.log("claim: the certificate was not good, {}; once more".format(left))
        _begin_trial(letters)
    try:
        claim = json.loads(files.read(_CLAIM, 2_048))
        claim = claim["template"], dict(claim["parameters"]), int(claim["expires_s2000"])
    except (ValueError, TypeError, KeyError):
        chip.log("claim: {} is damaged; {}".format(_CLAIM, _REMEDY))
        chip.sleep_ms(60_000)
        board.reset()
    chip.log("claim: no certificate yet, asking for one with the claim")
    feed, work = board.watchdog(), _Claim(config, context, *claim)
    while not work.step():
        feed()
    _begin_trial(letters)


def _begin_trial(letters):
    files.attempt(os.remove, "certs/b/csr.der")
    slots.trial(letters[0] + "b")
    board.reset()


def wipe():
    # When the new certificate is good; and at the next start, should the power fail in here.
    # LittleFS writes the zeros to another place: what lay in the first one is gone when that is
    # used again. By then it has run out, as it lives five minutes.
    letters, other, _ = slots.read()
    if letters[1] != "b" or other or not files.read(_CLAIM, 1):
        return
    for path in ("certs/key.pem", "certs/cert.pem", _CLAIM):  # the last one is the mark
        try:
            with open(path, "r+b") as f:
                size = f.seek(0, 2)
                f.seek(0)
                f.write(bytes(size))
            os.remove(path)
        except OSError as e:
            if e.errno != _ENOENT:
                chip.log("claim: {} stays for now, {}".format(path, e))
                return
    chip.log("claim: removed from the board")


class _Claim:
    # To upkeep.py it is the App.
    def __init__(self, config, context, template, parameters, expires_s2000):
        self.thing, self.parameters = config["thing_name"], parameters
        self.provision, self.expires_s2000 = _PROVISION.format(template), expires_s2000
        clock = self.clock = Clock(chip.ticks_ms, chip.ticks_diff)
        self.wlan, self.networks, self.servers = board.wlan(), config["wifi"], config["ntp"]
        self.ssid = self.joining = self.offline_s = None
        self.settings, self.state, self.rtc_s2000 = self, {}, board.rtc_s2000()
        upkeep.take_rtc(self)
        where = config["endpoint"], config["port"], config["keepalive_s"]
        # Without a last will, which a claim may not publish.
        self.session = Session(self.thing.encode(), *where, clock, 0, b"", 0, None)
        self.session.set_callback(self.receive)
        self.session.on_ack, self.session.filters = self.on_ack, self.filters
        args = self.session, clock, chip.random, chip.log, context, _MOST_BYTES
        self.connection = link = Connection(*args)
        link.on_up, link.make_room, link.short = self.on_up, self.nothing, self.nothing
        link.failed, self.refused = self.failed, 0  # refused: so often, by AWS
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
        self.heard = self.asked = self.message = None
        self.job = {"document": {"fieldmouse": "csr"}}  # for rotate.py
        self.late.start(_ANSWER_MS)

    def on_ack(self, tag):
        self.heard = self.heard or tag == SUBSCRIBE

    def receive(self, topic, payload):
        # Inside the MQTT callback: only taken apart.
        asked = (self.asked or "").encode()
        kind = topic[len(asked) + 1 :]
        if asked and topic[: len(asked) + 1] == asked + b"/" and not self.message:
            try:
                self.message = kind, load(payload, 4)
            except (ValueError, TypeError):
                self.message = b"rejected", {"errorCode": "no JSON"}

    def step(self):
        # True when the certificate is there, and registered.
        clock, link, network = self.clock, self.connection, self.network()
        clock.step()
        if network and clock.s >= clock.ask_s:
            upkeep.ask_time(self)
        if network and clock.offset is None:
            upkeep.step_link(self)
        else:
            link.step(network)
        try:
            if link.up and self.talk():
                packets.disconnect(self.session)
                return True
        except LinkError as e:
            link.failed(e)
        if not link.wait(_WAIT_MS):
            chip.sleep_ms(_WAIT_MS)

    def network(self):
        if self.joining is None:
            if self.ssid is not None and self.wlan.isconnected():
                return True
            from firmware.net.wifi import joining

            args = self.clock, chip.random, chip.log, self.ssid
            self.joining = joining(self.wlan, self.networks, *args)
        ssid = next(self.joining)
        if ssid:
            self.ssid, self.joining = ssid, None
        return self.joining is None

    def failed(self, error):
        # Of the link: a session, or a try at one, has. A no by AWS does not get better soon.
        Connection.failed(self.connection, error)
        clock, link = self.clock, self.connection
        expired = clock.offset is not None and clock.offset + clock.s > self.expires_s2000
        if expired or " {} ".format(str(link.last_reason).split(" ")[0]) in _NO:
            self.refused += 1
            link.wait_in.start(pause_ms(chip.random, self.refused, *_SLOW_MS))
            args = "expired" if expired else "refused", _REMEDY, link.wait_in.wait_ms // 1000
            chip.log("claim: {}; {}; next try in {} s".format(*args))

    def talk(self):
        # One step of it; True after the last.
        if self.message:
            (kind, answer), self.message = self.message, None
            if kind != b"accepted":
                text = "{} {}".format(answer.get("errorCode"), answer.get("errorMessage"))
                raise LinkError("rejected", printable(text, 120).replace("?", " "))
            if self.asked == self.provision:
                return self.registered(answer)
            self.ask(self.provision, self.signed(answer), -2)
        elif self.heard and not self.asked:
            request = self.request()
            if request:
                self.ask(_CREATE, {"certificateSigningRequest": request}, -1)
        elif self.session.oversized:
            self.session.oversized = 0
            raise LinkError("answer", "too long")
        elif not self.late.left_ms():
            raise LinkError("timeout", "answer")

    def ask(self, topic, document, tag):
        packets.document(self.session, topic.encode(), json.dumps(document), tag)
        self.asked = topic
        self.late.start(_ANSWER_MS)

    def request(self):
        # A step of it, as for a new certificate in the field: what an earlier try has made is used
        # again. None: there is more to do.
        from firmware.updates import rotate

        status, details = rotate.step(self, self.job) or (None, None)
        if status == "FAILED":
            raise LinkError("key", details["reason"])
        if status:
            text = details["csr"]
            lines = [text[at : at + 64] for at in range(0, len(text), 64)]
            edge = "-----{} CERTIFICATE REQUEST-----\n"
            return edge.format("BEGIN") + "\n".join(lines) + "\n" + edge.format("END")

    def signed(self, answer):
        # The certificate goes to flash; gives what registers it.
        from firmware.updates import certificate, rotate

        pem, token = answer.get("certificatePem"), answer.get("certificateOwnershipToken")
        if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_BYTES:
            raise LinkError("answer", "no ownership token")
        try:
            ours = isinstance(pem, str) and len(pem) <= _CERT_BYTES and certificate._point(pem)
        except ValueError:
            ours = False
        if not ours or ours != rotate._point(_FOLDER):
            raise LinkError("answer", "no certificate for our key")
        files.replace(_NEW, pem)
        return {"certificateOwnershipToken": token, "parameters": self.parameters}

    def registered(self, answer):
        if answer.get("thingName") != self.thing:
            raise LinkError("answer", "it is the certificate of another thing")
        os.rename(_NEW, _CERT)
        chip.log("claim: {} has its certificate, restarting".format(self.thing))
        return True
