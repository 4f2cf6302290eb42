# What the loop does now and then, as functions on the App. On demand.

from micropython import const

from firmware import chip, version

_TLS_BYTES = const(5_500)  # the largest piece that axTLS asks for is 5,368
_CHECK_S = const(2)  # between two check()
_CRASH_S = const(60)  # after a crash: how often the length of the run is written down
_FIRST_S = const(120)  # to get on line after a start: Wi-Fi, the time, an ESP8266's handshake
_AGAIN_MS = const(30_000)  # a crash in safe mode must not become a tight circle


def ask_time(app):
    from firmware import board
    from firmware.net.clock import ask

    ask(app.clock, app.settings, app.servers, version.BUILD_S2000, board, chip.random, chip.log)


def join(app):
    from firmware.net.wifi import joining

    app.wifi_drops += app.ssid is not None
    app.joining = joining(app.wlan, app.networks, app.clock, chip.random, chip.log, app.ssid)


def make_runner(app):
    from firmware.command_runner import CommandRunner

    sampler = None if app.safe else app.sampler
    app.runner = CommandRunner(app.shadow, sampler, app.topic, app.upkeep)


def check(app):
    # While there is no session, in safe mode, and after a crash.
    s, link = app.clock.s, app.connection
    app.check_s = s + _CHECK_S
    if app.counted_s and s >= app.counted_s:
        from firmware import crash

        app.counted_s = crash.alive(s, chip.log) and s + _CRASH_S
    if app.safe and s >= app.safe_s:
        restart(app, "safe mode ends, trying again")
    limit_s = app.settings.values["offline_reboot_s"]
    outage_s = 0 if link.up else s - link.since_s
    if limit_s and outage_s >= (limit_s if link.sessions else max(limit_s, _FIRST_S)):
        restart(app, "offline for {} s, restarting".format(outage_s))
    # Once a heap has grown into the memory of TLS it never gets small again (docs/memory.md). One
    # restart at most: it may be a lack that none cures.
    if not link.up and str(link.last_reason).startswith("memory") and app.cause != "memory":
        from firmware import device_info

        if device_info.heap_bytes() > app.heap_bytes + 1024:
            restart(app, "Python's heap has grown into the memory of TLS, restarting", b"memory")
    # ESP8266: the piece that axTLS needs at the next connect, before others break it up.
    if not chip.VERIFIED and not app.session.transport and app.reserve is None:
        try:
            app.reserve = bytearray(_TLS_BYTES)
        except MemoryError:
            pass  # the connect will say so


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


def crashed(app, error):
    from firmware import board, crash

    crash.record(error, chip.ticks_ms() // 1000, app.cause, chip.log)
    chip.log("crash: {} {}".format(type(error).__name__, error))
    if app.safe:
        chip.sleep_ms(_AGAIN_MS)
    board.reset()
