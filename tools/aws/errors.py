"""What AWS says when something is wrong, as one clear line and a hint."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from tools.aws import local
from tools.errors import ToolError
from tools.options import ACCOUNT

_CREDENTIALS = "aws configure, or --profile NAME, or aws sso login"
_NOT_FOUND = (
    "ResourceNotFoundException",
    "NotFoundException",
    "NoSuchEntity",
    "NoSuchEntityException",
    *("NotFound", "NoSuchBucket", "404"),  # SNS, S3, and S3 where the answer has no body
)
# error code -> (what it means, hint)
_CODES = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        ("the AWS credentials have expired", _CREDENTIALS),
    ),
    **dict.fromkeys(
        (
            *("InvalidClientTokenId", "UnrecognizedClientException", "InvalidSignatureException"),
            *("SignatureDoesNotMatch", "InvalidAccessKeyId", "IncompleteSignature"),
        ),
        ("AWS does not accept these credentials", _CREDENTIALS),
    ),
    **dict.fromkeys(
        ("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"),
        ("AWS asks to slow down, also after several tries", "wait a minute and run it again"),
    ),
    **dict.fromkeys(
        ("InternalFailureException", "InternalException", "ServiceUnavailableException"),
        ("AWS has a fault of its own", "run it again; it continues where it stopped"),
    ),
    "LimitExceededException": ("a limit of the AWS account is reached", "see Service Quotas"),
}
_DENIED = (
    *("AccessDenied", "AccessDeniedException", "UnauthorizedException", "ForbiddenException"),
    *("401", "403"),  # where the answer names no code: S3, HTTPS with a device's certificate
)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what botocore raises inside into a ToolError; anything else passes."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as e:
        raise explain(e) from e


def explain(error: Exception) -> ToolError:
    """The ToolError for an exception of botocore's."""
    code = code_of(error)
    if code:
        return _refused(error, code)
    name, text = type(error).__name__, str(error)
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return ToolError("no AWS credentials found", _CREDENTIALS + "; or --local with `make sim`")
    if name in ("UnauthorizedSSOTokenError", "TokenRetrievalError", "SSOTokenLoadError"):
        return ToolError("the AWS single sign-on has run out", "aws sso login")
    if name in ("ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError"):
        return ToolError(f"the AWS settings cannot be used: {text}", "aws configure list")
    if name in ("NoRegionError", "InvalidRegionError", "UnknownRegionError"):
        return ToolError(
            "no usable AWS region is set",
            "AWS_REGION=eu-west-1, python -m tools --region eu-west-1 …, or aws configure",
        )
    if name == "ParamValidationError":
        return ToolError(f"AWS would refuse this: {_one_line(text)}")
    if name.endswith(
        ("ConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ClosedError")
    ):
        host = re.search(r"https?://([^/\"'\s]+)", text)
        where = host.group(1) if host else "AWS"
        if ACCOUNT.get().local:  # announced by a `make sim` that was killed
            return ToolError(f"no local AWS answers at {where}", local.HINT)
        return ToolError(f"cannot reach {where}", "is the network up, and the region right?")
    if name == "SSLError":
        hint = "a proxy in between? AWS_CA_BUNDLE names its certificate; with -C: is that active?"
        return ToolError("the TLS connection to AWS failed", hint)
    return ToolError(f"{name}: {_one_line(text)}")


def _refused(error: Exception, code: str) -> ToolError:
    operation = getattr(error, "operation_name", "a call")
    if code in _DENIED:
        action = re.search(r"perform: ([\w-]+:\w+)", str(error))
        what = action.group(1) if action else operation
        return ToolError(
            f"AWS denies {what}", "ask for this permission; docs/aws.md lists them all"
        )
    if code in _CODES:
        means, hint = _CODES[code]
        return ToolError(f"{operation}: {means}", hint)
    return ToolError(f"{operation}: {_one_line(message_of(error)) or code}")


def code_of(error: Exception) -> str:
    """The error code of a ClientError ("ResourceNotFoundException"), else ""."""
    return _said(error, "Code")


def message_of(error: Exception) -> str:
    """What AWS wrote, else ""."""
    return _said(error, "Message")


def _said(error: Exception, key: str) -> str:
    answer: Any = getattr(error, "response", None)
    return str(answer.get("Error", {}).get(key, "")) if isinstance(answer, dict) else ""


def is_missing(error: Exception) -> bool:
    """True for the answers that mean "there is no such thing"."""
    return code_of(error) in _NOT_FOUND


def found(call: Callable[..., Any], **arguments: Any) -> Any:
    """What ``call`` returns; None when it says that there is no such thing."""
    try:
        return call(**arguments)
    except Exception as e:
        if not is_missing(e):
            raise
        return None


def created(call: Callable[..., Any], **arguments: Any) -> bool:
    """``call`` makes something; False when there is one of that name already."""
    try:
        call(**arguments)
    except Exception as e:
        if code_of(e) != "ResourceAlreadyExistsException":
            raise
        return False
    return True


def is_denied(error: BaseException | None) -> bool:
    """True for the answers that mean "you may not"."""
    return isinstance(error, Exception) and code_of(error) in _DENIED


def _one_line(text: str) -> str:
    return " ".join(text.split())
