"""Checks that ask AWS: account, clock, certificate, its thing, policies, who else may connect."""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import json
from typing import Any

from botocore import UNSIGNED
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tools.aws import certificates, evaluate, policy
from tools.aws.doctor_link import CLOCK
from tools.aws.errors import explained, is_missing
from tools.aws.mqtt import Connection, Refused
from tools.aws.patient import Fault, Patient, Unknown
from tools.errors import ToolError

SKEW_S = 60  # a certificate can be that fresh; AWS itself refuses requests 5 minutes off
# A CONNACK that says no, where AWS today just hangs up; awscrt finds that against the protocol.
_CODE = ("ConnectReturnCode", "AWS_ERROR_MQTT_PROTOCOL_ERROR")
_WAITING = ("INACTIVE", "PENDING_ACTIVATION")


def account(p: Patient) -> str:
    """The account answers."""
    p.place()
    if p.is_local:  # its place is known without asking
        with explained():
            p.clients.iot.describe_endpoint(endpointType="iot:Data-ATS")
    return f"AWS answers in {p.clients.region}"


def clock(p: Patient) -> str:
    """This computer's clock agrees with AWS's, by the date of an answer."""
    try:
        date = _date(p.clients.iot)
    except ToolError as e:
        raise Unknown("AWS cannot be asked for the time") from e
    try:
        theirs = email.utils.parsedate_to_datetime(date)
    except ValueError as e:
        raise Unknown("AWS's answer carries no date") from e
    skew_s = (dt.datetime.now(dt.timezone.utc) - theirs).total_seconds()
    if abs(skew_s) > SKEW_S:
        side = "ahead" if skew_s > 0 else "behind"
        raise Fault(f"this computer is {abs(skew_s):.0f} s {side} of AWS", CLOCK)
    return f"within {SKEW_S} s of AWS"


def _date(iot: Any) -> str:
    # Unsigned: a signature needs credentials, and the right time. A refusal has a date too.
    event = "choose-signer.iot.DescribeEndpoint"

    def unsigned(**_: Any) -> Any:
        return UNSIGNED

    iot.meta.events.register_first(event, unsigned)
    try:
        with explained():
            try:
                answer = iot.describe_endpoint(endpointType="iot:Data-ATS")
            except ClientError as e:
                answer = e.response
    finally:
        iot.meta.events.unregister(event, unsigned)
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))


def certificate(p: Patient) -> str:
    """The certificate is ACTIVE."""
    assert p.certificate is not None
    found = _described(p)
    theirs = x509.load_pem_x509_certificate(found["certificatePem"].encode())
    if theirs.public_key() != p.certificate.public_key():
        raise Fault(f"it is not the one in {p.folder.certs}", p.tool("rotate"))
    status = found["status"]
    if status in _WAITING:
        if p.record is not None and not p.record.complete:
            raise Fault(f"it is {status}: provisioning was not finished", p.provision())
        mend = ("--certificate-id", found["certificateId"], "--new-status", "ACTIVE")
        raise Fault(f"it is {status}", p.aws("update-certificate", *mend))
    if status != "ACTIVE":
        raise Fault(f"it is {status}", p.tool("rotate"))
    p.arn = str(found["certificateArn"])
    return f"{found['certificateId'][:10]}… is ACTIVE"


def _described(p: Patient) -> dict[str, Any]:
    assert p.certificate is not None
    # AWS's id of a certificate is the SHA-256 of its DER form (aws-facts.md 2.3).
    own = hashlib.sha256(p.certificate.public_bytes(Encoding.DER)).hexdigest()
    number = p.record.certificate_id if p.record else own
    with explained():
        try:
            answer = p.clients.iot.describe_certificate(certificateId=number)
        except ClientError as e:
            if not is_missing(e):
                raise
            where = f"it is not in this account and region ({p.clients.region})"
            mend = p.tool("rotate")
            if p.record is None:
                mend = f"AWS_PROFILE and AWS_REGION choose; or anew: {p.anew()}"
            raise Fault(where, mend) from e
    return dict(answer["certificateDescription"])


def thing(p: Patient) -> str:
    """The certificate is attached to the thing."""
    with explained():
        attached = p.clients.iot.list_principal_things(principal=p.arn)["things"]
    if p.thing not in attached:
        others = f" (but to {', '.join(attached)})" if attached else ""
        whole = p.record is not None
        attach = ("--thing-name", p.thing, "--principal", p.arn)
        mend = p.provision() if whole else p.aws("attach-thing-principal", *attach)
        raise Fault(f"the certificate is not attached to it{others}", mend)
    return f"{p.thing} has the certificate"


def policies(p: Patient) -> str:
    """The attached policies allow everything the firmware does."""
    texts = _documents(p)
    who = evaluate.Session(p.thing, frozenset({p.thing}), policy.arn_prefix(p.arn))
    topics = p.config["telemetry_topic"], p.config["command_topic"]
    needs = policy.needs(p.thing, *topics)

    def lacking(documents: list[str]) -> list[policy.Need]:
        return [n for n in needs if not evaluate.allows(documents, who, n.action, n.resource)]

    missing = lacking(list(texts.values()))
    if not missing:
        return f"{', '.join(texts)} allow all {len(needs)} things the firmware does"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{missing[0].action} on {missing[0].resource}{more} is not allowed"
    for name in texts:
        if len(lacking([t for n, t in texts.items() if n != name])) < len(missing):
            mend = p.aws("detach-policy", "--policy-name", name, "--target", p.arn)
            raise Fault(f"{text}: the policy {name} denies it", mend)
    if p.record is not None:
        raise Fault(text, p.provision("--update-policy"))
    lacks = [n for n in policy.documents(who.arn_prefix, *topics) if n not in texts]
    attach = [p.aws("attach-policy", "--policy-name", n, "--target", p.arn) for n in lacks]
    raise Fault(text, " && ".join(attach) or "docs/doctor.md, Certificates from elsewhere")


def _documents(p: Patient) -> dict[str, str]:
    """Name -> document of every policy in force, those of thing groups too where AWS says."""
    iot = p.clients.iot
    try:
        with explained():
            found = iot.get_effective_policies(principal=p.arn, thingName=p.thing)
        return {e["policyName"]: _text(e["policyDocument"]) for e in found["effectivePolicies"]}
    except ToolError:  # not allowed to ask, or MiniStack
        with explained():
            names = certificates.policies_of(iot, p.arn)
            return {n: iot.get_policy(policyName=n)["policyDocument"] for n in names}


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def other_client_id(p: Patient) -> str:
    """A real CONNECT under another client id is refused."""
    # Never under the thing's own: that would throw the board out.
    connection = Connection(p.route, p.clients, f"{p.thing}-doctor"[-128:])
    try:
        connection.open()
    except Refused:
        return "another client id is refused"
    except ToolError as e:
        if any(name in repr(e.__cause__) for name in _CODE):
            return "another client id is refused"
        raise Fault(f"the test with another client id did not end: {e}", e.hint) from e
    connection.close()
    raise Fault(
        "AWS lets this certificate connect under any name: a policy is too wide",
        p.aws("list-attached-policies", "--target", p.arn),
    )
