"""What the checks of `doctor` share: the Context they look at, and how they say what is wrong."""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography import x509

from tools.aws import collect
from tools.aws.clients import Clients
from tools.aws.facts import Evidence
from tools.aws.health import Health, assess
from tools.aws.provision import Place, place_of
from tools.aws.route import Identity, Route
from tools.errors import ToolError
from tools.options import ACCOUNT
from tools.things import folder
from tools.things.folder import Folder, Record

_PATIENCE_S = 65.0


class Fault(Exception):
    """A check has failed; ``remedy`` is what to type, or to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


class Unknown(Exception):
    """A check that cannot be made here, and why; not a failure."""


@dataclass
class Context:
    """What the checks look at, and what earlier ones have found.

    ``arn`` is that of the certificate, once AWS has been found to know it.
    """

    clients: Clients
    thing: str
    folder: Folder
    config: dict[str, Any] = field(default_factory=dict)
    record: Record | None = None
    certificate: x509.Certificate | None = None
    identity: Identity | None = None
    arn: str = ""
    listen_s: float | None = None  # for a reading; None: as long as it takes, at most a minute
    heard: bool = False  # of the board, ever
    _place: Place | ToolError | None = None

    def __post_init__(self) -> None:
        with contextlib.suppress(ToolError):  # damaged: the check of the files says so
            self.record = self.folder.record()

    @property
    def route(self) -> Route:
        ca = self.identity.ca if self.identity else None
        return Route("mqtt", self.config["endpoint"], self.config["port"], ca, self.identity)

    @property
    def is_local(self) -> bool:
        return self.clients.cloud is not None

    def place(self) -> Place:
        """Where the account's devices connect; asked once, ToolError when AWS does not say."""
        if self._place is None:
            try:
                self._place = place_of(self.clients)
            except ToolError as e:
                self._place = e
        if isinstance(self._place, ToolError):
            raise self._place
        return self._place

    @cached_property
    def evidence(self) -> Evidence:
        """All that AWS knows of the board but its readings; Unknown when it cannot be asked."""
        return self._collect(0)

    @cached_property
    def health(self) -> Health:
        """The judgement of it, after listening for a reading; Unknown as above."""
        found = assess(self.evidence, time.time())
        every_s = found.interval_s or int(self.config.get("interval_s", 60))
        enough_s = 3.0 * every_s + 11  # then health.py calls it late
        if enough_s > _PATIENCE_S:  # one reading is all there is time for
            enough_s = min(every_s + 5, _PATIENCE_S)
        listen_s = enough_s if self.listen_s is None else self.listen_s
        if listen_s and found.state not in ("never", "offline"):
            found = assess(self._collect(listen_s), time.time())
        return found

    def _collect(self, listen_s: float) -> Evidence:
        try:
            (found,) = collect.everything(self.clients, [self.thing], listen_s)
        except ToolError as e:
            raise Unknown(e.message) from e
        return found

    def ask(self, command: str, *arguments: str, thing: str = "") -> str:
        """What to type for one of the tools' commands about this thing, "shadow set" say."""
        words = ["python", "-m", "tools", *command.split(), thing or self.thing, *arguments]
        return shlex.join([*words, "--local"] if self.is_local else words)

    def tool(self, command: str, *arguments: str) -> str:
        """`ask` for a command that works on this very folder."""
        elsewhere = self.folder.path != folder.things_dir(self.is_local) / self.thing
        out = ["--out", str(self.folder.path)] if elsewhere else []
        return self.ask(command, *arguments, *out)

    def provision(self, *arguments: str) -> str:
        """What to type to complete the thing; the board is kept."""
        board = self.record.board if self.record else "esp32"
        kind = ["--board", board] if board != "esp32" else []
        return self.tool("provision", *kind, *arguments)

    def anew(self) -> str:
        """What to type to begin with a new folder; the old one is kept aside."""
        path = self.folder.path
        if not path.exists():
            return self.provision()
        return f"{shlex.join(['mv', str(path), f'{path}.bad'])} && {self.provision()}"

    def setting(self, *changes: str) -> str:
        """What to type to change config.json; a change is "key=value"."""
        path = self.folder.path
        if path.name != self.thing:
            return f"edit {self.folder.config}: {' '.join(changes)}"
        if path.parent == folder.things_dir(self.is_local):
            return self.ask("config", *changes, "--no-send")
        typed = shlex.join(["python", "-m", "tools", "config", self.thing, *changes, "--no-send"])
        return f"FIELDMOUSE_THINGS={shlex.quote(str(path.parent))} {typed}"

    def aws(self, *arguments: str) -> str:
        """What to type for one of AWS's own commands."""
        words = ["aws", "iot", *arguments]
        cloud = self.clients.cloud
        if cloud is not None:
            words += ["--endpoint-url", cloud.gateway_url, "--region", cloud.region]
        return shlex.join([*words, *ACCOUNT.get().words()])
