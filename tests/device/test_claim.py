# heap: 256wk
# The first start with a claim: what goes over the network, what is refused, what the flash has
# after every power cut. AWS is a fake that answers as the developer guide has it (Device
# provisioning MQTT API); the arithmetic of the key is test_p256.py's, here it is cut short.

import binascii
import json
import os
import sys

import vfs

import fakes_machine  # noqa: F401
import firmware
import harness
from fakes import Clock
from fakes_net import Broker, Context, Net, publish
from firmware import board, chip, files, upkeep
from firmware.app import App
from firmware.net import connect, transport
from firmware.updates import p256, request, slots

firmware.slots = sys.modules["firmware.slots"] = slots  # as rotate.py has it
from firmware.updates import certificate, claim, rotate  # noqa: E402
from flash import Flash, Journal, mounted  # noqa: E402

CREATE = "$aws/certificates/create-from-csr/json"
PROVISION = "$aws/provisioning-templates/fieldmouse/provision/json"
EXPIRES = 848_534_700
CLAIM = {"template": "fieldmouse", "parameters": {"SerialNumber": "barn-1"}}
CLAIM["expires_s2000"] = EXPIRES
CONFIG = {"thing_name": "barn-1", "endpoint": "h", "port": 8883, "keepalive_s": 60}
CONFIG["wifi"], CONFIG["ntp"] = [{"ssid": "barn"}], ["pool"]
FLASH = Flash(32)
TOKEN = "t" * 500
REAL = p256.new_key, p256.sign, p256.steps


class Restart(Exception):
    pass


class Aws(Broker):
    # answers: topic -> what comes back, a dictionary, text, or a function on the request.
    def __init__(self, **answers):
        super().__init__()
        self.answers = {CREATE: sign, PROVISION: {"thingName": "barn-1"}}
        self.answers.update(answers.pop("answers", {}))
        self.asked, self.filters, self.connects = [], [], []

    def _answer(self, sock, packet, body):
        super()._answer(sock, packet, body)
        kind = packet[0] >> 4
        if kind == 1:
            self.filters = []
            self.connects.append(body)
        elif kind == 8:
            at = 2
            while at < len(body):
                size = body[at] << 8 | body[at + 1]
                self.filters.append(body[at + 2 : at + 2 + size].decode())
                at += size + 3
        elif kind == 3:
            size = body[0] << 8 | body[1]
            self.request(sock, body[2 : 2 + size].decode(), body[4 + size :])

    def request(self, sock, topic, payload):
        document = json.loads(payload)
        self.asked.append((topic, document))
        for kind in ("/accepted", "/rejected"):
            assert topic + kind in self.filters, "subscribed too late"
        answer = self.answers[topic]
        if callable(answer):
            answer = answer(document)
        if answer is None:
            return
        rejected = isinstance(answer, dict) and "statusCode" in answer
        data = answer if isinstance(answer, (str, bytes)) else json.dumps(answer)
        data = data.encode() if isinstance(data, str) else data
        topic += "/rejected" if rejected else "/accepted"
        sock.inbox += publish(topic.encode(), data, len(self.asked))

    def topics(self):
        return [topic for topic, _ in self.asked]


def sign(asked, wrong=False):
    # A certificate as far as the board looks at it: one with the point of the request in it.
    text = asked["certificateSigningRequest"]
    head, body = text.split("QUEST-----\n", 1)[0], text.split("QUEST-----\n")[1]
    harness.equal(head, "-----BEGIN CERTIFICATE RE")
    assert text.endswith("\n-----END CERTIFICATE REQUEST-----\n"), text
    assert max(len(line) for line in text.split("\n")) <= 64
    der = binascii.a2b_base64(body.split("-----")[0])
    at = der.find(request.SPKI) + len(request.SPKI)
    point = der[at : at + 64]
    made = b"\xa0\x00\x02\x01\x07\x30\x00" + b"\x30\x02\x05\x00" * 3  # up to the subject
    made += request.SPKI + (bytes(64) if wrong else point)
    made = sequence(sequence(made) + sequence(bytes(600)))
    return {
        "certificateId": "0" * 64,
        "certificatePem": pem(made),
        "certificateOwnershipToken": TOKEN,
    }


def sequence(der):
    return b"\x30\x82" + len(der).to_bytes(2, "big") + der


def pem(der):
    text = binascii.b2a_base64(der).decode()
    lines = [text[at : at + 64].strip() for at in range(0, len(text) - 1, 64)]
    edge = "-----{} CERTIFICATE-----\n"
    return edge.format("BEGIN") + "\n".join(lines) + "\n" + edge.format("END")


def other_thing(asked):
    return {"thingName": "barn-2"}


class Rig:
    keys = 0

    def __init__(self, aws=None, flash=False, now=EXPIRES - 200):
        self.now, self.aws = now, aws or Aws()
        if not flash:
            blank(FLASH)
            flashed()
        self.fast()

    def fast(self):
        # The forms are real, the numbers are not.
        def new_key():
            Rig.keys += 1
            return Rig.keys, Rig.keys + 1000, Rig.keys + 2000

        def steps(made):
            def step():
                raise StopIteration(made)

            return step

        p256.new_key, p256.sign, p256.steps = new_key, lambda key, info: (1, 2), steps

    def start(self, limit_ms=30_000, context=None):
        # claim.start() and the passes of App.run(): "restart"; or None, also when it still tries.
        clock = self.clock = Clock()
        self.net = Net(clock)
        self.net.install(connect, transport)
        self.net.peer = self.aws
        self.log = []
        chip.ticks_ms, chip.ticks_diff, chip.sleep_ms = clock.now, clock.diff, self.sleep
        chip.log, chip.random = self.log.append, lambda limit: limit // 2
        self.end_ms = limit_ms
        board.wlan, board.watchdog, board.reset = lambda: Wlan, lambda: self.feed, self.reset
        board.rtc_s2000 = lambda: 0
        upkeep.ask_time = self.ask_time
        try:
            app = App()
            app.unload = self.unload
            feed = claim.start(app, CONFIG, context or Context())
            while feed:
                app.step()
                feed()
        except Restart:
            if files.read("certs/b/cert.pem", 1) and slots.read()[0] == "aa":
                log, again = self.log, self.start()
                self.log = log + self.log
                return again
            return "restart"
        except StopIteration:
            return None

    def sleep(self, ms):
        self.clock.pass_ms(ms)
        if self.clock.total > self.end_ms:
            raise StopIteration

    def feed(self):
        self.sleep(10)

    def unload(self):
        pass

    def reset(self, why=b""):
        raise Restart

    def ask_time(self, app):
        if self.now:
            app.clock.offset = self.now - app.clock.s
        app.clock.ask_s = 1 << 30

    def said(self, text):
        return [line for line in self.log if text in line]


class Wlan:
    joined = True

    def active(on):
        pass

    def disconnect():
        pass

    def connect(ssid, key):
        pass

    def isconnected():
        return Wlan.joined

    def ifconfig():
        return ("10.0.0.2",)

    def status(what=None):
        return -60 if what else 0


def blank(flash):
    os.chdir("/")
    try:
        vfs.umount("/flash")
    except OSError:
        pass  # the first test
    return mounted(flash)


def flashed():
    # What bench-flash has written.
    os.mkdir("certs")
    write("certs/cert.pem", "claim certificate")
    write("certs/key.pem", "claim key")
    write("certs/ca.pem", "ca")
    write("certs/claim.json", json.dumps(CLAIM))


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def key_fits():
    point = rotate.point("certs/b/")
    return point and point == certificate.point(there("certs/b/cert.pem").decode())


def state():
    letters, other, left = slots.read()
    return letters, other, str(left)


def there(path):
    return files.read(path, 4096)


def test_from_claim_to_certificate():
    rig = Rig()
    harness.equal(rig.start(), "restart")
    harness.equal(state(), ("ab", "aa", "3"))
    harness.equal(rig.aws.topics(), [CREATE, PROVISION])
    wanted = {"certificateOwnershipToken": TOKEN, "parameters": CLAIM["parameters"]}
    harness.equal(rig.aws.asked[1][1], wanted)
    harness.equal(there("certs/b/cert.pem").decode()[:28], "-----BEGIN CERTIFICATE-----\n")
    harness.equal(there("certs/b/cert.new"), None)
    assert key_fits()
    harness.equal(there("certs/b/csr.der"), None)
    harness.equal(there("certs/cert.pem"), b"claim certificate")
    assert rig.said("barn-1 has its certificate"), rig.log


def test_connects_as_the_thing_without_a_will_and_with_a_clean_session():
    rig = Rig()
    rig.start()
    harness.equal(rig.aws.connects, [b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x06barn-1"])
    harness.equal(len(rig.aws.filters), 4)
    harness.equal(rig.aws.kinds()[-1], 14)  # the clean end


def test_with_a_real_key():
    rig = Rig()
    p256.new_key, p256.sign, p256.steps = REAL
    harness.equal(rig.start(), "restart")
    data = binascii.a2b_base64(there("certs/b/key.pem").split(b"-----")[2])
    key = p256.finish(p256.new_key(int.from_bytes(data[7:39], "big")))
    harness.equal(request.point(key), rotate.point("certs/b/"))


def test_a_start_that_was_cut_short_takes_the_same_key():
    aws = Aws(answers={PROVISION: lambda asked: None})
    rig = Rig(aws)
    harness.equal(rig.start(), None)
    harness.equal(slots.read()[0], "aa")
    key, made = there("certs/b/key.pem"), Rig.keys
    aws.answers[PROVISION] = {"thingName": "barn-1"}
    harness.equal(rig.start(), "restart")
    harness.equal((there("certs/b/key.pem"), Rig.keys), (key, made))


def test_a_damaged_key_is_made_anew():
    for text in (b"", b"nonsense\nin\nit\n", request.pem((1, 2, 3))[:-60], request.pem((1, 2, 3))):
        rig = Rig()
        files.replace("certs/b/key.pem", text)
        files.replace("certs/b/csr.der", b"of another key")
        harness.equal(rig.start(), "restart")
        assert key_fits()


def refused(answers, words, slow=True):
    # AWS is asked, and not again soon; nothing is begun.
    aws = Aws(answers=answers)
    rig = Rig(aws)
    harness.equal(rig.start(300_000), None)
    harness.equal(slots.read()[0], "aa")
    harness.equal(there("certs/b/cert.pem"), None)
    assert rig.said(words), rig.log
    if slow:
        assert rig.said("refused; flash it again with bench-flash --claim"), rig.log
        assert 3 <= len(aws.connects) <= 8, len(aws.connects)
    aws.answers.update({CREATE: sign, PROVISION: {"thingName": "barn-1"}})
    harness.equal(rig.start(), "restart")


def test_rejections():
    no = {"statusCode": 403, "errorCode": "AccessDenied", "errorMessage": "Access Denied"}
    for topic in (CREATE, PROVISION):
        refused({topic: no}, "rejected AccessDenied Access Denied")
    odd = {"statusCode": 400, "errorCode": ["x"], "errorMessage": "\n\x1b[2J" * 100}
    refused({CREATE: odd}, "rejected ['x']")


def test_another_things_name():
    refused({PROVISION: other_thing}, "another thing")
    refused({PROVISION: {"deviceConfiguration": {}}}, "another thing")


def test_answers_that_are_wrong():
    for text in (b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"a":' * 9 + b"1" + b"}" * 9):
        refused({CREATE: text}, "rejected no JSON")
    for answer in (
        {},
        {"certificateOwnershipToken": TOKEN},
        {"certificateOwnershipToken": TOKEN, "certificatePem": ["x"]},
        {"certificateOwnershipToken": TOKEN, "certificatePem": "x" * 2000},
        {"certificateOwnershipToken": TOKEN, "certificatePem": pem(bytes(300))},
        {"certificateOwnershipToken": TOKEN, "certificatePem": "-----BEGIN CERTIFICATE-----\n"},
        {"certificateOwnershipToken": "", "certificatePem": pem(bytes(300))},
        {"certificateOwnershipToken": "t" * 2049, "certificatePem": pem(bytes(300))},
    ):
        refused({CREATE: answer}, "link: claim no")
    refused({CREATE: lambda asked: sign(asked, True)}, "no certificate for our key")


def test_an_answer_that_is_too_long():
    def long(asked):
        answer = sign(asked)
        answer["more"] = "m" * 7000
        return answer

    refused({CREATE: long}, "answer too long")


def test_no_answer():
    refused({CREATE: lambda asked: None}, "timeout answer", False)


def test_a_claim_that_has_expired():
    class Closes:
        def __call__(self, sock, data):
            sock.eof = True

        connects = ()

    rig = Rig(now=EXPIRES + 1)
    rig.aws = Closes()
    harness.equal(rig.start(600_000), None)
    lines = rig.said("claim: expired; flash it again with bench-flash --claim")
    assert 3 <= len(lines) <= 8, rig.log
    waits = [int(line.split()[-2]) for line in lines]
    assert waits == sorted(waits) and waits[-1] > 10 * waits[0], waits


def test_a_claim_file_that_is_damaged():
    for text in ("", "{", "[]", '{"template": "x"}', '{"template": 1, "parameters": 2}'):
        rig = Rig()
        write("certs/claim.json", text)
        harness.equal(rig.start(100_000), "restart")
        assert rig.said("claim.json is damaged; flash it again"), rig.log
        harness.equal((rig.clock.total, slots.read()[0]), (60_000, "aa"))


def test_a_certificate_that_is_there_is_tried():
    for slot, words in ((None, 0), ("aa ab day", 1)):
        rig = Rig()
        files.replace("certs/b/cert.pem", "x")
        if slot:
            write("slot", slot)
        harness.equal(rig.start(), "restart")
        harness.equal(state(), ("ab", "aa", "3"))
        harness.equal((rig.aws.asked, len(rig.said("not good, day"))), ([], words))


def test_no_claim_on_trial_and_after_it():
    rig = Rig()
    write("slot", "ab aa 2")
    harness.equal(rig.start(), None)
    harness.equal((rig.log, there("certs/key.pem")), ([], b"claim key"))
    write("slot", "ab")
    harness.equal(rig.start(), None)
    for name in ("claim.json", "key.pem", "cert.pem"):
        harness.equal(there("certs/" + name), None)
    harness.equal(there("certs/ca.pem"), b"ca")


def test_what_is_wiped_is_overwritten():
    Rig()
    write("slot", "ab")
    removed, remove = [], os.remove
    claim.os = type("Os", (), {})()
    claim.os.remove = lambda path: removed.append((path, there(path))) or remove(path)
    try:
        claim.wipe()
    finally:
        claim.os = os
    sizes = [("certs/key.pem", 9), ("certs/cert.pem", 17)]
    sizes.append(("certs/claim.json", len(json.dumps(CLAIM))))
    harness.equal(removed, [(path, bytes(size)) for path, size in sizes])


def test_a_certificate_of_its_own_is_never_wiped():
    # No claim.json; or the slot is "a": key.pem there is not the claim's, or still needed.
    for slot, mark in (("ab", False), ("aa", True), ("ab aa 3", True), ("aa ab day", True)):
        Rig()
        write("slot", slot)
        if not mark:
            os.remove("certs/claim.json")
        claim.wipe()
        harness.equal(there("certs/key.pem"), b"claim key")


def test_power_cut_at_every_write():
    journal = blank(Journal(32, 200_000))
    flashed()
    journal.begin()
    rig = Rig(flash=True)
    harness.equal(rig.start(), "restart")
    registered = rig.aws.topics()
    journal.umount()
    count = tries = 0
    for ops, cut in journal.cuts():
        cut.mount()
        again = Rig(flash=True)
        harness.equal(again.start(), "restart") if slots.read()[0] == "aa" else None
        harness.equal(slots.read()[:2], ("ab", "aa"))
        assert key_fits(), ops
        # Never registered again once its certificate was in its place.
        tries += bool(again.aws.asked)
        count += 1
        cut.umount()
    print("cuts", count, "asked again", tries)
    harness.equal(registered, [CREATE, PROVISION])
    assert count > tries > count // 4


def test_power_cut_while_it_is_wiped():
    journal = blank(Journal(32, 200_000))
    flashed()
    files.replace("certs/b/cert.pem", "c")
    files.replace("certs/b/key.pem", "k")
    write("slot", "ab")
    journal.begin()
    claim.wipe()
    journal.umount()
    for _, cut in journal.cuts():
        cut.mount()
        rig = Rig(flash=True)
        harness.equal(rig.start(), None)  # at the next start
        left = [name for name in ("claim.json", "key.pem", "cert.pem") if there("certs/" + name)]
        # Without the mark nothing is looked for: it went last.
        harness.equal(left, [])
        harness.equal((there("certs/b/cert.pem"), there("certs/b/key.pem")), (b"c", b"k"))
        cut.umount()
