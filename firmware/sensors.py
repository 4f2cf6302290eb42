# Which sensors are read, and what is wrong with them: search, faults, and the list of them that
# is reported. On demand.

from micropython import const

TRIES = const(3)  # errors in a row, then a sensor is looked for anew
_RETRY_MS = const(1_000)  # after an error; doubles while no sensor is found
_RETRY_MAX_MS = const(30_000)


class Sensor:
    # One of several; a single one is the Sampler itself. No methods: their names would keep this
    # module in memory.
    pass


def listed(rows):
    # Of the setting `sensor`, a list that core/optional.py has checked.
    made = []
    for row in rows:
        one, at = Sensor(), row.get("address")
        one.name = row.get("name", row["chip"])
        one.wanted = row["chip"] + ("" if at is None else "@0x{:02x}".format(at))
        one.sensor = one.driver = one.fault = None  # as in the Sampler
        one.failures = one.last = one.same = 0
        made.append(one)
    return made


def named(s, one):
    # One of several was found: what the log says.
    s.sensor = ", ".join([each.sensor for each in s.probes if each.sensor])
    return "{} is {}".format(one.name, one.sensor)


def failed(s, one, error):
    if isinstance(error, MemoryError) and one.driver:
        # For what is asked beside a plain reading: it is measured once more, when other code has
        # left; but not for ever, one reading is better than none.
        s.lacks += 1
        s.wait.start(_RETRY_MS)
        if s.lacks == 1:
            s.log("sensor: no memory to judge a reading")
        return
    text = "no memory" if isinstance(error, MemoryError) else str(error)
    if isinstance(error, OSError):
        text = "bus: errno {}".format(error.args[0])
    one.failures += 1
    _note(s, one, text)
    if one.driver:
        text = "{}: {}".format(one.driver.name, text)
    if text != s.last_error or one.failures == 1:  # not the same line every minute
        s.log("sensor: " + text)
    s.last_error = text
    most_ms = _RETRY_MS if one.sensor else _RETRY_MAX_MS
    s.wait.start(min(_RETRY_MS << min(one.failures - 1, 5), most_ms))
    s.failures = max([each.failures for each in s.probes])
    if one.failures < TRIES:
        return
    one.sensor = one.driver = None
    if s.extra:
        del s.extra.taken[:]  # they are no other sensor's
    s.sensor = ", ".join([one.sensor for one in s.probes if one.sensor]) or None
    # Of several, the others go on: this one is tried again with the next reading.
    s.at = (s.at + 1) % len(s.probes)
    if s.sensor or s.at:
        s.wait.start(0)
        if not s.at and any([not each.failures for each in s.probes]):
            s.store_reading()


def judge(s, one, least_s):
    # It has measured. What was wrong is over, or something looks wrong: that is reported, and the
    # readings go on.
    driver = one.driver
    if one.failures:
        s.log("sensor: reads again; errors in a row: {}".format(one.failures))
        one.failures = 0
        s.failures = max([each.failures for each in s.probes])
    if 0 < driver.FROZEN <= one.same:
        _note(s, one, "frozen: the same value again and again")
        _set_up(s, one)
    elif s.interval_s < least_s:
        _note(s, one, "read more often than every {} s warms it".format(least_s))
    elif one.fault:
        one.fault = None
        _count(s, one)


def _set_up(s, one):
    # Anew, which resets most chips.
    from firmware import board, drivers

    values = one.driver.values
    one.driver = drivers.find(board.i2c(s.settings["i2c"], 1), one.sensor)[0]
    one.driver.values[:] = values
    s.driver = one.driver
    s.wait.start(one.driver.SETTLE_MS)


def _note(s, one, why):
    if why != one.fault:
        one.fault, one.count = why, 0
    one.count += 1
    _count(s, one)


def _count(s, one):
    if one is not s:
        s.fault = ", ".join([each.fault for each in s.probes if each.fault]) or None


def report(s):
    # For reported.sensors: a list, because that is replaced as a whole (aws-facts 4). None: all
    # is well.
    rows = []
    for one in s.probes:
        if one.fault:
            row = {"fault": one.fault[:80], "count": one.count}
            row["sensor"] = one.sensor or one.wanted if one is s else one.name
            rows.append(row)
    return rows or None
