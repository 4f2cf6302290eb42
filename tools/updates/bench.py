"""What a bench puts onto a board that has no certificate yet: its thing's name, and a claim.

A claim is a certificate of AWS with a key, good for five minutes and for one template. The key is
written to nothing but a folder that is closed to others and goes at once, and into the board.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.aws.certificates import write_secret
from tools.aws.errors import explained
from tools.aws.provision import ROOTS
from tools.board import prepare
from tools.board.stage import EPOCH_2000
from tools.errors import ToolError
from tools.things.boards import Board
from tools.things.config import checked


@dataclass(frozen=True)
class Claims:
    """Makes claims of a template; ``config``: config.json of every board but for thing_name."""

    iot: Any
    template: str
    config: Mapping[str, Any]
    ca_pem: bytes = b"".join(path.read_bytes() for path in ROOTS)

    def tree(self, thing: str, board: Board) -> dict[str, bytes]:
        """A board's file system, path -> content, with a claim that was made for it now.

        ToolError for a board that makes no key of its own, and for a configuration that is wrong.
        """
        if board.key != "ec":
            raise ToolError(f"an {board.name} makes no key of its own", "flash it as provisioned")
        raw = {**self.config, "thing_name": thing}
        checked(raw, "the configuration of the bench")
        with explained():
            made = self.iot.create_provisioning_claim(templateName=self.template)
        with tempfile.TemporaryDirectory(prefix="fieldmouse-") as scratch:
            folder = Path(scratch)
            (folder / "certs").mkdir()
            (folder / "config.json").write_text(json.dumps(raw), "utf-8")
            (folder / "certs" / "ca.pem").write_bytes(self.ca_pem)
            (folder / "certs" / "cert.pem").write_text(made["certificatePem"], "utf-8")
            key = made["keyPair"]["PrivateKey"].encode()
            write_secret(folder / "certs" / "key.pem", key)
            tree = prepare.tree(folder, board)
        about = {
            "template": self.template,
            "parameters": {"SerialNumber": thing},
            "expires_s2000": int(made["expiration"].timestamp()) - EPOCH_2000,
        }
        return {**tree, "certs/claim.json": json.dumps(about).encode()}


def configuration(path: Path) -> dict[str, Any]:
    """The configuration of all boards of a bench; ToolError when it is none."""
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as e:
        raise ToolError(f"{path} is not readable JSON: {e}", "as config.example.json") from e
    if not isinstance(found, dict) or "thing_name" in found:
        raise ToolError(f"{path} must be a configuration without thing_name", "docs/flash.md")
    checked({**found, "thing_name": "a-board"}, str(path))
    return found
