# A network in memory: stands in for the modules `socket` and `select`, of wire.py or of umqtt.
#
# Net(clock).install(module) puts one into wire.py or umqtt.simple. Its `peer` answers what is
# written (a Broker; by default nobody). With `esp` setblocking(True) wipes the timeout, as on the
# ESP ports. A read from which a real socket would never return raises Hang.

ETIMEDOUT = 110
POLLIN, POLLOUT = 1, 4


class Hang(Exception):
    pass


class Sock:
    def __init__(self, net):
        self._net = net
        self.inbox = bytearray()  # what the peer has sent
        self.writes = []  # one entry a call
        self.eof = False
        self.error = None  # raised by the next read or write
        self.window = None  # bytes the peer still takes; None: any number
        self.timeout_s = None
        self.blocking = True
        self.closed = 0

    def settimeout(self, seconds):
        self.timeout_s = seconds
        self.blocking = seconds != 0

    def setblocking(self, flag):
        self.blocking = bool(flag)
        if self._net.esp:  # ports/esp32/modsocket.c, extmod/modlwip.c: "no limit"
            self.timeout_s = None

    def setsockopt(self, level, option, value):
        pass

    def connect(self, address):
        self._net.connected.append(address)
        error = self._net.errors.get(address)
        if error == ETIMEDOUT:
            self._net.clock.pass_ms(int(self.timeout_s * 1000))
        if error:
            raise OSError(error)

    def close(self):
        self.closed += 1

    def sent(self):
        return b"".join(self.writes)

    def _take(self, size):
        # None: nothing now, and the socket does not wait.
        if size < 0 or size > self._net.biggest:
            self._net.biggest = size
        self._fail()
        if len(self.inbox) < size and not self.eof:
            if self.blocking and self.timeout_s is None:
                raise Hang("a read that never ends")
            if self.blocking:
                self._net.clock.pass_ms(int(self.timeout_s * 1000))
                raise OSError(ETIMEDOUT)
            if not self.inbox:
                return None
        data = bytes(self.inbox[:size])
        self.inbox = self.inbox[size:]
        return data

    def read(self, size):
        return self._take(size)

    def readinto(self, buf, size):
        if not self.blocking and not self.inbox and not self.eof and self.error is None:
            return None  # without allocating
        if self._net.lossy and self.eof and len(self.inbox) < size:
            raise OSError(-0x7280)  # mbedTLS: whatever came before the end is gone
        data = self._take(size)
        if data is not None:
            buf[: len(data)] = data
        return None if data is None else len(data)

    def write(self, buf, at=None, size=None):
        # MicroPython: write(buf), write(buf, size), write(buf, at, size).
        self._fail()
        if size is None:
            at, size = 0, len(buf) if at is None else at
        if self.window is not None:
            size = min(size, self.window)
            self.window -= size
            if size == 0:
                return None
        data = bytes(memoryview(buf)[at : at + size])
        self.writes.append(data)
        if self._net.peer:
            self._net.peer(self, data)
        return size

    def _fail(self):
        if self.error is not None:
            raise self.error


class Poll:
    def __init__(self, net):
        self._net = net
        self._mask = 0

    def register(self, sock, mask):
        self._sock, self._mask = sock, mask

    def modify(self, sock, mask):
        self._mask = mask

    def poll(self, timeout_ms):
        sock = self._sock
        ready = POLLIN if sock.inbox or sock.eof or sock.error else 0
        ready |= POLLOUT if sock.window is None or sock.window else 0
        ready &= self._mask
        if ready:
            return [(sock, ready)]
        self._net.clock.pass_ms(timeout_ms)
        return []


class Net:
    SOCK_STREAM = 1
    POLLIN = POLLIN
    POLLOUT = POLLOUT

    def __init__(self, clock, esp=False):
        self.clock = clock
        self.esp = esp
        self.addresses = [("10.0.0.1", 8883)]
        self.errors = {}  # address -> errno of connect()
        self.dns_error = None
        self.connected = []  # every address tried
        self.socks = []
        self.peer = None
        self.lossy = False
        self.biggest = 0  # bytes asked for in one read; negative: a length gone wrong

    def install(self, module):
        module.socket = self
        if hasattr(module, "select"):
            module.select = self

    def forget(self):
        # For tests that look at the heap.
        self.socks.clear()
        self.connected.clear()

    def getaddrinfo(self, host, port, *_):
        if self.dns_error:
            raise OSError(self.dns_error)
        return [(2, 1, 0, "", address) for address in self.addresses]

    def socket(self, *_):
        self.socks.append(Sock(self))
        return self.socks[-1]

    def poll(self):
        return Poll(self)

    @property
    def sock(self):
        return self.socks[-1]


class Broker:
    # Answers CONNECT, PUBLISH QoS 1, SUBSCRIBE and PINGREQ at once; types in `mute` are not.
    def __init__(self, mute=()):
        self.mute = list(mute)
        self.present = 0
        self.got = []  # (kind, whole packet)
        self._data = b""

    def __call__(self, sock, data):
        self._data += data
        while len(self._data) >= 2:
            size, at = self._length()
            if len(self._data) < at + size:
                return
            packet, self._data = self._data[: at + size], self._data[at + size :]
            self._answer(sock, packet, packet[at:])

    def _length(self):
        size, at, shift = 0, 1, 0
        while True:
            byte = self._data[at]
            size |= (byte & 0x7F) << shift
            at += 1
            shift += 7
            if byte < 0x80:
                return size, at

    def _answer(self, sock, packet, body):
        kind = packet[0] >> 4
        self.got.append((kind, packet))
        answer = b""
        if kind == 1:
            answer = bytes((0x20, 2, self.present, 0))
        elif kind == 3 and packet[0] & 2:
            at = 2 + (body[0] << 8 | body[1])
            answer = b"\x40\x02" + body[at : at + 2]
        elif kind == 8:
            answer = b"\x90\x03" + body[:2] + b"\x01"
        elif kind == 12:
            answer = b"\xd0\x00"
        if kind not in self.mute:
            sock.inbox += answer

    def kinds(self):
        return [kind for kind, _ in self.got]


def publish(topic, payload, packet_id=0, first=0x30):
    # The bytes of a PUBLISH from the broker; a packet id makes it QoS 1.
    body = len(topic).to_bytes(2, "big") + topic
    if packet_id:
        first |= 2
        body += packet_id.to_bytes(2, "big")
    body += payload
    return bytes([first]) + length(len(body)) + body


def length(size):
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


class Bench:
    # A Session over a Net, with what its callbacks got.
    def __init__(self, clock, window=8, limit_bytes=1024, keepalive_s=60, esp=False, mute=()):
        from firmware.net import wire
        from firmware.net.mqtt import Session

        self.clock = clock
        self.net = Net(clock, esp)
        self.net.install(wire)
        self.broker = self.net.peer = Broker(mute)
        self.messages = []
        self.acked = []
        self.session = Session(
            "t-1",
            "h",
            8883,
            keepalive_s,
            None,
            clock,
            window,
            limit_bytes,
            self._message,
            self._ack,
        )

    def _message(self, topic, payload):
        self.messages.append((topic, bytes(payload)))

    def _ack(self, tag):
        self.acked.append(tag)

    def up(self):
        # Connected, and what that took is out of the way.
        self.session.connect()
        self.clear()
        return self

    def clear(self):
        self.broker.got.clear()
        self.net.sock.writes.clear()

    def push(self, data):
        self.net.sock.inbox += data

    def steps(self, ms, every_ms=500):
        # As the main loop would, for so long.
        for _ in range(0, ms, every_ms):
            self.clock.pass_ms(every_ms)
            self.session.step()
