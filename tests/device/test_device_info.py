# heap: 44wk
# What the board reports about itself, and its memory. The app is a stand-in: each value is its own
# name.

import gc

import harness
from fakes_machine import MACHINE, Interface
from firmware import chip, device_info

MACHINE.unique_id = lambda: b"\x0a\xff\x00"


class Named:
    def __init__(self, **known):
        self._known = known

    def __getattr__(self, name):
        return self._known[name] if name in self._known else name


class App(Named):
    def __init__(self, **known):
        self.wlan = Interface([True], 0)
        super().__init__(
            sampler=Named(readings=0, fault=None),
            outbox=Named(dropped=3),
            connection=Named(down_s=17, sessions=5, up=True, wifi_drops=2),
            clock=Named(s=99, source="ntp", offset=848_563_200),
            session=Named(oversized=1, rival=None),
            shadow=Named(junk=4, fault=None),
            settings=Named(state={"boots": 7}),
            problems=[],
            last_crash=None,
            job=None,
            **known,
        )


def report(app, full, verified=True):
    before, chip.VERIFIED = chip.VERIFIED, verified
    try:
        return device_info.report(app, full)
    finally:
        chip.VERIFIED = before


def test_the_shadow_carries_at_most_thirteen():
    for verified in (True, False):
        few = report(App(), False, verified)
        assert len(few) <= 13, few
        full = report(App(), True, verified)
        assert set(few) <= set(full) and len(full) > 20, full
        harness.equal(full["tls_verified"], verified)
    harness.equal(few["tls_verified"], False)  # an unverified server is always said


def test_a_board_that_hears_jobs_says_what_becomes_of_them():
    for job, said in (
        ({}, None),
        ({"state": None}, None),
        ({"state": "fetch", "update": "failed before"}, "fetch"),
        ({"state": "trial"}, "trial"),
        ({"state": None, "update": "succeeded"}, "succeeded"),
    ):
        app = App()
        app._known["job"] = job
        info = report(app, False)
        harness.equal((info["update"], len(info) <= 14), (said, True))


def test_what_it_is_made_of():
    info = report(App(), True)
    harness.equal((info["board_id"], info["chip"]), ("0aff00", chip.CHIP))
    version = info["micropython"].split(".")
    assert len(version) == 3 and int(version[0]) >= 1 and int(version[1]) >= 22, version
    harness.equal((info["uptime_s"], info["offline_s"], info["clock_source"]), (99, 17, "ntp"))
    harness.equal(info["timestamp"], 1_795_248_099)  # Unix time
    harness.equal((info["link_drops"], info["link_last_reason"]), (4, "last_reason"))
    harness.equal((info["dropped_readings"], info["messages_too_large"]), (3, 1))


def test_before_the_time_is_known():
    app = App()
    app.clock._known["offset"] = None
    harness.equal(report(app, True)["timestamp"], None)


def test_the_newest_reading_has_its_date_once_that_is_known():
    app = App()
    harness.equal(report(app, True)["last_reading"], None)  # safe mode, or none yet
    sampler = app.sampler._known
    sampler["readings"], sampler["buf"] = 1, bytearray((90, 0, 0, 0)) + b"\xff" * 8
    assert "last_reading" not in report(app, False)
    harness.equal(report(app, True)["last_reading"], 1_795_248_090)  # taken at 90 s of uptime
    sampler["buf"][:4] = (848_563_207).to_bytes(4, "little")
    harness.equal(report(app, True)["last_reading"], 1_795_248_007)
    app.clock._known["offset"] = None
    harness.equal(report(app, True)["last_reading"], 1_795_248_007)
    sampler["buf"][:4] = bytes(4)
    harness.equal(report(app, True)["last_reading"], None)


def test_safe_mode_is_true_or_false():
    for safe, said in ((False, False), (1, True), (2, True)):
        assert report(App(safe=safe), False)["safe_mode"] is said


def test_the_other_board_is_named():
    app = App()
    harness.equal(report(app, False)["other_board"], None)  # None takes it back
    app.session._known["rival"] = "0b0c"
    harness.equal(report(app, False)["other_board"], "0b0c")


def test_without_an_outbox():
    app = App()
    app._known["outbox"] = None  # safe mode
    info = report(app, True)
    harness.equal(info["dropped_readings"], None)
    assert "waiting_readings" not in info


def test_long_texts_are_cut():
    app = App()
    app._known["problems"] = ["p" * 500] * 9
    app._known["last_crash"] = "c" * 500
    info = report(app, True)
    harness.equal(
        (len(info["last_crash"]), [len(text) for text in info["config_problems"]]),
        (120, [120] * 5),
    )
    harness.equal(report(App(), True)["config_problems"], None)


def test_the_strength_of_the_signal():
    app = App()
    harness.equal(report(app, False)["rssi_dbm"], -61)
    for error in (OSError(12), RuntimeError("Wifi Not Connected"), ValueError("unknown status")):
        app.wlan.error = error
        harness.equal(report(app, False)["rssi_dbm"], None)  # gone in just that moment
    app.wlan.error, app.wlan.joined = None, False
    harness.equal(report(app, False)["rssi_dbm"], None)


def test_what_memory_there_is():
    info = report(App(), False)
    assert 0 < info["free_heap_bytes"] < 1 << 20, info
    harness.equal(info["idf_heap_bytes"], (48_000, 30_000))  # free, and the largest piece
    assert "idf_heap_bytes" not in report(App(), False, False)


def test_the_heap_of_python_without_what_idf_could_add():
    # On an ESP32 mem_free() counts ESP-IDF's largest piece, which is none of Python's yet.
    have = gc.mem_alloc() + gc.mem_free()
    before = chip.VERIFIED
    for chip.VERIFIED, wanted in ((True, have - 30_000), (False, have)):
        harness.equal(device_info.heap_bytes(), wanted)
    chip.VERIFIED = before
