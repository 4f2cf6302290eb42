"""What AWS says when something is wrong, as one clear line and a hint."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from tools.errors import ToolError

_CREDENTIALS = "aws configure, or AWS_PROFILE=..., or aws sso login"
_NOT_FOUND = (
    "ResourceNotFoundException",
    "NotFoundException",
    "NoSuchEntity",
    "NoSuchEntityException",
)
# error code -> (what it means, hint)
_CODES = {
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        ("the AWS credentials have expired", _CREDENTIALS),
    ),
    **dict.fromkeys(
        ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidSignatureException"),
        ("AWS does not accept these credentials", _CREDENTIALS),
    ),
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidAccessKeyId", "IncompleteSignature"),
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
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedException", "ForbiddenException")


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
        return ToolError("no usable AWS region is set", "AWS_REGION=eu-west-1, or aws configure")
    if name == "ParamValidationError":
        return ToolError(f"AWS would refuse this: {_one_line(text)}")
    if name.endswith(
        ("ConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ClosedError")
    ):
        host = re.search(r"https?://([^/\"'\s]+)", text)
        where = host.group(1) if host else "AWS"
        return ToolError(f"cannot reach {where}", "is the network up, and the region right?")
    if name == "SSLError":
        hint = "a proxy in between? AWS_CA_BUNDLE names its certificate"
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
    answer: Any = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def message_of(error: Exception) -> str:
    """What AWS wrote, else ""."""
    answer: Any = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Message", "")) if isinstance(answer, dict) else ""


def is_missing(error: Exception) -> bool:
    """True for the answers that mean "there is no such thing"."""
    return code_of(error) in _NOT_FOUND


def _one_line(text: str) -> str:
    return " ".join(text.split())
