"""`python3 -m tools.setup`: finds a Python that is new enough, then installs.

Every Python since 3.6 must be able to read this file: an old one has to come as far as saying so.
"""

import os
import shutil
import subprocess
import sys

OLDEST = (3, 10)
NAMES = ["python3.%d" % minor for minor in (13, 12, 14, 11, 10)]  # best known first


def works(python: str) -> bool:
    """Return whether `python` starts and is new enough: a pyenv shim exists without its Python."""
    code = "import sys; sys.exit(sys.version_info < %r)" % (OLDEST,)
    try:
        return subprocess.call([python, "-I", "-c", code], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def newer(names: "list[str]") -> "str | None":
    """Return the first of `names` on PATH that is new enough, or None."""
    for name in names:
        python = shutil.which(name)
        if python and works(python):
            return python
    return None


def main() -> int:
    """Hand over to a Python that is new enough, or say that there is none."""
    if sys.version_info >= OLDEST:
        from tools.setup import steps

        return steps.main(sys.argv[1:])
    python = newer(NAMES)
    if python:
        os.execv(python, [python, "-m", "tools.setup", *sys.argv[1:]])
    have = "%d.%d.%d" % sys.version_info[:3]
    want = "%d.%d" % OLDEST
    sys.stderr.write("error: Python %s or newer is needed, this one is %s\n" % (want, have))
    sys.stderr.write("  try: install a newer Python, then make setup PYTHON=/path/to/python3\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
