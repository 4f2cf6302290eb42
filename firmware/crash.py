# What went wrong before, on flash: the text of the last crashes, and whether they came so thick
# that the board should stay in safe mode.
#
# There is no clock to trust at that point. Three crashes came within ten minutes when the two
# runs between them lasted no longer together. A power cut ends a run, but is no crash.
# path + ".runs" holds, in whole seconds: how far the run under way is known to have come (-1: its
# crash is written down already), then how long the last crashed runs lasted. The file changes
# only around crashes.

import io
import os
import sys

from micropython import const

from firmware import files

STABLE_S = const(600)  # a run as long as this ends a row of crashes
_CRASHES = const(3)
_KNOWN_S = const(60)  # after a crash: how often the length of the run is written down
_LOG_BYTES = const(2048)  # two files of this size, the older one ".old"
_ENTRY_BYTES = const(768)
_ENDED = {"wdt": "watchdog", "fault": "fault in C"}


class _Cut(io.IOBase):
    # A stream that keeps what fits. Made in advance: a crash may well be for want of memory.
    def __init__(self):
        self.data = bytearray(_ENTRY_BYTES)
        self.used = 0

    def write(self, data):
        size = min(len(data), _ENTRY_BYTES - self.used)
        for i in range(size):
            self.data[self.used + i] = data[i]
        self.used += size
        return len(data)


class CrashLog:
    def __init__(self, path, log):
        self._path = path
        self._log = log
        self._cut = _Cut()
        self._known_s = 0
        self._runs = []  # lengths in s of the last crashed runs, newest last
        self._load()

    def boot(self, reset_cause):
        # Once, at the start. Says whether to stay in safe mode.
        if reset_cause in _ENDED and self._known_s >= 0:
            what = _ENDED[reset_cause]
            self._write("{}, after {} s or more\n".format(what, self._known_s).encode())
            self._add(self._known_s)
        elif self._known_s:
            self._known_s = 0
            self._save()
        return self.safe

    @property
    def safe(self):
        return len(self._runs) >= _CRASHES and sum(self._runs[1:]) <= STABLE_S

    def record(self, error, uptime_s, reset_cause):
        # Before the restart that follows. Never raises: there is nobody left to catch it.
        cut = self._cut
        cut.used = 0
        cut.write("after {} s, started by {}\n".format(uptime_s, reset_cause).encode())
        sys.print_exception(error, cut)
        self._write(memoryview(cut.data)[: cut.used])
        self._add(uptime_s)
        self._known_s = -1
        self._save()

    def alive(self, uptime_s):
        # Every now and then. Writes only while there are crashes to be counted.
        if not self._runs:
            return
        if uptime_s >= STABLE_S:
            self.stable()
        elif uptime_s - self._known_s >= _KNOWN_S:
            self._known_s = uptime_s
            self._save()

    def stable(self):
        # This run has lasted: the next start is a normal one.
        if self._runs:
            self._runs = []
            self._known_s = 0
            self._save()

    def read(self, limit_bytes):
        # The newest entries as text, of ASCII only.
        names = (self._path, self._path + ".old")
        left = min(limit_bytes, sum(_size(name) for name in names))
        view = memoryview(bytearray(left))
        for name in names:
            size = min(_size(name), left)
            if size:
                with open(name, "rb") as f:
                    f.seek(-size, 2)
                    f.readinto(view[left - size : left])
                left -= size
        for i in range(len(view)):
            if view[i] > 126:
                view[i] = 63  # a question mark
        return str(view, "ascii")

    def _add(self, length_s):
        self._runs = (self._runs + [length_s])[-_CRASHES:]
        self._known_s = 0
        self._save()

    def _write(self, text):
        try:
            files.make_folder(self._path)
            with open(self._path, "ab") as f:
                f.write(text)
                full = f.tell() > _LOG_BYTES
            if full:
                files.move(self._path, self._path + ".old")
        except OSError as e:
            self._log("crash: log not written, errno {}".format(e.args[0]))

    def _load(self):
        try:
            numbers = [int(n) for n in (files.read(self._path + ".runs", 64) or b"0").split()]
        except ValueError:
            numbers = [0]
        self._known_s = numbers[0] if numbers else 0
        self._runs = numbers[1:][-_CRASHES:]

    def _save(self):
        text = " ".join(str(n) for n in [self._known_s] + self._runs)
        try:
            files.replace(self._path + ".runs", text.encode())
        except OSError as e:
            self._log("crash: count not written, errno {}".format(e.args[0]))


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0
