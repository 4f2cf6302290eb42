"""Asks AWS about things, many at once, and listens for their readings meanwhile.

What one source may not say, or cannot, is named in `Evidence.unknown`: the rest is told all the
same.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from firmware.core import topics
from tools import wire
from tools.aws import certificates, shadow, viewer
from tools.aws.clients import Clients
from tools.aws.errors import explain, explained, found, is_denied, is_missing
from tools.aws.facts import Evidence, reading_of
from tools.aws.health import Health, sleeper
from tools.errors import ToolError
from tools.things.folder import Folder, things_dir

_PARALLEL = 16
_LISTED_FROM = 20  # so many things: all certificates of the account are fewer calls than theirs
_LOOK_S = 0.05
Tell = Callable[[str], object]


def everything(
    clients: Clients, wanted: Sequence[str], listen_s: float = 0, tell: Tell = lambda text: None
) -> list[Evidence]:
    """What can be known of ``wanted``, or of every thing in the account.

    Listens for readings for ``listen_s`` seconds, or until each thing that is online was heard.
    ``tell`` gets a few words about how far it is. ToolError for a thing that does not exist, and
    when AWS cannot be asked at all.
    """
    with explained():
        for name in wanted:
            shadow.check_thing(clients.iot, name)
    names = _names(clients, wanted)
    ask = Asker(clients, len(names) >= _LISTED_FROM)
    listener = _Listener(clients, names if listen_s else [])
    with contextlib.ExitStack() as stack:
        listener.begin(stack)
        found = []
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for e in pool.map(ask.about, names):
                found.append(e)
                tell(f"asking AWS: {len(found)} of {len(names)} things")
        online = {e.thing for e in found if _online(e)}
        while listener.left_s(listen_s) > 0 and online - listener.heard.keys():
            silent = len(online - listener.heard.keys())
            tell(f"listening for {listener.left_s(listen_s):.0f} s: {silent} not heard yet")
            time.sleep(_LOOK_S)
        for e in found:
            listener.complete(e)
    return found


def each(clients: Clients, wanted: Sequence[str]) -> Iterator[Evidence]:
    """One after the other, all but the readings, for who has time; ToolError as `everything`."""
    names = _names(clients, wanted)
    yield from map(Asker(clients, len(names) >= _LISTED_FROM).about, names)


def asleep(data: Any, thing: str, document: Mapping[str, Any] | None) -> Health | None:
    """The health of ``thing``, whose shadow ``document`` is, if it is one that sleeps.

    None also where AWS does not tell its status.
    """
    e = Evidence(thing, shadow=document)
    with contextlib.suppress(ToolError), explained():
        _status(e, found(data.get_retained_message, topic=topics.of(thing, "", "")[3]))
    return sleeper(e, time.time())


def _status(e: Evidence, retained: Any) -> None:
    if retained:
        e.status = wire.document(retained.get("payload") or b"")
        e.status_at = int(retained.get("lastModifiedTime", 0)) / 1000


def _names(clients: Clients, wanted: Sequence[str]) -> list[str]:
    with explained():
        pages = () if wanted else clients.iot.get_paginator("list_things").paginate()
        return [*wanted, *(str(thing["thingName"]) for page in pages for thing in page["things"])]


def _topic(clients: Clients, name: str) -> str:
    """Where its readings go: as its folder on this machine says, else the usual one."""
    raw = None
    with contextlib.suppress(ToolError):
        raw = Folder(things_dir(clients.cloud is not None) / name).read_config()
    given = (raw or {}).get("telemetry_topic", f"devices/{name}/data")
    return str(topics.of(name, str(given), "")[0])


def _online(e: Evidence) -> bool:
    said = e.connection or {}
    return said.get("connected", (e.status or {}).get("online")) is True


class Asker:
    """Asks all that AWS knows of a thing; safe to share between threads."""

    def __init__(self, clients: Clients, many: bool = False) -> None:
        """``many``: learn the states of all certificates at once, not one by one."""
        self._clients = clients
        # Made here: boto3 clients are not to be made in several threads.
        self._iot, self._data = clients.iot, clients.data
        self._denied: dict[str, str] = {}
        self._many = many
        self._certificates: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def about(self, thing: str) -> Evidence:
        """All but the readings."""
        e, data = Evidence(thing, topic=_topic(self._clients, thing)), self._data
        topic = topics.of(thing, "", "")[3]
        _status(e, self._ask(e, "status", lambda: data.get_retained_message(topic=topic)))
        e.shadow = self._ask(e, "shadow", lambda: shadow.get(data, thing))
        if self._clients.cloud is None:  # MiniStack has no such call
            e.connection = self._ask(e, "connection", lambda: data.get_connection(clientId=thing))
        found = self._ask(e, "certificate", lambda: self._certified(thing))
        if found is not None:
            states = ((d["certificateId"], str(d["status"])) for d in found)
            e.certificates = tuple(states)
            born = [d["creationDate"].timestamp() for d in found]
            e.certified_at = max(born, default=None)
        return e

    def _ask(self, e: Evidence, source: str, call: Callable[[], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        if source in self._denied:  # also of the next thing
            e.unknown[source] = self._denied[source]
            return None
        try:
            return call()
        except (BotoCoreError, ClientError, ToolError) as error:
            if is_missing(error):
                return None
            known = error if isinstance(error, ToolError) else explain(error)
            e.unknown[source] = wire.short(known.message)
            if is_denied(error) or is_denied(error.__cause__):
                self._denied[source] = e.unknown[source]
        return None

    def _certified(self, thing: str) -> list[Any]:
        """Descriptions (certificateId, status, creationDate) of the thing's certificates."""
        numbers = [certificates.id_of(arn) for arn in certificates.of_thing(self._iot, thing)]
        if self._many:
            with self._lock:
                if self._certificates is None:
                    pages = self._iot.get_paginator("list_certificates").paginate()
                    listed = (c for page in pages for c in page["certificates"])
                    self._certificates = {c["certificateId"]: c for c in listed}
            return [self._certificates[n] for n in numbers if n in self._certificates]
        answers = (found(self._iot.describe_certificate, certificateId=n) for n in numbers)
        return [answer["certificateDescription"] for answer in answers if answer]


class _Listener:
    """Keeps the last reading of each of ``names`` from `begin` until its stack ends."""

    def __init__(self, clients: Clients, names: Sequence[str]) -> None:
        self.heard: dict[str, tuple[dict[str, Any], float]] = {}
        self._clients = clients
        places = {_topic(clients, name): name for name in names}
        # Basic Ingest: nobody can subscribe to that.
        self._places = {topic: n for topic, n in places.items() if not topic.startswith("$")}
        self._began: float | None = None
        self._failed = ""

    def begin(self, stack: contextlib.ExitStack) -> None:
        if not self._places:
            return
        own = {topic for topic in self._places if not topic.startswith("devices/")}
        filters = ["devices/+/data", *own]
        try:
            stack.enter_context(viewer.listening(self._clients, filters, self._take))
            self._began = time.monotonic()
        except ToolError as e:
            self._failed = wire.short(e.message)

    def left_s(self, listen_s: float) -> float:
        """How much longer ``listen_s`` seconds of listening take."""
        return 0 if self._began is None else self._began + listen_s - time.monotonic()

    def complete(self, e: Evidence) -> None:
        """Add what was heard of a thing."""
        if self._failed:
            e.unknown["telemetry"] = self._failed
        if self._began is not None and e.thing in self._places.values():
            e.listened_s = time.monotonic() - self._began
        if e.thing in self.heard:
            e.reading, e.heard_at = self.heard[e.thing]

    def _take(self, topic: str, payload: bytes) -> None:
        name, document = self._places.get(topic), wire.document(payload)
        if name and document and document.get("device_id") == name and reading_of(document):
            self.heard[name] = document, time.time()
