# What the firmware raises on purpose. What cannot be written to flash stays an OSError.


class SensorError(Exception):
    pass  # a reading failed or cannot be trusted; the text says why


class LinkError(Exception):
    # The way to AWS broke. args: the reason (docs/troubleshooting.md has them all), and where more
    # is known an errno, a return code or a short text.
    pass
