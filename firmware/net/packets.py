# MQTT 3.1.1 packets that are sent now and then, each in one write: documents, SUBSCRIBE, CONNECT;
# and how a session begins and ends. On demand. A Packet also stands where umqtt expects its
# socket, so that what the base class writes in pieces leaves as one TLS record.

from firmware.core.errors import LinkError


class Packet:
    def __init__(self, op, size):
        # MQTT 2.2.3: the remaining length has seven bits a byte, low ones first.
        head = bytearray((op,))
        rest = size
        while True:
            head.append(rest & 0x7F | (0x80 if rest > 0x7F else 0))
            rest >>= 7
            if not rest:
                break
        self.buf = bytearray(len(head) + size)
        self.at = 0
        self.write(head)

    def write(self, data):
        end = self.at + len(data)
        self.buf[self.at : end] = data
        self.at = end

    def word(self, value):
        self.write(bytes((value >> 8, value & 0xFF)))


def document(session, topic, payload, tag, retain):
    packet = Packet(0x33 if retain else 0x32, 4 + len(topic) + len(payload))
    packet.word(len(topic))
    packet.write(topic)
    at = packet.at
    packet.word(0)
    packet.write(payload)
    session.take(tag, packet.buf, at)


def subscribe(session):
    # One SUBSCRIBE of at most 8 filters, as AWS has it; waiting(SUBSCRIBE) until SUBACK.
    drop_subscribe(session)
    filters = [topic.encode() for topic in session.filters()]
    packet = Packet(0x82, 2 + sum(3 + len(topic) for topic in filters))
    at = packet.at
    packet.word(0)
    for topic in filters:
        packet.word(len(topic))
        packet.write(topic)
        packet.write(b"\x01")
    session.take(0, packet.buf, at)


def drop_subscribe(session):
    if session.waiting(0):
        for i in range(len(session.pids)):
            if session.pids[i] and not session.tags[i]:
                session.release(i)


def connect(session):
    # CONNECT, clean session 0, through umqtt's own _send_str.
    will = session.lw_topic
    size, flags = 12 + len(session.client_id), 0
    if will:
        flags = 0x04 | session.lw_qos << 3 | (0x20 if session.lw_retain else 0)  # MQTT 3.1.2.3
        size += 4 + len(will) + len(session.lw_msg)
    packet = session.sock = Packet(0x10, size)
    packet.write(b"\x00\x04MQTT\x04" + bytes((flags,)))
    packet.word(session.keepalive)
    session._send_str(session.client_id)
    if will:
        session._send_str(will)
        session._send_str(session.lw_msg)
    session.sock = session
    return packet.buf


def begin(session, present):
    # After CONNACK. In a new session all goes out again as new, in a kept one as a repetition.
    for i in range(len(session.sent)):
        session.sent[i] = session.sent[i] & 8 if present else 0
    drop_subscribe(session)
    session.owed = session.given = 0
    session.pinged = False
    session.ping_in.start(session.keepalive * 500)


def disconnect(session):
    # The clean end: the broker does not publish the last will.
    if session.transport:
        try:
            session.step()  # what it acknowledges must go before
            if session.transport.push():
                session.transport.send(b"\xe0\x00", 0, 2)
        except (LinkError, MemoryError):
            pass  # it ends either way
        session.close()
