"""What the local AWS delivers, to a subscriber over mutual TLS as any application has one.

It has its own certificate and a policy that lets it listen and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import wire
from tools.aws import local
from tools.errors import ToolError

NAME = "fieldmouse-view"  # thing, policy and MQTT client id
FILTERS = (
    "devices/+/data",
    "devices/+/status",
    "devices/+/commands/result",
    "$aws/things/+/shadow/update/documents",
)
_CONNECT_S = 20.0
_KEEP_ALIVE_S = 30


class Feed:
    """A connection that calls ``on_message(topic, document)`` for every JSON object delivered.

    The callback runs in a thread of awscrt's. `on_link(up)` says when the connection goes and
    comes back (awscrt does that by itself).
    """

    def __init__(
        self,
        cloud: local.Cloud,
        certificate: Path,
        private_key: Path,
        on_message: Callable[[str, dict[str, Any]], None],
        on_link: Callable[[bool], None] = lambda up: None,
    ) -> None:
        # Imported here: awscrt takes long to load and starts threads.
        from awsiot import mqtt_connection_builder

        self._on_message = on_message
        self._connection = mqtt_connection_builder.mtls_from_path(
            endpoint=cloud.endpoint,
            port=cloud.mqtt_port,
            cert_filepath=str(certificate),
            pri_key_filepath=str(private_key),
            ca_filepath=str(cloud.ca_file),
            client_id=NAME,
            clean_session=True,
            keep_alive_secs=_KEEP_ALIVE_S,
            reconnect_min_timeout_secs=1,
            reconnect_max_timeout_secs=4,
            on_connection_interrupted=lambda **_: on_link(False),
            on_connection_resumed=self._resumed,
        )
        self._on_link = on_link

    def open(self) -> None:
        """Connect and subscribe; ToolError when the cloud does not let us."""
        try:
            self._connection.connect().result(_CONNECT_S)
            self._subscribe()
        except Exception as e:  # awscrt raises its own AwsCrtError, TimeoutError and more
            raise ToolError(f"cannot listen to the local AWS: {e}", "run it again") from e

    def close(self) -> None:
        """Disconnect, waiting no longer than two seconds."""
        try:
            self._connection.disconnect().result(2.0)
        except Exception:  # gone already: the cloud may have been stopped first
            return

    def _subscribe(self) -> None:
        from awscrt import mqtt

        for topic in FILTERS:
            done, _ = self._connection.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, self._received)
            done.result(_CONNECT_S)

    def _resumed(self, session_present: bool = False, **_: Any) -> None:
        if not session_present:
            self._connection.resubscribe_existing_topics()
        self._on_link(True)

    def _received(self, topic: str, payload: bytes, **_: Any) -> None:
        document = wire.document(payload)
        if document is not None:  # else not ours: every publisher may write what it likes
            self._on_message(topic, document)


def policy_document(cloud: local.Cloud) -> dict[str, Any]:
    """The IoT policy of the viewer: connect under its own name, listen to `FILTERS`."""
    arn = f"arn:aws:iot:{cloud.region}:{cloud.account}"
    topics = [f.replace("+", "*") for f in FILTERS]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/{NAME}"},
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{arn}:topicfilter/{f}" for f in FILTERS],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Receive",
                "Resource": [f"{arn}:topic/{t}" for t in topics],
            },
        ],
    }


def enrol(iot: Any, cloud: local.Cloud, folder: Path) -> tuple[Path, Path]:
    """Give the viewer a certificate on ``iot`` (boto3); returns the files (certificate, key)."""
    policy = json.dumps(policy_document(cloud))
    iot.create_policy(policyName=NAME, policyDocument=policy)
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.attach_policy(policyName=NAME, target=made["certificateArn"])
    certificate, key = folder / "view.cert.pem", folder / "view.key.pem"
    certificate.write_text(made["certificatePem"])
    key.touch(mode=0o600)
    key.write_text(made["keyPair"]["PrivateKey"])
    return certificate, key
