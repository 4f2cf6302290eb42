# MQTT 3.1.1 packets that are sent now and then, each in one write, so that it leaves as one TLS
# record: documents, SUBSCRIBE, CONNECT; and how a session begins and ends. On demand.

from firmware.core.errors import LinkError


class Packet:
    def __init__(self, op, size):
        # MQTT 2.2.3: the remaining length has seven bits a byte, low ones first.
        head = bytearray((op,))
        rest = size
        while rest > 0x7F:
            head.append(rest & 0x7F | 0x80)
            rest >>= 7
        head.append(rest)
        self.buf = bytearray(len(head) + size)
        self.at = 0
        self.write(head)

    def write(self, data):
        end = self.at + len(data)
        self.buf[self.at : end] = data
        self.at = end

    def text(self, data):
        self.write(len(data).to_bytes(2, "big"))
        self.write(data)


def document(session, topic, payload, tag, retain):
    packet = Packet(0x33 if retain else 0x32, 4 + len(topic) + len(payload))
    packet.text(topic)
    at = packet.at
    packet.at += 2  # of the packet id
    packet.write(payload)
    session.take(tag, packet.buf, at)


def subscribe(session):
    # In one packet: at most 8 filters, as AWS has it. Its tag is session.SUBSCRIBE.
    filters = [topic.encode() for topic in session.filters()]
    packet = Packet(0x82, 2 + sum(3 + len(topic) for topic in filters))
    at = packet.at
    packet.at += 2
    for topic in filters:
        packet.text(topic)
        packet.write(b"\x01")
    session.take(0, packet.buf, at)


def connect(session):
    # Clean session 0.
    texts, flags = [session.client_id], 0
    if session.lw_topic:
        texts += [session.lw_topic, session.lw_msg]
        flags = 0x04 | session.lw_qos << 3 | (0x20 if session.lw_retain else 0)  # MQTT 3.1.2.3
    packet = Packet(0x10, 10 + sum(2 + len(text) for text in texts))
    packet.write(b"\x00\x04MQTT\x04" + bytes((flags,)) + session.keepalive.to_bytes(2, "big"))
    for text in texts:
        packet.text(text)
    return packet.buf


def begin(session, present):
    # After CONNACK. In a new session all goes out again as new, in a kept one as a repetition.
    for slot, sent in enumerate(session.sent):
        session.sent[slot] = 1 if present and sent else 0
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
