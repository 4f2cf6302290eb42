"""The local AWS: ports, a clean start and end, and nothing of the user's touched."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.host import pki
from tests.host.test_sim_board import gone, is_there
from tools import toolchain
from tools.aws import local
from tools.aws.provision import provision
from tools.errors import ToolError
from tools.sim import folders, ministack_main
from tools.sim.cloud import LocalCloud, answers, free_port
from tools.sim.devices import WIFI

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as made:
        yield made


def test_it_serves_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever the user has set up must neither be seen nor changed.
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = dict(os.environ)
    cloud = LocalCloud()
    cloud.start()
    pid, ca_file = cloud.pid, cloud.info.ca_file
    try:
        assert pid is not None
        monkeypatch.delenv("AWS_PROFILE")  # boto3 refuses an unknown profile before anything else
        cloud.clients.iot.create_thing(thingName="barn")
        assert cloud.clients.iot.describe_thing(thingName="barn")["thingName"] == "barn"
        assert ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    finally:
        began = time.monotonic()
        cloud.stop()
    assert time.monotonic() - began < 5
    assert gone(pid)
    assert not ca_file.exists()
    assert dict(os.environ) | {"AWS_PROFILE": before["AWS_PROFILE"]} == before


def test_its_certificate_is_valid_for_the_endpoint_of_the_devices(cloud: LocalCloud) -> None:
    context = ssl.create_default_context(cafile=str(cloud.info.ca_file))
    address = (cloud.info.endpoint, cloud.info.mqtt_port)
    with (
        socket.create_connection(address, 10) as raw,
        context.wrap_socket(raw, server_hostname=cloud.info.endpoint) as tls,
    ):
        assert ("DNS", "localhost") in tls.getpeercert()["subjectAltName"]
    with (
        socket.create_connection(address, 10) as raw,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(raw, server_hostname="example.org")


def test_the_ports_of_last_time_are_taken_when_they_are_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used, free = taken.getsockname()[1], free_port()
        cloud = LocalCloud()
        try:
            cloud.start(last=(used, free))
            assert cloud.info.gateway_port != used
            assert cloud.info.mqtt_port == free
        finally:
            cloud.stop()


CONNECT = bytes([16, 16, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 4]) + b"anna"


def answer(cloud: LocalCloud, version: str, certs: Path | None, host: str = "127.0.0.1") -> bytes:
    """What the MQTT port says to a CONNECT, with the certificate in ``certs`` or none."""
    context = ssl.create_default_context(cafile=str(cloud.info.ca_file))
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if certs is not None:
        context.load_cert_chain(certs / "cert.pem", certs / "key.pem")
    try:
        with (
            socket.create_connection((host, cloud.info.mqtt_port), 10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(CONNECT)
            return tls.recv(4)
    except ssl.SSLCertVerificationError:  # ours of the server, not the server's of us
        raise
    except (ssl.SSLError, ConnectionError):
        return b""


def own_address() -> str:
    """An address of this machine that is not 127.0.0.1; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:  # no network at all
            return "127.0.0.2"
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Callable[[LocalCloud], Path]:
    """member(cloud) -> a folder with a registered certificate that may connect as "anna"."""

    def make(cloud: LocalCloud) -> Path:
        made = provision(cloud.clients, "anna", tmp_path_factory.mktemp("anna"), wifi=WIFI)
        return made.folder.certs

    return make


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_nobody_gets_in_without_a_certificate_of_its_own(
    cloud: LocalCloud, member: Callable[[LocalCloud], Path], version: str, tmp_path: Path
) -> None:
    foreign = pki.folder(tmp_path / "foreign")
    assert answer(cloud, version, None) == b""
    assert answer(cloud, version, foreign) == b""
    assert answer(cloud, version, member(cloud)) == bytes([32, 2, 0, 0])
    assert answer(cloud, version, None) == b""


def test_the_local_network_reaches_it_only_when_told_to(
    cloud: LocalCloud, member: Callable[[LocalCloud], Path]
) -> None:
    host = own_address()
    assert host != "127.0.0.1"
    assert not answers(host, cloud.info.mqtt_port)
    assert not answers(host, cloud.info.gateway_port)
    with LocalCloud(lan=True) as opened:
        assert answer(opened, "TLSv1_3", member(opened), host) == bytes([32, 2, 0, 0])
        assert answer(opened, "TLSv1_3", None, host) == b""
        assert not answers(host, opened.info.gateway_port)


def test_one_that_lets_anyone_in_is_not_used(tmp_path: Path) -> None:
    plain = tmp_path / "python"  # MiniStack as it comes, past tools/sim/ministack_main.py
    plain.write_text(f"#!/bin/sh\nexec {toolchain.venv_python()} -m ministack\n")
    plain.chmod(0o755)
    cloud = LocalCloud(python=plain)
    with pytest.raises(ToolError, match=r"lets anyone in|does not answer"):
        cloud.start()
    assert cloud.pid is None


def test_a_ministack_made_otherwise_is_not_started() -> None:
    other = SimpleNamespace(_mtls_start_locked=None, _mtls_port=None)
    with pytest.raises(SystemExit, match=r"_mtls_build_ssl_context.*cannot be closed"):
        ministack_main._close_to_strangers(other, "127.0.0.1")


def test_one_that_dies_at_its_start_says_its_last_words(tmp_path: Path) -> None:
    cloud = LocalCloud(python=Path(sys._base_executable))  # outside of .venv, without MiniStack
    with pytest.raises(ToolError, match="No module named 'ministack'") as caught:
        cloud.start()
    assert "Traceback" not in caught.value.message
    assert caught.value.hint == "make setup"
    with pytest.raises(ToolError, match="does not start"):
        LocalCloud(python=tmp_path / "none").start()


def test_it_dies_with_its_parent_and_its_files_go_with_the_next_one() -> None:
    program = (
        "import time; from tools.sim.cloud import LocalCloud\n"
        "c = LocalCloud(); c.start(); print(c.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        parent.kill()
    assert gone(pid)
    (left,) = Path(tempfile.gettempdir()).glob(f"fieldmouse-cloud-{parent.pid}_*")
    with LocalCloud():  # the next one removes its files, keys among them
        assert not left.exists()


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that announces a cloud, in a checkout of its own."""
    monkeypatch.setattr(local, "ROOT", tmp_path)
    monkeypatch.delenv("FIELDMOUSE_CLOUD", raising=False)
    return tmp_path / ".sim" / "cloud.json"


def test_the_second_cloud_does_not_take_the_place_of_a_live_one(usual: Path) -> None:
    one, two = (local.Cloud(f"http://127.0.0.1:{n}", n, Path("ca.pem")) for n in (1, 2))
    local.write(local.Cloud("http://127.0.0.1:9", 9, Path("of a killed run")))
    with folders.scratch(False) as run, folders.scratch(False) as other:
        with folders.place(run) as file, folders.announced(one, file):
            assert local.read() == one
            assert (file, folders.prefix(file)) == (usual, "")
            with folders.place(other) as second, folders.announced(two, second):
                assert second == other / "cloud.json"
                where = second.relative_to(usual.parents[1])
                assert folders.prefix(second) == f"FIELDMOUSE_CLOUD={where} "
                assert (local.read(), local.read(second)) == (one, two)
            assert not second.exists()
        with pytest.raises(ToolError, match="no local AWS is running"):
            local.read()
    assert sorted(p.name for p in usual.parent.iterdir()) == [".gitignore", "cloud.lock"]


def test_a_run_inside_the_place_of_a_second_one_takes_a_third(
    usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (usual.parents[1] / name for name in ("one", "two", "three"))
    for folder in (one, two, three):
        folder.mkdir()
    with folders.place(one), folders.place(two) as second:
        monkeypatch.setenv("FIELDMOUSE_CLOUD", str(second))
        with folders.place(three) as third:
            assert third == three / "cloud.json"


def test_the_things_of_the_account_are_not_taken_for_its_own(
    usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would remove their keys: they are of no AWS that is gone.
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(usual.parents[1] / "things"))
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(usual.parents[1] / "cloud.json"))
    with pytest.raises(ToolError, match="those of your AWS account"), folders.place(usual.parent):
        pass


def test_commands_for_one_that_was_killed_say_how_to_start_it(usual: Path) -> None:
    port = free_port()
    local.write(local.Cloud(f"http://127.0.0.1:{port}", port, Path("ca.pem")), usual)
    ran = subprocess.run(
        [sys.executable, "-m", "tools", "things", "--local"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"FIELDMOUSE_CLOUD": str(usual)},
    )
    assert f"no local AWS answers at 127.0.0.1:{port}" in ran.stderr
    assert "make sim" in ran.stderr


@pytest.mark.parametrize("text", ["", "[]", "{", '{"http": "80", "mqtt": true, "proxy": -1}'])
def test_odd_ports_of_last_time_are_none(usual: Path, text: str) -> None:
    assert folders.last_ports(usual) == {}
    usual.parent.mkdir()
    (usual.parent / "ports.json").write_text(text)
    assert folders.last_ports(usual) == {}
    folders.save_ports(usual, {"mqtt": 8883})
    assert folders.last_ports(usual) == {"mqtt": 8883}
