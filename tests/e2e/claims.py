"""Fleet provisioning by claim for ``server.py``, and which certificates may come in.

    claims = Claims(broker, ca)                      # from now on nobody unknown may connect
    claim = ca.client()
    claims.claim(claim, ["fieldmouse"])              # a claim certificate, for these templates
    claims.template("fieldmouse", {"SerialNumber": None}, thing="fm-{SerialNumber}")
    ... the board asks create-from-csr/json, then provision/json, then connects anew ...
    assert claims.things["fm-1"] == [its certificate id] and claims.orphans() == []

    number = claims.known(ca.client(), "t-1")        # or: a thing that is registered already
    claims.deactivate(number); claims.activate(number)

A claim certificate connects under any client id and may publish and subscribe only on its topics;
that of a thing connects as that thing and stays off the `$aws/things/` of others. A certificate
that is not ACTIVE gets no CONNACK: the connection is closed, as AWS does it. Answers go to the one
who asked, if it has subscribed to them, at QoS 0, and are lost with the connection.

``template(hook=...)``: called with what AWS hands to the Lambda function; False or None: 403.
``claims.ignore["create-from-csr"]`` (or "provision") and ``claims.lose[...]``, ``claims.twice``:
as in jobs.py.
``claims.hours(1)``: time passes; tokens end, and certificates that nobody has registered go.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.e2e.pki import Authority, Identity
from tests.e2e.server import Server
from tests.e2e.session import Direct, Message

TOKEN_S = 3600
TOKEN_CHARS = 512  # as long as those of AWS
_MAX_CSR = 4096
_CREATE = "$aws/certificates/create-from-csr/json"
_PROVISION = re.compile(r"\$aws/provisioning-templates/([^/]+)/provision/json")
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_TEMPLATE = re.compile(r"[0-9A-Za-z_-]{1,36}")

Hook = Callable[[dict[str, Any]], bool]


@dataclass
class Certificate:
    """One that the cloud knows; ``thing`` and ``templates`` say what for.

    ``mute``: its policy allows to connect and nothing else.
    """

    pem: str
    status: str = "ACTIVE"
    thing: str | None = None
    templates: Collection[str] = ()
    mute: bool = False


@dataclass
class Template:
    parameters: Mapping[str, str | None]
    thing: str
    configuration: dict[str, Any]
    hook: Hook


@dataclass
class Token:
    certificate: str
    claim: str
    until: float


@dataclass
class Request:
    """What a board asked, and the errorCode it got, "" for none."""

    verb: str
    client_id: str
    content: dict[str, Any] = field(default_factory=dict)
    code: str = ""


class _Rejected(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Claims:
    """See the text of the module."""

    def __init__(self, broker: Server, ca: Authority) -> None:
        self.certificates: dict[str, Certificate] = {}
        self.things: dict[str, list[str]] = {}
        self.requests: list[Request] = []
        self.ignore: Counter[str] = Counter()
        self.lose: Counter[str] = Counter()
        self.twice = False
        self._broker, self._ca = broker, ca
        self._templates: dict[str, Template] = {}
        self._tokens: dict[str, Token] = {}
        self._later_s = 0.0
        broker.gate = self
        broker.responders.append(self._respond)

    # --- for the tests

    def claim(self, identity: Identity, templates: Collection[str]) -> str:
        """Let this certificate claim by these templates; its id."""
        return self._add(identity.cert.decode(), templates=templates)

    def known(self, identity: Identity, thing: str, status: str = "ACTIVE") -> str:
        """Register the certificate of a thing; its id."""
        number = self._add(identity.cert.decode(), status=status, thing=thing)
        self.things.setdefault(thing, []).append(number)
        return number

    def template(
        self,
        name: str,
        parameters: Mapping[str, str | None],
        thing: str,
        configuration: Mapping[str, Any] | None = None,
        hook: Hook = lambda event: True,
    ) -> None:
        """A provisioning template: its parameters with their defaults (None: has to be given).

        ``thing`` is the thing name with them in braces.
        """
        if not _TEMPLATE.fullmatch(name):
            raise ValueError(f"template name {name!r}")
        self._templates[name] = Template(parameters, thing, dict(configuration or {}), hook)

    def activate(self, number: str) -> None:
        """It may connect again."""
        self.certificates[number].status = "ACTIVE"

    def deactivate(self, number: str, kick: bool = False) -> None:
        """It may not connect any more; ``kick`` ends the connections it has."""
        self.certificates[number].status = "INACTIVE"
        if kick:
            for connection in self._broker.live():
                if number_of(connection.certificate) == number:
                    connection.kill("certificate deactivated")
                    connection.thread.join(5)

    def issue(self, request: x509.CertificateSigningRequest, thing: str | None = None) -> str:
        """Sign a request as `create-certificate-from-csr` does, PENDING without a thing."""
        pem = self._ca.issue(request).decode()
        number = self._add(pem, "ACTIVE" if thing else "PENDING_ACTIVATION", thing)
        if thing:
            self.things.setdefault(thing, []).append(number)
        return number

    def orphans(self) -> list[str]:
        """The ids of certificates that were made and never registered."""
        return [n for n, c in self.certificates.items() if c.status == "PENDING_ACTIVATION"]

    def hours(self, hours: float) -> None:
        """Let time pass for tokens, and take away what nobody has registered meanwhile."""
        with self._broker.lock:
            self._later_s += 3600 * hours
            for token in [t for t, own in self._tokens.items() if own.until <= self._now()]:
                number = self._tokens.pop(token).certificate
                if self.certificates[number].status == "PENDING_ACTIVATION":
                    del self.certificates[number]

    # --- for the broker

    def admits(self, certificate: bytes, client_id: str) -> bool:
        """Whether the certificate is known and ACTIVE and may use this client id."""
        found = self.certificates.get(number_of(certificate))
        if found is None or found.status != "ACTIVE":
            return False
        return found.thing in (None, client_id)

    def allows(self, certificate: bytes, action: str, topic: str) -> bool:
        """What its policy says; a certificate that has gone meanwhile may do nothing."""
        found = self.certificates.get(number_of(certificate))
        if found is None or found.mute:
            return False
        if found.thing:
            owner = re.match(r"\$aws/things/([^/]+)", topic)
            foreign = topic.startswith(("$aws/certificates", "$aws/provisioning-templates"))
            return not foreign and (owner is None or owner[1] == found.thing)
        asked = [
            _CREATE,
            *(f"$aws/provisioning-templates/{t}/provision/json" for t in found.templates),
        ]
        if action == "Publish":
            return topic in asked
        return any(topic in (f"{one}/accepted", f"{one}/rejected", f"{one}/+") for one in asked)

    # --- what boards ask

    def _respond(self, client_id: str, topic: str, payload: bytes) -> list[Message]:
        found = _PROVISION.fullmatch(topic)
        if topic != _CREATE and not found:
            return []
        verb = "provision" if found else "create-from-csr"
        if self.ignore[verb]:
            self.ignore[verb] -= 1
            return []
        noted = Request(verb, client_id)
        self.requests.append(noted)
        asker = self._broker.live(client_id)[0]
        claim = number_of(asker.certificate)
        try:
            noted.content = _parsed(payload)
            if found:
                answer = self._provision(client_id, claim, found[1], noted.content)
            else:
                answer = self._create(claim, noted.content)
            end = "accepted"
        except _Rejected as e:
            noted.code, end = e.code, "rejected"
            answer = {"statusCode": e.status, "errorCode": e.code, "errorMessage": str(e)}
        if self.lose[verb]:
            self.lose[verb] -= 1
            return []
        if asker.session is None or asker.session.wants(f"{topic}/{end}") is None:
            return []
        said = Direct(f"{topic}/{end}", json.dumps(answer).encode(), 0)
        return [said] * (1 + self.twice)

    def _create(self, claim: str, request: dict[str, Any]) -> dict[str, Any]:
        _only(request, {"certificateSigningRequest"})
        pem = self._ca.issue(_request(request.get("certificateSigningRequest"))).decode()
        number = self._add(pem, "PENDING_ACTIVATION")
        token = secrets.token_urlsafe(TOKEN_CHARS)[:TOKEN_CHARS]
        self._tokens[token] = Token(number, claim, self._now() + TOKEN_S)
        return {
            "certificateOwnershipToken": token,
            "certificateId": number,
            "certificatePem": pem,
        }

    def _provision(
        self, client_id: str, claim: str, name: str, request: dict[str, Any]
    ) -> dict[str, Any]:
        _only(request, {"certificateOwnershipToken", "parameters"})
        token = self._owned(request.get("certificateOwnershipToken"), claim)
        template = self._templates.get(name)
        if template is None:
            raise _Rejected("InvalidTemplate", f"no template {name}")
        own = self.certificates[token.certificate]
        given = request.get("parameters", {})
        event = {
            "claimCertificateId": claim,
            "certificateId": token.certificate,
            "certificatePem": own.pem,
            "templateArn": f"arn:aws:iot:us-east-1:000000000000:provisioningtemplate/{name}",
            "clientId": client_id,
            "parameters": given,
        }
        values = _values(template, given)
        if not template.hook(event):
            raise _Rejected("AccessDenied", "Access Denied", 403)
        thing = template.thing.format_map(values)
        if not re.fullmatch(r"[a-zA-Z0-9:_-]{1,128}", thing):
            raise _Rejected("InvalidParameters", f"thing name {thing[:140]!r}")
        del self._tokens[request["certificateOwnershipToken"]]
        own.status, own.thing = "ACTIVE", thing
        self.things.setdefault(thing, []).append(token.certificate)
        return {"deviceConfiguration": template.configuration, "thingName": thing}

    def _owned(self, text: Any, claim: str) -> Token:
        """The token, if it is good: known, of this claim certificate, not used, not too old."""
        code = "InvalidCertificateOwnershipToken"
        if not isinstance(text, str) or not text:
            raise _Rejected(code, "Certificate ownership token cannot be empty.")
        token = self._tokens.get(text)
        if token is None or token.claim != claim or token.until <= self._now():
            raise _Rejected(code, "Certificate ownership token is not valid.")
        return token

    def _add(
        self,
        pem: str,
        status: str = "ACTIVE",
        thing: str | None = None,
        templates: Collection[str] = (),
    ) -> str:
        der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
        self.certificates[number_of(der)] = Certificate(pem, status, thing, templates)
        return number_of(der)

    def _now(self) -> float:
        return time.monotonic() + self._later_s


def number_of(certificate: bytes) -> str:
    """The id that AWS gives a certificate: SHA-256 of its DER."""
    return hashlib.sha256(certificate).hexdigest()


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        content = json.loads(payload)
    except ValueError as e:
        raise _Rejected("InvalidPayload", f"not JSON: {e}") from e
    if not isinstance(content, dict):
        raise _Rejected("InvalidPayload", "not an object")
    return content


def _only(request: dict[str, Any], keys: set[str]) -> None:
    if odd := request.keys() - keys:
        raise _Rejected("InvalidPayload", f"unknown: {', '.join(sorted(odd))}")


def _request(pem: Any) -> x509.CertificateSigningRequest:
    """The request, if AWS would sign it."""
    code = "InvalidCertificateSigningRequest"
    if not isinstance(pem, str) or not 1 <= len(pem) <= _MAX_CSR:
        raise _Rejected(code, f"not 1 to {_MAX_CSR} characters")
    if not re.match(
        r"-----BEGIN CERTIFICATE REQUEST-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END", pem
    ):
        raise _Rejected(code, "not PEM in lines of 64")
    try:
        found = x509.load_pem_x509_csr(pem.encode())
        key = found.public_key()
        good = found.is_signature_valid
    except (ValueError, InvalidSignature, TypeError) as e:
        raise _Rejected(code, f"it cannot be read: {e}") from e
    if not good:
        raise _Rejected(code, "its signature is not by its key")
    if isinstance(key, rsa.RSAPublicKey):
        known = key.key_size >= 2048
    else:
        known = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
    if not known:
        raise _Rejected(code, "a key that AWS IoT does not take")
    return found


def _values(template: Template, given: Any) -> dict[str, str]:
    """The parameters of the template, as given or by default."""
    code = "InvalidParameters"
    if not isinstance(given, dict):
        raise _Rejected(code, "parameters is not an object")
    if odd := given.keys() - template.parameters.keys():
        raise _Rejected(code, f"not in the template: {', '.join(sorted(odd))}")
    if any(not isinstance(value, str) or not value for value in given.values()):
        raise _Rejected(code, "a value that is no text")
    values = {name: given.get(name, default) for name, default in template.parameters.items()}
    if missing := [name for name, value in values.items() if value is None]:
        raise _Rejected(code, f"Cannot resolve reference value: {', '.join(missing)}")
    return {name: str(value) for name, value in values.items()}
