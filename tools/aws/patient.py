"""What the checks of `doctor` share: the Patient they look at, and how they say what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tools.aws.clients import Clients
from tools.aws.folder import Folder, Record
from tools.aws.provision import Place
from tools.aws.route import Identity, Route
from tools.board import certs


class Fault(Exception):
    """A check has failed."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


class Unknown(Exception):
    """A check that cannot be made here, and why; not a failure."""


@dataclass
class Patient:
    """What the checks look at, and what earlier ones have found."""

    clients: Clients
    thing: str
    folder: Folder
    config: dict[str, Any] = field(default_factory=dict)
    loaded: certs.Certificates | None = None
    place: Place | None = None
    record: Record | None = None

    @property
    def route(self) -> Route:
        """The way the device goes."""
        assert self.loaded is not None
        own = Identity(self.loaded.cert, self.loaded.key, self.loaded.ca)
        return Route("mqtt", self.config["endpoint"], self.config["port"], own.ca, own)
