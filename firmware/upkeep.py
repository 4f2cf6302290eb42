# What the loop does now and then, as functions on the App. On demand.

from micropython import const

from firmware import chip, version

_CHECK_S = const(2)  # between two check()
_CHANGED_S = const(3)  # in safe mode, time to report a setting that has changed
_CRASH_S = const(60)  # after a crash: how often the length of the run is written down
_FIRST_S = const(120)  # to get on line after a start: Wi-Fi, the time, an ESP8266's handshake


def ask_time(app):
    from firmware import board
    from firmware.net.clock import ask

    ask(app.clock, app.settings, app.servers, version.BUILD_S2000, board, chip.random, chip.log)


def check(app):
    # While there is no session, in safe mode, and after a crash.
    s, link = app.clock.s, app.connection
    app.check_s = s + _CHECK_S
    if app.counted_s and s >= app.counted_s:
        from firmware import crash

        app.counted_s = crash.alive(s, chip.log) and s + _CRASH_S
    if app.saved is not app.settings.saved:  # what has changed may have been the cause
        app.saved, app.safe_s = app.settings.saved, s + _CHANGED_S
    if app.safe and s >= app.safe_s:
        restart(app, "safe mode ends, trying again")
    limit_s = app.settings.values["offline_reboot_s"]
    # A session counts in which AWS has acknowledged something: what fails in each must not hide.
    if app.offline_s is None and not link.up:
        app.offline_s = s
    outage_s = 0 if link.up else s - app.offline_s
    if limit_s and outage_s >= (limit_s if link.sessions else max(limit_s, _FIRST_S)):
        restart(app, "offline for {} s, restarting".format(outage_s))
    # Once a heap has grown into the memory of TLS it never gets small again (docs/memory.md). One
    # restart at most: it may be a lack that none cures.
    if not link.up and str(link.last_reason).startswith("memory") and app.cause != "memory":
        from firmware import device_info

        if device_info.heap_bytes() > app.heap_bytes + 1024:
            restart(app, "Python's heap has grown into the memory of TLS, restarting", b"memory")


def restart(app, text="restarting, as commanded", why=b""):
    # On purpose: whatever crashed before, the next start is a normal one.
    from firmware import board, crash
    from firmware.net import packets

    chip.log("app: " + text)
    if app.counted_s:
        crash.alive(crash.STABLE_S, chip.log)
    if app.outbox:
        app.outbox.flush()
    packets.disconnect(app.session)
    board.reset(why)
