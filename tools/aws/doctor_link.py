"""Checks from this computer: the thing's folder, and the way to AWS as the device goes it."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import re
import shlex
import socket
from pathlib import Path

from tools.aws.errors import explained
from tools.aws.patient import Fault, Patient
from tools.aws.provision import ROOTS
from tools.aws.route import Identity
from tools.board import boards, certs
from tools.errors import ToolError
from tools.things import config as thing_config

_TCP_S = 10.0
CLOCK = "timedatectl set-ntp true"
_REGION = re.compile(r"-ats\.iot\.([a-z0-9-]+)\.amazonaws\.com")
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def config(p: Patient) -> str:
    """The configuration is whole and for this thing."""
    try:
        raw = p.folder.read_config()
    except ToolError as e:
        aside = shlex.join(["mv", str(p.folder.config), f"{p.folder.config}.bad"])
        raise Fault(e.message, f"{aside} && {p.provision()}") from e
    if raw is None:
        raise Fault(f"{p.folder.config} is missing", p.provision())
    found, problems = thing_config.check(raw)
    if found is None:
        raise Fault("; ".join(problems), p.setting(_change(p, problems[0])))
    p.config = found
    name = p.config["thing_name"]
    if name != p.thing:
        raise Fault(f"it is for another thing, {name}", p.setting(f"thing_name={p.thing}"))
    return str(p.folder.config)


def _change(p: Patient, problem: str) -> str:
    """The `key=value` against a problem of the configuration; "…" is for the user to fill in."""
    key = problem.split(":")[0].replace("[", ".").replace("]", "")
    if "unknown key" in problem:
        return f"{key}="
    if key == "endpoint":
        with contextlib.suppress(ToolError):
            return f"endpoint={p.place().endpoint}"
    return f"{key}={p.thing if key == 'thing_name' else '…'}"


def files(p: Patient) -> str:
    """Key and certificate fit each other, the board and the calendar."""
    p.folder.record()  # a damaged one is not like a missing one
    board = boards.get(p.record.board).stage_board if p.record else "esp32"
    now = dt.datetime.now(dt.timezone.utc)
    found, problems = certs.load(p.folder.certs, board, now)
    if found is None:
        raise Fault("; ".join(problems), _mend_files(p, problems))
    pem, _ = certs.load(p.folder.certs, "esp32", now)  # this computer takes no DER
    assert pem is not None
    p.certificate, p.identity = found.certificate, Identity(pem.cert, pem.key, pem.ca)
    until = found.certificate.not_valid_after_utc
    return f"key and certificate belong together, valid to {until:%Y-%m-%d}"


def _mend_files(p: Patient, problems: list[str]) -> str:
    if any("not yet valid" in problem for problem in problems):
        return CLOCK
    names = [path.name for path in _authorities(p)]
    if all(problem.split(":")[0] in ("ca", *names) for problem in problems):
        return mend_authority(p)
    if several := [problem for problem in problems if "several files" in problem]:
        return several[0].rpartition("; ")[2]
    if p.record is not None and p.record.complete:
        return p.tool("rotate")
    return p.anew()  # a key made elsewhere, or by a run that was not finished


def _authorities(p: Patient) -> list[Path]:
    return certs.find(p.folder.certs, "ca", []) if p.folder.certs.is_dir() else []


def mend_authority(p: Patient) -> str:
    """What to type to have the right CA in the thing's folder."""
    target = str((_authorities(p) or [p.folder.ca])[0])
    if p.clients.cloud is not None:
        return shlex.join(["cp", str(p.clients.cloud.ca_file), target])
    return f"{shlex.join(['cat', *map(str, ROOTS)])} > {shlex.quote(target)}"


def endpoint(p: Patient) -> str:
    """The endpoint is the account's ATS one and has an address."""
    host, port = p.config["endpoint"], p.config["port"]
    place, mend = None, p.aws("describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    with contextlib.suppress(ToolError):  # without an account the rest can still be looked at
        place = p.place()
        mend = p.setting(f"endpoint={place.endpoint}", f"port={place.port}")
    if host.endswith(_AMAZON) and "-ats." not in host:
        raise Fault(f"{host} is not the ATS endpoint, whose CA the board has", mend)
    if place is not None and host != place.endpoint and not _own_domain(p, host):
        raise _elsewhere(p, host, place.endpoint, mend)
    if place is not None and port != place.port:
        raise Fault(f"AWS takes devices on port {place.port}, not {port}", mend)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        text = e.strerror if isinstance(e, OSError) else "not a host name"
        raise Fault(
            f"{host} cannot be resolved: {text}",
            f"getent hosts {host} says the same? then mend this computer's DNS",
        ) from e
    return f"{host} is {_plain(str(found[0][4][0]))}"


def _elsewhere(p: Patient, host: str, own: str, mend: str) -> Fault:
    region = _REGION.search(host)
    if region and not p.is_local and region[1] != p.clients.region:
        text = f"{host} is in {region[1]}, and AWS was asked in {p.clients.region}"
        return Fault(text, f"AWS_REGION={region[1]} {p.tool('doctor')}; else {mend}")
    return Fault(f"{host} is not this account's endpoint {own}", mend)


def _plain(address: str) -> str:
    return str(ipaddress.ip_address(address.partition("%")[0]))


def _own_domain(p: Patient, host: str) -> bool:
    """True if the account has ``host`` as a domain of its own."""
    try:
        with explained():
            listed = p.clients.iot.list_domain_configurations(serviceType="DATA")
            for entry in listed["domainConfigurations"]:
                name = entry["domainConfigurationName"]
                found = p.clients.iot.describe_domain_configuration(domainConfigurationName=name)
                on = found.get("domainConfigurationStatus", "ENABLED") == "ENABLED"
                if on and found.get("domainName") == host:
                    return True
    except ToolError:  # not allowed to ask, or no such call
        return False
    return False


def tcp(p: Patient) -> str:
    """Its port answers."""
    where = p.config["endpoint"], p.config["port"]
    try:
        socket.create_connection(where, _TCP_S).close()
    except OSError as e:
        mend = f"open TCP {where[1]} in the firewall, or try from another network"
        text = str(e.strerror or e)
        raise Fault(
            f"{where[0]}:{where[1]} cannot be reached: {text}", "make sim" if p.is_local else mend
        ) from e
    return f"port {where[1]} answers"
