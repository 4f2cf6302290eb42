"""A local AWS: MiniStack, in its own environment, on free ports, with nothing of the user's.

Its HTTP side listens on loopback. Its MQTT side listens on every interface: MiniStack has no
setting for that, so for as long as it runs it can be reached from the local network (it holds
nothing but test data, and with ``AUTH=true`` a certificate is held to its policies).

The certificate of its MQTT side is valid for ``localhost``, ``127.0.0.1``, ``::1``, the machine's
host name and ``*.iot.us-east-1.localhost`` (read off a running 1.5.33), so ``localhost`` is the
endpoint of the devices.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tools.aws import local
from tools.aws.clients import Clients
from tools.errors import ToolError
from tools.sim import local_net

_MAIN = Path(__file__).with_name("ministack_main.py")
_READY_S = 60.0
_STOP_S = 3.0  # one that has just served clients may not end on SIGTERM at all (peers.md 1.11a)
_TRIES = 4  # a free port can be taken between the look and the bind
_TAIL_LINES = 6


class LocalCloud:
    """One MiniStack. Ports of None are chosen free; ``python`` is the interpreter that has it.

    ``retransmit_s`` is after how long it sends a QoS 1 message again that got no PUBACK, also in
    a later session (its IOT_RETRANSMIT_SECONDS).

    After start(): ``info`` says where it listens, ``clients`` talk to it.
    """

    def __init__(
        self,
        gateway_port: int | None = None,
        mqtt_port: int | None = None,
        python: Path | None = None,
        retransmit_s: int = 30,
    ) -> None:
        if python is None:
            from tools import toolchain

            python = toolchain.ministack_python()
        self._python = python
        self._wanted = (gateway_port, mqtt_port)
        self._retransmit_s = retransmit_s
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

    def start(self, progress: Callable[[float], None] | None = None) -> None:
        """Start it and return when every listener is up.

        ``progress`` is called now and then with the seconds waited so far. Raises ToolError when a
        port given by the user is taken, or MiniStack ends or is not ready within a minute.
        """
        for number, name in zip(self._wanted, ("HTTP", "MQTT"), strict=True):
            if number is not None and not local_net.is_free(number):
                raise ToolError(
                    f"port {number} for {name} is in use",
                    "leave the port out: a free one is taken",
                )
        for attempt in range(_TRIES):
            gateway, mqtt = (p or local_net.free_port() for p in self._wanted)
            self._launch(gateway, mqtt)
            try:
                self._await_ready(gateway, progress)
                self._read_ca(gateway, mqtt)
                return
            except _PortTaken:
                self.stop()
            except BaseException:
                self.stop()
                raise
            if None not in self._wanted or attempt == _TRIES - 1:
                break
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

    def kill(self) -> None:
        """End it at once, as a test of an outage wants it; start() starts a new, empty one."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    @property
    def clients(self) -> Clients:
        """boto3 clients of this cloud, by explicit credentials: the user's own are never asked."""
        return Clients(self.info)

    def _launch(self, gateway: int, mqtt: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fieldmouse-cloud-"))
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
                    [str(self._python), str(_MAIN), str(os.getpid())],
                    env=env,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as e:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ToolError(f"MiniStack does not start: {e.strerror}", "make setup") from e

    def _await_ready(self, gateway: int, progress: Callable[[float], None] | None) -> None:
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _READY_S:
            if progress is not None:
                progress(waited)
            self._check_alive()
            state = local_net.get_json(f"http://127.0.0.1:{gateway}/_ministack/ready").get(
                "iot_mtls"
            )
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
        url = f"http://127.0.0.1:{gateway}"
        assert self._folder is not None
        ca_file = self._folder / "ca.pem"
        try:
            ca_file.write_bytes(local_net.get(f"{url}/_ministack/iot/ca.pem"))
        except OSError as e:
            raise ToolError(f"MiniStack does not give out its CA: {e}", "run it again") from e
        self.info = local.Cloud(url, mqtt, ca_file)


class _PortTaken(Exception):
    """Somebody else has one of the ports that were free a moment ago."""


def _is_frame(line: str) -> bool:
    return line.startswith(("  File ", "    ", "Traceback "))
