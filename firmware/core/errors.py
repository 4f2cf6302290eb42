# What the firmware raises on purpose. What cannot be written to flash stays an OSError.


class SensorError(Exception):
    pass  # a reading failed or cannot be trusted; the text says why


class LinkError(Exception):
    pass  # the way to AWS broke; args: the reason (docs/troubleshooting.md), and more where known
