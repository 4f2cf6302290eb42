# The life of a session:
#   down            wait over, network there   opening
#   opening         CONNACK                    up; SUBSCRIBE, unless the broker has our session
#   opening or up   LinkError                  down, longer wait
#   opening or up   network gone               down, the waits stay as they are
#
# Readings do not wait for SUBACK: that saves a round trip. Waits get short again only after some
# time up: a broker that lets us in and throws us out must not be hammered (Device Advisor:
# Reconnect_Backoff_Retries_On_Unstable_Connection).

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline
from firmware.net.session import SUBSCRIBE


class Connection:
    def __init__(self, session, clock, random, log, context, limit_bytes):
        self.session, self.clock, self.random, self.log = session, clock, random, log
        self.context, self.limit_bytes = context, limit_bytes  # False, None: one for each connect
        self.up, self.opening = False, None  # opening: what connect.opening() has made
        self.wait_in = Deadline(clock)  # down: until the next try; opening: for all of it
        self.failures = [0, 0, 0]  # in a row; a no by AWS; sessions that ended at SUBSCRIBE
        self.ask_s = 0  # clock.s before which sessions go without SUBSCRIBE
        self.since_s = 0  # of this session, or without one
        self.down_s = 0  # without a session since boot, until the last one began
        # since boot; the number of them in which an alarm was tried; networks that were lost
        self.sessions = self.alarm_sessions = self.wifi_drops = 0
        self.heap_bytes = 0  # Python's heap once all was made
        # make_room: before a context is made, and after it. short: when there is no memory for a
        # message. reserve: for axTLS, without a session.
        self.on_up = self.make_room = self.short = self.last_reason = self.reserve = None

    def step(self, network):
        session = self.session
        try:
            if not network and (self.up or self.opening):
                raise LinkError("network gone")
            if self.up:
                session.step()
            elif network and (self.opening or not self.wait_in.left_ms()):
                if not self.opening:
                    from firmware.net import connect

                    self.opening = connect.opening(self)
                next(self.opening)
            if self.up and session.doubt and SUBSCRIBE not in session.waiting:
                if self.clock.s >= self.ask_s:
                    from firmware.net import packets

                    packets.subscribe(session)
        except Exception as e:
            self.failed(e)

    def wait(self, timeout_ms):
        # Until there is something to read, or to go on writing. False at once without a socket.
        if not self.session.transport:
            return False
        try:
            self.session.transport.wait(timeout_ms)
        except Exception as e:
            self.failed(e)
        return True

    def keep_room(self):
        # axTLS (context: None): the largest piece that it asks for, before others break it up.
        if self.context is None and self.reserve is None:
            try:
                self.reserve = bytearray(5_368)
            except MemoryError:
                pass  # the next connect will say so

    def failed(self, error):
        was_up, self.up, self.opening = self.up, False, None
        try:
            secure = bool(self.session.transport and self.session.transport.body)
            self.session.close()
            self.keep_room()
            from firmware.net import failure

            failure.failed(self, error, secure, was_up)
        except Exception as e:
            self.last_reason = "memory"  # no room for failure.py
            self.wait_in.start(5_000)
            if not isinstance(e, MemoryError):
                self.last_reason = "bug while another was noted"
                self.log("link: bug {}".format(e))
        if was_up:
            self.since_s = self.clock.s
