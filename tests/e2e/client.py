"""The device's network modules in a MicroPython process, for tests against ``server.py``."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.pki import Authority, Identity
from tools import toolchain

_PROGRAM = Path(__file__).with_name("upy_session.py")


class Client:
    """``Client(folder, umqtt, ca, identity).start(port=…)``; the program has the keys.

    ``events`` grows while it runs; a context ends it.
    """

    def __init__(
        self,
        folder: Path,
        umqtt: Path,
        ca: Authority,
        identity: Identity,
        program: Path = _PROGRAM,
    ) -> None:
        self._folder, self._umqtt, self._program = folder, umqtt, program
        certs = folder / "certs"
        certs.mkdir(exist_ok=True)
        (certs / "ca.pem").write_bytes(ca.cert)
        (certs / "cert.pem").write_bytes(identity.cert)
        (certs / "key.pem").touch(mode=0o600)
        (certs / "key.pem").write_bytes(identity.key)
        self.events: list[dict[str, Any]] = []
        self.noise: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread()

    def start(
        self,
        *,
        bits: int = 64,
        heap: str = "96wk",
        on_event: Callable[[dict[str, Any]], None] = lambda event: None,
        **given: Any,
    ) -> Client:
        """Start the process; it ends by itself. ``on_event`` hears of each from a thread."""
        self.events, self.noise = [], []
        wanted = json.dumps({"folder": str(self._folder), **given})
        self._process = subprocess.Popen(
            [*toolchain.micropython(bits), "-X", f"heapsize={heap}", str(self._program), wanted],
            env={**os.environ, "MICROPYPATH": f"{toolchain.ROOT}:{self._umqtt}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, args=(on_event,), daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        assert self._process is not None
        return self._process.poll() is None

    def sockets(self) -> int:
        """How many sockets it holds open."""
        assert self._process is not None
        count = 0
        for fd in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                count += os.readlink(fd).startswith("socket:")
            except OSError:
                continue  # closed meanwhile
        return count

    def resident_kb(self) -> int:
        """Memory of the process, the C heap with mbedTLS included."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def finish(self, timeout_s: float = 40.0) -> list[dict[str, Any]]:
        """Wait for the end; every event. AssertionError when it failed or hangs."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"still running; last: {self.events[-3:]}") from None
        self._thread.join()
        assert code == 0 and not self.noise, (self.events[-2:], self.noise)
        return self.events

    def end(self) -> list[dict[str, Any]]:
        """Kill it; every event so far."""
        self.stop()
        return self.events

    def run(self, **given: Any) -> list[dict[str, Any]]:
        """start() and finish()."""
        return self.start(**given).finish()

    def stop(self) -> None:
        """End it now, if it still runs."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._thread.join()

    def _listen(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    self.noise.append(line)
                    continue
                self.events.append(event)
                on_event(event)
