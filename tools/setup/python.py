"""The Python environments: .venv for the tools, one of its own for MiniStack; and umqtt.simple."""

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
_UMQTT = f"micropython-umqtt.simple=={toolchain.UMQTT_VERSION}"
# Of umqtt/simple.py in that archive, as it was on 2026-11-21.
UMQTT_SHA256 = "8555d2f654deb8eb0d724f79b0811a78cc94029d070f3d96bbd74288653d63a5"


def environment(name: str, folder: Path, requirements: str) -> Part:
    """Return a virtual environment that holds exactly the packages of a requirements file."""
    pins = toolchain.ROOT / requirements
    return Part(
        name=name,
        folder=folder,
        inputs={requirements: _sha256(pins), "place": str(folder)},
        build=lambda made: _install(made, pins),
        check=_python_fault,
        in_place=True,
    )


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


def _install(folder: Path, pins: Path) -> None:
    where = folder.relative_to(toolchain.ROOT)
    progress = Progress(f"{where} from {pins.name}")
    _make_environment(folder, f"making {where}")
    total = len(re.findall(r"^[\w-]+==", pins.read_text(), re.M))
    seen: set[str] = set()

    def on_line(line: str) -> None:
        found = re.match(r"Collecting (\S+?)==", line)
        if found:
            seen.add(found[1])
            progress.note(f"{len(seen)} of {total} packages, {found[1]}")
        elif line.startswith("Installing collected"):
            progress.note(f"unpacking {total} packages")

    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(
        [*pip, "install", "--retries", "2", "-r", str(pins)],
        f"installing {pins.name}",
        _TRY_NETWORK,
        on_line,
    )
    progress.done()


def _make_environment(folder: Path, what: str) -> None:
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
    python = str(toolchain.venv_python())
    progress = Progress(_UMQTT)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    index = re.search(r"\.index-url='([^']+)'", run(pip, "pip config", _TRY_NETWORK))
    archives = folder / "archive"
    fetch = [python, "-m", "unearth", "--no-binary", "--download", str(archives)]
    if index:  # unearth does not read pip's configuration
        fetch += ["--index-url", index[1]]
    run([*fetch, _UMQTT], f"fetching {_UMQTT}", _TRY_NETWORK)
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
