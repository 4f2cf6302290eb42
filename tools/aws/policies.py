"""Keeps the fleet's policies in AWS equal to what tools/aws/policy.py makes."""

from __future__ import annotations

import json
import threading
from typing import Any

from tools.aws import policy
from tools.aws.errors import code_of, is_missing
from tools.aws.undo import Undo
from tools.errors import ToolError

_MAX_VERSIONS = 5  # AWS keeps no more of one policy


class Policies:
    """Makes sure of the policies once per account and topics; safe to share between threads."""

    def __init__(self, iot: Any, update: bool = False, keep: bool = False) -> None:
        """``update``: bring a policy that differs up to date, for every thing that has it.

        ``keep``: a policy made here stays when the thing it was made for fails; others of the
        fleet may be about to use it.
        """
        self._iot = iot
        self._update = update
        self._keep = keep
        self._sure: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def ensure(self, arn_prefix: str, config: dict[str, Any], undo: Undo) -> tuple[str, ...]:
        """The names of the policies for a device with ``config``; makes what is missing.

        ToolError when one of that name says something else and ``update`` was not asked for.
        """
        key = (arn_prefix, config["telemetry_topic"], config["command_topic"])
        with self._lock:
            if key not in self._sure:
                wanted = policy.documents(*key)
                for name, document in wanted.items():
                    self._ensure(name, document, undo)
                self._sure[key] = tuple(wanted)
            return self._sure[key]

    def _ensure(self, name: str, document: str, undo: Undo) -> None:
        try:
            found = self._iot.get_policy(policyName=name)
        except Exception as e:
            if not is_missing(e):
                raise
            self._create(name, document, undo)
            return
        if json.loads(found["policyDocument"]) == json.loads(document):
            return
        if not self._update:
            raise ToolError(
                f"the policy {name} in AWS is not the one this firmware needs",
                "add --update-policy: it changes for every thing that has it",
            )
        self._new_version(name, document, found["defaultVersionId"])

    def _create(self, name: str, document: str, undo: Undo) -> None:
        try:
            self._iot.create_policy(policyName=name, policyDocument=document)
        except Exception as e:
            if code_of(e) != "ResourceAlreadyExistsException":  # somebody else, just now
                raise
            return
        if not self._keep:
            undo.call(f"policy {name}", self._remove_unused, name=name)

    def _new_version(self, name: str, document: str, current: str) -> None:
        listed = self._iot.list_policy_versions(policyName=name)["policyVersions"]
        if len(listed) >= _MAX_VERSIONS:
            oldest = min((v["versionId"] for v in listed if v["versionId"] != current), key=int)
            self._iot.delete_policy_version(policyName=name, policyVersionId=oldest)
        self._iot.create_policy_version(
            policyName=name, policyDocument=document, setAsDefault=True
        )

    def _remove_unused(self, name: str) -> None:
        """Delete a policy unless another thing has come to use it."""
        with self._lock:
            self._sure = {k: names for k, names in self._sure.items() if name not in names}
            remove_unused(self._iot, name)


def remove_unused(iot: Any, name: str) -> bool:
    """Delete a policy with all its versions if nothing has it attached; True if it is gone."""
    try:
        if iot.list_targets_for_policy(policyName=name, pageSize=1)["targets"]:
            return False
        current = iot.get_policy(policyName=name)["defaultVersionId"]
        for version in iot.list_policy_versions(policyName=name)["policyVersions"]:
            number = version["versionId"]
            if number != current:
                iot.delete_policy_version(policyName=name, policyVersionId=number)
        iot.delete_policy(policyName=name)
    except Exception as e:
        if code_of(e) == "DeleteConflictException":
            return False
        if not is_missing(e):
            raise
    return True
