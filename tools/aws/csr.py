"""A certificate signing request that a board has sent, and what was made for it."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec

from tools.errors import ToolError

_CN_CHARS = 64  # as tools/aws/certificates.py


def check(text: str, thing: str) -> x509.CertificateSigningRequest:
    """The request in ``text`` (base64 of DER); ToolError unless it is one of this thing's."""
    try:
        request = x509.load_der_x509_csr(base64.b64decode(text, validate=True))
        key, signed = request.public_key(), request.is_signature_valid
        subject = [(a.oid, a.value) for a in request.subject]
    except Exception as e:  # whatever the library says to what anybody may have sent
        raise ToolError(f"{thing} has sent no request: {type(e).__name__}") from e
    if not signed:
        raise ToolError(f"{thing}: the signature of its request is wrong")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ToolError(f"{thing}: its request is not for a P-256 key")
    if subject != [(x509.NameOID.COMMON_NAME, thing[:_CN_CHARS])]:
        raise ToolError(f"{thing}: its request is for somebody else")
    return request


def made_since(iot: Any, since: dt.datetime) -> list[str]:
    """The ARNs of the newest certificates, the newest first."""
    arns: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = iot.list_certificates(pageSize=250, ascendingOrder=False, **token)
        for one in page["certificates"]:
            if one["creationDate"] < since:
                return arns
            arns.append(str(one["certificateArn"]))
        if not page.get("nextMarker"):
            return arns
        token = {"marker": page["nextMarker"]}


def public(of: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """The public key, for comparing."""
    form = ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo
    return of.public_key().public_bytes(*form)
