# umqtt.simple made safe for years of a bad network, without a fork (versions 1.3.4 to 1.8.0). Used
# of the base class: its attributes, the callback, the last will, _send_str and ping. They only
# write, and what they write goes into a Packet in place of the socket. Whatever reads or waits is
# replaced.
#
# QoS 1 messages between publish and PUBACK stand in slots. Of a reading only its seq is kept: the
# payload is made anew from the outbox each time it is sent. Documents (shadow, results, status)
# and the SUBSCRIBE are kept as packets, one a tag.
#
#   slot       pid   sent
#   free       0     -
#   waiting    > 0   0       to be sent as soon as the transport takes it
#   in flight  > 0   1..3    acknowledged by packet id; sent again after RETRY_MS, then given up
#   _KEPT is added once the broker may have it: in a kept session it goes out with DUP
#
# connect.py opens; step() does the rest, and raises LinkError when the session is over.

from micropython import const
from umqtt.simple import MQTTClient

from firmware.core.errors import LinkError
from firmware.core.timing import Deadline

SUBSCRIBE = const(0)  # tag; those of documents are negative, those of readings their seq

RETRY_MS = const(5_000)
PING_MS = const(10_000)  # PINGREQ to PINGRESP
_TRIES = const(3)
_KEPT = const(8)
_BURST = const(16)  # packets read in one step()
# PUBACKs that wait for a slow transport; then reading waits too. Not with axTLS, where writing
# waits for reading: AWS leaves at most 100 messages without PUBACK.
_OWED_BYTES = const(32)
_PIDS = const(65535)


class Session(MQTTClient):
    def __init__(self, thing, server, port, keepalive_s, clock, slots, topic, text_bytes, encode):
        # encode(seq, buf, at): writes the payload of a reading, text_bytes at most, into buf from
        # `at` on; where it ends, or 0 when the reading is gone.
        super().__init__(thing, server, port, keepalive=keepalive_s)
        self.sock = self  # umqtt's ping() writes
        self._head = 7 + len(topic)  # what stands before the payload
        self._reading = bytearray(self._head + text_bytes)
        self._reading[3 : self._head - 2] = bytes((len(topic) >> 8, len(topic) & 0xFF)) + topic
        self._encode = encode
        self._clock = clock
        self._packets = {}  # tag: bytes, until they are acknowledged
        slots += 4  # for SUBSCRIBE and documents
        self.pids = [0] * slots
        self.tags = [0] * slots
        self.sent = [0] * slots
        self._marks = [0] * slots  # when it was last sent
        self._small = bytearray(32)  # PUBACK and PINGREQ: owed[given : owed] is still to be sent
        self.owed = self.given = 0
        self.pinged = False  # PINGRESP is awaited
        self.ping_in = Deadline(clock)
        self.transport = None
        self.reserve = None  # ESP8266: kept free for axTLS while there is no session
        self.used = 0  # slots
        self.oversized = self.resent = 0
        self.filters = None  # () -> those of SUBSCRIBE, as text; at most 8, as AWS has it
        self.listens = None  # text: what of them may change for a thing, the topic of commands
        self.on_ack = None  # (tag): the broker has it

    def reading(self, seq):
        # Queues, as the next two do; step() sends. The caller minds the number of slots.
        self.take(seq)

    def document(self, topic, payload, tag, retain=False):
        # QoS 1. False while the last one of this tag is not acknowledged.
        if tag in self._packets:
            return False
        from firmware.net import packets

        packets.document(self, topic, payload, tag, retain)
        return True

    def subscribe(self):
        from firmware.net import packets

        packets.subscribe(self)

    def waiting(self, tag):
        return tag in self._packets

    def take(self, tag, packet=None, at=0):
        # The packet id, MQTT 2.3.1: 1 to 65535, and none that is still in flight. `packet` is
        # ready but for it, at `at`.
        i = self.pids.index(0)
        while True:
            self.pid = self.pid % _PIDS + 1
            if self.pid not in self.pids:
                break
        if packet:
            self._packets[tag] = packet
            packet[at], packet[at + 1] = self.pid >> 8, self.pid & 0xFF
        self.pids[i] = self.pid
        self.tags[i] = tag
        self.sent[i] = 0
        self.used += 1

    def release(self, i):
        self.pids[i] = 0
        self._packets.pop(self.tags[i], None)
        self.used -= 1

    def write(self, data):
        # Small things, in the transport's next record.
        end = self.owed + len(data)
        if end > len(self._small):
            self._small.extend(bytes(32))
        for i in range(len(data)):
            self._small[self.owed + i] = data[i]
        self.owed = end

    def step(self):
        # At most _BURST packets in, and out whatever the transport takes.
        transport = self.transport
        drained = False
        slow = transport.op  # PINGRESP may have to wait behind it
        for _ in range(_BURST):
            if self.owed >= _OWED_BYTES and not transport.half_duplex:
                break
            if not transport.receive():
                drained = not transport.op
                break
            if self.pinged and slow:
                self.ping_in.start(PING_MS)
            slow = False
            self._handle(transport)
            transport.next()
        # By the clock alone: traffic in one direction says nothing about the other.
        if self.keepalive and not self.ping_in.left_ms():
            if not self.pinged:
                self.ping()
                self.pinged = True
                self.ping_in.start(PING_MS)
            elif not transport.op:
                raise LinkError("no_pingresp")
        if drained or not transport.half_duplex:
            while transport.push() and self._send(transport):
                pass

    def _handle(self, transport):
        op, body, size = transport.op, transport.body, transport.size
        if op & 0xF0 == 0x30:
            self._message(transport)
        elif (op == 0x40 and size == 2) or (op == 0x90 and size > 2):
            pid = body[0] << 8 | body[1]
            if pid and pid in self.pids:
                i = self.pids.index(pid)
                tag = self.tags[i]
                if (op == 0x90) != (tag == SUBSCRIBE):
                    return
                for at in range(2, size):
                    if body[at] & 0x80:  # MQTT 3.9.3
                        raise LinkError("refused", "filter {} of SUBSCRIBE".format(at - 1))
                self.release(i)
                self.on_ack(tag)
        elif op == 0xD0 and size == 0:
            self.pinged = False
            self.ping_in.start(self.keepalive * 500)
        else:
            raise LinkError("protocol", "packet {:#04x}".format(op))

    def _message(self, transport):
        # MQTT 3.3: QoS 3 does not exist, AWS has no QoS 2, a topic is not empty, packet id 0 is
        # none. The PUBACK is written after the callback, which therefore cannot get between.
        body, size = transport.body, transport.size
        qos = transport.op >> 1 & 3
        topic = body[0] << 8 | body[1] if size > 1 else 0
        start = 2 + topic + (2 if qos else 0)
        if qos > 1 or not topic or start > size:
            raise LinkError("protocol", "publish")
        if start > transport.keep:
            raise LinkError("too_large", "topic")
        high, low = body[start - 2], body[start - 1]
        if qos and not (high or low):
            raise LinkError("protocol", "packet id 0")
        if transport.keep < size:
            self.oversized += 1
        else:
            view = memoryview(body)
            self.cb(bytes(view[2 : 2 + topic]), view[start:size])
        if qos:
            self.write(bytes((0x40, 2, high, low)))

    def _send(self, transport):
        # Gives the transport what goes next: small things, then what is due.
        if self.given < self.owed:
            transport.send(self._small, self.given, self.owed)
            self.given = self.owed
            return True
        self.given = self.owed = 0
        i = self.due()
        if i < 0:
            return False
        tag, sent = self.tags[i], self.sent[i]
        if sent & 7 == _TRIES:
            raise LinkError("no_suback" if tag == SUBSCRIBE else "no_puback")
        packet, at = self._packets.get(tag), 0
        end = len(packet) if packet else 0
        if not packet:
            # A reading: the payload where it will be, then what stands before it, as its size is
            # known only then: type, one or two bytes of length, the topic (there already), id.
            packet, head, pid = self._reading, self._head, self.pids[i]
            end = self._encode(tag, packet, head)
            if not end:
                self.release(i)  # dropped meanwhile, to make room for newer readings
                return True
            packet[head - 2], packet[head - 1] = pid >> 8, pid & 0xFF
            packet[1], packet[2] = (end - 3) & 0x7F | 0x80, (end - 3) >> 7
            if not packet[2]:
                at = 1
                packet[2] = end - 3
            packet[at] = 0x32
        if tag != SUBSCRIBE:  # which has no DUP (MQTT 3.8.1)
            packet[at] = packet[at] & 0xF7 | (8 if sent else 0)
        self.resent += sent > 0
        self.sent[i] = (sent & 7) + 1 | _KEPT
        self._marks[i] = self._clock.now()
        transport.send(packet, at, end)
        return True

    def due(self):
        # The slot to be sent next, -1 when there is none: never sent, or its PUBACK is late; the
        # oldest first. Packet ids only count up, self.pid is the newest.
        best, best_age = -1, -1
        if self.used:
            now, pids = self._clock.now(), self.pids
            for i in range(len(pids)):
                if pids[i]:
                    late = self._clock.diff(now, self._marks[i]) >= RETRY_MS
                    age = (self.pid - pids[i]) % _PIDS
                    if age > best_age and (late or not self.sent[i] & 7):
                        best, best_age = i, age
        return best

    def close(self):
        # What has no PUBACK stays for the next session.
        if self.transport:
            self.transport.close()
            self.transport = None
