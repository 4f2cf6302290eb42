# Every exception the firmware raises on purpose:
#
#   FieldmouseError
#     ConfigError   config.json is missing or wrong; .problems lists all of it
#     SensorError   a reading failed or cannot be trusted
#     LinkError     the way to AWS broke; .reason is one of the words below
#     StoreError    the file system cannot hold or give back what we need
#
# OSError and friends become one of these in the module that touches the thing that failed.

# LinkError.reason: what the session was waiting for when it broke.
DNS = "dns"  # the name has no address
TCP = "tcp"  # no connection; .detail is the errno
TLS = "tls"  # handshake refused or broken; .detail is the errno or the library's word
NO_CONNACK = "no_connack"  # AWS closes like this on a policy, client id or certificate problem
REFUSED = "refused"  # CONNACK with a return code; .detail is the code
CLOSED = "closed"  # the other side ended the session
TIMEOUT = "timeout"  # a packet stopped half way
NO_PUBACK = "no_puback"
NO_SUBACK = "no_suback"
NO_PINGRESP = "no_pingresp"
PROTOCOL = "protocol"  # bytes that are not MQTT 3.1.1
TOO_LARGE = "too_large"
MEMORY = "memory"


class FieldmouseError(Exception):
    pass


class ConfigError(FieldmouseError):
    def __init__(self, problems):
        super().__init__("; ".join(problems))
        self.problems = problems  # texts that name keys, never values


class SensorError(FieldmouseError):
    pass


class LinkError(FieldmouseError):
    def __init__(self, reason, detail=None):
        super().__init__(reason if detail is None else "{} {}".format(reason, detail))
        self.reason = reason
        self.detail = detail  # errno, CONNACK code or a short text; None: nothing more known


class StoreError(FieldmouseError):
    pass
