# Damaged settings, as config.json, the shadow or a file on flash may bring them: each is refused
# with a reason, or is a value that a board can work with.

import json

import harness
from fakes import Random
from firmware.core import schema
from mutate import LEFT_BYTES, mutate

_COUNT = 600  # 50,000 in `make soak`
_FILE = (
    b'{"interval_s":60,"i2c":{"id":0,"sda":21,"scl":22,"freq_hz":100000},"sensor":"bme280@0x76",'
    b'"drain_per_s":90,"offline_reboot_s":3600,"port":8883}'
)


def judge(raw):
    # How many of the settings were refused.
    refused = 0
    for key in raw:
        value, problem = schema.check(key, raw[key], {})
        if problem is None:
            assert key in schema.DEFAULTS, key
            harness.equal(schema.check(key, value, {key: value}), (value, None))
        else:
            refused += key in schema.DEFAULTS
            assert 0 < len(problem) < 800, problem
            assert key == "i2c" or problem.find("bme280@") < 0, problem  # keys show, values not
    return refused


def shower(random, total):
    # (documents with a bad setting, without, bytes in use after it)
    refused = taken = 0
    for _ in range(total):
        text = mutate(random, _FILE)
        try:
            raw = json.loads(text)
        except ValueError:
            continue
        if isinstance(raw, dict) and judge(raw):
            refused += 1
        else:
            taken += 1
    raw = text = None
    return refused, taken, harness.settled_heap()


def test_damaged_settings():
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
