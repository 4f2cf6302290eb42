"""The TLS check of `doctor`: a handshake as the device makes it, and what each failure means."""

from __future__ import annotations

import socket
import ssl

from tools.aws import tls
from tools.aws.doctor_link import CLOCK, mend_authority
from tools.aws.patient import Fault, Patient

_HANDSHAKE_S = 10.0
_ALERT_S = 1.0  # with TLS 1.3 a refused client certificate shows at the first read only
# OpenSSL's verify codes (x509_vfy.h).
_DATES, _AUTHORITY, _NAME = (9, 10), (2, 18, 19, 20, 21), (62, 64)
_NETWORK = "something between here and AWS answers in its place: try from another network"


def handshake(p: Patient) -> str:
    """TLS with the device certificate; chain and host name of the server."""
    try:
        return _shake(p)
    except ssl.SSLCertVerificationError as e:
        raise Fault(f"the server's certificate: {e.verify_message}", _verdict(p, e)) from e
    except ssl.SSLError as e:
        reason = (e.reason or "failed").lower().replace("_", " ")
        refused = "alert" in reason and ("certificate" in reason or "ca" in reason.split())
        why = f"the server refuses the device certificate: {reason}" if refused else reason
        raise Fault(why, p.tool("rotate") if refused else _NETWORK) from e
    except TimeoutError as e:
        raise Fault(f"no TLS answer within {_HANDSHAKE_S:g} s", _NETWORK) from e
    except OSError as e:
        raise Fault(f"the connection broke: {e.strerror or e}", _NETWORK) from e


def _shake(p: Patient) -> str:
    route = p.route
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


def _verdict(p: Patient, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _DATES:
        return CLOCK  # AWS's own never are out of date
    if error.verify_code in _AUTHORITY:
        return mend_authority(p)
    if error.verify_code in _NAME:
        return _NETWORK
    return f"{mend_authority(p)}; or: {_NETWORK}"
