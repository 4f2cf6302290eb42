# What a plain reading of one sensor does not need: the median of several, an offset, deadbands,
# alarms, the battery, several sensors. On demand, and only where a setting or config.json asks for
# it; s is the Sampler.

from firmware.core.quantities import QUANTITIES
from firmware.core.several import decimal, sensor
from firmware.core.telemetry import RECORD_BYTES
from firmware.core.telemetry import pack as pack_record

_MOST_BYTES = 96  # of a record (outbox.py)
# How far a value must come back from its limit, unless the setting `hysteresis` says.
_HYSTERESIS = (30, 200, 100, 50, 50)


class Extra:
    # No methods: their names would keep this module in memory.
    stored = None  # values as stored last, of all sensors; None: the next is stored in any case
    stored_s = 0
    alarms = b""


def again(s, one):
    # One has measured. True: once more, for the median.
    settings = s.settings
    if s.extra is None:
        asked = [settings[key] for key in ("offset_cdeg", "deadband", "alarm_high", "alarm_low")]
        if settings["samples"] == 1 and len(s.sensors) == 1 and not (any(asked) or s.battery):
            s.extra = False
            return False
        s.extra = Extra()
        s.extra.alarms, s.extra.taken, s.buf = bytearray(5), [], bytearray(_MOST_BYTES)
    taken, values = s.extra.taken, one.driver.values
    if settings["samples"] > 1:
        taken.append(list(values))
        if len(taken) < settings["samples"]:
            return True
        for row in range(len(values)):
            column = sorted([each[row] for each in taken if each[row] is not None])
            if column:
                values[row] = column[len(column) // 2]
        del taken[:]
    if values[0] is not None:
        values[0] += settings["offset_cdeg"].get(one.name or one.driver.name, 0)
    return False


def pack(s):
    # The record of what they have measured, into s.buf; gives its end. 0: it need not be stored.
    extra, several = s.extra, len(s.sensors) > 1
    del extra.taken[:]
    measured = [[] if one.failures or not one.driver else one.driver.values for one in s.sensors]
    battery_mv = None
    if s.battery:
        from firmware import board

        battery_mv = board.battery_mv(*s.battery)
    first = (list(measured[0]) + [None] * 4)[:4] + [battery_mv]
    end = pack_record(s.buf, 0, s.clock.s, first[:4], battery_mv)
    changes = _alarms(s.settings, extra.alarms, first)
    values = [list(each) for each in measured] + [[battery_mv]]
    if not changes and not _moved(s, values):
        return 0
    extra.stored, extra.stored_s = values, s.clock.s
    if not several and not changes:
        return end
    end = RECORD_BYTES
    for row, state in changes:
        s.log("sensor: alarm, {}".format(_said(row, state, first[row])))
        s.buf[end], s.buf[end + 1] = 0, row << 2 | state
        end += 2
    for one, values in zip(s.sensors if several else (), measured):
        if values:
            name = one.name.encode()
            end = sensor(s.buf, end, name, None if one is s.sensors[0] else values)
    return end


def _moved(s, values):
    # Whether it is worth storing. Only what has a deadband counts, and what has come or gone.
    deadband, old = s.settings["deadband"], s.extra.stored
    if old is None or not any(deadband.values()):
        return True
    if s.clock.s - s.extra.stored_s >= s.settings["heartbeat_s"]:
        return True
    for before, now in zip(old, values):
        if len(before) != len(now):
            return True
        start = len(QUANTITIES) - 1 if now is values[-1] else 0
        for row, value in enumerate(now, start):
            was, band = before[row - start], _scaled(deadband, row)
            if (was is None) != (value is None):
                return True
            if band and value is not None and abs(value - was) >= band:
                return True
    return False


def _alarms(settings, states, values):
    # [(row, new state)]: 0 ended, 1 high, 2 low.
    changes = []
    for row, value in enumerate(values):
        if value is None:
            continue
        high, low = (_scaled(settings[key], row) for key in ("alarm_high", "alarm_low"))
        back = _scaled(settings["hysteresis"], row)
        back = _HYSTERESIS[row] if back is None else back
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
    limit = limits.get(QUANTITIES[row][0].decode())
    if limit is None or limit is False:
        return None
    return int(limit * 10 ** QUANTITIES[row][2] + (0.5 if limit > 0 else -0.5))


def _said(row, state, value):
    name, unit, decimals = QUANTITIES[row][:3]
    state = ("normal", "high", "low")[state]
    return "{} {}: {} {}".format(name.decode(), state, decimal(value, decimals), unit)
