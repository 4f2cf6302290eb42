# heap: 256wk
# Each message of a whole update is lost, comes twice, late, or is the last one of its session: it
# ends SUCCEEDED, with one trial. The same for the way back, and for the jobs about certificates.

import binascii
import json
import sys

import harness
from firmware import files
from firmware.updates import p256, slots
from flash import Flash, memory, mounted
from update_rig import JOB, Aws, Board, certified

FLASH = mounted(Flash(48))
Board(Aws()).setup()
_START = memory(len(FLASH.data))
_START[:] = FLASH.data


def fresh():
    FLASH.umount()
    FLASH.data[:] = _START
    FLASH.mount()


def updated(faults=None, drops=(), notified=False, kind=None):
    # The messages there were.
    fresh()
    aws = Aws(faults=faults)
    if notified:
        aws.notify()
    board = Board(aws, kind=kind)
    board.drops = drops
    board.power_on()
    if kind:
        board.failed("gone back")
        harness.equal((board.trials, board.starts), (1, ["a"] + ["b"] * TRIED[kind] + ["a"]))
    else:
        board.succeeded()
        harness.equal((board.trials, board.starts), (1, ["a", "b"]))
    return aws.kinds


TRIED = {"crash": 3, "mute": 1}


def each(call, least=16, limit=60):
    # call(n) for each message of a job, as many as it says there were.
    n = 0
    while n < limit:
        try:
            kinds = call(n)
        except Exception:
            print("message", n)
            raise
        if n >= len(kinds):
            break
        n += 1
    print(n, "messages")
    assert n >= least, n


def test_a_whole_update():
    kinds = updated()
    harness.equal(kinds[:4], ASKED)
    harness.equal(kinds.count("jobs/job-1/update"), 2)


ASKED = ["jobs/$next/get", "jobs/$next/get/accepted"]
ASKED += ["jobs/job-1/update", "jobs/job-1/update/accepted"]


def test_each_message_is_lost():
    each(lambda n: updated({n: "lose"}))


def test_each_message_comes_twice():
    each(lambda n: updated({n: "double"}))


def test_each_message_comes_late():
    each(lambda n: updated({n: "late"}))


def test_each_message_is_the_last_of_its_session():
    each(lambda n: updated(drops=(n,)))


def test_each_two_messages_are_lost():
    each(lambda n: updated({n: "lose", n + 1: "lose"}))


def test_each_message_is_lost_and_so_is_its_repetition():
    each(lambda n: updated({n: "lose", n + 2: "lose", n + 4: "lose"}))


def test_notified():
    # A job that comes while the session is there: the same in each case.
    for fault in ("lose", "double", "late"):
        each(lambda n, fault=fault: updated({n: fault}, notified=True))


def test_the_way_back():
    # The same, and it ends FAILED.
    for fault in ("lose", "double", "late"):
        each(lambda n, fault=fault: updated({n: fault}, kind="crash"))
    each(lambda n: updated(drops=(n,), kind="mute"))


def cancelled(n):
    # By AWS, with a message; then the next job comes.
    fresh()
    aws = Aws()
    aws.cancel = n + 1
    Board(aws).power_on()
    harness.equal([files.read(path, 1) for path in ("data/job.json", "data/release")], [None] * 2)
    board = Board(Aws())
    board.power_on()
    board.succeeded()
    return aws.kinds


def test_cancelled_at_any_message():
    each(cancelled)


def made_request(faults=None, drops=()):
    # The job "csr"; the arithmetic is test_p256.py's.
    fresh()
    aws = Aws({"fieldmouse": "csr"}, faults=faults)
    board = Board(aws)
    board.drops = drops
    board.power_on()
    harness.equal((aws.status, board.starts), ("SUCCEEDED", ["a"]))
    asked = binascii.a2b_base64(aws.details["csr"])
    harness.equal(files.read("certs/b/csr.der", 2000), asked)  # the one that its key is for
    harness.equal([status for status, _, _ in aws.final if status != "SUCCEEDED"], [])
    return aws.kinds


def new_key():
    yield
    return 5, 5 << 8, 5 << 16


def sign(key, info):
    yield
    return 5, 5


def tried_certificate(faults=None, drops=()):
    # From where the slot has moved.
    fresh()
    document = {"fieldmouse": "certificate", "certificate": certified()}
    job = {"id": JOB, "document": document, "state": "key"}
    files.replace("data/job.json", json.dumps(job))
    files.replace("slot", "ab aa 3")
    aws = Aws(document, status="IN_PROGRESS", faults=faults)
    board = Board(aws)
    board.drops = drops
    board.power_on()
    harness.equal((aws.status, slots.read()), ("SUCCEEDED", ("ab", None, None)))
    harness.equal([found for found in aws.final if found[:2] != ("SUCCEEDED", slots.read())], [])
    return aws.kinds


def test_certificates():
    p256.new_key, p256.sign = new_key, sign
    for job, least in ((made_request, 6), (tried_certificate, 3)):
        for fault in ("lose", "double", "late"):
            each(lambda n, job=job, fault=fault: job({n: fault}), least)
        each(lambda n, job=job: job(drops=(n,)), least)


def test_two_messages_of_one_update():
    # Of all pairs, 32 and 64 bits together, every fourth.
    tried = 0
    for second in range(1, 20):
        for first in range(second):
            for kind in range(9):
                if (first + second + kind) % 8 == MINE:
                    kinds = FAULTS[kind // 3], FAULTS[kind % 3]
                    try:
                        updated({first: kinds[0], second: kinds[1]})
                    except Exception:
                        print("messages", first, second, kinds)
                        raise
                    tried += 1
    print(tried, "updates")


FAULTS = "lose", "double", "late"
MINE = int(sys.maxsize >> 32 > 0)
