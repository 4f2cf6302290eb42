# What the board reports: about itself, flat, each name with its unit, and the documents that this
# goes into. The shadow has at most thirteen names beside the settings, of which None takes one
# out; the birth message all that there is something to say of. Loaded on demand.

import binascii
import gc
import json
import machine
import sys

from firmware import chip, version

_TIGHT = (",", ":")
_GET_S = 6 * 3600  # whatever was missed comes right without a new session


def idf_heap_bytes():
    # (free, largest piece) of what ESP-IDF has for Wi-Fi and TLS, which need 61 KB.
    import esp32

    regions = esp32.idf_heap_info(esp32.HEAP_DATA)
    return sum(region[1] for region in regions), max(region[2] for region in regions)


def heap_bytes():
    # What Python's heap has taken. On an ESP32 mem_free() counts the largest piece that ESP-IDF
    # has as Python's.
    return gc.mem_alloc() + gc.mem_free() - (idf_heap_bytes()[1] if chip.VERIFIED else 0)


def report(app, full):
    try:
        rssi = app.wlan.status("rssi") if app.wlan.isconnected() else None
    except (OSError, RuntimeError, ValueError):  # an ESP32, when the network has just gone
        rssi = None
    gc.collect()
    info = {
        "firmware": version.VERSION,
        "board_id": binascii.hexlify(machine.unique_id()).decode(),
        "other_board": app.session.rival,
        "reset_cause": app.cause,
        "safe_mode": bool(app.safe),
        "last_crash": app.last_crash and app.last_crash[:120],
        "rssi_dbm": rssi,
        "free_heap_bytes": gc.mem_free(),
        "sensor_found": app.sampler.sensor,
        "sensor_last_error": app.sampler.last_error,
        "dropped_readings": app.outbox.dropped if app.outbox else None,
    }
    info.update(_by_chip(app))
    if app.sampler.fault or app.shadow.fault:
        from firmware import sensors

        info["sensors"] = sensors.report(app.sampler)
    if not full:
        return info
    info["micropython"] = ".".join([str(n) for n in sys.implementation[1][:3]])
    info["chip"], info["boots"] = chip.CHIP, app.settings.state.get("boots")
    info["tls_verified"], info["wifi_drops"] = chip.VERIFIED, app.connection.wifi_drops
    info["uptime_s"], info["clock_source"] = app.clock.s, app.clock.source
    offset, link = app.clock.offset, app.connection
    info["timestamp"] = None if offset is None else offset + app.clock.s + 946684800  # Unix time
    info["last_reading"] = _last_reading(app.sampler, offset)
    info["config_problems"] = [text[:120] for text in app.problems[:5]] or None
    info["link_drops"], info["link_last_reason"] = link.sessions - link.up, link.last_reason
    info["offline_s"], info["messages_too_large"] = link.down_s, app.session.oversized
    info["sensor_errors"], info["messages_not_understood"] = app.sampler.errors, app.shadow.junk
    box = app.outbox
    info.update({"waiting_readings": box.waiting, "corrupt_readings": box.corrupt} if box else {})
    return info


def _by_chip(app):
    if not chip.VERIFIED:
        return {"tls_verified": False}
    info = {"idf_heap_bytes": idf_heap_bytes()}
    if app.job is not None:  # what becomes of one, or how the last one ended
        info["update"] = app.job.get("state") or app.job.get("update")
    return info


def _last_reading(sampler, offset):
    # Unix time of the newest one of this boot. Its record may have the uptime instead.
    if sampler.readings:
        s2000 = int.from_bytes(sampler.buf[:4], "little")
        if s2000 >> 29 or offset is not None:
            return s2000 + 946684800 + (0 if s2000 >> 29 else offset)


def document(s, facts):
    # What is due of `s`, a ShadowSync: (topic, text, retained?). facts: by report(); ours from
    # now on. Without memory for it nothing has changed.
    if s.clock.s >= s.birth_s:
        facts["online"] = "asleep_until" not in facts  # power.py
        facts = {key: facts[key] for key in facts if facts[key] is not None}
        made = s.session.lw_topic, json.dumps(facts, separators=_TIGHT), True
        # Again soon: when a board takes over from its own last session, the will of that may come
        # after the first birth, and takes its place.
        s.birth_s = s.clock.s + (3600 if s.birth_s else 30)
        return made
    token = "{}-{}".format(s.token, s.session.pid)  # another after each packet
    if s.get_due:
        made = s.prefix + b"get", json.dumps({"clientToken": token}), False
        s.pending = token, None, s.clock.s, None
        s.get_due, s.ask_s = False, s.clock.s + _GET_S
        return made
    values, rejected = s.settings.values, dict.fromkeys(s.rejected)  # None takes out
    rejected.update(s.wrong)
    # An object is emptied by deleting it whole; ours follow in another update.
    sweep = not s.wrong or len(rejected) > 40
    facts = {} if s.bare else facts
    if not s.doubt and facts.get("board_id") == s.settings.state.get("board_id"):
        facts.pop("board_id", None)
    # What AWS makes of an empty object is not documented.
    facts.update(dict.fromkeys(s.gone), rejected=None if sweep else rejected)
    facts.update({key: None if values[key] == {} else values[key] for key in values})
    state = {"reported": facts}
    # Together with reported, else the old desired value would come back as a delta; what is as it
    # always was, or gone, is not to be desired.
    desired = {key: values.get(key) for key in s.local}
    desired = {key: None if desired[key] in ("info", {}) else desired[key] for key in desired}
    if desired:
        state["desired"] = desired
    pending = token, desired, s.clock.s, facts.get("board_id")
    text = json.dumps({"state": state, "clientToken": token}, separators=_TIGHT)
    s.rejected = {} if sweep else dict(s.wrong)
    s.update_due, s.pending, s.gone = s.rejected != s.wrong, pending, ()
    s.since_s, s.sensor, s.fault = s.clock.s, s.sampler.sensor, s.sampler.fault
    return s.prefix + b"update", text, False
