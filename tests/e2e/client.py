"""The device's network modules in a MicroPython process, for tests against ``server.py``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.pki import Authority, Identity
from tools import toolchain

PROGRAM = Path(__file__).with_name("upy_session.py")


class Client:
    """``Client(folder, umqtt, ca, identity).start(port=…)``; upy_session.py has the keys."""

    def __init__(self, folder: Path, umqtt: Path, ca: Authority, identity: Identity) -> None:
        self._folder = folder
        self._umqtt = umqtt
        (folder / "certs").mkdir(exist_ok=True)
        (folder / "certs" / "ca.pem").write_bytes(ca.cert)
        (folder / "certs" / "cert.pem").write_bytes(identity.cert)
        (folder / "certs" / "key.pem").write_bytes(identity.key)
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, bits: int = 64, heap: str = "96wk", **given: Any) -> Client:
        """Start the process; it ends by itself after ``seconds``."""
        wanted = json.dumps({"certs": str(self._folder), **given})
        self._process = subprocess.Popen(
            [*toolchain.micropython(bits), "-X", f"heapsize={heap}", str(PROGRAM), wanted],
            env={**os.environ, "MICROPYPATH": f"{toolchain.ROOT}:{self._umqtt}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def finish(self, timeout_s: float = 40.0) -> list[dict[str, Any]]:
        """Wait for the end; every event the process told."""
        assert self._process is not None
        try:
            out, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, _ = self._process.communicate()
            raise AssertionError(f"still running: {out[-2000:]}") from None
        lines = out.splitlines()
        assert self._process.returncode == 0, out[-2000:]
        return [json.loads(line) for line in lines]

    def end(self) -> list[dict[str, Any]]:
        """Kill it; every event so far."""
        assert self._process is not None
        self._process.kill()
        out, _ = self._process.communicate()
        return [json.loads(line) for line in out.splitlines()]

    def run(self, **given: Any) -> list[dict[str, Any]]:
        """start() and finish()."""
        return self.start(**given).finish()

    def stop(self) -> None:
        """End it now, if it still runs."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
