"""Where the programs that `make setup` installed are. Standard library only: setup uses it too.

Everything lies in the checkout: .venv for the tools, .tools/ for the rest.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.errors import ToolError

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
CACHE = ROOT / ".tools"

UMQTT_VERSION = "1.3.4"  # what the package index has; boards have a newer one frozen in
OLDEST_MICROPYTHON = (1, 26)  # 1.25 with Debian's mbedTLS fails TLS 1.2 handshakes

_SETUP = "make setup"
_PROBE = (
    "import sys, tls; v = sys.implementation.version; "
    "print(v[0], v[1], 64 if sys.maxsize > 2**32 else 32)"
)
_PROBE_S = 20.0


def micropython(bits: int = 64) -> list[str]:
    """Return the argument vector that starts the unix MicroPython of this word size.

    ``$MICROPYTHON`` first, then ``micropython`` on PATH where it is new enough, then the build
    that setup unpacked. ``$MICROPYTHON32`` stands in for the 32-bit build. Raises ToolError.
    """
    named = os.environ.get("MICROPYTHON" if bits == 64 else "MICROPYTHON32")
    if named:
        return [named_micropython(named)]
    if bits == 64:
        found = path_micropython()
        if found:
            return [found]
    unpacked = micropython_folder(bits) / "micropython"
    if not os.access(unpacked, os.X_OK):
        raise ToolError(f"the {bits}-bit unix MicroPython is not installed", _SETUP)
    return [str(unpacked)]


def micropython_folder(bits: int) -> Path:
    """Return the folder of the build that setup unpacks for this word size."""
    return CACHE / "micropython" / str(bits)


def named_micropython(given: str) -> str:
    """Return the program that ``$MICROPYTHON`` names; raises ToolError when it is none."""
    found = shutil.which(given)
    if not found:
        raise ToolError(f"MICROPYTHON={given}: no such program", "unset MICROPYTHON")
    return os.path.abspath(found)


def path_micropython() -> str | None:
    """Return ``micropython`` on PATH when it is new enough and has TLS, else None."""
    found = shutil.which("micropython")
    if found and not micropython_fault(found):
        return found
    return None


def micropython_fault(program: str | Path, bits: int | None = None) -> str:
    """Start ``program`` and return what speaks against it, or ""."""
    try:
        ran = subprocess.run(
            [str(program), "-c", _PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            env={k: v for k, v in os.environ.items() if k != "MICROPYPATH"},
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"does not start ({e.__class__.__name__})"
    if ran.returncode:
        lines = (ran.stderr or ran.stdout).strip().splitlines()
        return f"does not work ({lines[-1] if lines else ran.returncode})"
    said = re.fullmatch(r"(\d+) (\d+) (32|64)\s*", ran.stdout)
    if not said:
        return "is no MicroPython"
    major, minor, width = (int(word) for word in said.groups())
    if (major, minor) < OLDEST_MICROPYTHON:
        return f"is {major}.{minor}, older than {OLDEST_MICROPYTHON[0]}.{OLDEST_MICROPYTHON[1]}"
    if bits and width != bits:
        return f"is a {width}-bit build"
    return ""


def umqtt_dir() -> Path:
    """Return the folder for MICROPYPATH that holds umqtt/simple.py; raises ToolError."""
    folder = CACHE / "umqtt" / UMQTT_VERSION
    if not (folder / "umqtt" / "simple.py").is_file():
        raise ToolError(f"umqtt.simple {UMQTT_VERSION} is not installed", _SETUP)
    return folder


def need(module: str) -> None:
    """ToolError when a package is not there: `make sim` installs fewer than all."""
    if importlib.util.find_spec(module) is None:
        raise ToolError(f"{module} is not installed", _SETUP)


def venv_python() -> Path:
    """Return the Python of the tools' environment; raises ToolError."""
    python = VENV / "bin" / "python"
    if not python.exists():
        raise ToolError("the tools' libraries are not installed", _SETUP)
    return python
