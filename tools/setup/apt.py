"""Debian packages fetched and unpacked into a folder, without root and without the system's apt.

The machine's own configuration says which mirror and which proxy; lists, cache and the set of
"installed" packages are private and start empty, so apt fetches everything down to the C library.
Signatures are always verified, with the keys of the entry the mirror came from.
"""

from __future__ import annotations

import contextlib
import email
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.errors import ToolError
from tools.setup.process import Progress, run

ETC = Path("/etc/apt")

# Suites by which an entry is known for Debian's own archive (not security, not a vendor's).
_SUITES = {"oldstable", "stable", "testing", "unstable", "sid"}
_SUITES |= {"bullseye", "bookworm", "trixie", "forky", "duke"}
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_KEYRING_DIR = Path("/usr/share/keyrings")
_CLEARED = (
    *("APT::Update", "APT::Architectures"),
    *("DPkg::Pre-Install-Pkgs", "DPkg::Pre-Invoke", "DPkg::Post-Invoke"),
)
_MIRROR = "DEBIAN_MIRROR"  # names the mirror where apt's configuration has none (Ubuntu)
_TRY_MIRROR = f"make setup {_MIRROR}=URL of a Debian mirror; or install MicroPython >= 1.26"
_TRY_NETWORK = "check the network and apt's proxy settings, then make setup"


@dataclass(frozen=True)
class Source:
    """One entry of apt's configuration; ``signed_by`` is a path, an inline key or ""."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def parse_list(text: str) -> Iterator[Source]:
    """Yield the binary entries of a one-line style file (sources.list(5))."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)", line)
        if not found:
            continue
        options = dict(o.split("=", 1) for o in (found[1] or "").split() if "=" in o)
        signed_by = options.get("signed-by", "")
        yield Source(found[2], (found[3],), tuple(found[4].split()), signed_by)


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the enabled binary entries of a .sources file, one for each URI."""
    plain = re.sub(r"^#.*\n?", "", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n", plain.lstrip()):
        fields = email.message_from_string(paragraph)  # RFC 822: deb822(5)
        if fields.get("Enabled", "yes").lower() in ("no", "false", "0", "off", "without"):
            continue
        if "deb" not in fields.get("Types", "").split():
            continue
        suites = tuple(fields.get("Suites", "").split())
        components = tuple(fields.get("Components", "").split())
        key = [line.strip() for line in fields.get("Signed-By", "").strip().splitlines()]
        for uri in fields.get("URIs", "").split():
            yield Source(uri, suites, components, "\n".join(key))


def configured(etc: Path) -> list[Source]:
    """Return the entries of the apt configuration folder ``etc`` (/etc/apt)."""
    parts = etc / "sources.list.d"
    found: list[Source] = []
    for path in (
        etc / "sources.list",
        *sorted(parts.glob("*.list")),
        *sorted(parts.glob("*.sources")),
    ):
        parse = parse_deb822 if path.suffix == ".sources" else parse_list
        with contextlib.suppress(OSError):  # absent, or not ours to read
            found.extend(parse(path.read_text(errors="replace")))
    return found


def mirror(sources: Iterable[Source], env: Mapping[str, str]) -> Source:
    """Return the first entry of Debian's own archive, or what ``$DEBIAN_MIRROR`` names.

    Raises ToolError where there is neither: on Ubuntu, say.
    """
    if env.get(_MIRROR):
        return Source(env[_MIRROR], (), ("main",))
    for source in sources:
        at_home = _SUITES.intersection(source.suites) and "main" in source.components
        if at_home and not source.uri.startswith("cdrom:"):
            return source
    raise ToolError("apt's configuration names no Debian mirror", _TRY_MIRROR)


def keys(source: Source) -> str:
    """Return what belongs after Signed-By; raises ToolError when Debian's keys are missing."""
    if source.signed_by:
        return source.signed_by
    for path in (_KEYRING_DIR / name for name in _KEYRINGS):
        if path.exists():
            return str(path)
    raise ToolError("Debian's archive keys are missing", "apt install debian-archive-keyring")


def unpack(package: str, suite: str, arch: str, source: Source, work: Path, into: Path) -> None:
    """Fetch ``package`` with all it depends on, and unpack it below ``into``.

    ``work`` is a folder for apt's private state. No maintainer script is run. Raises ToolError.
    """
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if not shutil.which(program):
            raise ToolError(f"{program} is missing", f"install {package} by hand")
    config = _private(suite, arch, source, work)
    what = f"{package} for {arch} from Debian {suite}"
    progress = Progress(what)
    env = {"LC_ALL": "C"}
    apt = ["apt-get", "-c", str(config), "-y"]
    run([*apt, "update", "--error-on=any"], f"{what}: apt update", _TRY_NETWORK, extra_env=env)
    progress.note("fetching")
    fetch = [*apt, "install", "--download-only", "--no-install-recommends", package]
    run(fetch, f"{what}: apt download", _TRY_NETWORK, extra_env=env)
    archives = sorted((work / "cache/archives").glob("*.deb"))
    if not archives:
        raise ToolError(f"{what}: apt fetched nothing", _TRY_NETWORK)
    for archive in archives:
        run(["dpkg-deb", "-x", str(archive), str(into)], f"unpacking {archive.name}", _TRY_NETWORK)
    progress.done()


def _private(suite: str, arch: str, source: Source, work: Path) -> Path:
    for name in ("lists/partial", "cache/archives/partial", "none"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    key = "".join(f"\n {line}" for line in keys(source).splitlines())
    (work / "debian.sources").write_text(
        f"Types: deb\nURIs: {source.uri}\nSuites: {suite}\nComponents: main\n"
        f"Targets: Packages\nSigned-By:{key}\n"
    )
    # -c is read after the machine's files, so its proxies stay and its hooks can be cleared:
    # docker-clean's would empty the system's own package cache when we are root.
    lines = [f"#clear {name};" for name in _CLEARED]
    lines += [f'{name} "{value}";' for name, value in _settings(arch, work).items()]
    config = work / "apt.conf"
    config.write_text("\n".join(lines) + "\n")
    return config


def _settings(arch: str, work: Path) -> dict[str, str | Path]:
    return {
        "Dir::Etc::SourceList": work / "debian.sources",
        "Dir::Etc::SourceParts": work / "none",
        "Dir::Etc::Preferences": work / "no-preferences",
        "Dir::Etc::PreferencesParts": work / "none",
        "Dir::State::Lists": work / "lists",
        "Dir::State::Status": work / "status",
        "Dir::State::Extended_States": work / "extended_states",
        "Dir::Cache": work / "cache",
        "Dir::Cache::Archives": "archives",
        "Dir::Cache::PkgCache": "",
        "Dir::Cache::SrcPkgCache": "",
        "Dir::Log": work,
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Sandbox::User": "",
        "APT::Default-Release": "",
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowWeakRepositories": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Debug::NoLocking": "true",
    }
