# The board's side of its classic shadow, without I/O or clock. The methods named like topics
# take the payloads; get() and update() make what is to be published, one question and one
# update at a time.
#
#   event                            effect
#   connected()                      ask: a delta is not repeated for who was away
#   get_accepted                     the whole truth: weigh every wish, tell what differs
#   get_rejected 404                 no shadow yet: tell everything
#   delta, not older than seen       weigh its wishes; they are all that are open
#   update_accepted, our token       AWS knows
#   update_accepted, another's       perhaps a wish we refused is gone: ask
#   update_rejected 409              ask, then tell what still differs
#   update_rejected 429, 5xx         the same, but .later: the caller waits before it publishes
#   update_rejected 413              the same, without the facts beside the settings
#   update_rejected, the rest        the update was bad: counted, not repeated
#
# A wish is weighed by the table of the config. A good one waits in next_wish() for applied()
# or refuse(); a bad one is named in reported.rejected with the reason, until it goes away.

import json

from firmware.core import messages
from firmware.core.reported import MAX_BYTES, Reported
from firmware.core.wishes import Wishes

_MAX_UNANSWERED = 3


class Shadow:
    def __init__(self, check, settings, token, local=None, max_bytes=MAX_BYTES):
        # check(key, value) -> (value to use, problem or None), for any key
        # settings: {key: value} in force; only these can be changed
        # token: text of at most 40 characters, another one at each boot
        # max_bytes: of the longest payload worth parsing on this board
        self.reported = Reported(settings, local)
        self.wishes = Wishes(check, self.reported)
        self._token = token
        self._serial = 0
        self._max_bytes = max_bytes
        self._asked = None  # token of the question under way
        self._unanswered = 0  # questions and updates in a row
        self._news = False  # something happened since update() found nothing to say
        # {key: the value before}: changes by command that AWS has not accepted. To be persisted
        # with the settings; the wish they replaced is still in the cloud and must not win.
        self.local = self.reported.local
        self.version = 0  # the newest seen
        self.wants_get = False
        self.later = False  # set here, cleared by the caller once it has waited
        self.junk = self.stale = 0

    def connected(self):
        self._ask_again()
        self._unanswered = 0

    def waiting(self):
        # True while an answer is due. The caller keeps the deadline and calls no_answer().
        return self._asked is not None or self.reported.flight is not None

    def no_answer(self):
        # After three silences do without: the answer may be larger than we can take.
        self._ask_again()
        self._unanswered += 1
        if self._unanswered == _MAX_UNANSWERED:
            self._unanswered = 0
            self.wants_get = False
            self.reported.assume_nothing()

    def report(self, info):
        # Facts beside the settings (firmware, rssi, ...), for the next update.
        self.reported.info = info
        self._news = True

    def changed(self, key, value):
        # A change made at the device; any wish for the same key is older.
        self.reported.change(key, value)
        self._done(key)

    def next_wish(self):
        # (key, value) to be put in force, or None.
        return self.wishes.first()

    def applied(self, key, value):
        # It is in force and persisted: true from now on.
        self.reported.true[key] = value
        self._done(key)

    def refuse(self, key, value, why):
        # A good wish that could not be met, in the words of what failed.
        self.wishes.fail(key, value, why)
        self._news = True

    # To AWS

    def get(self):
        self.wants_get = False
        self._asked = self._next_token()
        return json.dumps({"clientToken": self._asked}).encode()

    def update(self):
        # The next document to publish; None while there is nothing to say or an answer is due.
        if not self._news or self.wants_get or self.waiting() or not self.reported.known():
            return None
        text = self.reported.update(self._next_token(), self.wishes.good, self.wishes.bad)
        self._news = text is not None
        return text

    # From AWS

    def get_accepted(self, payload):
        answer = self._answer(payload)
        if answer is None:
            return
        desired = messages.section(answer.state, "desired")
        reported = messages.section(answer.state, "reported")
        if None in (desired, reported, answer.version):
            self.junk += 1
        elif answer.token is None and answer.version < self.version:
            self.stale += 1
        else:
            # Even when lower: a shadow that was deleted may count from 0 again.
            self.version = answer.version
            self._settle(desired, reported)

    def get_rejected(self, payload):
        answer = self._answer(payload)
        if answer is None:
            return
        if answer.code == 404:
            self.version = 0
            self._settle({}, {})
        else:
            self._asked = None
            self.wants_get = self.later = True

    def delta(self, payload):
        message = self._open(payload)
        if message is None or message.state is None or message.version is None:
            self.junk += message is not None
        elif message.version < self.version:
            self.stale += 1
        else:
            self.version = message.version
            self.wishes.weigh(message.state)

    def update_accepted(self, payload):
        message = self._open(payload)
        if message is None:
            return
        ours = self.reported.accepted(message.token)
        if ours:
            self._unanswered = 0
        if message.version is None:
            self.junk += 1
        elif message.version > self.version:  # if equal, its delta has come already
            self.version = message.version
            if not ours and self.wishes.may_lapse(message.state):
                self.wants_get = True
        elif ours and message.version < self.version:
            self.wants_get = True  # overtaken on the way, or the count has started again

    def update_rejected(self, payload):
        answer = self._open(payload)
        if answer is not None and self.reported.failed(answer.token, answer.code):
            self.wants_get = True
            self.later = answer.code != 409

    def _open(self, payload):
        message = messages.parse(payload, self._max_bytes)
        self._news = True
        if message is None:
            self.junk += 1
        return message

    def _answer(self, payload):
        # To our question: what AWS tells another client comes on the same topics.
        message = self._open(payload)
        if message is None or self._asked is None or message.token not in (None, self._asked):
            return None
        return message

    def _settle(self, desired, reported):
        self._asked = None
        self._unanswered = 0
        self.reported.adopt(reported)
        self.wishes.weigh_anew(desired, reported)

    def _done(self, key):
        self.wishes.done(key)
        self._news = True

    def _ask_again(self):
        self.reported.abandon()
        self._asked = None
        self.wants_get = True
        self._news = True

    def _next_token(self):
        self._serial += 1
        return "{}-{}".format(self._token, self._serial)
