"""What a virtual board is told: its settings, as files that shims/_sim.py reads."""

from __future__ import annotations

import hashlib
import json
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


class Control:
    """The settings of one board: those given, and over them those of the file ``source``.

    ToolError for a setting that cannot be (tools/sim/world.py); later mistakes in ``source`` are
    reported to ``log``, and what it said before goes on.
    """

    def __init__(
        self,
        folder: Path,
        given: Mapping[str, Any],
        source: Path | None,
        log: Callable[[str], None],
    ) -> None:
        self._given = {
            **world.DEFAULTS,
            "unique_id": f"02f1e1{zlib.crc32(str(folder).encode()) & 0xFFFFFF:06x}",
            "time_anchor_s": int(time.time()),
            **world.check(dict(given)),
        }
        self._source = source
        self._log = log
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
        return self._path

    def power_on(self) -> None:
        """Forget what a chip loses with its power, and take the settings that wait for it."""
        self._beside(".state").unlink(missing_ok=True)
        known = self._given | self._file
        self._fixed = {key: known[key] for key in world.POWER_ON if key in known}

    def boot(self, told: Mapping[str, Any]) -> None:
        """Write all settings for a process that starts now; ``told`` are the board's own."""
        with self._lock:
            self._told = dict(told)
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

    def sleep_s(self) -> float | None:
        """Seconds of the deep sleep just begun; None is for ever, as `deepsleep()` means it."""
        sleep_ms = float(json.loads(self._beside(".state").read_text()).get("sleep_ms", 0))
        scale = float(self._fixed.get("time_scale", 1))
        return sleep_ms / 1000 / scale if sleep_ms > 0 else None

    def _now(self) -> dict[str, Any]:
        known = self._given | self._file
        return world.wire(
            {k: v for k, v in known.items() if k not in world.POWER_ON} | self._fixed, self._keep
        )

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
