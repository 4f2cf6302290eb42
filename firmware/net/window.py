# QoS 1 messages between publish and PUBACK. Slots are made when first needed and reused; their
# buffers grow to the longest message and stay, so a steady stream of readings allocates nothing.
#
#   slot       pid   tries
#   free       0     -
#   waiting    > 0   0       to be sent as soon as the wire takes it
#   in flight  > 0   1..3    acknowledged by packet id; sent again after RETRY_MS, then given up

from micropython import const

from firmware.net.packet import PUBLISH, Packet

RETRY_MS = const(5_000)
TRIES = const(3)

_DUP = const(0x08)  # MQTT 3.3.1.1
_PIDS = const(65535)


class Slot(Packet):
    def __init__(self):
        super().__init__()
        self.pid = 0
        self.tries = 0
        self.tag = None
        self.mark = 0  # when it was last sent
        self.kept = False  # sent before, so the broker may have it: DUP

    def publish(self, pid, topic, payload, size, retain):
        self._begin(0x33 if retain else 0x32, 4 + len(topic) + size)
        self.word(len(topic))
        self.write(topic)
        self.word(pid)
        self.write(payload, size)
        self.pid = pid

    def subscribe(self, pid, topics, qos):
        self._begin(0x82, 2 + sum(3 + len(topic) for topic in topics))
        self.word(pid)
        for topic in topics:
            self.word(len(topic))
            self.write(topic)
            self.byte(qos)
        self.pid = pid

    def _begin(self, op, size):
        self.reset()
        self.tries = 0
        self.kept = False
        self.head(op, size)

    def sent(self, now):
        # Goes onto the wire from its first byte. A SUBSCRIBE has no DUP (MQTT 3.8.1).
        self.at = 0
        if self.kept and self.buf[0] & 0xF0 == PUBLISH:
            self.buf[0] |= _DUP
        self.kept = True
        self.tries += 1
        self.mark = now

    def late(self, clock, now):
        return self.pid and (not self.tries or clock.diff(now, self.mark) >= RETRY_MS)

    def rewind(self, kept):
        self.tries = 0
        self.kept = self.kept and kept
        self.buf[0] &= ~_DUP


class Window:
    def __init__(self, slots):
        self._limit = slots
        self._slots = []
        self.used = 0
        self.subscription = Slot()

    def room(self):
        return self._limit - self.used

    def free_slot(self, busy):
        # `busy`: still on the wire, acknowledged by an earlier copy of itself.
        for slot in self._slots:
            if slot.pid == 0 and slot is not busy:
                return slot
        slot = Slot()
        self._slots.append(slot)
        return slot

    def take(self, slot, tag):
        slot.tag = tag
        self.used += 1

    def release(self, slot):
        slot.pid = 0
        slot.tag = None
        self.used -= 1

    def find(self, pid):
        for slot in self._slots:
            if slot.pid == pid and pid:
                return slot

    def subscribe(self, pid, topics, qos):
        self.subscription = Slot()  # the old one may be on the wire
        self.subscription.subscribe(pid, topics, qos)

    def next_pid(self, pid):
        # MQTT 2.3.1: 1 to 65535, and none that is still in flight.
        pid = pid % _PIDS + 1
        while self.find(pid) or self.subscription.pid == pid:
            pid = pid % _PIDS + 1
        return pid

    def due(self, clock, pid):
        # What the wire should take next: the SUBSCRIBE, then the oldest message that was never
        # sent or whose PUBACK is late. Packet ids only count up, `pid` is the newest.
        now = clock.now()
        if self.subscription.late(clock, now):
            return self.subscription
        best, best_age = None, -1
        for slot in self._slots:
            if slot.late(clock, now):
                age = (pid - slot.pid) % _PIDS
                if age > best_age:
                    best, best_age = slot, age
        return best

    def rewind(self, session_present):
        # In a new session all of it goes out again: as new to a broker that has forgotten us,
        # as a repetition to one that has not.
        self.subscription.rewind(False)
        for slot in self._slots:
            slot.rewind(session_present)
