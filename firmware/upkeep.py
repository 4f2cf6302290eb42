# What the loop does now and then, as functions on the App. On demand.

from firmware import chip

_CRASH_S = 60  # after a crash: how often the length of the run is written down


def ask_time(app):
    from firmware import board
    from firmware.net.clock import ask

    args = app.settings, app.servers, app.floor, chip.random, chip.log
    ask(app.clock, board.ntp_s2000, board.set_rtc, *args)


def join(app):
    from firmware.net.wifi import Wifi

    app.wifi_drops += app.ssid is not None
    app.joining = Wifi(app.wlan, app.networks, app.clock, chip.random, chip.log, app.ssid)


def alive(app):
    from firmware import crash

    app.counted_s = crash.alive(app.clock.s, chip.log) and app.clock.s + _CRASH_S


def leave_safe_mode(app):
    chip.log("app: safe mode ends, trying again")
    restart(app)


def offline(app):
    chip.log("app: offline for {} s, restarting".format(app.clock.s - app.connection.since_s))
    restart(app)


def memory(app):
    # TLS got no memory. If Python's heap has grown into it: that never gets small again, and TLS
    # would fail for ever. Once: it may be a lack that a restart does not cure.
    starved, app.connection.starved = app.connection.starved, False
    if starved and app.cause != "memory":
        from firmware import device_info

        if device_info.heap_bytes() > app.heap_bytes + 1024:
            chip.log("app: Python's heap has grown into the memory of TLS, restarting")
            restart(app, b"memory")
    # ESP8266: the piece that axTLS needs at the next connect, before others break it up.
    if not chip.VERIFIED and not app.session.transport:
        try:
            app.session.reserve = bytearray(chip.TLS_BYTES)
        except MemoryError:
            pass  # the connect will say so


def make_runner(app):
    from firmware.command_runner import CommandRunner

    sampler = None if app.safe else app.sampler
    app.runner = CommandRunner(
        app.settings,
        sampler,
        app.session,
        app.result,
        app.clock,
        app.shadow,
        app.restart,
        chip.log,
    )


def restart(app, why=b""):
    # On purpose: whatever crashed before, the next start is a normal one. app: None after a crash.
    from firmware import board

    if app:
        if app.counted_s:
            from firmware import crash

            crash.alive(crash.STABLE_S, chip.log)
        if app.outbox:
            app.outbox.flush()
        from firmware.net import packets

        packets.disconnect(app.session)
    board.reset(why)


def crashed(error, cause):
    from firmware import crash

    crash.record(error, chip.ticks_ms() // 1000, cause, chip.log)
    chip.log("crash: {} {}".format(type(error).__name__, error))
