# MQTT 3.1.1 packets that are sent now and then: documents, SUBSCRIBE, CONNECT, DISCONNECT. On
# demand.


def packet(op, parts, more=0):
    # MQTT 2.2.3: the remaining length has seven bits a byte, low ones first. more: bytes that
    # follow in a piece of their own.
    made, size = bytearray((op,)), more + sum(len(part) for part in parts)
    while size > 0x7F:
        made.append(size & 0x7F | 0x80)
        size >>= 7
    made.append(size)
    for part in parts:
        made += part
    return made


def _text(text):
    return bytes((len(text) >> 8, len(text) & 0xFF)) + text


def document(session, topic, payload, tag, retain=False):
    # Not while the last one of this tag is in session.waiting. Text goes out as it lies in memory,
    # UTF-8, behind a packet of its own: there may be no piece for a copy of it.
    payload = memoryview(payload)
    made = packet(0x33 if retain else 0x32, (_text(topic), b"\x00\x00"), len(payload))
    session.take(tag, made, len(made) - 2, payload)


def subscribe(session):
    # In one packet: at most 8 filters, as AWS has it. Its tag is session.SUBSCRIBE.
    parts = [b"\x00\x00"]
    for topic in session.filters():
        parts += _text(topic.encode()), b"\x01"
    made = packet(0x82, parts)
    session.take(0, made, 3 if made[1] > 0x7F else 2)


def connect(session):
    # MQTT 3.1.2.3: no clean session, and a last will, retained, with QoS 1; or neither.
    will = [session.lw_topic, session.lw_msg] if session.lw_topic else []
    parts = [b"\x00\x04MQTT\x04\x2c" if will else b"\x00\x04MQTT\x04\x02"]
    parts.append(bytes((session.keepalive >> 8, session.keepalive & 0xFF)))
    parts += [_text(text) for text in [session.client_id] + will]
    return packet(0x10, parts)


def disconnect(session):
    # The clean end: the broker does not publish the last will.
    try:
        session.step()  # what it acknowledges must go before
        if session.transport.push():
            session.transport.send(b"\xe0\x00", 0, 2)
    except Exception:
        pass  # it ends either way, or there is none
    session.close()
