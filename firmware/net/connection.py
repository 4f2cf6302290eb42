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

from firmware.core.timing import Deadline
from firmware.net.session import SUBSCRIBE

DOWN = const(0)
OPENING = const(1)
UP = const(2)

STABLE_S = const(20)
_NO_MEMORY_MS = const(5_000)


class Connection:
    def __init__(self, session, clock, random, log, settings, context, limit_bytes):
        self.session = session
        self.clock = clock
        self.random = random
        self.log = log
        self._settings = settings
        self._context = context  # TLS; None: made for each connect
        self._limit = limit_bytes
        self._opening = None
        self.wait_in = Deadline(clock)  # DOWN
        self.failures = self.refusals = 0
        self.since_s = 0  # of UP; of DOWN since the last UP
        # Our last SUBSCRIBE may not have arrived, or the session AWS holds is for other topics.
        self.doubt = settings.state.get("filters") != session.listens
        self.down_s = 0  # without a session since boot, until the last UP
        self.state = DOWN
        self.on_up = None
        self.drops = 0  # sessions lost since boot
        self.sessions = 0  # since boot
        self.last_reason = None
        self.starved = False  # the last failure was for want of memory

    def outage_s(self):
        return 0 if self.state == UP else self.clock.s - self.since_s

    def step(self, network_up):
        try:
            if not network_up:
                if self.state != DOWN:
                    self._leave()
                    from firmware.net import failure

                    failure.network_gone(self)
            elif self.state == UP:
                self.session.step()
                if self.doubt or self.session.waiting(SUBSCRIBE):
                    self._subscribed()
                if self.failures and self.clock.s - self.since_s >= STABLE_S:
                    self.failures = self.refusals = 0
            elif self.state == OPENING:
                self._go_on()
            elif not self.wait_in.left_ms():
                from firmware.net import connect

                self.state = OPENING
                self._opening = connect.opening(self, self._context, self._limit)
                self._go_on()
        except Exception as e:
            self._failed(e)

    def _go_on(self):
        try:
            next(self._opening)
        except StopIteration as e:
            self._opening = None
            self.state = UP
            self.on_up(e.value)

    def _subscribed(self):
        # Only with SUBACK: had the power gone before, the next start would trust a session of
        # AWS's that has no subscriptions.
        self.doubt = self.session.waiting(SUBSCRIBE)
        if not self.doubt:
            self._settings.note("filters", self.session.listens)

    def wait(self, timeout_ms):
        # Until there is something to read, or to go on writing. False at once without a socket.
        if not self.session.transport:
            return False
        try:
            self.session.transport.wait(timeout_ms)
        except Exception as e:
            self._failed(e)
        return True

    def _failed(self, error):
        was_up = self.state == UP
        self._leave()
        try:
            from firmware.net import failure

            failure.failed(self, error, was_up)
        except MemoryError:
            self.starved = True
            self.wait_in.start(_NO_MEMORY_MS)

    def _leave(self):
        if self.state == UP:
            self.drops += 1
            self.since_s = self.clock.s
        self.state = DOWN
        self._opening = None
        self.session.close()
