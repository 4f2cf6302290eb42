"""Checks from this computer: the thing's folder, and the way to AWS as the device goes it."""

from __future__ import annotations

import datetime as dt
import socket

from tools.aws import tls
from tools.aws.folder import checked
from tools.aws.patient import Fault, Patient
from tools.aws.provision import place_of
from tools.board import certs

_TCP_S = 10.0


def config(p: Patient) -> str:
    """The configuration is whole and for this thing."""
    raw = p.folder.read_config()
    if raw is None:
        raise Fault(f"{p.folder.config} is missing", f"python -m tools provision {p.thing}")
    p.config = checked(raw, str(p.folder.config))
    if p.config["thing_name"] != p.thing:
        name = p.config["thing_name"]
        raise Fault(
            f"it is for another thing, {name}",
            f"python -m tools config {p.thing} thing_name={p.thing}",
        )
    return str(p.folder.config)


def files(p: Patient) -> str:
    """Key and certificate fit each other, the board and the calendar."""
    p.record = p.folder.record()
    board = "esp8266" if p.record and p.record.board == "esp8266" else "esp32"
    p.loaded, problems = certs.load(p.folder.certs, board, dt.datetime.now(dt.timezone.utc))
    if p.loaded is None:
        gone = not p.folder.key.exists() and not p.folder.cert.exists()
        raise Fault(
            "; ".join(problems), f"python -m tools {'provision' if gone else 'rotate'} {p.thing}"
        )
    until = p.loaded.certificate.not_valid_after_utc
    return f"key and certificate belong together, valid to {until:%Y-%m-%d}"


def endpoint(p: Patient) -> str:
    """The endpoint is the account's ATS one and has an address."""
    p.place = place_of(p.clients)
    host = p.config["endpoint"]
    mend = f"python -m tools config {p.thing} endpoint={p.place.endpoint} port={p.place.port}"
    if host.endswith("amazonaws.com") and "-ats." not in host:
        raise Fault(f"{host} is not the ATS endpoint, whose CA the board has", mend)
    if host != p.place.endpoint:
        raise Fault(f"{host} is not this account's endpoint {p.place.endpoint}", mend)
    try:
        found = socket.getaddrinfo(host, p.config["port"], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as e:
        raise Fault(f"{host} cannot be resolved: {e}", "look at this computer's DNS") from e
    return f"{host} is {found[0][4][0]}"


def tcp(p: Patient) -> str:
    """Its port answers."""
    where = p.config["endpoint"], p.config["port"]
    try:
        socket.create_connection(where, _TCP_S).close()
    except OSError as e:
        raise Fault(
            f"{where[0]}:{where[1]} cannot be reached: {e}",
            f"a firewall? open TCP {where[1]}, or try from another network",
        ) from e
    return f"port {where[1]} answers"


def handshake(p: Patient) -> str:
    """TLS with the device certificate; chain and host name of the server."""
    why = tls.fault(p.route)
    if why:
        remedy = f"python -m tools rotate {p.thing}"
        if "server" in why:
            remedy = f"rm {p.folder.ca} && python -m tools provision {p.thing}"
        raise Fault(why, remedy)
    return "chain, host name and device certificate accepted"
