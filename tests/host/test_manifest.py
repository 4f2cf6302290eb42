"""manifest.py, for those who freeze the firmware into a MicroPython of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.board import stage
from tools.toolchain import ROOT


class Freezer:
    """What MicroPython's tools/manifestfile.py does with these calls."""

    def __init__(self) -> None:
        self.included: list[str] = []
        self.required: list[str] = []
        self.files: list[str] = []

    def run(self, path: Path) -> None:
        names = ("include", "require", "package", "module")
        exec(compile(path.read_text(), path, "exec"), {n: getattr(self, n) for n in names})  # noqa: S102

    def include(self, path: str) -> None:
        self.included.append(path)

    def require(self, name: str) -> None:
        self.required.append(name)

    def package(self, name: str, files: Any = None, base_path: str = ".") -> None:
        base = ROOT / base_path
        chosen = [base / name / f for f in files] if files else (base / name).rglob("*.py")
        self.files += [path.relative_to(base).as_posix() for path in chosen]

    def module(self, name: str, base_path: str = ".") -> None:
        self.files.append(name)


def test_it_names_exactly_the_firmware() -> None:
    found = Freezer()
    found.run(ROOT / "manifest.py")
    firmware = [name for name in stage.sources(ROOT) if name.startswith("firmware/")]
    assert sorted(found.files) == sorted(firmware)
    assert all((ROOT / name).is_file() for name in found.files)


def test_it_adds_to_what_the_port_has() -> None:
    found = Freezer()
    found.run(ROOT / "manifest.py")
    assert found.included == ["$(PORT_DIR)/boards/manifest.py"]
    assert found.required == ["umqtt.simple"]  # the ESP32's builds have it, not every ESP8266's
