# What the messages of the shadow service mean (docs/architecture.md has the table): functions on
# `s`, a ShadowSync. On demand.

from firmware.core.text import RARE, among, load, printable

_FRESH_S = 10  # for how long an answer may be under way and still say what time it is


def receive(s, kind, payload):
    # Inside the MQTT callback: only taken apart. What it means follows in heard(), when the packet
    # has left the heap. kind: what follows ".../shadow/", whatever AWS sends.
    if s.message:
        s.settings.note("board_id", heard(s) or s.settings.state.get("board_id"))
    kinds = b"update/delta update/accepted update/rejected get/accepted get/rejected"
    if kind not in kinds.split():
        return
    try:
        # Of an update that is accepted the version counts, and what it takes out of desired.
        inner = b'"reported":' if kind == b"update/accepted" else b'"delta":'
        try:
            s.message = kind, load(payload, 12, inner)
        except MemoryError:
            s.sampler.release()  # the next reading finds it again
            try:
                s.message = kind, load(payload, 12, inner)
            except ValueError:  # the first try ended halfway
                raise MemoryError
    except (ValueError, TypeError):
        s.junk += 1


def heard(s):  # gives our board_id once it stands in reported, to be stored
    (kind, message), s.message = s.message, None
    try:
        _dated(s, kind, message)
        return _heard(s, kind, message)
    except MemoryError:
        raise
    except Exception as e:
        if not isinstance(e, (ValueError, TypeError)):
            s.settings.log("shadow: a bug, {}, in a message, dropped".format(e))
        s.junk += 1


def _dated(s, kind, message):
    # AWS's answer to what we have asked in this session says what time it is, if it was soon.
    if s.pending and message.get("clientToken") == s.pending[0]:
        what = b"update" if s.pending[1] is not None else b"get"
        if kind == what + b"/accepted" and s.clock.s - s.pending[2] < _FRESH_S:
            s.clock.heard = message.get("timestamp"), s.clock.s  # for net/clock.py to judge


def _heard(s, kind, message):
    token = message.get("clientToken")
    # Others' answers come on the same topics; AWS leaves the token out of some.
    ours = s.pending and token in (None, s.pending[0])
    ours = ours and kind.startswith(b"get") == (s.pending[1] is None)
    if kind.endswith(b"rejected"):
        if ours:
            _rejected(s, message.get("code"))
        return None
    version, state, landed = message.get("version"), _section(message, "state"), None
    if type(version) is not int or version < 0:
        raise ValueError
    seen = 2 * version + (kind != b"update/accepted")
    if kind == b"get/accepted":
        if ours and (token or seen >= s.seen):
            _answered(s, state, seen)
        return None
    if kind == b"update/delta":
        if seen > s.seen:
            _note(s, state, {})
            # One that answers an update of ours is no news of what AWS has as reported.
            news = not str(token).startswith(s.token)
            s.update_due |= news and any(key not in s.rejected for key in s.desired)
    elif ours and token:
        landed, s.doubt = s.pending[3], s.doubt and not s.pending[3]
        _landed(s)
        s.get_due |= seen + 1 < s.seen  # overtaken on the way, or the count has started again
    else:
        _theirs(s, state, seen)
    if 0 <= s.seen and s.seen // 2 + 1 < version:  # one was lost on the way
        s.get_due = True
    s.seen = max(s.seen, seen)
    return landed


def _theirs(s, state, seen):
    # Another's update. Of a value that it takes out of desired there is no delta: ask; and of one
    # that was rejected, perhaps. MiniStack leaves a section out that was set to null.
    desired = _section(state, "desired")
    gone = not desired and ("desired" in state or not state)
    back = any([gone or desired.get(key, 0) is None for key in s.settings.saved])
    s.get_due |= seen + 2 * back > s.seen and bool(back or s.wrong or s.desired)


def _section(state, key):
    section = state.get(key)
    if not isinstance(section, dict) and section is not None:
        raise TypeError
    return section or {}


def _answered(s, state, seen):
    desired, reported = _section(state, "desired"), _section(state, "reported")
    # Overtaken on the way: ask again. Or a shadow that was deleted counts from 0 again.
    older, s.seen = seen + 1 < s.seen, seen
    _landed(s)
    values = s.settings.values
    s.update_due |= any(reported.get(key, {}) != values[key] for key in values)
    s.gone = tuple([key for key in reported if key not in values and among(key, RARE)])
    s.update_due |= len(s.gone) > 0
    rejected = reported.get("rejected", {})
    s.rejected = rejected if isinstance(rejected, dict) else {"?": True}  # to be put right
    _note(s, desired, reported)
    _forget_bad(s, desired)
    deleted = _compare(s, reported.get("board_id")) or seen < 0
    s.get_due |= older and not deleted
    for key in values:
        if key in desired or (key in s.local) == (key in s.settings.saved):
            continue
        if key in s.local:  # config.json has changed, and nothing is desired instead
            s.forget(key)
        elif deleted:
            s.local[key] = None
            s.update_due = True
        elif not older:
            s.desired[key] = None  # taken back


def _forget_bad(s, desired):
    # What was taken back after a crash, say, once AWS has it as rejected, and nobody desires it.
    bad, kept = s.settings.state.get("rejected", {}), {}
    for key in bad:
        value, wanted = bad[key][0], desired.get(key)
        if isinstance(value, dict) and isinstance(wanted, dict):  # a part, perhaps
            value = {name: value.get(name) for name in wanted}
        if wanted == value or s.rejected.get(key) != bad[key][1]:
            kept[key] = bad[key]
    s.settings.note("rejected", kept or None)


def _compare(s, found):
    # True when reported has lost ours, which goes only into the answer to a get: the shadow is a
    # new one, made by an hourly report, and nobody has taken anything back.
    # With a board of this thing that was replaced, ours has never been reported; state has it once
    # AWS has accepted it. Found another one after that, two boards throw each other out.
    ours = s.settings.state.get("board_id")
    s.doubt = found != ours
    s.update_due |= s.doubt
    other = isinstance(found, str) and ours and s.doubt
    s.session.rival = printable(found, 40) if other else None
    if other:
        s.settings.log("shadow: another board uses this thing: " + s.session.rival)
    return ours and found is None


def _note(s, desired, reported):
    # For ShadowSync.step(): the settings, and a few of the other names; there may be a flood. One
    # that stands in reported as well is not open: the AWS console makes new shadows with one.
    values = s.settings.values
    s.desired = noted = {key: desired[key] for key in values if desired.get(key) is not None}
    others = [key for key in desired if key not in values and desired[key] != reported.get(key)]
    for key in [key for key in others if among(key, RARE)]:
        others.remove(key)
        if desired[key] is not None:
            noted[key] = desired[key]
    others.sort(key=str)
    others[3:] = others[3:] and ["..."]
    for key in others:
        noted[printable(str(key), 40)] = 0  # any value is wrong


def _rejected(s, code):
    update = s.pending[1] is not None
    if code == 404 and not update:
        _answered(s, {}, -1)
    elif update and (code in (400, 401, 403, 404, 415) or (code == 413 and s.bare)):
        s.settings.log("shadow: update refused, {}".format(code))
        s.pending[1].clear()  # so that local stays: what is desired in the cloud is older
        _landed(s)
    else:
        s.lost()
        if update and code in (409, 413):
            s.bare = s.bare or code == 413
            s.wait.start(0)


def _landed(s):  # the document that is pending has its answer
    desired, s.pending = s.pending[1], None
    s.failures = 0
    s.wait.start(0)
    s.bare = s.bare and desired is None
    for key in desired or ():
        if desired[key] in (None, s.settings.values.get(key)):
            s.forget(key)
