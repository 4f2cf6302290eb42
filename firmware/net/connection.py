# The life of a session.
#
#   state    leaves on                                      to
#   DOWN     wait over, network up                          OPENING
#   OPENING  CONNACK                                        UP, SUBSCRIBE queued unless the
#                                                           broker still has our session
#   OPENING  LinkError                                      DOWN, longer wait
#   UP       LinkError                                      DOWN, longer wait
#   any      network gone                                   DOWN, the waits stay as they are
#
# Readings do not wait for SUBACK: that saves a round trip. Waits get short again only after
# STABLE_S of UP: a broker that lets us in and throws us out must not be hammered (Device Advisor:
# Reconnect_Backoff_Retries_On_Unstable_Connection).

from micropython import const

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline, pause_ms
from firmware.net.session import SUBSCRIBE

DOWN = const(0)
OPENING = const(1)
UP = const(2)

STABLE_S = const(20)
BASE_MS = const(1_000)
_CAP_MS = const(60_000)
_FLOOR_MS = const(500)
# AWS says no: trying again soon does not help, and a change of policy takes a while to act.
_NO = ("no_connack", "refused")
_NO_BASE_MS = const(8_000)
_NO_FLOOR_MS = const(4_000)


class Connection:
    def __init__(self, session, clock, random, log, settings, context, limit_bytes):
        self._session = session
        self._clock = clock
        self._random = random
        self._log = log
        self._settings = settings
        self._context = context  # TLS; None: made for each connect
        self._limit = limit_bytes
        self._opening = None
        self._wait = Deadline(clock)
        self._failures = self._refusals = 0
        self._since_s = 0  # of UP; of DOWN since the last UP
        # Our last SUBSCRIBE may not have arrived, or the session AWS holds is for other topics.
        self._doubt = settings.state.get("filters") != session.listens
        self._offline_s = 0
        self.state = DOWN
        self.on_up = None
        self.drops = 0  # sessions lost since boot
        self.sessions = 0  # since boot
        self.last_reason = None
        self.starved = False  # the last failure was for want of memory

    def outage_s(self):
        return 0 if self.state == UP else self._clock.s - self._since_s

    def offline_s(self):
        # Seconds without a session since boot.
        return self._offline_s + self.outage_s()

    def step(self, network_up):
        if not network_up:
            self._network_gone()
            return
        try:
            if self.state == UP:
                self._session.step()
                if self._session.waiting(SUBSCRIBE):
                    self._doubt = True
                elif self._doubt:
                    # Only now: had the power gone before SUBACK, the next start would trust a
                    # session of AWS's that has no subscriptions.
                    self._doubt = False
                    self._settings.note("filters", self._session.listens)
                if self._failures and self._clock.s - self._since_s >= STABLE_S:
                    self._failures = self._refusals = 0
            elif self.state == OPENING:
                self._go_on()
            elif not self._wait.left_ms():
                from firmware.net import connect

                self.state = OPENING
                args = self._session, self._context, self._clock, self._limit
                self._opening = connect.opening(*args)
                self._go_on()
        except Exception as e:
            self._failed(e)

    def _go_on(self):
        try:
            next(self._opening)
        except StopIteration as e:
            present = e.value
            self._opening = None
            self._session.begin(present)
            self._doubt = self._doubt or not present
            if self._doubt:
                self._session.subscribe()
            self._offline_s += self.outage_s()
            self._since_s = self._clock.s
            self.state = UP
            self.sessions += 1
            self.starved = False
            self._log("link: up, session " + ("kept" if present else "new"))
            self.on_up(present)

    def wait(self, timeout_ms):
        # Until there is something to read, or to go on writing. False at once without a socket.
        if not self._session.transport:
            return False
        try:
            self._session.transport.wait(timeout_ms)
        except LinkError as e:
            self._failed(e)
        return True

    def _failed(self, error):
        if isinstance(error, MemoryError):
            error = LinkError("memory", "session")
        elif not isinstance(error, LinkError):
            # Nothing that a server or a name server sends may end the program.
            error = LinkError("bug", "{} {}".format(type(error).__name__, error))
        reason = str(error)
        # AWS answers a PUBLISH or SUBSCRIBE that the policy forbids by closing (aws-facts 1.9). A
        # reset of the connection, which has an errno, is the network's doing.
        if error.reason == "closed" and error.detail is None and self.state == UP:
            if self._session.waiting(SUBSCRIBE):
                reason = "closed at SUBSCRIBE: AWS policy?"
            elif self._session.used:
                reason = "closed with {} unanswered: AWS policy?".format(self._session.used)
        self.starved = error.reason == "memory"
        self._leave(reason)
        if error.reason in _NO:
            self._refusals += 1
            wait_ms = pause_ms(self._random, self._refusals, _NO_BASE_MS, _CAP_MS, _NO_FLOOR_MS)
        else:
            wait_ms = pause_ms(self._random, self._failures + 1, BASE_MS, _CAP_MS, _FLOOR_MS)
        self._failures += 1
        self._wait.start(wait_ms)
        self._log("link: {}, next try in {} ms".format(reason, wait_ms))

    def _network_gone(self):
        if self.state != DOWN:
            self._leave("network")
            self._wait.start(self._random(BASE_MS))  # a whole site comes back at once
            self._log("link: network gone")

    def _leave(self, reason):
        if self.state == UP:
            self.drops += 1
            self._since_s = self._clock.s
        self.state = DOWN
        self._opening = None
        self.last_reason = reason
        self._session.close()
