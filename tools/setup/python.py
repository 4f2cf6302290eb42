"""The tools' Python environment, .venv, in three parts; and umqtt.simple."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tools import toolchain
from tools.errors import ToolError
from tools.setup import apt
from tools.setup.parts import Part
from tools.setup.process import Progress, run

_TRY_NETWORK = "check the network and `pip config list`, then make setup"
_TRY_VENV = "apt install python3-venv, or another Python: make setup PYTHON=/path/to/python3"
_INSTALL = ["install", "--retries", "2"]
if not sys.dont_write_bytecode:  # else whatever runs would compile all it needs anew
    _INSTALL.append("--no-compile")  # a module at its first use, most never
_UMQTT = f"micropython-umqtt.simple=={toolchain.UMQTT_VERSION}"
# Of umqtt/simple.py in that archive, as it was on 2026-11-21.
UMQTT_SHA256 = "8555d2f654deb8eb0d724f79b0811a78cc94029d070f3d96bbd74288653d63a5"


def environment(folder: Path) -> Part:
    """Return the virtual environment with what `make sim` and the AWS tools need."""
    return Part(
        name="the tools' libraries",
        folder=folder,
        inputs={"requirements.txt": _sha256(_pins("")), "place": str(folder)},
        build=_build,
        check=_python_fault,
        in_place=True,
    )


def addition(name: str, added: str, folder: Path) -> Part:
    """Return the packages of requirements-``added``.txt, in the environment ``folder``."""
    pins = _pins(added)
    return Part(
        name=name,
        folder=folder,
        inputs={pins.name: _sha256(pins)},
        build=lambda made: _install(made, pins),
        added=added,
    )


def _pins(added: str) -> Path:
    return toolchain.ROOT / (f"requirements-{added}.txt" if added else "requirements.txt")


def pinned(text: str, minor: int) -> list[str]:
    """Return the packages that a requirements file has for Python 3.``minor``."""
    pins = re.findall(r'^([\w-]+)==\S+(?: ; python_version (<|>=) "3\.(\d+)")?', text, re.M)
    return [name for name, sign, than in pins if not sign or (sign == "<") == (minor < int(than))]


def umqtt() -> Part:
    """Return the folder with umqtt/simple.py; .venv has to be whole before it is made."""
    return Part(
        name="umqtt.simple",
        folder=toolchain.CACHE / "umqtt" / toolchain.UMQTT_VERSION,
        inputs={"sha256": UMQTT_SHA256},
        build=_download_umqtt,
        check=_umqtt_fault,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _python_fault(folder: Path) -> str:
    # A Python that was upgraded in place (3.12 to 3.13) starts, but looks for another lib folder.
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    try:
        ran = subprocess.run(
            [str(folder / "bin/python"), "-I", "-c", code], capture_output=True, text=True
        )
    except OSError as e:
        return f"its Python does not start ({e.strerror})"
    if ran.returncode or not (folder / "lib" / ran.stdout.strip()).is_dir():
        return "its Python has moved or changed"
    return ""


def _build(folder: Path) -> None:
    _make_environment(folder)
    gone = [*_pip(folder), "uninstall", "--yes", "setuptools"]  # before 3.12 venv puts it there
    run(gone, "making .venv", _TRY_VENV)
    _install(folder, _pins(""))


def _install(folder: Path, pins: Path) -> None:
    progress = Progress(f"{folder.relative_to(toolchain.ROOT)} from {pins.name}")
    total = len(pinned(pins.read_text(), sys.version_info[1]))
    seen: set[str] = set()

    def on_line(line: str) -> None:
        found = re.match(r"Collecting (\S+?)==", line)
        if found:
            seen.add(found[1])
            progress.note(f"{len(seen)} of {total} packages, {found[1]}")
        elif line.startswith("Installing collected"):
            progress.note(f"unpacking {total} packages")

    # The files name every package, so pip need not look for what they pull in, only check it.
    options = ["--no-deps", "--force-reinstall"]
    pip = [*_pip(folder), *_INSTALL, *options, "-r", str(pins)]
    run(pip, f"installing {pins.name}", _TRY_NETWORK, on_line)
    run([*_pip(folder), "check"], f"the packages of {pins.name}", "report it: they do not fit")
    progress.done()


def _pip(folder: Path) -> list[str]:
    python = str(folder / "bin/python")
    return [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def _make_environment(folder: Path) -> None:
    what = f"making {folder.relative_to(toolchain.ROOT)}"
    make = [sys.executable, "-m", "venv", str(folder)]
    pip = importlib.util.find_spec("ensurepip")
    if pip and pip.origin:
        run(make, what, _TRY_VENV)
        return
    # Debian keeps pip in a package of its own (python3-venv); unpacked, it serves as well.
    run([*make, "--without-pip"], what, _TRY_VENV)
    source = apt.mirror(apt.configured(apt.ETC), os.environ)
    arch = run(["dpkg", "--print-architecture"], "dpkg", _TRY_VENV).strip()
    root = folder / "debian"
    suite = source.suites[0] if source.suites else "stable"
    apt.unpack("python3-pip-whl", suite, arch, source, folder / "apt", root)
    wheels = root / "usr/share/python-wheels"
    zipped = str(next(wheels.glob("pip-*.whl")) / "pip")  # Python runs a package inside a wheel
    offline = ["install", "--no-index", "--find-links", str(wheels), "pip"]
    run([str(folder / "bin/python"), zipped, *offline], f"{what}: pip", _TRY_VENV)
    shutil.rmtree(root)
    shutil.rmtree(folder / "apt")


def _download_umqtt(folder: Path) -> None:
    progress = Progress(_UMQTT)
    pip = _pip(toolchain.VENV)
    settings = run([*pip, "config", "list"], "pip config", _TRY_NETWORK)
    index = re.search(r"\.index-url='([^']+)'", settings)
    archives, unearth = folder / "archive", folder / "unearth"
    options = ["--no-deps", "--target", str(unearth)]
    install = [*pip, *_INSTALL, *options, "-r", str(_pins("unearth"))]
    run(install, "installing unearth", _TRY_NETWORK)
    fetch = [pip[0], "-m", "unearth", "--no-binary", "--download", str(archives)]
    if index:  # unearth does not read pip's configuration
        fetch += ["--index-url", index[1]]
    only = {"PYTHONPATH": str(unearth)}
    run([*fetch, _UMQTT], f"fetching {_UMQTT}", _TRY_NETWORK, extra_env=only)
    shutil.rmtree(unearth)
    found = sorted(archives.glob("*.tar.gz"))
    if not found:
        raise ToolError(f"the package index has no archive of {_UMQTT}", _TRY_NETWORK)
    _extract(found[0], folder / "umqtt" / "simple.py")
    for path in found:
        path.unlink()
    archives.rmdir()
    wrong = _umqtt_fault(folder)
    if wrong:
        raise ToolError(f"{_UMQTT}: {wrong}", "report it: this archive never changes")
    progress.done()


def _extract(archive: Path, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            member = next(m for m in tar if m.name.endswith("/umqtt/simple.py") and m.isfile())
            stream = tar.extractfile(member)
            data = stream.read() if stream else b""
    except (tarfile.TarError, OSError, EOFError, StopIteration):
        raise ToolError(f"{archive.name} is not the archive expected", _TRY_NETWORK) from None
    target.parent.mkdir(parents=True)
    target.write_bytes(data)


def _umqtt_fault(folder: Path) -> str:
    if _sha256(folder / "umqtt/simple.py") != UMQTT_SHA256:
        return "umqtt/simple.py is not the file it should be"
    return ""
