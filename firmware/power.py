# A board that sleeps (config.json: "power": "battery") while it is connected, and when it is
# done. In memory only there; what it needs now and then is loaded on demand, as sleep.py.

from micropython import const

from firmware import chip

_WINDOW_S = const(20)  # after power-on: for a person to press Ctrl-C
_LIMIT_S = const(90)  # then it sleeps, done or not
_JOIN_S = const(45)  # the same without a network
_GAIN_S = const(30)  # for more, as long as readings get away
_MOST_S = const(900)
_FAILURES = const(3)  # sessions, or a sensor's errors, in a row
_SAFE_S = const(1800)
_SYNC_S = const(21_600)  # between two questions for the time, and two reports of nothing new
_TUNE_S = const(600)  # asleep, at least, to tell from it how fast the oscillator is
_STATUS = const(-4)  # tag of the birth message in the session
_BEYOND = const(946_684_800)  # Unix seconds at 2000-01-01


def attach(app, prepared):
    # Once, at the start, in place of board.watchdog(): what is to be called in each pass. What is
    # needed once does not stay; of what is handed in, App.run() empties the list.
    from firmware import board, wake
    from firmware import power as own

    config = prepared[0]
    power = Power(app, wake.load() if app.cause == "deepsleep" else None)
    power.state["battery"], power.state["size"] = app.sampler.divider, config["outbox_bytes"]
    if app.outbox and not power.fresh:
        wake.restore(app.sampler, power.state)
    if power.state["sync"]:
        _take_up(app, power.state, wake)
        power.offset = app.rtc_s2000 - app.clock.s
    if power.state["wifi"]:
        app.joining = _back(app, power.state["wifi"])
    app.window = app.window_max  # one flight
    power.feed = board.watchdog()  # it has the RTC's memory now
    del Power.__init__, own.attach, own._back, own._take_up
    return power.step


def _back(app, known):
    # Loaded with the first step: there is no room for rejoin.py beside the start (net/clock.py).
    from firmware.net import rejoin

    args = app.clock, chip.random, chip.log, known, app.rtc_s2000, chip.VERIFIED
    yield from rejoin.joining(app.wlan, app.networks, *args)


def _take_up(app, state, wake):
    # Where wake.py has left off.
    now_ms, sampler = wake.rtc_ms() + state["fix"], app.sampler
    clock = wake.aligned(app.clock, now_ms)
    s2000 = app.rtc_s2000 = now_ms // 1000
    age_s = s2000 - state["sync"]
    clock.since_s = -age_s
    if state["tuned"] or state["slept"] < 3 * _TUNE_S:
        clock.ask_s = max(0, _SYNC_S - age_s)
    sampler.due = not state["read"]
    sampler.interval_s = state["values"]["interval_s"]
    sampler.turn_s = state["next"] - sampler.interval_s - s2000
    state["read"] = False


class Power:
    def __init__(self, app, state):
        self.app, self.feed, self.fresh = app, None, not state
        self.least_s, self.end_s = (0 if state else _WINDOW_S), _LIMIT_S
        if not state:
            state = dict.fromkeys("fix ppm sync slept left fails at asked next".split(), 0)
            state.update(dict.fromkeys("urgent read tuned wifi error extra".split()))
            state.update({"found": (), "last": (), "report": (0, None, None)})
            chip.log("power: awake for {} s, Ctrl-C gives the REPL".format(_WINDOW_S))
        self.state, self.offset = state, None  # offset: clock.offset as the RTC has it
        self.waiting = self.told_s = None  # the fewest readings so far; of the birth message
        self.trial = dict(app.settings.state.get("trial", ()))  # that began before this connect
        self.waits, app.connection.wait = app.connection.wait, self.wait
        app.shadow.facts, app.connection.on_up = self.facts, self.up
        session, s2000 = app.session, state["next"]
        until = s2000 + self._apart_s() + _BEYOND if s2000 else "null"
        will = '{{"online": false, "asleep_until": {}}}'.format(until)
        session.set_last_will(session.lw_topic, will.encode(), True, 1)

    def _apart_s(self):
        # From one connect to the next.
        values = self.app.settings.values
        return _SAFE_S if self.app.safe else values.get("batch", 12) * values["interval_s"]

    def facts(self, full):
        # For the birth message: by the time somebody reads it the board sleeps.
        app, sampler = self.app, self.app.sampler
        info = app.facts(full)
        if full:
            offset, self.told_s = app.clock.offset, self._apart_s()
            turn = offset and offset + sampler.turn_s + _BEYOND
            info["asleep_until"] = turn and turn + self.told_s
            if sampler.sensor and not (sampler.fault or sampler.due):  # wake.py has taken it
                info["last_reading"] = info.get("last_reading") or turn
        return info

    def up(self, present):
        # A report is a round trip: only where there is something to report.
        app, sync = self.app, self.app.shadow
        sync.connected(present)
        s2000, *sensor = self.state["report"]
        age_s = (app.clock.offset or 0) + app.clock.s - s2000
        if list(sensor) == [app.sampler.sensor, app.sampler.fault] and not sync.local:
            sync.update_due = not 0 <= age_s < _SYNC_S
            sync.sensor, sync.fault = sensor

    def wait(self, timeout_ms):
        # In place of Connection.wait(): there is nothing to do at once.
        if self._done():
            self._sleep(True)
        if self.app.joining:
            chip.sleep_ms(20)
            return True
        return self.waits(timeout_ms)

    def step(self):
        # After each pass.
        self.feed()
        app, link = self.app, self.app.connection
        app.fault, s = False, app.clock.s
        out, waiting = app.shadow.out, app.outbox and app.outbox.waiting
        if out and out[2] and link.up and _STATUS not in app.session.waiting:
            # With a tag of its own: the shadow does not wait for its PUBACK.
            from firmware.net import packets

            packets.document(app.session, out[0], out[1], _STATUS, True)
            app.shadow.out = None
        if link.up and waiting and (self.waiting is None or waiting < self.waiting):
            self.waiting, self.end_s = waiting, min(max(self.end_s, s + _GAIN_S), _MOST_S)
        if self.told_s not in (None, self._apart_s()):  # a setting has changed
            app.shadow.birth_s = 0
        if self.state["wifi"] and link.failures[0]:  # the address may be another's by now
            from firmware.net import rejoin

            del self.state["wifi"][:]
            rejoin.forget(app.wlan)
            rejoin.leave(app.wlan)
            app.ssid = app.joining = None
        if app.alarmed < 0 and link.failures[0] >= _FAILURES:
            app.upkeep("check")  # drops an alarm that has ended them
        late = s >= (_JOIN_S if app.ssid is None else self.end_s) or link.failures[0] >= _FAILURES
        due = app.outbox and app.sampler.due and not app.sampler.failures  # it is taken first
        if late and s >= (self.end_s + _LIMIT_S if due else self.least_s):
            self._sleep(False)
        app.fault = True

    def _done(self):
        app, session, sync = self.app, self.app.session, self.app.shadow
        clock, sampler = app.clock, app.sampler
        if not app.connection.up or app.runner or clock.heard or clock.s < self.least_s:
            return False
        if app.outbox:
            owed = sampler.failures < _FAILURES and (sampler.due or not sampler.sensor)
            if app.outbox.waiting or sampler.kept or owed:
                return False
        if session.used or session.owed or session.doubt or not session.transport.push():
            return False
        owes = sync.pending or sync.message or sync.out or sync.get_due or sync.update_due
        return not owes and sync.desired is None and clock.s < sync.birth_s

    def _sleep(self, good):
        # Never returns.
        from firmware import sleep

        sleep.begin(self, good)
