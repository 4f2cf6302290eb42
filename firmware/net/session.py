# umqtt.simple (1.3.4 to 1.8.0): its attributes, callback and last will are used, whatever reads,
# writes or waits is replaced.
#
# QoS 1 messages between publish and PUBACK stand in slots. Of a reading only its seq is kept: the
# payload is made anew from the outbox each time it is sent. Documents (shadow, results, status)
# and the SUBSCRIBE are kept as packets, one a tag. `sent` of a slot with a packet id:
#
#   0      goes out as soon as the transport takes it
#   1      the same with DUP: the broker has kept the session, and had it before
#   2..4   in flight since sent_ms; again after RETRY_MS, and after the third time the session ends

from micropython import const
from umqtt.simple import MQTTClient

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline

SUBSCRIBE = const(0)  # tag; those of documents are negative, those of readings their seq

RETRY_MS = const(5_000)
PING_MS = const(10_000)  # PINGREQ to PINGRESP
_TRIED = const(4)
_BURST = const(16)  # packets read in one step()
_PIDS = const(65535)


class Session(MQTTClient):
    def __init__(self, thing, server, port, keepalive, clock, slots, topic, text_bytes, encode):
        # encode(seq, buf, at): a reading's payload into buf; where it ends, 0 when it is gone.
        super().__init__(thing, server, port, keepalive=keepalive)
        self._head = 7 + len(topic)  # what stands before the payload
        self.buf = bytearray(self._head + text_bytes)
        self.buf[3 : self._head - 2] = bytes((len(topic) >> 8, len(topic) & 0xFF)) + topic
        self.encode, self.clock = encode, clock
        self.waiting = {}  # tag: (packet, what follows it), until it is acknowledged
        slots += 5  # for SUBSCRIBE and documents
        self.pids, self.tags, self.sent_ms = [0] * slots, [0] * slots, [0] * slots
        self.sent = bytearray(slots)
        self.used = self.oversized = 0  # slots; messages
        self.owed = b""  # PUBACK and PINGREQ
        self.pinged = False  # PINGRESP is awaited
        self.ping_in = Deadline(clock)
        self.transport = None
        self.filters = None  # () -> those of SUBSCRIBE, as text; at most 8, as AWS has it
        self.doubt = True  # whether the broker has them: there was no SUBACK
        self.on_ack = None  # (tag): the broker has it, or there is nothing to send any more
        self.rival = None  # the other board that uses this thing, as the shadow names it

    def take(self, tag, packet=None, at=0, more=None):
        # Queues a reading, or a packet that lacks its id, at `at`; the caller minds the window.
        # more: what is sent after it.
        # Ids: 1 to 65535, and none that is still in flight (MQTT 2.3.1).
        slot = self.pids.index(0)
        self.pid = self.pid % _PIDS + 1
        while self.pid in self.pids:
            self.pid = self.pid % _PIDS + 1
        if packet:
            self.waiting[tag] = packet, more
            packet[at], packet[at + 1] = self.pid >> 8, self.pid & 0xFF
        self.pids[slot] = self.pid
        self.tags[slot] = tag
        self.sent[slot] = 0
        self.used += 1

    def release(self, slot):
        # First on_ack(): if that has no memory, the packet is sent again, and acknowledged again.
        self.on_ack(self.tags[slot])
        self.pids[slot] = 0
        self.waiting.pop(self.tags[slot], None)
        self.used -= 1

    def ping_later(self):
        self.pinged = False
        self.ping_in.start(self.keepalive * 500)

    def step(self):
        transport, left = self.transport, _BURST
        while left and transport.receive():
            self.receive(transport)
            left -= 1
        if self.pinged and left and transport.op:
            self.ping_in.start(PING_MS)  # PINGRESP may have to wait behind half a packet
        # By the clock alone: traffic in one direction says nothing about the other.
        if self.keepalive and not self.ping_in.left_ms():
            if self.pinged:
                raise LinkError("no_pingresp")
            self.owed += b"\xc0\x00"
            self.pinged = True
            self.ping_in.start(PING_MS)
        if not (transport.half_duplex and transport.op):
            while transport.push() and self.send(transport):
                pass

    def receive(self, transport):
        op, body, size = transport.op, transport.body, transport.size
        if op & 0xF0 == 0x30:
            self._message(op >> 1 & 3, body, size, transport.got)
        elif (op == 0x40 and size == 2) or (op == 0x90 and size > 2):
            if op == 0x90 and max(body[2:size]) & 0x80:  # MQTT 3.9.3
                raise LinkError("refused", "SUBSCRIBE")
            pid = body[0] << 8 | body[1]
            slot = self.pids.index(pid) if pid and pid in self.pids else -1
            if slot >= 0 and (op == 0x90) == (self.tags[slot] == SUBSCRIBE):
                self.release(slot)
                self.doubt = self.doubt and op != 0x90
        elif op == 0xD0 and size == 0:
            self.ping_later()
        else:
            raise LinkError("protocol", "packet {:#04x}".format(op))

    def _message(self, qos, body, size, got):
        # MQTT 3.3; AWS has no QoS 2 and no topic above 256 bytes. PUBACK only after the callback.
        end = 2 + (body[0] << 8 | body[1])  # of the topic
        start = end + 2 if qos else end
        ident = bytes(body[end:start])
        if qos > 1 or end == 2 or start > got or ident == b"\x00\x00":
            raise LinkError("protocol", "publish")
        if got < size:
            self.oversized += 1
        else:
            view = memoryview(body)
            self.cb(bytes(view[2:end]), view[start:size])
        if qos:
            self.owed += b"\x40\x02" + ident

    def send(self, transport):
        # False when there is nothing.
        if self.owed:
            transport.send(self.owed, 0, len(self.owed))
            self.owed = b""
            return True
        slot = self.due()
        if slot < 0:
            return False
        tag, sent = self.tags[slot], self.sent[slot]
        if sent == _TRIED:
            raise LinkError("no_suback" if tag == SUBSCRIBE else "no_puback")
        packet, at, more = self.waiting.get(tag), 0, None
        if packet:
            packet, more = packet
            end = len(packet)
        else:
            # A reading: the payload, then what stands before it, as its size is known only now:
            # type, one or two bytes of length, the topic (there already), id.
            packet, head, pid = self.buf, self._head, self.pids[slot]
            end = self.encode(tag, packet, head)
            if not end:
                self.release(slot)  # dropped to make room for newer ones, or unreadable by now
                return True
            packet[head - 2], packet[head - 1] = pid >> 8, pid & 0xFF
            size = end - 3
            packet[1], packet[2] = size & 0x7F | 0x80, size >> 7 or size
            at = 0 if size > 0x7F else 1
            packet[at] = 0x32
        if tag != SUBSCRIBE:  # which has no DUP (MQTT 3.8.1)
            packet[at] = packet[at] & 0xF7 | (8 if sent else 0)
        self.sent[slot] = (sent or 1) + 1
        self.sent_ms[slot] = self.clock.now()
        transport.send(packet, at, end, more)
        return True

    def due(self):
        # The slot to be sent next, -1 for none: not sent in this session, or its PUBACK is late;
        # the oldest first. Packet ids only count up, self.pid is the newest.
        best = oldest = -1
        now, pids = self.clock.now(), self.pids
        for slot in range(len(pids)):
            age = (self.pid - pids[slot]) % _PIDS
            late = self.clock.diff(now, self.sent_ms[slot]) >= RETRY_MS
            if pids[slot] and age > oldest and (late or self.sent[slot] < 2):
                best, oldest = slot, age
        return best

    def close(self):
        # What has no PUBACK stays for the next session.
        transport, self.transport = self.transport, None
        if transport:
            transport.close()
