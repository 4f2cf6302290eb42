"""A local AWS: MiniStack, in its own environment, on free ports, with nothing of the user's.

Both its sides listen on loopback; ``lan`` opens the MQTT side to the local network. Who connects
there needs a certificate that is registered and active, and is held to its policies
(``AUTH=true``); start() tries it, and does not go on with one that lets everybody in.

The certificate of its MQTT side is valid for ``localhost``, ``127.0.0.1``, ``::1``, the machine's
host name and ``*.iot.us-east-1.localhost`` (read off a running 1.5.33), so ``localhost`` is the
endpoint of the devices.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import toolchain
from tools.aws import local
from tools.aws.clients import Clients
from tools.errors import ToolError
from tools.sim import folders

_MAIN = Path(__file__).with_name("ministack_main.py")
_READY_S = 60.0
_STOP_S = 3.0  # one that has just served clients may not end on SIGTERM at all (peers.md 1.11a)
_TRIES = 4  # a free port can be taken between the look and the bind
_TAIL_LINES = 6
_PROBE_S = 10.0


class LocalCloud:
    """One MiniStack on free ports; ``python`` is the interpreter that has it.

    ``retransmit_s`` is after how long it sends a QoS 1 message again that got no PUBACK, also in
    a later session (its IOT_RETRANSMIT_SECONDS).

    After start(): ``info`` says where it listens, ``clients`` talk to it.
    """

    def __init__(
        self, python: Path | None = None, retransmit_s: int = 30, lan: bool = False
    ) -> None:
        self._python = python or toolchain.venv_python()
        self._retransmit_s = retransmit_s
        self._host = "0.0.0.0" if lan else "127.0.0.1"
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self.info = local.Cloud("", 0, Path())

    def __enter__(self) -> LocalCloud:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log_tail(self) -> str:
        """The last lines that MiniStack printed, without the frames of tracebacks."""
        if self._folder is None:
            return ""
        with contextlib.suppress(OSError):
            text = (self._folder / "ministack.log").read_text("utf-8", "replace")
            lines = [x for x in text.splitlines() if x.strip() and not _is_frame(x)]
            return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
        return ""

    def start(
        self,
        progress: Callable[[float], None] | None = None,
        last: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Start it and return when every listener is up.

        ``progress`` is called now and then with the seconds waited so far; ``last`` are ports
        (HTTP, MQTT) to be taken if they are free. Raises ToolError when MiniStack ends, is not
        ready within a minute, or lets in clients without a certificate.
        """
        for attempt in range(_TRIES):
            gateway, mqtt = map(free_port, (None, None) if attempt else last)
            self._launch(gateway, mqtt)
            try:
                self._await_ready(gateway, progress)
                self._read_ca(gateway, mqtt)
                self._check_closed()
                return
            except _PortTaken:
                self.stop()
            except BaseException:
                self.stop()
                raise
        raise ToolError("MiniStack found its ports taken", "run it again")

    def stop(self) -> None:
        """End it: SIGTERM, after three seconds SIGKILL; its files go too."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def clients(self) -> Clients:
        """boto3 clients of this cloud, by explicit credentials: the user's own are never asked."""
        return Clients(self.info)

    def _launch(self, gateway: int, mqtt: int) -> None:
        self._folder = folders.temporary("fieldmouse-cloud")
        # A bare environment: nothing of the user's AWS set-up is seen, and Docker, whose
        # containers MiniStack would otherwise remove at its start, is out of reach.
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "STATE_DIR": str(self._folder / "state"),
            "S3_DATA_DIR": str(self._folder / "s3"),
            "DOCKER_HOST": "unix:///nonexistent",
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(gateway),
            "IOT_MTLS_PORT": str(mqtt),
            "IOT_RETRANSMIT_SECONDS": str(self._retransmit_s),
            "MINISTACK_REGION": local.Cloud.region,
            "PYTHONUNBUFFERED": "1",
        }
        try:
            with (self._folder / "ministack.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [str(self._python), str(_MAIN), str(os.getpid()), self._host],
                    env=env,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as e:
            self.stop()
            raise ToolError(f"MiniStack does not start: {e.strerror}", "make setup") from e

    def _await_ready(self, gateway: int, progress: Callable[[float], None] | None) -> None:
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _READY_S:
            if progress is not None:
                progress(waited)
            self._check_alive()
            state = _state(gateway)
            if state == "listening":
                self._check_alive()  # else another MiniStack has answered on that port
                return
            if state == "degraded":
                raise _PortTaken
            if state == "disabled":
                raise ToolError(
                    "MiniStack runs without MQTT: `cryptography` is missing beside it",
                    "make setup",
                )
            time.sleep(0.05)
        raise ToolError(
            f"MiniStack is not ready after {_READY_S:.0f} s; it said:\n{self.log_tail}",
            "look at the load of this machine, then run it again",
        )

    def _check_alive(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            said = self.log_tail
            if "already in use" in said:
                raise _PortTaken
            raise ToolError(f"MiniStack ended at its start; it said:\n{said}", "make setup")

    def _read_ca(self, gateway: int, mqtt: int) -> None:
        assert self._folder is not None
        ca_file = self._folder / "ca.pem"
        try:
            found = _get(gateway, "/_ministack/iot/ca.pem")
            ssl.create_default_context(cadata=found.decode())
            ca_file.write_bytes(found)
        except (OSError, ValueError, http.client.HTTPException) as e:
            raise ToolError(f"MiniStack does not give out its CA: {e}", "run it again") from e
        self.info = local.Cloud(f"http://127.0.0.1:{gateway}", mqtt, ca_file)

    def _check_closed(self) -> None:
        """Try the MQTT port without a certificate; ToolError when that succeeds."""
        context = ssl.create_default_context(cafile=str(self.info.ca_file))
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 says it only after the handshake
        address = ("127.0.0.1", self.info.mqtt_port)
        try:
            with socket.create_connection(address, _PROBE_S) as raw:
                context.wrap_socket(raw, server_hostname=self.info.endpoint).close()
        except ssl.SSLError:
            if self._host == "0.0.0.0" or not answers("127.0.0.2", self.info.mqtt_port):
                return
        except OSError as e:
            raise ToolError(f"MiniStack's MQTT port does not answer: {e}", "run it again") from e
        raise ToolError("MiniStack lets anyone in, so it is not used", "make setup")


class _PortTaken(Exception):
    """Somebody else has one of the ports that were free a moment ago."""


def free_port(last: int | None = None) -> int:
    """A TCP port that nothing listens on, on any interface, for the moment; ``last`` if it is."""
    with socket.socket() as probe:
        if last:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", last or 0))
        except (OSError, OverflowError):
            if not last:
                raise
            return free_port()
        return int(probe.getsockname()[1])


def answers(host: str, port: int) -> bool:
    """Whether something listens there; on Linux all of 127/8 is this machine."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _get(port: int, path: str) -> bytes:
    """What MiniStack answers, whatever its status, past any proxy that the environment names."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, _PROBE_S)) as link:
        link.request("GET", path)
        return link.getresponse().read()


def _state(port: int) -> Any:
    """That of its MQTT side; None before it answers."""
    try:
        return json.loads(_get(port, "/_ministack/ready"))["iot_mtls"]
    except (OSError, http.client.HTTPException, ValueError, TypeError, KeyError):
        return None


def _is_frame(line: str) -> bool:
    return line.startswith(("  File ", "    ", "Traceback "))
