"""A thing for the doctor: to be broken in one way, examined, and mended by the very remedy."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.aws import local
from tools.aws.clients import Clients
from tools.aws.provision import provision
from tools.doctor import link
from tools.doctor import run as doctor
from tools.doctor.run import FAILED, OK, UNKNOWN, UNTRIED, Finding
from tools.things.folder import Folder, Record
from tools.toolchain import ROOT

WIFI = [{"ssid": "virtual"}]
_LIMIT_S = 60


def quick(monkeypatch: pytest.MonkeyPatch, top: Path) -> None:
    """`--local` is below ``top``; no second spent where this machine needs a few milliseconds."""
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(top / "cloud.json"))
    monkeypatch.setattr(link, "_ALERT_S", 0.2)
    # Only finds better words for a connection that has failed, and takes its time.
    monkeypatch.setattr("tools.aws.mqtt.tls.fault", lambda route: "")


@dataclass
class Ward:
    """The thing ``name`` in the local AWS, its folder where `--local` looks for it."""

    clients: Clients
    name: str
    folder: Folder
    record: Record
    cloud_file: Path

    @classmethod
    def admit(cls, clients: Clients, name: str, top: Path) -> Ward:
        """Provision a thing; ``top`` plays .sim/."""
        assert clients.cloud is not None
        cloud_file = local.write(clients.cloud, top / "cloud.json")
        made = provision(clients, name, top / "things" / name, wifi=WIFI)
        return cls(clients, name, made.folder, made.record, cloud_file)

    def examine(self, clients: Clients | None = None) -> dict[str, Finding]:
        """Every finding by the name of its check."""
        asked = clients or self.clients
        found = doctor.examine(asked, self.name, self.folder.path, listen_s=0)
        return {finding.check: finding for finding in found}

    def edit(self, **fields: Any) -> None:
        """Change config.json behind everybody's back; None takes a key out."""
        config = json.loads(self.folder.config.read_text()) | fields
        kept = {key: value for key, value in config.items() if value is not None}
        self.folder.config.write_text(json.dumps(kept))

    def assert_well(self) -> None:
        """Nothing is wrong, and everything was looked at."""
        found = self.examine()
        assert [f for f in found.values() if f.state not in (OK, UNKNOWN)] == []
        assert found["other client id"].state == OK

    def assert_broken(
        self, check: str, text: str, remedy: str, clients: Clients | None = None
    ) -> Finding:
        """Exactly ``check`` fails; what needs it is not tried; all else is well."""
        found = self.examine(clients)
        assert found[check].state == FAILED, found
        assert text in found[check].text, found[check]
        assert remedy in found[check].remedy, found[check]
        for name, finding in found.items():
            if name != check:
                wanted = {UNTRIED} if _hangs_on(name, check) else {OK, UNKNOWN}
                assert finding.state in wanted, finding
        return found[check]

    def mend(self, finding: Finding, value: str = "") -> None:
        """Type the remedy; ``value`` is for the … in it. All must be well then."""
        command = finding.remedy.replace("…", value)
        if command.startswith("aws "):
            self._aws(shlex.split(command))
        else:
            if " rotate " in command:
                command += " --now"  # there is no board to wait for
            self._shell(command)
        self.assert_well()

    def _shell(self, command: str) -> None:
        env = os.environ | {"FIELDMOUSE_CLOUD": str(self.cloud_file)}
        env |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "none"}  # not the real AWS
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        ran = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"

    def _aws(self, words: list[str]) -> None:
        # The AWS command line is no part of the setup; its options are those of the API.
        assert self.clients.cloud is not None
        options = dict(zip(words[3::2], words[4::2], strict=True))
        assert options.pop("--endpoint-url") == self.clients.cloud.gateway_url
        assert options.pop("--region") == self.clients.cloud.region
        arguments = {
            re.sub(r"-(\w)", lambda m: m[1].upper(), option[2:]): value
            for option, value in options.items()
        }
        getattr(self.clients.iot, words[2].replace("-", "_"))(**arguments)


def _hangs_on(name: str, check: str) -> bool:
    needs = {c.name: c.needs for c in (*doctor.CHECKS, *doctor.HEALTH)}
    return check in needs[name] or any(_hangs_on(need, check) for need in needs[name])
