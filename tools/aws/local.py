"""The local AWS that `make sim` has started, as one small file: `.sim/cloud.json`.

`tools.sim` writes it when the cloud is up and removes it at the end; `--local` reads it.
"""

from __future__ import annotations

import json
import os
import urllib.parse
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
HINT = "start it in another terminal: make sim"


@dataclass(frozen=True)
class Cloud:
    """Where a local AWS listens."""

    gateway_url: str  # "http://127.0.0.1:4566": every AWS API, and HTTPS data plane as plain HTTP
    mqtt_port: int  # MQTT over mutual TLS, on host "localhost"
    ca_file: Path  # the authority of its server and device certificates, PEM
    region: str = "us-east-1"
    account: str = "000000000000"
    endpoint: str = "localhost"  # the name in its server certificate
    proxy_port: int = 0  # of `make sim CHAOS=…`: where its boards connect instead

    @property
    def gateway_port(self) -> int:
        """The port of `gateway_url`."""
        return urllib.parse.urlsplit(self.gateway_url).port or 80


def path() -> Path:
    """`.sim/cloud.json` of this checkout, or what `FIELDMOUSE_CLOUD` names."""
    return Path(os.environ.get("FIELDMOUSE_CLOUD") or ROOT / ".sim" / "cloud.json")


def write(cloud: Cloud, file: Path | None = None) -> Path:
    """Announce a running cloud; the file appears whole."""
    target = file or path()
    target.parent.mkdir(parents=True, exist_ok=True)
    fields = asdict(cloud) | {"ca_file": str(cloud.ca_file)}
    scratch = target.with_suffix(".new")
    scratch.write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
    scratch.replace(target)
    return target


def read(file: Path | None = None) -> Cloud:
    """The running cloud; ToolError when none is announced."""
    target = file or path()
    try:
        fields = json.loads(target.read_text("utf-8"))
        return Cloud(**(fields | {"ca_file": Path(fields["ca_file"])}))
    except FileNotFoundError:
        raise ToolError("no local AWS is running", HINT) from None
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise ToolError(f"{target} cannot be used: {type(e).__name__}", HINT) from e


def forget(file: Path | None = None) -> None:
    """The cloud has stopped."""
    (file or path()).unlink(missing_ok=True)
