"""Seams for the AWS tests: clients on moto, and a client that fails where it is told to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber
from moto.iot.models import IoTBackend

from tests.host import pki
from tools.aws.clients import Clients

WIFI = [{"ssid": "field", "password": "not for the terminal"}]
REGION, ACCOUNT = "eu-west-1", "123456789012"


def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moto needs to never reach a real account."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    # moto makes an RSA key for every certificate; one is as good as a thousand, and quicker.
    sign = IoTBackend._generate_certificate_pem

    def quick(self: Any, domain_name: str, subject: Any, key: Any = None) -> str:
        return str(sign(self, domain_name, subject, key or pki.key("rsa")))

    monkeypatch.setattr(IoTBackend, "_generate_certificate_pem", quick)
    # moto's dictionaries are for one thread; a fleet is provisioned by several.
    answer, lock = BotocoreStubber.process_request, threading.RLock()

    def alone(self: Any, request: Any) -> Any:
        with lock:
            return answer(self, request)

    monkeypatch.setattr(BotocoreStubber, "process_request", alone)


def empty_account() -> None:
    """Forget every thing, certificate and policy that moto holds."""
    get_backend("iot")[ACCOUNT][REGION].reset()


def client_error(code: str, operation: str = "CreateThing", text: str = "no") -> ClientError:
    """What botocore raises for an error answer."""
    return ClientError({"Error": {"Code": code, "Message": text}}, operation)


NETWORK_GONE = EndpointConnectionError(endpoint_url="https://iot.eu-west-1.amazonaws.com/")


class Faulty:
    """A boto3 client that raises ``error`` at its ``at``-th call, and then works again.

    ``after``: the call takes effect first, as when the answer is lost. ``lasting``: every later
    call fails too, as when the network is gone.
    """

    def __init__(
        self,
        client: Any,
        at: int = 0,
        error: BaseException = NETWORK_GONE,
        after: bool = False,
        lasting: bool = False,
    ) -> None:
        self._client, self._at, self._error = client, at, error
        self._after, self._lasting = after, lasting
        self._lock = threading.Lock()
        self.meta = client.meta
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        def call(*words: Any, **arguments: Any) -> Any:
            with self._lock:
                self.calls.append(name)
                number = len(self.calls)
            due = number == self._at or (self._lasting and 0 < self._at < number)
            if due and not self._after:
                raise self._error
            try:
                return real(*words, **arguments)
            finally:
                if due:
                    raise self._error

        return call


class FaultyClients(Clients):
    """Clients whose "iot" is a Faulty."""

    def __init__(self, faulty: Any) -> None:
        super().__init__()
        self._made["iot"] = faulty


def files(folder: Path) -> set[str]:
    """Every file below, relative."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
