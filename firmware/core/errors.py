# What the firmware raises on purpose. What cannot be written to flash stays an OSError.


class SensorError(Exception):
    # A reading failed or cannot be trusted; the text says why.
    pass


class LinkError(Exception):
    # The way to AWS broke. reason is one of:
    #   dns tcp tls memory         on the way to a connection
    #   no_connack refused         CONNECT was not answered, or with a return code
    #   closed timeout             the other side ended the session; a packet stopped half way
    #   no_puback no_suback no_pingresp
    #   protocol                   bytes that are not MQTT 3.1.1; a topic longer than AWS has
    #   bug                        an exception that nobody expected
    def __init__(self, reason, detail=None):
        super().__init__(reason if detail is None else "{} {}".format(reason, detail))
        self.reason = reason
        self.detail = detail  # errno, return code or a short text; None: nothing more is known
