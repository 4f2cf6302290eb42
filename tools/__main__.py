"""`python -m tools`: hands over to the command line, or says what it takes to have one."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PYTHON = _ROOT / ".venv" / "bin" / "python"
_NEEDED = ("typer", "rich", "boto3", "cryptography")


def main() -> int:
    """Return the exit code of the command line in ``sys.argv``.

    A Python without the tools' libraries passes the call on to the one that `make setup` made.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        if _PYTHON.exists() and Path(sys.prefix).resolve() != _PYTHON.parents[1].resolve():
            os.environ["PYTHONPATH"] = os.pathsep.join(
                part for part in (str(_ROOT), os.environ.get("PYTHONPATH")) if part
            )
            os.execv(_PYTHON, [str(_PYTHON), "-m", "tools", *sys.argv[1:]])
        print(f"error: this Python lacks {', '.join(missing)}", file=sys.stderr)
        print("  try: make setup", file=sys.stderr)
        return 2
    from tools import endings

    endings.install()
    from tools import cli

    return cli.main()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while the command line was still being loaded
        sys.exit(130)
