# A board that sleeps (config.json: "power": "battery") has woken: it reads, stores and sleeps
# again without radio; or it is time to connect, and the usual start follows, with power.py. What
# it needs to know, so that it need not read config.json and settings.json, is in the RTC's
# memory: 0xB5, CRC-16, JSON of a list (_KEYS) of
#   at, asked      the RTC as it went to sleep, and for how long, in ms
#   fix            to be added to the RTC, in ms; ppm: how much longer than asked a sleep lasts
#   sync, slept    s2000 when a server gave the time, 0: never; seconds asleep since; tuned: ppm
#                  has been looked at
#   next, left     s2000 of the next reading; how many readings until it connects
#   fails, urgent  connects failed in a row; an alarm waits
#   read           this wake's reading is taken
#   values         the settings that count here; None: in _FILE, as they are too long
#   found, last    of each sensor: its label; what its values were like, how often, and what is
#                  wrong with it, how often; error: the last one
#   extra          what sampling.py keeps: alarms, values stored last, seconds since
#   battery, size  as in config.json
#   wifi           of the last connect (net/rejoin.py)
#   report         of the last one: s2000, the sensor found, its fault

import json
import machine
import time
from micropython import const

from firmware import board, chip, files
from firmware.core.telemetry import crc16
from firmware.core.timing import Clock

_MAGIC = const(0xB5)
_FILE = const("data/wake.json")
_KEYS = const(
    "fix ppm sync slept left fails at asked next urgent read tuned size values found last error"
    " extra battery wifi report"
)
_TRIES = const(3)  # of a sensor, at one wake
_READ_S = const(15)
_SAMPLE_S = const(6)  # more for each sample: an SCD40 has one in 6 s
_EARLY_S = const(2)  # so much before its time a reading may be taken
_LATE_MS = const(3_600_000)  # an RTC that has moved on by more, or back, was set
_SHORT_MS = const(10)
_LONG_MS = const(86_400_000)
_MOST_MS = const(3_300_000)  # ESP8266: its timer wraps at 71 minutes (esp8266/modmachine.c)
_MOST_BYTES = const(1900)  # of 2,048
_FEW_BYTES = const(400)  # ESP8266: of 492
_TEXT = const(80)  # of what is wrong with a sensor
_UART_MS = const(12)  # until 128 characters are out; only the plain ESP32 waits for them
_WDT_MS = const(120_000)


def run():
    # After a deep sleep. Returns when the usual start is to follow.
    try:
        if chip.VERIFIED:  # the ESP8266 has one of its own
            machine.WDT(timeout=_WDT_MS)
        state = load()
        if state and not _go_on(state):
            save(state)
    except Exception as e:
        from firmware import crash

        chip.log("crash: {} {}".format(type(e).__name__, e))
        save(None)
        crash.record(e, chip.ticks_ms() // 1000, "deepsleep", chip.log, True)


def _go_on(state):
    # False when it is time to connect.
    if not arrive(state):
        chip.log("wake: the time was lost")
        state["sync"] = 0
        return False
    now_ms = rtc_ms() + state["fix"]
    if state["next"] - now_ms // 1000 > _EARLY_S:  # an ESP8266 sleeps in pieces
        sleep(state)
    if not state["sync"]:
        return False
    sampler, alarms = _sampler(state, now_ms), state["extra"] and state["extra"][0]
    measure(sampler)
    keep(sampler, state)
    turn(state, now_ms // 1000)
    state["left"] -= 1
    if state["extra"] and state["extra"][0] != (alarms or [0] * len(state["extra"][0])):
        state["urgent"], state["left"] = True, 0
    if state["left"] <= 0:
        state["read"] = True
        return False
    sleep(state)


def arrive(state):
    # Books the sleep; False when the RTC was set meanwhile.
    now_ms = rtc_ms()
    passed_ms = now_ms - state["at"]
    if not -1000 <= passed_ms <= state["asked"] + _LATE_MS:
        return False
    state["fix"] += passed_ms * state["ppm"] // 1_000_000
    state["slept"] += passed_ms // 1000
    if state["extra"]:
        state["extra"][2] += (passed_ms + 999) // 1000
    state["at"], state["asked"] = now_ms, 0
    return True


def turn(state, s2000):
    # The next reading, on the grid of those before: what is late, or was missed, shifts nothing.
    interval_s = state["values"]["interval_s"]
    late_s = s2000 - state["next"]
    state["next"] += (max(0, late_s) // interval_s + 1) * interval_s


def _sampler(state, now_ms):
    from firmware import outbox, sampler

    values = dict(state["values"])
    values["log_level"] = "info"
    clock = aligned(Clock(chip.ticks_ms, chip.ticks_diff), now_ms)
    clock.offset = now_ms // 1000
    store = outbox.Outbox("data/outbox", state["size"], chip.log)
    made = sampler.Sampler(values, clock, store, None, chip.log)
    made.started, made.interval_s = clock.offset, values["interval_s"]
    if state["battery"]:
        made.divider = tuple(state["battery"][:2])
        made.apply("battery")
    restore(made, state)
    return made


def aligned(clock, now_ms):
    # Its seconds end with those of the time.
    clock._start = clock.now() - now_ms % 1000
    return clock


def measure(sampler):
    # One reading, as the loop has it taken; without one when the sensors fail. What was missing
    # before is looked for once.
    clock, probes, there = sampler.clock, sampler.probes, True
    for one in probes:
        one.failures = _TRIES if one.fault and not one.sensor else 0
    most_s = _READ_S + _SAMPLE_S * sampler.settings.get("samples", 1)
    while sampler.due and there and clock.s < most_s:
        clock.step()
        sampler.step()
        there = sampler.at or any([one.sensor or one.failures < _TRIES for one in probes])
        chip.sleep_ms(sampler.next_due_ms() if sampler.due and there else 0)
    while sampler.kept and sampler.flush():
        pass


def restore(sampler, state):
    # What a Sampler knows from reading to reading.
    labels, faults = state["found"], []
    for one, label, last in zip(sampler.probes, labels, state["last"]):
        one.sensor, (one.last, one.same, one.fault, one.count) = label, last
        faults.append(one.fault)
    sampler.sensor = ", ".join([label for label in labels if label]) or None
    sampler.fault = ", ".join([fault for fault in faults if fault]) or None
    sampler.last_error = state["error"]
    if state["extra"] and sampler.extra is None:
        # As sampling.py makes it, for which there is no room beside power.py.
        made = sampler.extra = type("Extra", (), {})()
        alarms, made.stored, age_s = state["extra"]
        made.alarms, made.stored_s = bytearray(alarms), sampler.clock.s - age_s
        made.taken, made.whose, sampler.buf = [], None, bytearray(107)  # sampling.MOST_BYTES


def keep(sampler, state):
    state["found"] = [one.sensor for one in sampler.probes]
    last = state["last"] = []
    for one in sampler.probes:
        fault = one.fault and one.fault[:_TEXT]
        last.append((one.last, one.same, fault, fault and one.count))
    state["error"] = sampler.last_error and sampler.last_error[:_TEXT]
    extra, state["extra"] = sampler.extra, None
    if extra:
        age_s = sampler.clock.s - extra.stored_s
        state["extra"] = list(extra.alarms), extra.stored, age_s


def rtc_ms():
    # The RTC, in ms since 2000.
    now = machine.RTC().datetime()
    s = time.mktime(now[:3] + now[4:7] + (0, 0)) - board.EPOCH
    return s * 1000 + (now[7] // 1000 if chip.VERIFIED else now[7])


def load():
    # None when there is none, or it is damaged.
    data = _rtc().memory()
    if len(data) < 4 or data[0] != _MAGIC or crc16(data, 3, len(data)) != data[1] | data[2] << 8:
        return None
    state = dict(zip(_KEYS.split(), json.loads(data[3:])))
    if state["values"] is None:
        state["values"] = _stored()
    return state["values"] and state


def save(state):
    # None: there is none any more. One that is too long even so is lost: the usual start, then.
    values, data = state and state["values"], _bytes(state)
    if len(data) > (_MOST_BYTES if chip.VERIFIED else _FEW_BYTES):
        if _stored() != values:
            files.replace(_FILE, json.dumps(values))
        state["values"] = None
        data = _bytes(state)
        state["values"] = values
    try:
        _rtc().memory(data)
    except ValueError:
        _rtc().memory(b"")


def _rtc():
    # Some builds for the ESP32 have none: then it is a file.
    if hasattr(machine.RTC, "memory"):
        return machine.RTC()
    from firmware import rtc_file

    return rtc_file


def _stored():
    try:
        return json.loads(files.read(_FILE, 4096) or b"null")
    except ValueError:
        return None


def _bytes(state):
    if not state:
        return b""
    row = [state[key] for key in _KEYS.split()]
    data = bytearray(3) + json.dumps(row, separators=(",", ":")).encode()
    crc = crc16(data, 3, len(data))
    data[0], data[1], data[2] = _MAGIC, crc & 0xFF, crc >> 8
    return data


def sleep(state):
    # Until the next reading; never returns.
    now_ms = rtc_ms()
    wait_ms = max(_SHORT_MS, min(state["next"] * 1000 - now_ms - state["fix"], _LONG_MS))
    wait_ms = max(_SHORT_MS, wait_ms * 1_000_000 // (1_000_000 + state["ppm"]))
    state["at"], state["asked"] = now_ms, wait_ms if chip.VERIFIED else min(wait_ms, _MOST_MS)
    save(state)
    chip.sleep_ms(_UART_MS)
    machine.deepsleep(state["asked"])
