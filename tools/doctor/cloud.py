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

from tools.aws import certificates, policy
from tools.aws.errors import explained, is_missing
from tools.aws.mqtt import Connection, Refused
from tools.doctor import evaluate
from tools.doctor.context import Context, Fault, Unknown
from tools.doctor.link import CLOCK
from tools.errors import ToolError

SKEW_S = 60  # a certificate can be that fresh; AWS itself refuses requests 5 minutes off
# A CONNACK that says no, where AWS today just hangs up; awscrt finds that against the protocol.
_CODE = ("ConnectReturnCode", "AWS_ERROR_MQTT_PROTOCOL_ERROR")
_WAITING = ("INACTIVE", "PENDING_ACTIVATION")


def account(c: Context) -> str:
    c.place()
    if c.is_local:  # its place is known without asking
        with explained():
            c.clients.iot.describe_endpoint(endpointType="iot:Data-ATS")
    return f"AWS answers in {c.clients.region}"


def clock(c: Context) -> str:
    """This computer's clock agrees with AWS's, by the date of an answer."""
    try:
        date = _date(c.clients.iot)
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


def certificate(c: Context) -> str:
    assert c.certificate is not None
    found = _described(c)
    theirs = x509.load_pem_x509_certificate(found["certificatePem"].encode())
    if theirs.public_key() != c.certificate.public_key():
        raise Fault(f"it is not the one in {c.folder.certs}", c.tool("rotate"))
    status = found["status"]
    if status in _WAITING:
        if c.record is not None and not c.record.complete:
            raise Fault(f"it is {status}: provisioning was not finished", c.provision())
        mend = ("--certificate-id", found["certificateId"], "--new-status", "ACTIVE")
        raise Fault(f"it is {status}", c.aws("update-certificate", *mend))
    if status != "ACTIVE":
        raise Fault(f"it is {status}", c.tool("rotate"))
    c.arn = str(found["certificateArn"])
    return f"{found['certificateId'][:10]}… is ACTIVE"


def _described(c: Context) -> dict[str, Any]:
    assert c.certificate is not None
    # AWS's id of a certificate is the SHA-256 of its DER form (aws-facts.md 2.3).
    own = hashlib.sha256(c.certificate.public_bytes(Encoding.DER)).hexdigest()
    number = c.record.certificate_id if c.record else own
    with explained():
        try:
            answer = c.clients.iot.describe_certificate(certificateId=number)
        except ClientError as e:
            if not is_missing(e):
                raise
            where = f"it is not in this account and region ({c.clients.region})"
            mend = c.tool("rotate")
            if c.record is None:
                mend = f"AWS_PROFILE and AWS_REGION choose; or anew: {c.anew()}"
            raise Fault(where, mend) from e
    return dict(answer["certificateDescription"])


def thing(c: Context) -> str:
    with explained():
        attached = c.clients.iot.list_principal_things(principal=c.arn)["things"]
    if c.thing not in attached:
        others = f" (but to {', '.join(attached)})" if attached else ""
        whole = c.record is not None
        attach = ("--thing-name", c.thing, "--principal", c.arn)
        mend = c.provision() if whole else c.aws("attach-thing-principal", *attach)
        raise Fault(f"the certificate is not attached to it{others}", mend)
    return f"{c.thing} has the certificate"


def policies(c: Context) -> str:
    texts = _documents(c)
    who = evaluate.Session(c.thing, frozenset({c.thing}), policy.arn_prefix(c.arn))
    topics = c.config["telemetry_topic"], c.config["command_topic"]
    updates = bool(c.config["updates"])
    needs = [*policy.needs(c.thing, *topics), *(policy.update_needs(c.thing, "1") * updates)]
    decided = evaluate.by_aws(c.clients.iot, c.arn, who, needs)

    def lacking(documents: list[str]) -> list[policy.Need]:
        return [n for n in needs if not evaluate.allows(documents, who, n.action, n.resource)]

    own = lacking(list(texts.values()))
    missing = [n for n in needs if (decided[n] is not None if n in decided else n in own)]
    if not missing:
        by = "; asked AWS itself" if decided else ""
        return f"{', '.join(texts)} allow all {len(needs)} things the firmware does{by}"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{missing[0].action} on {missing[0].resource}{more} is not allowed"
    denying = [name for need in missing for name in decided.get(need) or ()]
    denying += [
        n for n in texts if len(lacking([t for m, t in texts.items() if m != n])) < len(own)
    ]
    if denying:
        mend = c.aws("detach-policy", "--policy-name", denying[0], "--target", c.arn)
        raise Fault(f"{text}: the policy {denying[0]} denies it", mend)
    if c.record is not None:
        raise Fault(text, c.provision("--update-policy"))
    lacks = [n for n in policy.documents(who.arn_prefix, *topics, updates) if n not in texts]
    attach = [c.aws("attach-policy", "--policy-name", n, "--target", c.arn) for n in lacks]
    raise Fault(text, " && ".join(attach) or "docs/doctor.md, Certificates from elsewhere")


def _documents(c: Context) -> dict[str, str]:
    """Name -> document of every policy in force, those of thing groups too where AWS says."""
    iot = c.clients.iot
    try:
        with explained():
            found = iot.get_effective_policies(principal=c.arn, thingName=c.thing)
        return {e["policyName"]: _text(e["policyDocument"]) for e in found["effectivePolicies"]}
    except ToolError:  # not allowed to ask, or MiniStack
        with explained():
            names = certificates.policies_of(iot, c.arn)
            return {n: iot.get_policy(policyName=n)["policyDocument"] for n in names}


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def other_client_id(c: Context) -> str:
    # Never under the thing's own: that would throw the board out.
    connection = Connection(c.route, c.clients, f"{c.thing}-doctor"[-128:])
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
        c.aws("list-attached-policies", "--target", c.arn),
    )
