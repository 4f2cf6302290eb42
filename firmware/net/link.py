# Keeps one session with the broker alive from the main loop.
#
#   state    leaves on                                         to
#   DOWN     wait over, network up, connect(): session there   UP
#   DOWN     the same, but the broker has forgotten us         JOINING, SUBSCRIBE sent
#   DOWN     connect() fails                                   DOWN, longer wait
#   JOINING  SUBACK                                            UP
#   JOINING  LinkError                                         DOWN, longer wait
#   UP       LinkError                                         DOWN, longer wait
#   any      network gone                                      DOWN, the waits stay as they are
#
# Waits shorten again only after STABLE_MS of UP: a broker that lets us in and throws us out must
# not be hammered (Device Advisor: Reconnect_Backoff_Retries_On_Unstable_Connection).
# Blocks only in session.connect(), for mqtt.CONNECT_MAX_MS at most.

from micropython import const

from firmware.core import errors
from firmware.core.backoff import BASE_MS, Backoff
from firmware.core.errors import LinkError

DOWN = const(0)
JOINING = const(1)
UP = const(2)

STABLE_MS = const(20_000)
_FIRST_S = const(120)  # to get on line after a start: Wi-Fi, the time, an ESP8266's handshake

# AWS says no: trying again soon does not help, and a change of policy takes a while to bite.
_NO = (errors.NO_CONNACK, errors.REFUSED)
_NO_BASE_MS = const(8_000)
_NO_FLOOR_MS = const(4_000)


class Link:
    def __init__(self, session, clock, random, log, network_up, topics, offline_reboot_s):
        self._session = session
        self._clock = clock
        self._random = random
        self._log = log
        self._network_up = network_up  # () -> bool
        self._topics = topics
        self._backoff = Backoff(random)
        self._no_backoff = Backoff(random, base_ms=_NO_BASE_MS, floor_ms=_NO_FLOOR_MS)
        self._wait_ms = 0
        self._since = self._counted = clock.now()  # this state began; time was last counted
        self._part_ms = 0  # of a second not counted yet
        self._doubt = False  # our last SUBSCRIBE may not have arrived
        self._stable = True  # the backoff is at its shortest
        self.state = DOWN
        self.on_up = None  # (session_present)
        self.on_down = None  # (LinkError, or None when the network went)
        self.offline_reboot_s = offline_reboot_s  # 0: never
        self.drops = 0  # sessions lost since boot
        self.outage_s = 0  # length of this outage, or of the last
        self.last_reason = None
        self._offline_s = 0
        self._met = False  # there has been a session since boot

    @property
    def up(self):
        return self.state == UP

    def offline_s(self):
        # Seconds without a session since boot.
        return self._offline_s

    def too_long_offline(self):
        # A limit of seconds must not restart a board that has had no time to connect.
        limit_s = self.offline_reboot_s
        if self.state == UP or not limit_s:
            return False
        return self.outage_s >= (limit_s if self._met else max(limit_s, _FIRST_S))

    def resubscribe(self):
        # For when the topics are not those of the last boot: the broker's memory is of no use.
        self._doubt = True

    def step(self):
        self._count()
        if not self._network_up():
            self._network_gone()
            return
        try:
            if self.state == DOWN:
                if self._waited():
                    self._open()
            else:
                self._serve()
        except LinkError as e:
            self._failed(e)

    def _open(self):
        present = self._session.connect()
        if present and not self._doubt:
            self._enter(JOINING)
            self._joined(True)
            return
        self._doubt = True
        self._enter(JOINING)
        self._session.subscribe1(self._topics)

    def _joined(self, present):
        self._doubt = False
        self._met = True
        self._enter(UP)
        self._log("link: up, session " + ("kept" if present else "new"))
        self.outage_s = 0
        if self.on_up:
            self.on_up(present)

    def _serve(self):
        self._session.step()
        if self.state == JOINING:
            if self._session.subscribed:
                self._joined(False)
        elif not self._stable and self._age_ms() >= STABLE_MS:
            self._stable = True
            self._backoff.stable()
            self._no_backoff.stable()

    def _failed(self, error):
        was = self._leave(self._words(error))
        if self._network_up():
            self._stable = False
            backoff = self._no_backoff if error.reason in _NO else self._backoff
            self._wait_ms = backoff.failed()
        self._log("link: {}, next try in {} ms".format(self.last_reason, self._wait_ms))
        if was and self.on_down:
            self.on_down(error)

    def _words(self, error):
        # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9).
        # A reset of the connection, which has an errno, is the network's doing.
        if error.reason == errors.CLOSED and error.detail is None:
            if self.state == JOINING:
                return "closed at SUBSCRIBE: AWS policy?"
            waiting = self._session.in_flight()
            if waiting:
                return "closed with {} unanswered: AWS policy?".format(waiting)
        return str(error)

    def _network_gone(self):
        if self.state == DOWN:
            return
        self._leave("network")
        self._wait_ms = self._random(BASE_MS)  # a whole site comes back at once
        self._log("link: network gone")
        if self.on_down:
            self.on_down(None)

    def _leave(self, reason):
        # True when there was a session to lose.
        was = self.state != DOWN
        self.drops += was
        self.last_reason = reason
        self._session.close()
        self._enter(DOWN)
        return was

    def _enter(self, state):
        self.state = state
        self._since = self._clock.now()

    def _age_ms(self):
        return self._clock.diff(self._clock.now(), self._since)

    def _waited(self):
        # After 6.2 days without a network the mark seems to be in the future.
        return not 0 <= self._age_ms() < self._wait_ms

    def _count(self):
        # In whole seconds as they pass: the clock's milliseconds wrap after days.
        now = self._clock.now()
        passed_ms = self._clock.diff(now, self._counted) + self._part_ms
        self._counted = now
        self._part_ms = passed_ms % 1000
        if self.state != UP:
            self.outage_s += passed_ms // 1000
            self._offline_s += passed_ms // 1000
