"""Says what is wrong between a thing and AWS: checks in an order in which each needs the former.

A check is a function of the Patient that returns what is good, or raises Fault with one line of
cause and the command that mends it. One whose needs have failed is not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.aws import doctor_cloud as cloud
from tools.aws import doctor_link as link
from tools.aws.clients import Clients
from tools.aws.folder import Folder
from tools.aws.patient import Fault, Patient, Unknown
from tools.errors import ToolError

OK, FAILED, UNTRIED, UNKNOWN = "ok", "failed", "untried", "unknown"


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``remedy`` is a command, empty where nothing is to be done."""

    check: str
    state: str
    text: str
    remedy: str = ""


Check = tuple[str, Callable[[Patient], str], tuple[str, ...]]
CHECKS: tuple[Check, ...] = (
    ("config", link.config, ()),
    ("files", link.files, ()),
    ("endpoint", link.endpoint, ("config",)),
    ("TCP", link.tcp, ("endpoint",)),
    ("TLS", link.handshake, ("TCP", "files")),
    ("clock", cloud.clock, ()),
    ("certificate", cloud.certificate, ("files",)),
    ("thing", cloud.thing, ("certificate",)),
    ("policies", cloud.policies, ("config", "certificate")),
    ("other client id", cloud.stranger, ("TLS", "certificate")),
    ("last session", cloud.last_disconnect, ()),
)


def examine(clients: Clients, thing: str, folder: Path) -> Iterator[Finding]:
    """Make every check; yields each finding as it is known."""
    patient = Patient(clients, thing, Folder(folder))
    states: dict[str, str] = {}
    for name, check, needs in CHECKS:
        broken = [need for need in needs if states.get(need) != OK]
        if broken:
            finding = Finding(name, UNTRIED, f"not tried, as {broken[0]} is not good")
        else:
            finding = _one(name, check, patient)
        states[name] = finding.state
        yield finding


def _one(name: str, check: Callable[[Patient], str], patient: Patient) -> Finding:
    try:
        return Finding(name, OK, check(patient))
    except Fault as e:
        return Finding(name, FAILED, _line(str(e)), e.remedy)
    except Unknown as e:
        return Finding(name, UNKNOWN, _line(str(e)))
    except ToolError as e:
        return Finding(name, FAILED, _line(e.message), e.hint)


def _line(text: str) -> str:
    return " ".join(text.split())
