# What is true on the board, and what AWS has been told of it. An update is always the
# difference of the two, so nothing is told before it is true and nothing is told twice.
#
# What is in an update counts as told from the moment it is made. When that turns out wrong the
# shadow is asked again, and adopt() sets it right.

import json

from firmware.core import wishes

MAX_BYTES = 8192  # of a shadow document (aws-facts 4.6)

_BAD = (400, 401, 403, 404, 413, 415)  # aws-facts 4.5: the same update would fail again
_TOO_LARGE = 413


class Flight:
    # An update that AWS has not answered yet.
    def __init__(self, token, info, desired):
        self.token = token
        self.info = info
        self.desired = desired


class Reported:
    def __init__(self, settings, local):
        self.true = dict(settings)
        self.local = dict(local or {})  # see Shadow.local
        self.info = None  # facts beside the settings, waiting to be told
        self.flight = None
        self.refused = 0  # updates that AWS called bad
        self._told = None  # the settings as AWS has them; None: not known yet
        self._told_rejected = {}  # None: something there that is no object

    def known(self):
        return self._told is not None

    def change(self, key, value):
        # Made at the device. A second change keeps the value from before the first.
        if self.true.get(key) != value:
            if key not in self.local:
                self.local[key] = self.true.get(key)
            self.true[key] = value

    def adopt(self, reported):
        # AWS has said what it has.
        self._told = {key: reported[key] for key in self.true if key in reported}
        rejected = reported.get("rejected", {})
        self._told_rejected = rejected if isinstance(rejected, dict) else None

    def assume_nothing(self):
        self._told = {}

    def update(self, token, open_wishes, rejected):
        # The document that tells what is new, or None.
        reported = self._news(open_wishes, rejected)
        desired = {key: self.true[key] for key in self.local}
        info, self.info = self.info, None
        if not (reported or desired or info):
            return None
        text = _document(token, reported, desired, info)
        if len(text) > MAX_BYTES:
            self.refused += 1
            info = None
            text = _document(token, reported, desired, info)
        self.flight = Flight(token, info, desired)
        return text

    def _news(self, open_wishes, rejected):
        news = {}
        for key in self.true:
            soon = key in open_wishes and key not in self.local  # told once it is met
            if not soon and self._told.get(key) != self.true[key]:
                news[key] = self._told[key] = self.true[key]
        if self._told_rejected != rejected:
            patch = wishes.difference(self._told_rejected, rejected)
            news["rejected"] = patch
            self._told_rejected = {} if patch is None else dict(rejected)
        return news

    def accepted(self, token):
        # True when it was our update that AWS has accepted.
        if self.flight is None or token != self.flight.token:
            return False
        self._land()
        return True

    def failed(self, token, code):
        # True when the update is to be made anew, from what AWS then says it has.
        # AWS leaves the token out of some refusals; only one update is under way.
        if self.flight is None or token not in (None, self.flight.token):
            return False
        if code == _TOO_LARGE and self.flight.info:
            self.flight.info = None  # can be left out; the rest goes again
        elif code in _BAD:
            self.refused += 1
            self._land()
            return False
        self.abandon()
        return True

    def abandon(self):
        # Not answered, and perhaps not arrived.
        if self.flight is not None:
            self.info = self.info or self.flight.info
            self.flight = None

    def _land(self):
        sent = self.flight.desired
        for key in sent:
            if self.true[key] == sent[key]:
                self.local.pop(key, None)
        self.flight = None


def _document(token, reported, desired, info):
    state = {"reported": dict(info or {})}
    state["reported"].update(reported)
    if desired:
        # Together with reported, or the old wish would come back as a delta.
        state["reported"].update(desired)
        state["desired"] = desired
    return json.dumps({"state": state, "clientToken": token}).encode()
