"""Checks that ask AWS: clock, certificate, attachments, policies, and who else may connect."""

from __future__ import annotations

import datetime as dt
import email.utils

from cryptography import x509

from tools.aws import certificates, evaluate, policy
from tools.aws.errors import explained, is_missing
from tools.aws.mqtt import Connection, Refused
from tools.aws.patient import Fault, Patient, Unknown
from tools.errors import ToolError

SKEW_S = 60  # a certificate can be that fresh; AWS itself refuses requests 5 minutes off


def clock(p: Patient) -> str:
    """This computer's clock agrees with AWS's."""
    with explained():
        answer = p.clients.iot.describe_endpoint(endpointType="iot:Data-ATS")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        theirs = email.utils.parsedate_to_datetime(date)
    except ValueError as e:
        raise Unknown("AWS's answer carries no date") from e
    skew_s = (dt.datetime.now(dt.timezone.utc) - theirs).total_seconds()
    if abs(skew_s) > SKEW_S:
        side = "ahead" if skew_s > 0 else "behind"
        raise Fault(
            f"this computer is {abs(skew_s):.0f} s {side} of AWS", "timedatectl set-ntp true"
        )
    return f"within {SKEW_S} s of AWS"


def certificate(p: Patient) -> str:
    """The certificate is ACTIVE."""
    if p.record is None:
        raise Fault(f"{p.folder.record_file} is missing", f"python -m tools provision {p.thing}")
    try:
        with explained():
            found = p.clients.iot.describe_certificate(certificateId=p.record.certificate_id)
    except ToolError as e:
        if e.__cause__ is None or not is_missing(_exception(e.__cause__)):
            raise
        raise Fault(
            "it is not in this account and region", f"python -m tools rotate {p.thing}"
        ) from e
    status = found["certificateDescription"]["status"]
    if status == "INACTIVE":
        number = p.record.certificate_id
        mend = f"aws iot update-certificate --certificate-id {number} --new-status ACTIVE"
        raise Fault("it is INACTIVE", mend)
    theirs = x509.load_pem_x509_certificate(
        found["certificateDescription"]["certificatePem"].encode()
    )
    if p.loaded is not None and theirs.public_key() != p.loaded.certificate.public_key():
        raise Fault(f"it is not the one in {p.folder.certs}", f"python -m tools rotate {p.thing}")
    if status != "ACTIVE":
        raise Fault(f"it is {status}", f"python -m tools rotate {p.thing}")
    return f"{p.record.certificate_id[:10]}… is ACTIVE"


def _exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else Exception(error)


def thing(p: Patient) -> str:
    """The certificate is attached to the thing."""
    assert p.record is not None
    with explained():
        arn = p.record.certificate_arn
        attached = p.clients.iot.list_principal_things(principal=arn)["things"]
    if p.thing not in attached:
        others = f" (but to {', '.join(attached)})" if attached else ""
        raise Fault(
            f"the certificate is not attached to it{others}",
            f"python -m tools provision {p.thing}",
        )
    return f"{p.thing} has the certificate"


def policies(p: Patient) -> str:
    """The attached policies allow everything the firmware does."""
    assert p.record is not None
    iot, arn = p.clients.iot, p.record.certificate_arn
    with explained():
        names = certificates.policies_of(iot, arn)
        texts = [iot.get_policy(policyName=name)["policyDocument"] for name in names]
    who = evaluate.Session(p.thing, frozenset({p.thing}), policy.arn_prefix(arn))
    topics = p.config["telemetry_topic"], p.config["command_topic"]
    needs = policy.needs(p.thing, *topics)
    missing = [n for n in needs if not evaluate.allows(texts, who, n.action, n.resource)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        text = f"{missing[0].action} on {missing[0].resource}{more} is not allowed"
        raise Fault(text, f"python -m tools provision {p.thing} --update-policy")
    return f"{', '.join(names)} allow all {len(needs)} things the firmware does"


def stranger(p: Patient) -> str:
    """A real CONNECT under another client id is refused."""
    name = f"{p.thing}-doctor"[-128:]
    connection = Connection(p.route, p.clients, name)
    try:
        connection.open()
    except Refused:
        return "another client id is refused"
    except ToolError as e:
        raise Fault(f"the test with another client id did not end: {e}", e.hint) from e
    connection.close()
    raise Fault(
        "AWS lets this certificate connect under any name: a policy is too wide",
        f"aws iot list-attached-policies --target {p.record.certificate_arn if p.record else ''}",
    )


def last_disconnect(p: Patient) -> str:
    """Why the last session ended, where AWS keeps account of it."""
    # GetConnection knows what the lifecycle events have told (aws-facts.md 7).
    try:
        with explained():
            found = p.clients.data.get_connection(clientId=p.thing)
    except (ToolError, AttributeError, NotImplementedError) as e:
        raise Unknown("AWS does not say") from e
    if found.get("connected"):
        return "connected now"
    why = found.get("disconnectReason")
    if why == "CLIENT_INITIATED_DISCONNECT":
        return "not connected; it took its leave"
    if not why:
        raise Unknown("AWS does not say")
    mend = {
        "DUPLICATE_CLIENTID": f"two boards are called {p.thing}: give each its own thing",
        "AUTH_ERROR": f"python -m tools provision {p.thing} --update-policy",
        "FORBIDDEN_ACCESS": f"python -m tools provision {p.thing} --update-policy",
        "MQTT_KEEP_ALIVE_TIMEOUT": "power and Wi-Fi of the board; make logs PORT=...",
        "CONNECTION_LOST": "power and Wi-Fi of the board; make logs PORT=...",
    }
    raise Fault(
        f"not connected; the last session ended by {why}", mend.get(why, "make logs PORT=...")
    )
