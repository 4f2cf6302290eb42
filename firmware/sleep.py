# How a board that sleeps ends a connect, and what it leaves to wake.py. On demand; `power` is the
# Power of power.py.

from micropython import const

from firmware import chip

_SAFE_S = const(1800)
_DAY_S = const(86_400)
_FAILURES = const(3)
_TUNE_S = const(600)  # asleep, at least, to tell from it how fast the oscillator is
_PPM = const(50_000)
_JUMP_PPM = const(60_000)  # a server's clock, not the oscillator
_FIX_MS = const(2_000)  # more is put right in the RTC itself, for a start without its memory
_KEYS = "interval_s batch sensor i2c samples deadband heartbeat_s alarm_high alarm_low hysteresis "


def begin(power, good):
    # Never returns.
    app, state = power.app, power.state
    if app.outbox:
        app.upkeep("flush")
    if good and not app.safe:
        _settle(power)
    from firmware.net import packets, rejoin

    packets.disconnect(app.session)
    s2000 = app.clock.offset and app.clock.offset + app.clock.s
    if good and app.shadow.since_s:
        state["report"] = s2000 or 0, app.shadow.sensor, app.shadow.fault
    if good:
        args = app.ssid, state["wifi"], s2000 or 0, chip.VERIFIED
        state["wifi"] = rejoin.remember(app.wlan, *args)
    rejoin.leave(app.wlan)
    packets = rejoin = None
    app.unload()
    if app.safe or (good and app.counted_s and not power.fresh):
        from firmware import crash

        crash.alive(crash.STABLE_S, chip.log)
    from firmware import board, wake

    now_ms = _time(power, board, wake)
    _plan(power, good, now_ms // 1000, wake)
    if app.outbox:
        wake.keep(app.sampler, state)
    text = "power: {}, asleep until {}; connects in {} readings"
    until = board.date(state["next"]) if state["sync"] else "the next try"
    chip.log(text.format("done" if good else "no success", until, state["left"]))
    wake.sleep(state)


def _settle(power):
    # All went well with the settings on trial before this connect.
    app, trial = power.app, power.app.settings.state.get("trial")
    if app.sampler.failures >= _FAILURES:
        app.upkeep("check")
    elif trial and trial == power.trial:
        app.settings.note("trial", None)


def _time(power, board, wake):
    # In ms since 2000. A server's shows how fast the oscillator is that has counted asleep.
    state, clock = power.state, power.app.clock
    if clock.offset is None:
        state["sync"] = state["fix"] = state["slept"] = 0
        return wake.rtc_ms()
    if clock.source != "rtc" and clock.since_s >= 0:
        if power.offset is not None and state["slept"] >= _TUNE_S:
            apart_s = clock.offset - power.offset
            ppm = abs(apart_s) > 1 and apart_s * 1_000_000 // state["slept"]  # 1: rounded
            if abs(ppm) <= _JUMP_PPM:
                state["ppm"] = max(-_PPM, min(state["ppm"] + ppm, _PPM))
                state["tuned"] = True
        state["sync"], state["slept"] = clock.offset + clock.since_s, 0
    state["sync"] = state["sync"] or 1  # not by a server
    clock.step()
    now_ms = (clock.offset + clock.s) * 1000 + clock.diff(clock.now(), clock._start)
    if abs(now_ms - wake.rtc_ms()) > _FIX_MS:
        board.set_rtc(now_ms // 1000)
    state["fix"] = now_ms - wake.rtc_ms()
    return now_ms


def _plan(power, good, s2000, wake):
    # The next reading, and how many until the next connect.
    app, state, found = power.app, power.state, power.app.settings.values
    keys = (_KEYS + "offset_cdeg").split()
    values = state["values"] = {key: found[key] for key in keys if key in found}
    interval_s, batch = values["interval_s"], values.get("batch", 12)
    state["left"], state["next"] = batch, s2000 + interval_s
    if good:
        state["fails"], state["urgent"] = 0, False
    else:
        state["fails"] += 1
        pause = (1 if state["urgent"] else batch) << min(state["fails"] - 1, 10)
        state["left"] = min(pause, max(batch, _DAY_S // interval_s))
    if app.safe:
        state["left"], state["next"] = 0, s2000 + _SAFE_S
    elif not state["sync"]:  # a reading has no time then: it comes with the next connect
        state["next"], state["left"] = s2000 + state["left"] * interval_s, 0
    else:
        state["next"] = app.clock.offset + app.sampler.turn_s
        wake.turn(state, s2000)
