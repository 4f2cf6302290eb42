# What a plain reading of one sensor does not need: the median of several, deadbands, alarms, the
# battery, several sensors. On demand, and only where a setting or config.json asks for it; s is
# the Sampler. What becomes of alarms: alarms.py.

from micropython import const

from firmware.core import quantities, several, telemetry

# Of a record, all that outbox.py takes: the blocks begin at 19; four alarms, as no chip measures
# pressure and CO2; a first sensor with a name of 12 characters, and three with 8 bytes of values
# as well (BME280).
MOST_BYTES = const(107)


class Extra:
    # No methods: their names would keep this module in memory.
    pass


def again(s, one):
    # One has measured. True: once more, for the median.
    settings = s.settings
    if s.extra is None:
        extra, none = Extra(), bytearray(len(telemetry.SIZES))
        extra.alarms, extra.taken, s.buf = None, [], bytearray(MOST_BYTES)
        # Values as stored last, of all sensors; None: the next is stored in any case.
        extra.stored, extra.stored_s, extra.whose = None, 0, None
        s.extra = extra  # whole, or not at all
        _note(s)
        extra.alarms = extra.alarms or none
    taken, values = s.extra.taken, one.driver.values
    count = settings.get("samples", 1)
    if count > 1:
        whose, s.extra.whose = s.extra.whose, (one, one.driver.name, s.readings)
        if whose != s.extra.whose:  # of another sensor or reading
            del taken[:]
        taken.append(list(values))
        if len(taken) < count:
            return True
        for row in range(len(values)):
            column = sorted([each[row] for each in taken if each[row] is not None])
            if column:
                values[row] = column[len(column) // 2]
        del taken[:]
    return False


def pack(s):
    # The record of what they have measured, into s.buf; gives its end. 0: it need not be stored.
    extra, many = s.extra, len(s.probes) > 1
    del extra.taken[:]
    measured = [[] if one.failures or not one.driver else one.driver.values for one in s.probes]
    battery_mv = None
    if s.divider:
        from firmware import board

        divider, known = s.divider[:2], s.divider[2:]  # measured before the radio was on
        s.divider, battery_mv = divider, known[0] if known else board.battery_mv(*divider)
        battery_mv = min(battery_mv, quantities.LIMITS[2 * quantities.BATTERY + 1])
    first = list(measured[0]) + [None] * (len(telemetry.SIZES) - len(measured[0]))
    first[quantities.BATTERY] = battery_mv
    end = telemetry.pack(s.buf, 0, s.clock.s, first)
    alarms = bytearray(extra.alarms)
    changes = _alarms(s.settings, alarms, first)
    values = [list(each) for each in measured] + [[battery_mv]]
    if not changes and not _moved(s, values):
        return 0
    extra.stored, extra.stored_s = values, s.clock.s
    if not many and not changes:
        return end
    start, end = telemetry.RECORD_BYTES, several.BLOCKS_AT
    s.buf[start:end] = b"\xff" * (end - start)
    for row, state in changes:
        s.log("sensor: alarm, {}".format(_said(row, state, first[row])))
        s.buf[end], s.buf[end + 1] = 0, row << 2 | state
        end += 2
    for one, values in zip(s.probes if many else (), measured):
        if values:
            start, values = end, None if one is s.probes[0] else values
            end = several.sensor(s.buf, end, one.name.encode(), values)
            if start == end:
                s.log("sensor: no room in the record for {}".format(one.name))
    if changes:  # now they are in a record
        extra.alarms[:] = alarms
        _note(s)
    return end


def _note(s):
    # alarms.keep(), by way of upkeep.py; wake.py has the RTC's memory instead.
    try:
        if s.note:
            s.note("alarms")
    except MemoryError:
        pass


def _moved(s, values):
    # Whether it is worth storing. Only what has a deadband counts, and what has come or gone.
    deadband, old = s.settings.get("deadband", {}), s.extra.stored
    if old is None or all([band is False for band in deadband.values()]):
        return True
    if s.clock.s - s.extra.stored_s >= s.settings.get("heartbeat_s", 3600):
        return True
    for before, now in zip(old, values):
        if len(before) != len(now):
            return True
        start = quantities.BATTERY if now is values[-1] else 0
        for row, value in enumerate(now, start):
            was, band = before[row - start], _scaled(deadband, row)
            if (was is None) != (value is None):
                return True
            if band is not None and value is not None and abs(value - was) >= max(band, 1):
                return True
    return False


def _alarms(settings, states, values):
    # [(row, new state)]: 0 ended, 1 high, 2 low.
    changes = []
    for row, value in enumerate(values):
        if value is None:
            continue
        high, low = (_scaled(settings.get(key, {}), row) for key in ("alarm_high", "alarm_low"))
        back = _scaled(settings.get("hysteresis", {}), row)
        back = quantities.HYSTERESIS[row] if back is None else back
        state = states[row]
        if high is not None and value >= high:
            state = 1
        elif low is not None and value <= low:
            state = 2
        elif state == 1 and (high is None or value <= high - back):
            state = 0
        elif state == 2 and (low is None or value >= low + back):
            state = 0
        if state != states[row]:
            states[row] = state
            changes.append((row, state))
    return changes


def _scaled(limits, row):
    # A limit as the whole number that values are; None: there is none.
    limit = limits.get(telemetry.NAMES.split()[row].decode())
    if limit is None or limit is False:
        return None
    return int(limit * 10 ** telemetry.DECIMALS[row] + (0.5 if limit > 0 else -0.5))


def _said(row, state, value):
    name, unit, decimals = quantities.rows()[row][:3]
    state = several.STATES.split()[state]
    return "{} {}: {} {}".format(name, state, several.decimal(value, decimals), unit)
