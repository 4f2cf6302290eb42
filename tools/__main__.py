"""`python -m tools`: hands over to the command line, or says what it takes to have one."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
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
    sys.unraisablehook = _dropped
    from tools import cli

    for number in (signal.SIGTERM, signal.SIGHUP):  # what was to be removed at the end is removed
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    return cli.main()


def _dropped(what: sys.UnraisableHookArgs) -> None:
    # A Ctrl-C in a destructor, or in a callback of the import system, ends nothing: once more.
    if what.exc_type is KeyboardInterrupt:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(what)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while the command line was still being loaded
        sys.exit(130)
