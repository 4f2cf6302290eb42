# What the firmware raises on purpose. What cannot be written to flash stays an OSError.


class SensorError(Exception):
    # A reading failed or cannot be trusted; the text says why.
    pass


class LinkError(Exception):
    # The way to AWS broke. args: the reason, and where more is known an errno, a return code or a
    # short text. Reasons:
    #   dns tcp tls memory         on the way to a connection
    #   no_connack refused         CONNECT was not answered, or with a return code
    #   closed timeout             the other side ended the session; a packet stopped half way
    #   no_puback no_suback no_pingresp
    #   protocol too_large         bytes that are not MQTT 3.1.1; a topic above our limit
    #   bug                        an exception that nobody expected
    pass
