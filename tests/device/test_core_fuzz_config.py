# Damaged configurations: each is refused with reasons, or is a configuration in order.

import json

import harness
from fakes import Random
from firmware.core import config
from mutate import LEFT_BYTES, mutate

_COUNT = 600  # 50,000 in `make soak`
_SECRET = "s3cr3t-word"
_FILE = (
    b'{"thing_name":"greenhouse-1","endpoint":"a-ats.iot.eu-west-1.amazonaws.com","port":8883,'
    b'"keepalive_s":60,"interval_s":60,"wifi":[{"ssid":"home","password":"s3cr3t-word"},'
    b'{"ssid":"open"}],"i2c":{"id":0,"sda":21,"scl":22,"freq_hz":100000},"sensor":"bme280@0x76",'
    b'"ntp":["pool.ntp.org"],"telemetry_topic":"devices/{thing}/data","window":8}'
)


def judge(raw):
    # How many problems there were.
    made, problems = config.check(raw)
    assert (made is None) == bool(problems)
    assert len(problems) <= 21, problems
    for problem in problems:
        assert len(problem) < 200, problem
        assert _SECRET not in problem.split(": ", 1)[1], problem
    if made:
        harness.equal(config.check(made), (made, []))
    if isinstance(raw, dict):
        wish(raw, made or {})
    return len(problems)


def wish(raw, made):
    # The same values, as the shadow would bring them.
    for key in raw:
        value, problem = config.check_setting(key, raw[key], made)
        assert problem is None or len(problem) < 800, problem
        if made and key in config.SETTABLE:
            harness.equal((value, problem), (made[key], None))


def shower(random, total):
    # (refused, taken, bytes in use after it)
    refused = taken = 0
    for _ in range(total):
        text = mutate(random, _FILE)
        try:
            raw = json.loads(text)
        except ValueError:
            continue
        if judge(raw):
            refused += 1
        else:
            taken += 1
    raw = text = None
    return refused, taken, harness.settled_heap()


def test_damaged_files():
    random = Random(harness.seed())
    total = harness.count(_COUNT)
    heap_bytes = shower(random, 100)[2]
    refused, taken, after_bytes = shower(random, total)
    grown_bytes = after_bytes - heap_bytes
    print(
        "{} files, {} refused, {} taken, heap {:+d} bytes".format(
            total, refused, taken, grown_bytes
        )
    )
    assert refused > total // 20 and taken and grown_bytes <= LEFT_BYTES


harness.run(globals())
