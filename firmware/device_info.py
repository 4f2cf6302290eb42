# What the board reports about itself: flat, each name with its unit; None takes a name back out of the
# shadow. The shadow carries at most ten names beside the settings, the birth message all. On demand.

from firmware import board, chip, version

_TEXT_CHARS = 120


def report(app, full):
    sampler, outbox, connection = app.sampler, app.outbox, app.connection
    info = {
        "firmware": version.VERSION,
        "reset_cause": app.cause,
        "safe_mode": app.safe,
        "last_crash": app.last_crash and app.last_crash[:_TEXT_CHARS],
        "rssi_dbm": board.rssi(app.wlan),
        "free_heap_bytes": board.free_heap_bytes(),
        "sensor_found": sampler.sensor,
        "sensor_last_error": sampler.last_error,
        "dropped_readings": outbox.dropped + sampler.dropped if outbox else None,
    }
    if chip.VERIFIED:
        info["idf_heap_bytes"] = board.idf_heap_bytes()  # free, and its largest piece: TLS needs 61 KB
    else:
        info["tls_verified"] = False
    if not full:
        return info
    info.update(
        {
            "micropython": board.micropython_version(),
            "chip": chip.CHIP,
            "board_id": board.unique_id(),
            "tls_verified": chip.VERIFIED,
            "uptime_s": app.clock.s,
            "config_problems": [text[:_TEXT_CHARS] for text in app.problems[:5]] or None,
            "wifi_drops": app.wifi_drops,
            "link_drops": connection.drops,
            "link_last_reason": connection.last_reason,
            "offline_s": connection.offline_s(),
            "clock_source": app.clock.source,
            "messages_too_large": app.session.oversized,
            "messages_not_understood": app.shadow.junk,
            "waiting_readings": outbox.waiting if outbox else None,
            "corrupt_readings": outbox.corrupt if outbox else None,
            "sensor_errors": sampler.errors,
        }
    )
    return info
