"""Which mirror, whose keys, and what apt is asked to do; apt itself is a small fake program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host.programs import script
from tools.errors import ToolError
from tools.setup import apt

DEB822 = """\
# Modernized from sources.list
Types: deb deb-src
URIs: http://mirror.example/debian http://second.example/debian
Suites: trixie trixie-updates
Components: main contrib
Signed-By: /keys/debian.pgp

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: sid
Components: main

Types: deb
URIs: http://inline.example
Suites: trixie-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""

ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb http://vendor.example/apt cloud-sdk-bookworm main
deb http://security.example/debian-security bookworm-security main
deb [ arch=amd64 signed-by=/keys/old.gpg ] http://mirror.example/debian bookworm main # note
deb [arch=amd64] cdrom:[Debian]/ bookworm main
"""


def test_deb822_entries() -> None:
    found = list(apt.parse_deb822(DEB822))
    assert [s.uri for s in found] == [
        "http://mirror.example/debian",
        "http://second.example/debian",
        "http://inline.example",
    ]
    assert found[0].suites == ("trixie", "trixie-updates")
    assert found[0].components == ("main", "contrib")
    assert found[0].signed_by == "/keys/debian.pgp"
    assert found[2].signed_by.splitlines() == ["-----BEGIN PGP PUBLIC KEY BLOCK-----", ".", "abc"]


def test_one_line_entries() -> None:
    found = list(apt.parse_list(ONE_LINE))
    assert found[0] == apt.Source("http://vendor.example/apt", ("cloud-sdk-bookworm",), ("main",))
    assert found[2] == apt.Source(
        "http://mirror.example/debian", ("bookworm",), ("main",), "/keys/old.gpg"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "Types deb\n: :\n", "deb\n", " \n x"])
def test_junk_is_no_entry(text: str) -> None:
    assert list(apt.parse_deb822(text)) == []
    assert list(apt.parse_list(text)) == []


def test_debians_own_archive_is_told_from_the_rest() -> None:
    assert apt.mirror(apt.parse_list(ONE_LINE), {}).uri == "http://mirror.example/debian"
    assert apt.mirror(apt.parse_deb822(DEB822), {}).uri == "http://mirror.example/debian"


def test_no_debian_mirror_is_an_error_with_a_way_out() -> None:
    ubuntu = [apt.Source("http://ubuntu.example", ("noble",), ("main", "universe"))]
    with pytest.raises(ToolError, match="no Debian mirror") as caught:
        apt.mirror(ubuntu, {})
    assert "DEBIAN_MIRROR=" in caught.value.hint
    given = apt.mirror(ubuntu, {"DEBIAN_MIRROR": "http://given.example/debian"})
    assert given.uri == "http://given.example/debian"


def test_a_machine_is_read_whole(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "a.list").write_text("deb http://a.example trixie main\n")
    (parts / "b.sources").write_text("Types: deb\nURIs: http://b.example\nSuites: trixie\n")
    (parts / "c.save").write_text("deb http://c.example trixie main\n")
    assert [s.uri for s in apt.configured(tmp_path)] == ["http://a.example", "http://b.example"]
    assert apt.configured(tmp_path / "nothing") == []


def test_keys_are_the_entrys_own_or_debians(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = apt.Source("http://x.example", ("sid",), ("main",), "/keys/x.gpg")
    assert apt.keys(source) == "/keys/x.gpg"
    bare = apt.Source("http://x.example", ("sid",), ("main",))
    monkeypatch.setattr(apt, "_KEYRING_DIR", tmp_path)
    with pytest.raises(ToolError, match="keys are missing") as caught:
        apt.keys(bare)
    assert caught.value.hint == "apt install debian-archive-keyring"
    (tmp_path / "debian-archive-keyring.gpg").touch()
    assert apt.keys(bare) == str(tmp_path / "debian-archive-keyring.gpg")


FAKE_APT = """\
while [ $# -gt 0 ]; do
  case $1 in
    -c) config=$2; shift ;;
    update)
      test -e "$FAKE/offline" && { echo "E: Failed to fetch"; exit 100; }
      cp "$config" "$FAKE/conf" ;;
    install) test -e "$FAKE/empty" || touch "${config%/*}/cache/archives/it_1_all.deb" ;;
  esac
  shift
done
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which apt-get keeps its configuration and dpkg-deb unpacks one file."""
    folder = tmp_path / "bin"
    script(folder / "apt-get", FAKE_APT)
    script(folder / "apt-cache", "")
    script(folder / "dpkg-deb", 'mkdir -p "$3/usr"; : > "$3/usr/it"')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path))
    return tmp_path


def unpack(fake: Path) -> None:
    source = apt.Source("http://mirror.example/debian", ("trixie",), ("main",), "/keys/d.pgp")
    apt.unpack("it", "forky", "amd64", source, fake / "work", fake / "root")


def test_apt_is_kept_to_its_own_folder_and_must_verify(fake: Path) -> None:
    unpack(fake)
    assert (fake / "root/usr/it").exists()
    conf = (fake / "conf").read_text()
    work = fake / "work"
    for line in (
        'Acquire::AllowInsecureRepositories "false";',
        'APT::Get::AllowUnauthenticated "false";',
        f'Dir::State::Lists "{work}/lists";',
        f'Dir::Cache "{work}/cache";',
        f'Dir::State::Status "{work}/status";',
        "#clear APT::Update;",  # docker-clean's hook would empty the system's cache
    ):
        assert line in conf.splitlines()
    assert (work / "debian.sources").read_text() == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: forky\nComponents: main\n"
        "Targets: Packages\nSigned-By:\n /keys/d.pgp\n"
    )


@pytest.mark.parametrize(("flag", "says"), [("offline", "Failed to fetch"), ("empty", "nothing")])
def test_a_failing_apt_is_quoted_with_a_remedy(fake: Path, flag: str, says: str) -> None:
    (fake / flag).touch()
    with pytest.raises(ToolError, match=says) as caught:
        unpack(fake)
    assert "network" in caught.value.hint


def test_without_apt_the_package_is_named(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fake / "nowhere"))
    with pytest.raises(ToolError, match="apt-get is missing") as caught:
        unpack(fake)
    assert "it" in caught.value.hint
