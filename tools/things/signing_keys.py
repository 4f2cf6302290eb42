"""The keys whose releases a board believes: `keys/*.pub.pem` here, `firmware/keys.txt` there.

Two at most, so that one can be replaced by a release that the other has signed (docs/updates.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa

from tools.errors import ToolError

ROOT = Path(__file__).resolve().parents[2]
BITS, EXPONENT = 3072, 65537
MOST = 2
BOARD_FILE = "firmware/keys.txt"
SUFFIX = ".pub.pem"
NEW_KEY = "python -m tools release new-key"


def keys_dir() -> Path:
    """Where the keys are: `keys/` of this checkout, or `FIELDMOUSE_KEYS`."""
    return Path(os.environ.get("FIELDMOUSE_KEYS") or ROOT / "keys")


def load(folder: Path) -> dict[Path, rsa.RSAPublicKey]:
    """The public keys in ``folder``, at most two; ToolError for more, or for other kinds."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if len(paths) > MOST:
        names = ", ".join(path.name for path in paths)
        raise ToolError(
            f"{folder} has {len(paths)} public keys, a board takes {MOST}: {names}",
            "move away the one that boards shall no longer believe",
        )
    return {path: read(path) for path in paths}


def read(path: Path) -> rsa.RSAPublicKey:
    """The public key in the PEM file ``path``; ToolError for what is no such key."""
    try:
        key = ser.load_pem_public_key(path.read_bytes())
    except OSError as e:
        raise ToolError(f"cannot read {path}: {e.strerror}") from e
    except (ValueError, UnsupportedAlgorithm):
        raise ToolError(f"{path} is not a public key in PEM") from None
    return checked(key, str(path))


def checked(key: object, where: str) -> rsa.RSAPublicKey:
    """``key``, if boards can use it; ToolError, naming ``where`` it is from, if not."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise ToolError(f"{where}: is not an RSA key", f"{NEW_KEY} makes one")
    exponent = key.public_numbers().e
    if key.key_size != BITS or exponent != EXPONENT:
        raise ToolError(
            f"{where}: is RSA-{key.key_size} with exponent {exponent}; "
            f"a board takes RSA-{BITS} with {EXPONENT}",
            f"{NEW_KEY} makes one",
        )
    return key


def same(one: rsa.RSAPublicKey, other: rsa.RSAPublicKey) -> bool:
    """True if both are the same key."""
    return one.public_numbers() == other.public_numbers()


def board_file(keys: Iterable[rsa.RSAPublicKey]) -> bytes:
    """What `firmware/keys.txt` has for ``keys``: each modulus, whatever their files are called."""
    lines = (f"{key.public_numbers().n:0{BITS // 4}x}\n" for key in keys)
    return "".join(sorted(set(lines))).encode()
