# A network in memory: stands in for the modules `socket` and `select` of firmware/net, or for
# those of umqtt.
#
# Net(clock).install(module, ...) puts one into them. Its `peer` answers what is written (a Broker;
# by default nobody). With `esp` setblocking(True) wipes the timeout and poll says nothing of
# errors, as on the ESP ports. A read from which a real socket would never return raises Hang.

from fakes import Clock
from firmware.core.timing import Deadline

ETIMEDOUT = 110
EINPROGRESS = 115
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16


class Hang(Exception):
    pass


class Sock:
    def __init__(self, net):
        self._net = net
        self.inbox = bytearray()  # what the peer has sent
        self.writes = []  # one entry a call
        self.eof = False
        self.error = None  # raised by the next read or write
        self.window = net.window  # bytes the peer still takes; None: any number
        self.timeout_s = None
        self.blocking = True
        self.up = True  # False while connect() goes on without anybody waiting for it
        self.closed = 0

    def settimeout(self, seconds):
        self.timeout_s = seconds
        self.blocking = seconds != 0

    def setblocking(self, flag):
        self.blocking = bool(flag)
        if self._net.esp:  # ports/esp32/modsocket.c, extmod/modlwip.c: "no limit"
            self.timeout_s = None

    def setsockopt(self, level, option, value):
        self._net.options.append((level, option, value))

    def connect(self, address):
        self._net.connected.append(address)
        error = self._net.errors.get(address)
        if self.blocking:
            if error == ETIMEDOUT:
                self._net.clock.pass_ms(int(self.timeout_s * 1000))
            if error:
                raise OSError(error)
            return
        if error and error < 0:
            raise OSError(error)
        self.up = error is None
        if error and error != ETIMEDOUT:
            self.error = OSError(error)
        raise OSError(EINPROGRESS)

    def close(self):
        self.closed += 1

    def sent(self):
        return b"".join(self.writes)

    def ready(self, mask):
        if self.error and not self.up:  # connect() failed
            return POLLIN | POLLOUT | (0 if self._net.esp else POLLERR | POLLHUP)
        if not self.up:
            return 0
        ready = POLLIN if self.inbox or self.eof or self.error else 0
        return (ready | (POLLOUT if self.window is None or self.window else 0)) & mask

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

    def recv(self, size):
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
        self._masks = {}

    def register(self, sock, mask):
        self._masks[sock] = mask

        if len(self._masks) != 1:
            raise AssertionError("polls {}".format(self._masks))

    def ipoll(self, timeout_ms):
        for sock in self._masks:
            flags = sock.ready(self._masks[sock])
            if flags:
                return [(sock, flags)]
        self._net.clock.pass_ms(timeout_ms)
        return ()


class Net:
    AF_INET, SOCK_STREAM = 2, 1
    POLLIN = POLLIN
    POLLOUT = POLLOUT

    def __init__(self, clock, esp=False):
        self.clock = clock
        self.esp = esp
        self.addresses = [("10.0.0.1", 8883)]
        # Address: errno of connect(), at once when it is below 0. ETIMEDOUT: never a word.
        self.errors = {}
        self.dns_error = None
        self.window = None  # of new sockets
        self.connected = []  # every address tried
        self.options = []
        self.socks = []
        self.peer = None
        self.lossy = False
        self.biggest = 0  # bytes asked for in one read; negative: a length gone wrong

    def install(self, *modules):
        for module in modules:
            module.socket = self
            if hasattr(module, "select"):
                module.select = self

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
        self.rest = b""  # of a packet that has not come whole

    def __call__(self, sock, data):
        self.rest += data
        while len(self.rest) >= 2:
            size, at = self._length()
            if len(self.rest) < at + size:
                return
            packet, self.rest = self.rest[: at + size], self.rest[at + size :]
            self._answer(sock, packet, packet[at:])

    def _length(self):
        size, at, shift = 0, 1, 0
        while True:
            byte = self.rest[at]
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


def puback(pid):
    return bytes((0x40, 2, pid >> 8, pid & 255))


def why(bench, call, *args):
    # The words that failure.py has for how call() ends a session, or the way to one.
    from firmware.net import failure

    try:
        call(*args)
    except Exception as e:
        transport = bench.session.transport
        return failure.why(e, bool(transport and transport.body))


class AxContext:
    # Stands for the TLS context: its sockets are the raw ones, unless there is a `make`.
    def __init__(self):
        self.wrapped = []  # (host name, whether wrap_socket() was to make the handshake)
        self.make = None

    def wrap_socket(self, raw, *, server_hostname, do_handshake_on_connect):
        self.wrapped.append((server_hostname, do_handshake_on_connect))
        return self.make(raw) if self.make else raw


class Broken:
    # A TLS socket whose handshake, the first write, fails, or never ends.
    def __init__(self, raw, error=None):
        self.raw = raw
        self.error = error

    def write(self, buf, at, size):
        if self.error:
            raise self.error

    def ready(self, mask):
        return self.raw.ready(mask) if self.error else 0

    def close(self):
        pass  # mbedTLS has let go of the socket below already


class Context(AxContext):
    def load_verify_locations(self, data):
        pass  # that it has this makes it one of mbedTLS


class Link:
    # What connect.py needs of a Connection.
    def __init__(self, session, clock, context, limit_bytes):
        self.session = session
        self.clock = clock
        self.context = context
        self.limit_bytes = limit_bytes
        self.wait_in = Deadline(clock)
        self.down_s = self.since_s = self.sessions = 0
        self.log = lambda text: None
        self.up = False
        self.present = None  # what on_up() was told
        self.rooms = 0  # how often room was made for axTLS

    def on_up(self, present):
        self.present = present

    def make_room(self):
        self.rooms += 1

    def keep_room(self):
        pass

    def short(self):
        pass


class Bench:
    # A Session over a Net, with what its callbacks got. A reading is a payload put into texts.
    def __init__(self, window=8, limit_bytes=1024, keepalive_s=60, esp=False, mute=()):
        from firmware.net import connect, session, transport

        self.clock = clock = Clock()
        self.net = Net(clock, esp)
        self.net.install(connect, transport)
        self.broker = self.net.peer = Broker(mute)
        self.may_wait = False  # a step of connecting
        self.messages = []
        self.acked = []
        self.texts = {}
        self._connect = connect
        self.session = session.Session(
            b"t-1", "h", 8883, keepalive_s, clock, window, b"t", 200, self._encode
        )
        self.link = Link(self.session, clock, Context(), limit_bytes)
        self.session.set_last_will(b"w", b"off", True, 1)
        self.session.set_callback(self._message)
        self.session.on_ack = self.acked.append

    def _encode(self, seq, buf, at):
        text = self.texts.get(seq)
        if text is None:
            return 0
        for i in range(len(text)):
            buf[at + i] = text[i]
        return at + len(text)

    def _message(self, topic, payload):
        self.messages.append((topic, bytes(payload)))

    def publish(self, seq, text=b"x"):
        self.texts[seq] = text
        self.session.take(seq)

    def opening(self):
        return self._connect.opening(self.link)

    def connect(self, every_ms=100):
        # As the main loop would: one step after the other, and in between time passes. No step
        # may wait. Says whether the session was kept.
        self.link.up = False
        opening = self.opening()
        while True:
            now = self.clock.now()
            try:
                next(opening)
            finally:
                if now != self.clock.now() and not self.may_wait:
                    raise AssertionError("a step that waits")
            if self.link.up:
                return self.link.present
            self.clock.pass_ms(every_ms)

    def up(self):
        # Connected, and what that took is out of the way.
        self.connect()
        self.clear()
        return self

    def again(self, present):
        # A new session after the old one broke; what the first step() of it writes.
        self.session.close()
        self.broker.present = present
        self.broker.rest = b""
        self.up()
        self.session.step()
        return self.net.sock.writes

    def clear(self):
        self.broker.got.clear()
        self.net.sock.writes.clear()

    def forget(self):
        # For tests that look at the heap.
        for kept in (
            self.net.socks,
            self.net.connected,
            self.net.options,
            self.link.context.wrapped,
        ):
            kept.clear()
        self.messages.clear()
        self.acked.clear()

    def push(self, data):
        self.net.sock.inbox += data

    def receive(self, data, part=1 << 20):
        # In parts of so many bytes, with a step for each.
        for at in range(0, len(data), part):
            self.push(data[at : at + part])
            self.session.step()

    def send(self, seq, text=b"x"):
        self.publish(seq, text)
        self.session.step()

    def steps(self, ms, every_ms=500):
        # As the main loop would, for so long.
        for _ in range(0, ms, every_ms):
            self.clock.pass_ms(every_ms)
            self.session.step()
