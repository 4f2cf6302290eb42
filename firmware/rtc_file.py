# What wake.py keeps, in a file: for an ESP32 whose build has no memory in the RTC. On demand. Read
# after a deep sleep only, and that has written it: nothing is believed after a power cut.

from firmware import files

_FILE = "data/wake"


def memory(data=None):
    if data is None:
        return files.read(_FILE, 4096) or b""
    try:
        files.replace(_FILE, data)
    except OSError:  # what there is then is a sleep old
        pass
