"""Says what is wrong between a thing and AWS: checks in an order in which each needs the former.

A check is a function of the Context that returns what is good, or raises Fault with one line of
cause and the command that mends it. One whose needs have failed is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.aws.clients import Clients
from tools.doctor import cloud, link, session
from tools.doctor.context import Context, Fault, Unknown
from tools.errors import ToolError
from tools.things.folder import Folder

OK, FAILED, UNTRIED, UNKNOWN = "ok", "failed", "untried", "unknown"


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``remedy`` is a command, empty where nothing is to be done."""

    check: str
    state: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """``needs`` are the names of those without which this one says nothing."""

    name: str
    make: Callable[[Context], str]
    needs: tuple[str, ...] = ()


CHECKS = (
    Check("config", link.config),
    Check("files", link.files),
    Check("endpoint", link.endpoint, ("config",)),
    Check("TCP", link.tcp, ("endpoint",)),
    Check("TLS", link.handshake, ("TCP", "files")),
    Check("account", cloud.account),
    Check("clock", cloud.clock),
    Check("certificate", cloud.certificate, ("files", "account")),
    Check("thing", cloud.thing, ("certificate",)),
    Check("policies", cloud.policies, ("config", "certificate")),
    Check("other client id", cloud.other_client_id, ("TLS", "certificate")),
    Check("last session", session.last_disconnect, ("account",)),
    Check("last report", session.report, ("account",)),
)
HEALTH = tuple(Check(name, make) for name, make in session.HEALTH.items())


def examine(
    clients: Clients,
    thing: str,
    folder: Path,
    starting: Callable[[str], object] = lambda check: None,
    listen_s: float | None = None,
) -> Iterator[Finding]:
    """Make every check; yields each finding as it is known. ``starting`` gets the next's name.

    ``listen_s``: how long to wait for a reading; None: as long as its interval asks for.
    """
    context = Context(clients, thing, Folder(folder), listen_s=listen_s)
    states: dict[str, str] = {}
    for check in (*CHECKS, *HEALTH):
        if check in HEALTH and not context.heard:
            return  # there is nothing to be said of a board that has never reported
        broken = [need for need in check.needs if states.get(need) != OK]
        if broken:
            wanted = "known" if states.get(broken[0]) == UNKNOWN else "good"
            finding = Finding(check.name, UNTRIED, f"not tried, as {broken[0]} is not {wanted}")
        else:
            starting(check.name)
            finding = one(check.name, partial(check.make, context))
        states[check.name] = finding.state
        yield finding


def one(name: str, make: Callable[[], str]) -> Finding:
    try:
        return Finding(name, OK, make())
    except Fault as e:
        return Finding(name, FAILED, _line(str(e)), e.remedy)
    except Unknown as e:
        return Finding(name, UNKNOWN, _line(str(e)))
    except ToolError as e:
        return Finding(name, FAILED, _line(e.message), e.hint)


def _line(text: str) -> str:
    return " ".join(text.split())
