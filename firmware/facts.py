# What the board tells about itself in the shadow and in its birth message: flat, each name with
# its unit. None takes a fact back out of the shadow. Loaded when needed (seldom.py).

from firmware import board, version


def facts(app, news):
    told = {
        "firmware": version.VERSION,
        "micropython": board.micropython_version(),
        "chip": board.CHIP,
        "board_id": board.unique_id(),
        "reset_cause": news.cause,
        "tls_verified": app.tls.verified,
        "safe_mode": app.safe,
        "last_crash": news.last_crash,
        "config_problems": news.problems,
        "settings_damaged": app.settings.damaged or None,
    }
    _passing(told, app)
    if not app.safe:
        _readings(told, app.sampler, app.outbox)
    return told


def _passing(told, app):
    told["free_heap_bytes"] = board.free_heap_bytes()
    told["rssi_dbm"] = app.wifi.rssi()
    told["uptime_s"] = app.uptime.s
    told["wifi_drops"] = app.wifi.drops
    told["link_drops"] = app.link.drops
    told["link_last_reason"] = app.link.last_reason
    told["offline_s"] = app.link.offline_s()
    told["clock_source"] = app.wall.source
    told["messages_too_large"] = app.session.oversized
    told["messages_not_understood"] = app.shadow.junk


def _readings(told, sampler, outbox):
    told["dropped_readings"] = outbox.dropped + sampler.dropped
    told["waiting_readings"] = outbox.waiting
    told["corrupt_readings"] = outbox.corrupt
    told["sensor_found"] = sampler.sensor
    told["sensor_errors"] = sampler.errors
    told["sensor_last_error"] = sampler.last_error
