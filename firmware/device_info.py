# What the board reports about itself: flat, each name with its unit; None takes a name back out of
# the shadow, which has at most twelve names beside the settings; the birth message: all. Loaded on
# demand.

import gc
import machine
import sys

from firmware import chip, version


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
        "board_id": "".join("{:02x}".format(b) for b in machine.unique_id()),
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
    info.update({"idf_heap_bytes": idf_heap_bytes()} if chip.VERIFIED else {"tls_verified": False})
    if not full:
        return info
    info["micropython"] = "{}.{}.{}".format(*sys.implementation[1][:3])
    info["chip"] = chip.CHIP
    info["tls_verified"] = chip.VERIFIED
    info["uptime_s"], offset = app.clock.s, app.clock.offset
    info["timestamp"] = None if offset is None else offset + app.clock.s + 946684800  # Unix time
    info["config_problems"] = [text[:120] for text in app.problems[:5]] or None
    info["wifi_drops"] = app.wifi_drops
    info["link_drops"] = app.connection.sessions - app.connection.up
    info["link_last_reason"] = app.connection.last_reason
    info["offline_s"] = app.connection.down_s
    info["clock_source"] = app.clock.source
    info["messages_too_large"] = app.session.oversized
    info["messages_not_understood"] = app.shadow.junk
    info["sensor_errors"] = app.sampler.errors
    if app.outbox:
        info["waiting_readings"], info["corrupt_readings"] = app.outbox.waiting, app.outbox.corrupt
    return info
