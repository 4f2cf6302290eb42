"""The unix MicroPython: Debian's build of it, for machines that have none."""

from __future__ import annotations

import os
import platform
import shutil
import stat
from pathlib import Path

from tools import toolchain
from tools.errors import ToolError
from tools.setup import apt
from tools.setup.parts import Part
from tools.setup.process import run

_SUITES = ("forky", "sid")  # trixie's 1.25 fails TLS 1.2 handshakes with its mbedTLS
_BY_HAND = "brew install micropython, or apt install micropython (1.26 or newer), or MICROPYTHON="
# Debian's name of the 32-bit twin whose programs the 64-bit kernel can usually run.
_TWIN = {"amd64": "i386", "arm64": "armhf"}

# The loader is Debian's own, so the C library of the machine does not matter.
_WRAPPER = """\
#!/bin/sh
root=${{0%/*}}/root
exec "$root/{loader}" --library-path "$root/{libraries}" "$root/{program}" "$@"
"""


def part(bits: int) -> Part:
    """Return the build of this word size, as a folder with an executable ``micropython``."""
    return Part(
        name=f"MicroPython, {bits} bit",
        folder=toolchain.micropython_folder(bits),
        inputs={"recipe": "1"},
        build=lambda folder: _build(bits, folder),
        check=lambda folder: _fault(folder, bits),
    )


def _fault(folder: Path, bits: int) -> str:
    wrong = toolchain.micropython_fault(folder / "micropython", bits)
    return f"the build {wrong}" if wrong else ""


def _build(bits: int, folder: Path) -> None:
    arch = _arch(bits)
    source = apt.mirror(apt.configured(apt.ETC), os.environ)
    faults = []
    for suite in _SUITES:
        work, root = folder / "apt", folder / "root"
        root.mkdir()
        try:
            apt.unpack("micropython", suite, arch, source, work, root)
            _wrap(folder, root)
            wrong = _fault(folder, bits)
            if not wrong:
                return
            faults.append(ToolError(f"Debian {suite}: {wrong}", _BY_HAND))
        except ToolError as e:
            faults.append(e)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(root)
    raise faults[0]


def _arch(bits: int) -> str:
    if platform.system() != "Linux" or not shutil.which("dpkg"):
        raise ToolError("there is no unix MicroPython on PATH, and no apt to get one", _BY_HAND)
    native = run(["dpkg", "--print-architecture"], "dpkg", _BY_HAND).strip()
    wide = native in _TWIN or native in ("riscv64", "ppc64el", "s390x", "loong64")
    if bits == (64 if wide else 32):
        return native
    if bits == 32 and native in _TWIN:
        return _TWIN[native]
    raise ToolError(f"Debian {native} has no {bits}-bit programs", _BY_HAND)


def _wrap(folder: Path, root: Path) -> None:
    def only(pattern: str) -> str:
        # Old packages put the loader in lib64/, a link in others: take the real file.
        for path in sorted(root.glob(pattern)):
            if path.exists():
                return path.relative_to(root).as_posix()
        raise ToolError(f"Debian's packages hold no {pattern}", _BY_HAND)

    libraries = Path(only("**/libc.so.6")).parent.as_posix()
    wrapper = folder / "micropython"
    wrapper.write_text(
        _WRAPPER.format(
            loader=only("**/ld-linux*.so.*"),
            libraries=libraries,
            program=only("usr/bin/micropython"),
        )
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
