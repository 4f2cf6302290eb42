"""boto3 clients, made once: for AWS as the environment says, or for the cloud of `make sim`."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from tools.aws import local, local_streams
from tools.aws.errors import explained
from tools.errors import ToolError
from tools.options import ACCOUNT, Account

# Credentials that MiniStack takes for the owner of its account; they open nothing else.
_LOCAL_KEY, _LOCAL_SECRET = "test", "test"
LIMITS: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    "max_pool_connections": 32,
    "user_agent_extra": "fieldmouse",
}


class Clients:
    """Clients of one account and region; safe to share between threads.

    Credentials, region, profile and `AWS_ENDPOINT_URL*` come from the command line (--profile,
    --region) or the places boto3 knows; with ``cloud`` all of them are the local cloud's and the
    environment is not asked.
    """

    def __init__(self, cloud: local.Cloud | None = None) -> None:
        self.cloud = cloud
        self._account = ACCOUNT.get() if cloud is None else Account()
        self._made: dict[str, Any] = {}

    def client(self, service: str, url: str = "") -> Any:
        """The boto3 client of a service, such as "iot" or "iot-data", at ``url`` if given."""
        if service + url not in self._made:
            with explained():
                self._made[service + url] = self._make(service, url)
        return self._made[service + url]

    @property
    def iot(self) -> Any:
        """The control plane."""
        return self.client("iot")

    @property
    def data(self) -> Any:
        """The data plane: publish, shadows."""
        return self.client("iot-data")

    @property
    def region(self) -> str:
        """The region the calls go to."""
        return str(self.iot.meta.region_name)

    def credentials(self) -> tuple[str, str, str | None]:
        """(key id, secret, session token) as they are now; ToolError when there are none."""
        if self.cloud is not None:
            return _LOCAL_KEY, _LOCAL_SECRET, None
        with explained():
            found = self._session.get_credentials()
            if found is None:
                raise ToolError("no AWS credentials found", "aws configure, or AWS_PROFILE=...")
            now = found.get_frozen_credentials()
        return str(now.access_key), str(now.secret_key), now.token

    @cached_property
    def _session(self) -> Any:
        import boto3

        if self.cloud is not None:
            return isolated()
        # boto3 itself knows AWS_DEFAULT_REGION only; the AWS CLI puts AWS_REGION first.
        region = self._account.region or os.environ.get("AWS_REGION")
        return boto3.session.Session(
            profile_name=self._account.profile or None, region_name=region or None
        )

    def _make(self, service: str, url: str) -> Any:
        from botocore.config import Config

        if self.cloud is not None:
            made = self._session.client(
                service,
                endpoint_url=self.cloud.gateway_url,
                region_name=self.cloud.region,
                aws_access_key_id=_LOCAL_KEY,
                aws_secret_access_key=_LOCAL_SECRET,
                config=Config(proxies={}, retries={"total_max_attempts": 3}, **LIMITS),
            )
            if service == "iot":
                local_streams.attach(made, lambda: self.client("s3"))
            return made
        # Adaptive: the client itself slows down when AWS throttles it.
        config = Config(retries={"mode": "adaptive", "total_max_attempts": 8}, **LIMITS)
        return self._session.client(service, endpoint_url=url or None, config=config)


def isolated() -> Any:
    """A session that knows no profile: one that is not there, or a broken ~/.aws/config."""
    import boto3
    import botocore.session

    nothing: Any = {
        "profile": (None, [], None, None),
        "config_file": (None, [], os.devnull, None),
        "credentials_file": (None, [], os.devnull, None),
    }
    return boto3.session.Session(botocore_session=botocore.session.Session(nothing))


def of(use_local: bool) -> Clients:
    """The clients a command works with; ``use_local`` is its `--local`."""
    return Clients(local.read() if use_local else None)
