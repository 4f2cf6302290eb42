# A board that takes updates, on the flash that is mounted, and AWS, in one process: the real
# boot.py and firmware/updates/; power and network are the test's. The files of a tree are content
# and no more: what "runs" is what boot.py has chosen.

import binascii
import hashlib
import json
import os
import sys

import harness
from firmware import chip, files, version
from firmware.net import packets
from firmware.updates import jobs, p256, request, slots, trial
from firmware.updates.tree import root as top

JOB, STREAM, PREFIX = "job-1", "s-1", "$aws/things/T/"
_SIGNATURE_BYTES = 384
_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
_LONG_S = 200_000


class Reset(Exception):
    # machine.reset(), and what the firmware calls for it.
    pass


class Dark(Exception):
    # The power has failed: the fuse of the flash has blown.
    pass


class Machine:
    # Numbers of ports/esp32/modmachine.c.
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

    class Timer:
        ONE_SHOT = 0

        def __init__(self, ident, *, mode, period, callback):
            harness.equal((ident, mode, period), (0, 0, 86_400_000))
            MACHINE.day = callback

    def start(self, cause):
        self.cause, self.day, self.patience_ms = cause, None, None

    def reset_cause(self):
        return self.cause

    def WDT(self, timeout):
        self.patience_ms = timeout

    def reset(self):
        raise Reset


def _source():
    for folder in sys.path:
        try:
            with open(folder + "/boot.py") as f:
                return f.read()
        except OSError:
            pass


MACHINE = sys.modules["machine"] = Machine()
_CODE = compile(_source(), "boot.py", "exec")


def boot(cause):
    # The letter of the firmware that boot.py has chosen.
    import gc

    off()
    MACHINE.start(cause)
    try:
        names = {"__name__": "boot"}
        exec(_CODE, names)
        harness.equal([name for name in names if name not in ("__name__", "gc", "sys")], [])
    finally:
        gc.threshold(-1)
    return slots.running()


def off():
    while sys.path[0] == "b":
        del sys.path[0]


# Trees and releases


def noise(size, number):
    # As good as code: any bytes.
    made = b""
    while len(made) < size:
        made += hashlib.sha256("{} {}".format(number, len(made)).encode()).digest()
    return made[:size]


class Key:
    # Made by tests/host/test_device.py; the modulus as 768 digits.
    def __init__(self):
        with open(os.getenv("FIELDMOUSE_RELEASE_KEY")) as f:
            known = json.load(f)
        self.digits, self.d = known["n"], int(known["d"], 16)

    def sign(self, data):
        # RFC 8017, 8.2.1
        block = b"\x00\x01" + b"\xff" * (_SIGNATURE_BYTES - 3 - len(_INFO) - 32) + b"\x00"
        block = int.from_bytes(block + _INFO + hashlib.sha256(data).digest(), "big")
        return pow(block, self.d, int(self.digits, 16)).to_bytes(_SIGNATURE_BYTES, "big")


KEY = Key()


def tree(number, changed):
    # A firmware of five files; those in `changed` are other ones with each number.
    made = {
        "firmware/app.py": noise(2500, "app"),
        "firmware/core/text.py": noise(1500, "text"),
        "firmware/keys.txt": (KEY.digits + "\n").encode(),
        "firmware/version.py": 'VERSION = "{}.0.0"\n'.format(number).encode(),
    }
    for path in changed:
        made[path] = noise(len(made.get(path, b"")) or 1100, number)
    return made


CHANGED = ("firmware/core/text.py", "firmware/net.py")
OLD, NEW = tree(1, ()), tree(2, CHANGED)


class Release:
    def __init__(self, content, number=2):
        rows = "".join(
            "{} {} {}\n".format(
                path,
                len(content[path]),
                binascii.hexlify(hashlib.sha256(content[path]).digest()).decode(),
            )
            for path in sorted(content)
        )
        head = "fieldmouse 1\nversion {}.0.0\nbuilt {}\nboard {}\nmicropython {}.{}\nolder no\n"
        head = head.format(number, number * 1000, version.BOARD, *sys.implementation[1][:2])
        manifest = "{}files {}\n\n{}".format(head, len(content), rows).encode()
        self.data = manifest + KEY.sign(manifest)
        self.data += b"".join(content[path] for path in sorted(content))
        self.document = {"fieldmouse": "update", "version": "{}.0.0".format(number)}
        self.document["stream"], self.document["manifest_bytes"] = STREAM, len(manifest)


RELEASE = Release(NEW)


def write(root, content):
    for path in content:
        files.replace(root + path, content[path])


def whole(root, content):
    for path in content:
        found = files.read(root + path, len(content[path]) + 1)
        if found != content[path]:
            raise AssertionError("half a slot: {}{}".format(root, path))


# AWS


class Aws:
    # The jobs and the stream of one thing. faults: number of a message, from 0 on, whichever way
    # it goes, -> "lose", "double", or "late": behind the next one of that way. on_change(): the
    # job has another status.
    def __init__(self, document=None, release=RELEASE, status="QUEUED", faults=None):
        self.document, self.release = document or release.document, release
        self.status, self.details, self.faults = status, None, faults or {}
        self.kinds, self.final, self.answers, self.on_change = [], [], [], lambda: None
        self.cancel = None  # with which message
        self._late = [None, None]

    def over(self):
        return self.status not in ("QUEUED", "IN_PROGRESS")

    def document_sent(self, session, topic, text, tag):
        # In place of packets.document().
        topic = topic.decode()
        assert topic.startswith(PREFIX), topic
        for kind, message in self._through(0, topic[len(PREFIX) :], text):
            self._hear(kind, json.loads(message))

    def taken(self):
        # What has come for the board.
        while self.answers:
            for kind, message in self._through(1, *self.answers.pop(0)):
                yield (PREFIX + kind).encode(), bytearray(message.encode())

    def _through(self, way, kind, message):
        fault = self.faults.get(len(self.kinds))
        self.kinds.append(kind)
        if len(self.kinds) == self.cancel and not self.over():
            self.status = "CANCELED"
            self.notify()
        found, late = [(kind, message)] * (2 if fault == "double" else 1), self._late[way]
        self._late[way] = found[0] if fault == "late" else None
        if fault in ("late", "lose"):
            found = []
        return found + ([late] if late else [])

    def notify(self):
        self._answer("jobs/notify-next", self._next())

    def _next(self):
        if self.over():
            return {"timestamp": 1}
        execution = {"jobId": JOB, "status": self.status, "jobDocument": self.document}
        return {"timestamp": 1, "execution": execution}

    def _answer(self, kind, document):
        self.answers.append((kind, json.dumps(document)))

    def _hear(self, kind, asked):
        if kind == "jobs/$next/get":
            answer = self._next()
            answer["clientToken"] = asked["clientToken"]
            self._answer(kind + "/accepted", answer)
        elif kind == "jobs/{}/update".format(JOB):
            self._update(kind, asked)
        else:
            harness.equal(kind, "streams/{}/get/json".format(STREAM))
            harness.equal((asked["f"], asked["l"]), (0, 1024))
            for i in range(asked["o"], asked["o"] + asked["n"]):
                data = self.release.data[i * 1024 :][:1024]
                assert data, asked
                text = binascii.b2a_base64(data).decode().strip()
                block = {"c": asked["c"], "f": 0, "l": len(data), "i": i, "p": text}
                self._answer("streams/{}/data/json".format(STREAM), block)

    def _update(self, kind, asked):
        status = asked["status"]
        for text in asked["statusDetails"].values():
            assert text and len(text) <= 1024 and min(text.encode()) >= 32, text  # [^\p{C}]+
        if status != "IN_PROGRESS":
            self.final.append((status, slots.read(), slots.running()))
        wrong = self.over() or (self.status == "QUEUED" and status == "SUCCEEDED")
        if wrong:
            code = {"code": "InvalidStateTransition", "clientToken": asked["clientToken"]}
            return self._answer(kind + "/rejected", code)
        self.status, self.details = status, asked["statusDetails"]
        self.on_change()
        self._answer(kind + "/accepted", {"clientToken": asked["clientToken"]})
        if self.over():
            self.notify()


# The board


class _Object:
    def __init__(self, **names):
        for name in names:
            setattr(self, name, names[name])


class App:
    def __init__(self, letters):
        self.letters = letters
        self.job, self.job_s, self.trial = {}, 0, False
        self.clock = _Object(s=0, offset=0)
        self.connection = _Object(up=False, sessions=0, since_s=0)
        self.sampler = _Object(due=False)
        self.session = _Object(waiting=(), client_id="T", oversized=0)
        self.shadow = _Object(junk=0, seen=-1, pending=None, get_due=True)
        self.prefix, self.joining = (PREFIX + "shadow/").encode(), None

    def upkeep(self, what):
        harness.equal(what, "update")
        raise Reset


class Board:
    # old: the letter of what runs before the update. kind: what is the matter with the new one,
    # "crash" (when it is imported), "mute" (never a session), "refused" (its certificate).
    def __init__(self, aws, old="a", kind=None):
        self.aws, self.old, self.kind = aws, old, kind
        self.trees = {old: OLD, "b" if old == "a" else "a": NEW}
        self.log, self.starts, self.trials = [], [], 0
        self.stop, self.on_trial = None, lambda: None  # stop: an exception in place of the trial
        self.flash = None  # one that may lose its power
        self.drops = ()  # numbers of the messages behind which the session ends

    def setup(self, leftover=True):
        root = top(self.old)
        write(root, OLD)
        if self.old == "b":
            files.replace("slot", "ba")
        if leftover:  # of an earlier release, in the slot that does not run
            other = top("b" if self.old == "a" else "a")
            last = {"firmware/core/text.py": noise(1500, "old"), "firmware/gone.py": b"gone"}
            last["firmware/keys.txt"] = OLD["firmware/keys.txt"]
            write(other, last)
        os.mkdir("data")

    def power_on(self, cause=Machine.PWRON_RESET):
        # Until there is nothing more to be done (True), or the power has failed (False).
        chip.log, packets.document, begin = self.log.append, self._send, slots.trial
        slots.trial = self._tried
        self._begin = begin
        try:
            while not self._start(cause):
                cause = Machine.HARD_RESET
            return not self._dark()
        except (Dark, OSError):
            if not self._dark():
                raise
            return False
        finally:
            slots.trial = begin
            off()

    def _dark(self):
        return self.flash and self.flash.fuse is not None and self.flash.fuse <= 0

    def _send(self, *args):
        if self._dark():
            raise Dark
        self.aws.document_sent(*args)

    def _tried(self, letters):
        if self.stop:
            raise self.stop
        self._begin(letters)
        self.trials += 1
        self.on_trial()

    def _start(self, cause):
        letter = boot(cause)
        if self._dark():
            raise Dark
        self.starts.append(letter)
        assert len(self.starts) < 12, self.log
        whole(top(letter), self.trees[letter])
        whole(top(self.old), OLD)
        on_trial = slots.on_trial()
        harness.equal(MACHINE.patience_ms, 120_000 if on_trial else None)
        harness.equal(MACHINE.day is not None, on_trial)
        version.VERSION = self.trees[letter]["firmware/version.py"].decode().split('"')[1]
        version.BUILD_S2000 = int(version.VERSION[0]) * 1000
        try:
            if letter != self.old and self.kind == "crash":
                files.replace("data/import.log", "ImportError: no module named x\n")
                MACHINE.reset()
            if letter != self.old and self.kind == "mute":
                MACHINE.day(None)
            self._run()
            return True
        except Reset:
            return False

    def _run(self):
        app = App(slots.read()[0])
        if files.read("slot", 1):
            app.trial = int(slots.on_trial())
            slots.start(chip.log)
        refused = self.kind == "refused" and app.letters[1] == "b"
        while not self._done(app):
            if self._dark():  # what is noted on the way does not say so
                raise Dark
            s = app.clock.s
            assert s < _LONG_S, (self.log, app.job)
            if app.trial and not s % 2:
                trial.check(app)
            link = app.connection
            if not link.up and not refused and s >= link.since_s + 1:
                link.up, link.sessions, link.since_s = True, link.sessions + 1, s
                app.job_s = 0  # upkeep.check()
            if link.up and s >= link.since_s + 3:
                app.trial, app.shadow.seen, app.shadow.get_due = app.trial and 2, 0, False
            if not self._step(app):
                wait = s + 1 if app.trial or not link.up or self.aws.answers else app.job_s
                app.clock.s = max(s + 1, min(wait, s + 600))

    def _step(self, app):
        more = False
        if app.connection.up:
            for topic, payload in self.aws.taken():
                jobs.step(app, topic, payload)
                if len(self.aws.kinds) - 1 in self.drops:
                    app.connection.up, app.connection.since_s = False, app.clock.s
                    del self.aws.answers[:]
                    return False
            more = bool(self.aws.answers)
        return (app.clock.s >= app.job_s and jobs.step(app)) or more

    def _done(self, app):
        rests = app.job and app.job["state"] is None and app.job_s > app.clock.s + 3600
        return self.aws.over() and rests and not self.aws.answers and slots.read()[1] is None

    def succeeded(self):
        # What must be so in the end when the new firmware is good.
        aws, new = self.aws, "b" if self.old == "a" else "a"
        harness.equal((aws.status, aws.details["version"]), ("SUCCEEDED", "2.0.0"))
        for status, slot, letter in aws.final:
            harness.equal((status, slot, letter), ("SUCCEEDED", (new + "a", None, None), new))
        harness.equal((slots.read(), self.starts[-1]), ((new + "a", None, None), new))
        self._tidy()

    def failed(self, words, slot="aa"):
        aws = self.aws
        harness.equal((aws.status, words in aws.details["reason"]), ("FAILED", True))
        for status, found, letter in aws.final:
            harness.equal((status, found[0], letter), ("FAILED", slot, self.old))
        harness.equal((slots.read(), self.starts[-1]), ((slot, None, None), self.old))
        self._tidy()

    def _tidy(self):
        for path in ("data/job.json", "data/release", "data/import.log", "slot.new"):
            harness.equal((path, files.read(path, 1)), (path, None))


def certified():
    # A key in certificate slot b, and a certificate for it, whose text it gives.
    key = 1, p256._X, p256._Y
    parts = [b"\x02\x01\x05"] + [b"0\x00"] * 4 + [request.SPKI + request.point(key)]
    der = request._der(0x30, request._der(0x30, *parts), b"0\x00", b"\x03\x00")
    edge = "-----{} CERTIFICATE-----\n"
    text = edge.format("BEGIN") + binascii.b2a_base64(der).decode() + edge.format("END")
    files.replace("certs/b/key.pem", request.pem(key))
    files.replace("certs/b/cert.pem", text)
    return text
