# Run by MicroPython for bench_link.py, in a folder with certs/: one session of a client. Prints
# [seconds from before socket() to the first PUBACK, seconds from there to the last]. Both clients
# have the firmware's TLS context, topics and readings; the second reading waits for that PUBACK.

import json
import struct
import sys
import time
from umqtt.simple import MQTTClient

from firmware.core import telemetry, topics
from firmware.core.timing import Clock
from firmware.net import packets, tls
from firmware.net.connection import Connection
from firmware.net.session import Session

SEQ = 1000  # of the first reading: all have the same length
NAMES = topics.of("t-1", "devices/{thing}/data", "devices/{thing}/commands")
FILTERS = list(topics.subscribes(NAMES[1], NAMES[4]))
WILL = b"devices/t-1/status", b'{"online": false}', True, 1
given = json.loads(sys.argv[1])
context = tls.context()
marks = []  # when a PUBACK came


def acknowledged(tag=SEQ):
    if tag >= SEQ:  # no SUBSCRIBE
        marks.append(time.ticks_us())


def ours(count):
    # As app.py drives them, without sensor and outbox.
    def encode(seq, buf, at):
        struct.pack_into("<BI", frame, 0, telemetry.RECORD_BYTES, seq)
        return telemetry.write_json(buf, at, frame, 0, b"t-1", ())

    clock = Clock(time.ticks_ms, time.ticks_diff)
    where = "localhost", given["port"], 60, clock, given["window"]
    session = Session(b"t-1", *where, NAMES[0].encode(), telemetry.TEXT_BYTES + 3, encode)
    session.set_last_will(*WILL)
    session.filters, session.doubt = lambda: FILTERS, False  # as a board that was on line
    link = Connection(session, clock, int, print, context, 8192)
    link.on_up, session.on_ack = print, acknowledged
    sent = 0
    while len(marks) < count:
        clock.step()
        link.step(True)
        window = given["window"] if marks else 1
        while link.up and sent < count and sent - len(marks) < window:
            session.take(SEQ + sent)
            sent += 1
        if session.due() < 0:
            link.wait(100)
    packets.disconnect(session)


def umqtt(count):
    # Its versions take a context in three ways; 1.3.4 looks in a module that is no more.
    client = MQTTClient("t-1", "localhost", given["port"], keepalive=60)
    client.ssl, client.ssl_params = context, {"server_hostname": "localhost"}
    sys.modules["ussl"] = context
    client.set_callback(print)
    client.set_last_will(*WILL)
    if not client.connect(False):
        for name in FILTERS:
            client.subscribe(name, 1)
    for seq in range(SEQ, SEQ + count):
        reading = {"device_id": "t-1", "timestamp": 1795248682, "temperature": 21.37}
        reading.update({"seq": seq, "humidity": 45.12})
        client.publish(NAMES[0], json.dumps(reading), qos=1)
        acknowledged()
    client.disconnect()


frame = bytearray(5 + telemetry.RECORD_BYTES + 2)
telemetry.pack(frame, 5, 848563882, (2137, 4512))
start = time.ticks_us()
{"ours": ours, "umqtt": umqtt}[given["client"]](given["count"])
print([time.ticks_diff(b, a) / 1e6 for a, b in ((start, marks[0]), (marks[0], marks[-1]))])
