"""`python -m tools`: hands over to the command line, or says what it takes to have one."""

from __future__ import annotations

import importlib.util
import sys


def main() -> int:
    """Return the exit code of the command line in ``sys.argv``."""
    if importlib.util.find_spec("typer") is None:
        print("error: the tools' libraries are not installed in this Python", file=sys.stderr)
        print("  try: make setup, then .venv/bin/python -m tools", file=sys.stderr)
        return 2
    from tools import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
