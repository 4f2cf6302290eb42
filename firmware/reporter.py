# Keeps the shadow true: asks for it after every connect, meets the wishes in it, reports what is
# so, and tells the facts about the board at birth and every hour. The thinking is core/shadow.py;
# here are the publishing, the deadlines and the order: applied, persisted, then reported.

import json

from micropython import const

from firmware.core.schedule import Schedule
from firmware.core.topics import subscribes

FACTS_S = const(3600)
_ANSWER_MS = const(10_000)  # then do without the answer
_LATER_MS = const(30_000)  # after "too many requests" or a fault inside AWS
_NEWS_MS = (0, 60_000, 5_000)  # by how much it matters: how long since we told the facts last

TAG = -1  # of our publishes; those of readings are their seq


class Reporter:
    # apply(key, value) -> None, or why it could not be done; persists what it has done.
    # facts() -> dict, what reported carries besides the settings; facts.news() -> how much the
    # change since then matters, 0 to 2.
    def __init__(self, shadow, session, topics, clock, apply, log):
        self._shadow = shadow
        self._session = session
        self._topics = topics
        self._clock = clock
        self._apply = apply
        self.facts = None
        self._log = log
        self._hourly = Schedule(clock, FACTS_S)
        self._birth_due = False
        self._mark = self._told = clock.now()  # the last publish, the last facts
        self._named = {}
        self._inbound = {
            topics.get_accepted: shadow.get_accepted,
            topics.get_rejected: shadow.get_rejected,
            topics.delta: shadow.delta,
            topics.update_accepted: shadow.update_accepted,
            topics.update_rejected: shadow.update_rejected,
        }

    def connected(self):
        self._shadow.connected()
        self._mark = self._clock.now()  # the last one may be too long ago for the ticks
        self._birth_due = True
        self._hourly.hasten()

    def receive(self, topic, payload):
        # Inside the MQTT callback: only notes. AWS may reply on topics nobody subscribed to.
        handler = self._inbound.get(topic)
        if handler:
            handler(payload)

    def step(self):
        self._meet_wishes()
        if not self._session.can_send():
            return
        if self._birth_due:
            self._birth()
        elif self._shadow.later:
            if self._age_ms(self._mark) > _LATER_MS:
                self._shadow.later = False
        elif self._shadow.waiting():
            if self._age_ms(self._mark) > _ANSWER_MS:
                self._unheard()
        else:
            self._speak()

    def _unheard(self):
        # A broker may keep a session and lose what it is subscribed to, as when one connection
        # takes over from another that is just ending: then nothing ever arrives, in this session
        # or a later one. A SUBSCRIBE too many does no harm.
        self._log("shadow: no answer, subscribing again")
        self._session.subscribe1(subscribes(self._topics))
        self._shadow.no_answer()

    def _speak(self):
        if self._shadow.wants_get:
            self._publish(self._topics.shadow_get, self._shadow.get())
            return
        news = self.facts.news()
        if self._hourly.due() or (news and self._age_ms(self._told) > _NEWS_MS[news]):
            self._told = self._clock.now()
            self._shadow.report(self.facts())
        document = self._shadow.update()
        if document:
            self._publish(self._topics.shadow_update, document)

    def _birth(self):
        self._birth_due = False
        facts = self.facts()
        facts["online"] = True
        self._publish(self._topics.status, json.dumps(facts).encode(), True)

    def _publish(self, topic, document, retain=False):
        self._mark = self._clock.now()
        self._session.publish1(topic, document, TAG, retain)

    def _meet_wishes(self):
        wish = self._shadow.next_wish()
        while wish:
            key, value = wish
            why = self._apply(key, value)
            if why:
                self._shadow.refuse(key, value, why)
            else:
                self._log("shadow: {} is now {}".format(key, json.dumps(value)))
                self._shadow.applied(key, value)
            wish = self._shadow.next_wish()
        if self._shadow.wishes.bad != self._named:
            self._named = dict(self._shadow.wishes.bad)
            for key in self._named:
                self._log("shadow: {} rejected: {}".format(key, self._named[key]))

    def _age_ms(self, mark):
        return self._clock.diff(self._clock.now(), mark)
