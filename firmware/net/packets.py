# MQTT 3.1.1 packets that are sent now and then, each in one write, so that it leaves as one TLS
# record: documents, SUBSCRIBE, CONNECT; and how a session begins and ends. On demand.

from firmware.core.errors import LinkError


def packet(op, parts):
    # MQTT 2.2.3: the remaining length has seven bits a byte, low ones first.
    head = bytearray((op,))
    rest = size = sum(len(part) for part in parts)
    while rest > 0x7F:
        head.append(rest & 0x7F | 0x80)
        rest >>= 7
    head.append(rest)
    at = len(head)
    made = bytearray(at + size)
    made[:at] = head
    for part in parts:
        made[at : at + len(part)] = part
        at += len(part)
    return made


def _word(value):
    return value.to_bytes(2, "big")


def document(session, topic, payload, tag, retain):
    parts = _word(len(topic)), topic, _word(0), payload
    made = packet(0x33 if retain else 0x32, parts)
    session.take(tag, made, len(made) - len(payload) - 2)


def subscribe(session):
    # In one packet: at most 8 filters, as AWS has it. Its tag is session.SUBSCRIBE.
    parts = [_word(0)]
    for topic in session.filters():
        topic = topic.encode()
        parts += _word(len(topic)), topic, b"\x01"
    made = packet(0x82, parts)
    session.take(0, made, 3 if made[1] > 0x7F else 2)


def connect(session):
    # Clean session 0.
    texts, flags = [session.client_id], 0
    if session.lw_topic:
        texts += session.lw_topic, session.lw_msg
        flags = 0x04 | session.lw_qos << 3 | (0x20 if session.lw_retain else 0)  # MQTT 3.1.2.3
    parts = [b"\x00\x04MQTT\x04", bytes((flags,)), _word(session.keepalive)]
    for text in texts:
        parts += _word(len(text)), text
    return packet(0x10, parts)


def begin(session, present):
    # After CONNACK. In a new session all goes out again as new, in a kept one as a repetition.
    for slot, sent in enumerate(session.sent):
        session.sent[slot] = 1 if present and sent else 0
    session.owed = b""
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
