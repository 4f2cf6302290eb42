"""Checks from this computer: the thing's folder, and the way to AWS as the device goes it."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import re
import shlex
import socket
import ssl
from pathlib import Path

from tools.aws import tls
from tools.aws.errors import explained
from tools.aws.provision import ROOTS
from tools.aws.route import Identity
from tools.board import prepare
from tools.doctor.context import Context, Fault, Unknown
from tools.errors import ToolError
from tools.things import boards, certs
from tools.things import config as thing_config

_TCP_S = 10.0
CLOCK = "timedatectl set-ntp true"
_REGION = re.compile(r"-ats\.iot\.([a-z0-9-]+)\.amazonaws\.com")
_HANDSHAKE_S = 10.0
_ALERT_S = 1.0  # with TLS 1.3 a refused client certificate shows at the first read only
# OpenSSL's verify codes (x509_vfy.h).
_DATES, _AUTHORITY, _NAME = (9, 10), (2, 18, 19, 20, 21), (62, 64)
_NETWORK = "something between here and AWS answers in its place: try from another network"
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def config(c: Context) -> str:
    try:
        raw = c.folder.read_config()
    except ToolError as e:
        aside = shlex.join(["mv", str(c.folder.config), f"{c.folder.config}.bad"])
        raise Fault(e.message, f"{aside} && {c.provision()}") from e
    if raw is None:
        raise Fault(f"{c.folder.config} is missing", c.provision())
    found, problems = thing_config.check(raw)
    if found is None:
        raise Fault("; ".join(problems), c.setting(_change(c, problems[0])))
    c.config = found
    name = c.config["thing_name"]
    if name != c.thing:
        raise Fault(f"it is for another thing, {name}", c.setting(f"thing_name={c.thing}"))
    return str(c.folder.config)


def _change(c: Context, problem: str) -> str:
    """The `key=value` against a problem of the configuration; "…" is for the user to fill in."""
    key = problem.split(":")[0].replace("[", ".").replace("]", "")
    if "unknown key" in problem:
        return f"{key}="
    if key == "endpoint":
        with contextlib.suppress(ToolError):
            return f"endpoint={c.place().endpoint}"
    return f"{key}={c.thing if key == 'thing_name' else '…'}"


def files(c: Context) -> str:
    """Key and certificate fit each other, the board and the calendar."""
    c.folder.record()  # a damaged one is not like a missing one
    board = boards.get(c.record.board).profile if c.record else "esp32"
    now = dt.datetime.now(dt.timezone.utc)
    keyless = prepare.is_keyless(c.folder.path)
    found, problems = certs.load(c.folder.certs, board, now, keyless)
    if found is None:
        raise Fault("; ".join(problems), _mend_files(c, problems))
    c.certificate = found.certificate
    until = f"valid to {found.certificate.not_valid_after_utc:%Y-%m-%d}"
    if keyless:
        return f"certificate {until}; its key is on the board and nowhere else"
    pem, _ = certs.load(c.folder.certs, "esp32", now)  # this computer takes no DER
    assert pem is not None
    c.identity = Identity(pem.cert, pem.key, pem.ca)
    return f"key and certificate belong together, {until}"


def _mend_files(c: Context, problems: list[str]) -> str:
    if any("not yet valid" in problem for problem in problems):
        return CLOCK
    names = [path.name for path in _authorities(c)]
    if all(problem.split(":")[0] in ("ca", *names) for problem in problems):
        return mend_authority(c)
    if several := [problem for problem in problems if "several files" in problem]:
        return several[0].rpartition("; ")[2]
    if c.record is not None and c.record.complete:
        return c.tool("rotate")
    return c.anew()  # a key made elsewhere, or by a run that was not finished


def _authorities(c: Context) -> list[Path]:
    return certs.find(c.folder.certs, "ca", []) if c.folder.certs.is_dir() else []


def mend_authority(c: Context) -> str:
    """What to type to have the right CA in the thing's folder."""
    target = str((_authorities(c) or [c.folder.ca])[0])
    if c.clients.cloud is not None:
        return shlex.join(["cp", str(c.clients.cloud.ca_file), target])
    return f"{shlex.join(['cat', *map(str, ROOTS)])} > {shlex.quote(target)}"


def endpoint(c: Context) -> str:
    """The endpoint is the account's ATS one and has an address."""
    host, port = c.config["endpoint"], c.config["port"]
    place, mend = None, c.aws("describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    with contextlib.suppress(ToolError):  # without an account the rest can still be looked at
        place = c.place()
        mend = c.setting(f"endpoint={place.endpoint}", f"port={place.port}")
    if host.endswith(_AMAZON) and "-ats." not in host:
        raise Fault(f"{host} is not the ATS endpoint, whose CA the board has", mend)
    if place is not None and host != place.endpoint and not _own_domain(c, host):
        raise _elsewhere(c, host, place.endpoint, mend)
    proxy = c.clients.cloud.proxy_port if c.clients.cloud else 0  # where CHAOS is in between
    if place is not None and port not in (place.port, proxy):
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


def _elsewhere(c: Context, host: str, own: str, mend: str) -> Fault:
    region = _REGION.search(host)
    if region and not c.is_local and region[1] != c.clients.region:
        text = f"{host} is in {region[1]}, and AWS was asked in {c.clients.region}"
        return Fault(text, f"{c.tool('doctor', '--region', region[1])}; else {mend}")
    return Fault(f"{host} is not this account's endpoint {own}", mend)


def _plain(address: str) -> str:
    return str(ipaddress.ip_address(address.partition("%")[0]))


def _own_domain(c: Context, host: str) -> bool:
    try:
        with explained():
            listed = c.clients.iot.list_domain_configurations(serviceType="DATA")
            for entry in listed["domainConfigurations"]:
                name = entry["domainConfigurationName"]
                found = c.clients.iot.describe_domain_configuration(domainConfigurationName=name)
                on = found.get("domainConfigurationStatus", "ENABLED") == "ENABLED"
                if on and found.get("domainName") == host:
                    return True
    except ToolError:  # not allowed to ask, or no such call
        return False
    return False


def tcp(c: Context) -> str:
    where = c.config["endpoint"], c.config["port"]
    try:
        socket.create_connection(where, _TCP_S).close()
    except OSError as e:
        raise _unreachable(c, e) from e
    return f"port {where[1]} answers"


def _unreachable(c: Context, error: OSError) -> Fault:
    host, port = c.config["endpoint"], c.config["port"]
    text = f"cannot be reached: {error.strerror or error}"
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        text = "resets the connection"
    mend = f"open TCP {port} in the firewall, or try from another network"
    return Fault(f"{host}:{port} {text}", _by_chaos(c) or ("make sim" if c.is_local else mend))


def _by_chaos(c: Context) -> str:
    """What to do where the way leads through the bad network of `make sim CHAOS=…`; else ""."""
    if c.clients.cloud is None or c.config["port"] != c.clients.cloud.proxy_port:
        return ""
    return "CHAOS does that to this local AWS: look again, or make sim without CHAOS"


def handshake(c: Context) -> str:
    """TLS with the device certificate; chain and host name of the server."""
    if c.identity is None:
        raise Unknown("its key is on the board, so this computer cannot connect as it does")
    try:
        return _shake(c)
    except ssl.SSLCertVerificationError as e:
        raise Fault(f"the server's certificate: {e.verify_message}", _verdict(c, e)) from e
    except ssl.SSLError as e:
        reason = (e.reason or "failed").lower().replace("_", " ")
        refused = "alert" in reason and ("certificate" in reason or "ca" in reason.split())
        why = f"the server refuses the device certificate: {reason}" if refused else reason
        raise Fault(why, c.tool("rotate") if refused else _NETWORK) from e
    except TimeoutError as e:
        text = f"no TLS answer within {_HANDSHAKE_S:g} s"
        raise Fault(text, _by_chaos(c) or _NETWORK) from e
    except OSError as e:
        raise _unreachable(c, e) from e


def _shake(c: Context) -> str:
    route = c.route
    raw = socket.create_connection((route.endpoint, route.port), _HANDSHAKE_S)
    with raw, tls.context(route).wrap_socket(raw, server_hostname=route.endpoint) as link:
        link.settimeout(_ALERT_S)
        try:
            said = link.recv(1)
        except TimeoutError:  # it waits for the CONNECT, as it should
            return f"{link.version()}: chain, host name and device certificate accepted"
        if said:
            raise Fault("who answers there does not speak MQTT", _NETWORK)
    raise Fault(
        "the server closes after the handshake", "mend the certificate first, if it is named below"
    )


def _verdict(c: Context, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _DATES:
        return CLOCK  # AWS's own never are out of date
    if error.verify_code in _AUTHORITY:
        return mend_authority(c)
    if error.verify_code in _NAME:
        return _NETWORK
    return f"{mend_authority(c)}; or: {_NETWORK}"
