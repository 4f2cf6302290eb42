"""What the checks of `doctor` share: the Patient they look at, and how they say what is wrong."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from tools.aws import folder, local
from tools.aws.clients import Clients
from tools.aws.folder import Folder, Record
from tools.aws.provision import Place, place_of
from tools.aws.route import Identity, Route
from tools.errors import ToolError


class Fault(Exception):
    """A check has failed; ``remedy`` is what to type, or to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


class Unknown(Exception):
    """A check that cannot be made here, and why; not a failure."""


@dataclass
class Patient:
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
    _place: Place | ToolError | None = None

    def __post_init__(self) -> None:
        with contextlib.suppress(ToolError):  # damaged: the check of the files says so
            self.record = self.folder.record()

    @property
    def route(self) -> Route:
        """The way the device goes."""
        ca = self.identity.ca if self.identity else None
        return Route("mqtt", self.config["endpoint"], self.config["port"], ca, self.identity)

    @property
    def is_local(self) -> bool:
        """The AWS is the one of `make sim`."""
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

    def tool(self, command: str, *arguments: str) -> str:
        """What to type for one of the tools' commands about this thing, in this very folder."""
        words = ["python", "-m", "tools", command, self.thing, *arguments]
        top = local.path().parent / "things" if self.is_local else folder.things_dir()
        if self.folder.path != top / self.thing:
            words += ["--out", str(self.folder.path)]
        return shlex.join([*words, "--local"] if self.is_local else words)

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
        typed = shlex.join(["python", "-m", "tools", "config", self.thing, *changes, "--no-send"])
        if path.parent == folder.things_dir():
            return typed
        return f"FIELDMOUSE_THINGS={shlex.quote(str(path.parent))} {typed}"

    def aws(self, *arguments: str) -> str:
        """What to type for one of AWS's own commands."""
        words = ["aws", "iot", *arguments]
        cloud = self.clients.cloud
        if cloud is not None:
            words += ["--endpoint-url", cloud.gateway_url, "--region", cloud.region]
        return shlex.join(words)
