"""What a virtual board is told: its settings, as files that shims/_sim.py reads."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.errors import ToolError
from tools.sim import world
from tools.sim.curve import Curve
from tools.sim.worldtime import WorldTime

RTC_BYTES = 2 + 2048  # of .rtc: length and content of the larger chip's memory


class Control:
    """The settings of one board: those given, and over them those of the file ``source``.

    ToolError for a setting that cannot be (tools/sim/world.py); later mistakes in ``source`` are
    reported to ``log``, and what it said before goes on. ``on_change`` is called after a change.
    """

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, Any],
        source: Path | None,
        log: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._given = {
            **world.DEFAULTS,
            "unique_id": f"02f1e1{zlib.crc32(str(folder).encode()) & 0xFFFFFF:06x}",
            "time_anchor_s": int(time.time()),
            **world.check(dict(given)),
        }
        self._source = source
        self._log = log
        self._on_change = on_change
        self._time = WorldTime()
        self._file: dict[str, Any] = world.read(source) if source else {}
        world.fit(self._given | self._file)
        self._stamp = self._stamp_now()
        self._fixed: dict[str, Any] = {}  # what counts until the next power-on
        self._told: dict[str, Any] = {}
        self._at_boot: dict[str, Any] = {}
        self._changed: set[str] = set()  # since the process was started
        self._path = Path()
        self._count = 0
        self._lock = threading.RLock()  # the board's thread, the watcher's, the caller's

    def begin(self, scratch: Path) -> Path:
        """Keep the files in ``scratch``; the one that FIELDMOUSE_SIM shall name."""
        self._path = scratch / "sim.json"
        self._beside(".seq").write_bytes(b"\0")
        self._beside(".rtc").write_bytes(bytes(RTC_BYTES))
        return self._path

    def power_on(self) -> None:
        """Forget what a chip loses with its power, and take the settings that wait for it."""
        self._beside(".state").unlink(missing_ok=True)
        self._beside(".rtc").write_bytes(bytes(RTC_BYTES))
        known = self._given | self._file
        self._fixed = {key: known[key] for key in world.POWER_ON if key in known}
        self._time.power_on(self._fixed["time_anchor_s"], self._fixed.get("time_scale", 1))

    def boot(self, told: Mapping[str, Any]) -> None:
        """Write all settings for a process that starts now; ``told`` are the board's own."""
        with self._lock:
            now_s = self._time.now_s()
            self._told = {
                **told,
                "boot_ms": int(now_s * 1000),
                "boot_t_s": round(now_s - self._time.power_on_s, 3),
                "ahead_ms": self._time.ahead_ms,
            }
            self._at_boot = self._told | self._now()
            self._changed = set()
            self._beside(".now").write_text("{}")
            self._replace(self._path, self._at_boot)

    def set(self, settings: Mapping[str, Any]) -> None:
        """Change settings; None takes one back. ToolError for one that cannot be."""
        checked = world.check({k: v for k, v in settings.items() if v is not None})
        with self._lock:
            self._given |= checked
            for name in settings.keys() - checked.keys():
                self._given.pop(name, None)
            self._tell()
        self._on_change()

    def look(self) -> None:
        """Read ``source`` again if it has changed."""
        stamp = self._stamp_now()
        if self._source is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._file = world.read(self._source)
        except ToolError as e:
            self._log(f"world: {e.message}; the former world goes on")
            return
        later = [k for k in world.POWER_ON if k in self._file]
        late = [k for k in later if self._file[k] != self._fixed.get(k)]
        wait = f"; {', '.join(late)} from the next power-on" if late else ""
        self._log(f"world: {self._source.name} read again{wait}")
        with self._lock:
            self._tell()
        self._on_change()

    def get(self, key: str, default: Any = None) -> Any:
        """A setting as it is now."""
        return self._known().get(key, default)

    def world_s(self) -> float:
        """Unix seconds in the board's world."""
        return self._time.now_s()

    def fall_asleep(self, wired: bool) -> float | None:
        """The board sleeps as its .state says: seconds of ours until its timer ends that.

        None is never: without a time, or when the timer is not ``wired`` to what wakes the chip.
        """
        state = self._state()
        scale = float(self.get("sleep_scale", self._fixed.get("time_scale", 1)))
        wakes_s = math.inf
        if wired and state["sleep_us"]:
            # The oscillator that ends it: fast, and it is over early.
            sleep_s = state["sleep_us"] / 1e6 / (1 + self._drift())
            wakes_s = state["asleep_ms"] / 1000 + sleep_s
        self._time.fall_asleep(scale, wakes_s)
        if wakes_s == math.inf:
            return None
        return max(0.0, (wakes_s - self._time.now_s()) / scale)

    def wake_up(self, rtc_counts: bool) -> None:
        """The sleep is over, by its timer or before.

        ``rtc_counts``: the RTC went on meanwhile, by the oscillator of the timer: when that ends
        the sleep, the RTC has counted what was asked for.
        """
        now_s = self._time.wake_up()
        state = self._state()
        if rtc_counts:
            slept_ms = now_s * 1000 - state["asleep_ms"]
            state["clock_ms"] += round(slept_ms * self._drift())
        self._replace(self._beside(".state"), state)

    def _drift(self) -> float:
        return float(self.get("rtc_drift_ppm", 0)) / 1e6

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self._beside(".state").read_text()))

    def _known(self) -> dict[str, Any]:
        known = self._given | self._file
        return {k: v for k, v in known.items() if k not in world.POWER_ON} | self._fixed

    def _now(self) -> dict[str, Any]:
        return world.wire(self._known(), self._keep)

    def _keep(self, curve: Curve) -> Path:
        packed = curve.packed()
        path = self._beside(f".{hashlib.sha256(packed).hexdigest()[:16]}")
        if not path.exists():
            path.write_bytes(packed)
        return path

    def _tell(self) -> None:
        now = self._told | self._now()
        keys = now.keys() | self._at_boot.keys()
        self._changed |= {k for k in keys if now.get(k) != self._at_boot.get(k)}
        if not self._path.is_file():
            return
        self._replace(self._beside(".now"), {k: now.get(k) for k in sorted(self._changed)})
        self._count += 1
        with self._beside(".seq").open("r+b") as mapped:  # the same file, not a new one
            mapped.write(bytes([self._count % 256]))

    def _replace(self, path: Path, document: Mapping[str, Any]) -> None:
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps(document))
        fresh.replace(path)

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        if self._source is None:
            return None
        try:
            found = os.stat(self._source)
        except OSError:
            return (0, 0, 0)
        return (found.st_ino, found.st_size, found.st_mtime_ns)
