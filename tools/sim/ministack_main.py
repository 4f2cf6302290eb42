"""Runs MiniStack, and ends with the process that started it.

A script; arguments: the parent's pid, and the address that its MQTT port listens on.

MiniStack 1.5.33 opens its MQTT port on every interface and to clients without a certificate; and
it relies on `pause_reading()` in `connection_made()`, which CPython before 3.11.4 ignores
(gh-103607), so that there the ClientHello is lost and the client waits in vain. So the port is
opened here instead, as a TLS server of asyncio's that requires a certificate, with MiniStack's
own TLS context and sessions.

It answers requests about jobs to who has subscribed to the answers; AWS answers who asked,
subscribed or not, and nobody else. And it has no `create-from-csr` over MQTT. Both are added here.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import importlib
import json
import os
import re
import runpy
import signal
import ssl
import sys
import threading
import time
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
_LOOK_S = 1.0
# What of ministack.services.iot is replaced, called and set.
_NAMES = (
    *("_mtls_start_locked", "_mtls_build_ssl_context", "_mtls_handle_conn", "_mtls_port"),
    *("_mtls_server", "_mtls_loop", "broker_publish", "_connected_clients", "request_scope"),
    *("_parse_fleet_provisioning_topic", "_fleet_provisioning_reply", "_fleet_rejected"),
    *("_create_certificate_from_csr", "_certificates", "_ownership_tokens", "secrets"),
    *("_OWNERSHIP_TOKEN_SECONDS",),
)
_JOBS_ANSWER = re.compile(r"\$aws/things/[^/]+/jobs/(.+/)?(accepted|rejected)")
_FROM_CSR = "$aws/certificates/create-from-csr/json"


def _follow(parent: int) -> None:
    """Elsewhere than on Linux: look whether the parent is still there."""
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


def _close_to_strangers(iot: Any, host: str) -> None:
    """Make ``iot`` (ministack.services.iot) listen on ``host``, for clients with a certificate.

    Ends the process when this MiniStack is made otherwise; that nothing else listens either is
    checked from outside (cloud.py).
    """
    missing = [name for name in _NAMES if not hasattr(iot, name)]
    if missing:
        sys.exit(f"this MiniStack has no {', '.join(missing)}: its MQTT port cannot be closed")

    async def listen() -> None:
        if iot._mtls_server is not None:
            return
        context = await asyncio.to_thread(iot._mtls_build_ssl_context)
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            iot._mtls_server = await asyncio.start_server(
                iot._mtls_handle_conn, host, iot._mtls_port(), ssl=context
            )
        except OSError as e:
            print(f"MQTT cannot listen on {host}: {e}", file=sys.stderr)
            return  # MiniStack then calls its MQTT side "degraded"
        iot._mtls_loop = asyncio.get_running_loop()

    iot._mtls_start_locked = listen


def _answer_who_asked(iot: Any) -> None:
    """Make the answers of jobs go to the client that has asked."""
    publish = iot.broker_publish
    asker: contextvars.ContextVar[Any] = contextvars.ContextVar("asker", default=None)

    async def broker_publish(
        account: str, region: str, topic: str, payload: bytes, *rest: Any, **more: Any
    ) -> None:
        if _JOBS_ANSWER.fullmatch(topic):
            session = iot._connected_clients.get((account, region, asker.get()))
            if session is not None:
                await session.deliver_to_client(topic, payload, 1)
            return
        before = asker.set(more.get("client_id"))
        try:
            await publish(account, region, topic, payload, *rest, **more)
        finally:
            asker.reset(before)

    iot.broker_publish = broker_publish


def _sign_requests(iot: Any) -> None:
    """Add `create-from-csr` to what it provisions over MQTT."""
    parse, reply = iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply

    def parsed(topic: str) -> Any:
        return ("create-from-csr", None) if topic == _FROM_CSR else parse(topic)

    async def replied(
        account: str, region: str, operation: str, template: Any, payload: bytes, connection: Any
    ) -> Any:
        if operation != "create-from-csr":
            return await reply(account, region, operation, template, payload, connection)
        with iot.request_scope(account, region):
            return _signed(iot, payload)

    iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply = parsed, replied


def _signed(iot: Any, payload: bytes) -> Any:
    try:
        request = json.loads(payload)
        text = request["certificateSigningRequest"]
    except (ValueError, TypeError, KeyError):
        return iot._fleet_rejected("InvalidPayload", "Message cannot be parsed")
    status, _, body = iot._create_certificate_from_csr({"certificateSigningRequest": text}, {})
    said = json.loads(body)
    if status != 200:
        return iot._fleet_rejected("InvalidCertificateSigningRequest", said.get("message", ""))
    number, token = said["certificateId"], iot.secrets.token_urlsafe(48)
    iot._certificates[number] = iot._certificates[number] | {"status": "PENDING_ACTIVATION"}
    until = time.time() + iot._OWNERSHIP_TOKEN_SECONDS
    iot._ownership_tokens[token] = {"certificateId": number, "expiration": until}
    del said["certificateArn"]
    return "accepted", said | {"certificateOwnershipToken": token}


def main() -> None:
    """Tie this process to its parent, then become `python -m ministack`."""
    parent, host = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)
    # The folder of this script must not be importable: it holds modules named board and cloud.
    sys.path.pop(0)
    sys.argv = ["ministack"]
    iot = importlib.import_module("ministack.services.iot")
    _close_to_strangers(iot, host)
    _answer_who_asked(iot)
    _sign_requests(iot)
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
