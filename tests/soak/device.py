"""upy_soak.py in a process of its own: its events, its sockets, its memory."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.e2e.pki import Authority, Identity
from tools import toolchain

PROGRAM = Path(__file__).with_name("upy_soak.py")


class Device:
    """The process; ``events`` grows while it runs, ``on_event`` hears of each from a thread."""

    def __init__(
        self,
        folder: Path,
        umqtt: Path,
        ca: Authority,
        identity: Identity,
        *,
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        bits: int = 64,
        heap: str = "96wk",
        **given: Any,
    ) -> None:
        certs = folder / "certs"
        certs.mkdir()
        (certs / "ca.pem").write_bytes(ca.cert)
        (certs / "cert.pem").write_bytes(identity.cert)
        (certs / "key.pem").touch(mode=0o600)
        (certs / "key.pem").write_bytes(identity.key)
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._on_event = on_event
        wanted = json.dumps({"folder": str(folder), **given})
        self._process = subprocess.Popen(
            [*toolchain.micropython(bits), "-X", f"heapsize={heap}", str(PROGRAM), wanted],
            env={**os.environ, "MICROPYPATH": f"{toolchain.ROOT}:{umqtt}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def sockets(self) -> int:
        """How many sockets it holds open."""
        count = 0
        for fd in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                count += os.readlink(fd).startswith("socket:")
            except OSError:
                continue  # closed meanwhile
        return count

    def resident_kb(self) -> int:
        """Memory of the process, the C heap with mbedTLS included."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def finish(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the end; its last event. AssertionError when it failed or hangs."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running; last: {self.events[-3:]}") from None
        self._thread.join()
        assert code == 0 and self.events[-1]["event"] == "end", (self.events[-2:], self.noise)
        return self.events[-1]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    self.noise.append(line)
                    continue
                self.events.append(event)
                self._on_event(event)
