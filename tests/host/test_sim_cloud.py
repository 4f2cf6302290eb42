"""The local AWS: ports, a clean start and end, and nothing of the user's touched."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.test_sim_board import gone, is_there
from tools.aws import local
from tools.errors import ToolError
from tools.sim import announce
from tools.sim.cloud import LocalCloud

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


def test_two_run_side_by_side(cloud: LocalCloud) -> None:
    with LocalCloud() as other:
        assert other.info.gateway_url != cloud.info.gateway_url
        other.clients.iot.create_thing(thingName="only-there")
        assert cloud.clients.iot.list_things()["things"] == []
    assert cloud.pid is not None


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in ({"gateway_port": port}, {"mqtt_port": port}):
            with pytest.raises(ToolError, match=f"port {port} for .* is in use"):
                LocalCloud(**options).start()


def test_one_that_dies_at_its_start_says_its_last_words(tmp_path: Path) -> None:
    cloud = LocalCloud(python=Path(sys.executable))  # the tools' environment has no MiniStack
    with pytest.raises(ToolError, match="No module named ministack") as caught:
        cloud.start()
    assert "Traceback" not in caught.value.message
    assert caught.value.hint == "make setup"
    with pytest.raises(ToolError, match="does not start"):
        LocalCloud(python=tmp_path / "none").start()


def test_it_dies_with_its_parent() -> None:
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


def test_the_second_cloud_does_not_take_the_place_of_a_live_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: LocalCloud
) -> None:
    monkeypatch.setattr(local, "ROOT", tmp_path)
    monkeypatch.delenv("FIELDMOUSE_CLOUD", raising=False)
    with announce.announced(cloud.info):
        assert local.read() == cloud.info
        assert announce.prefix(cloud.info) == ""
        other = local.Cloud("http://127.0.0.1:1", 2, Path("ca.pem"))
        with announce.announced(other):
            assert local.read() == cloud.info
            prefix = announce.prefix(other)
            assert prefix == "FIELDMOUSE_CLOUD=.sim/cloud-2.json "
            assert local.read(tmp_path / ".sim" / "cloud-2.json") == other
    assert list((tmp_path / ".sim").iterdir()) == []


def test_a_stale_announcement_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ROOT", tmp_path)
    monkeypatch.delenv("FIELDMOUSE_CLOUD", raising=False)
    dead = local.Cloud("http://127.0.0.1:9", 9, Path("x"))
    local.write(dead)
    local.write(dead, tmp_path / ".sim" / "cloud-9.json")
    fresh = local.Cloud("http://127.0.0.1:1", 2, Path("ca.pem"))
    with announce.announced(fresh):
        assert local.read() == fresh
        assert [file.name for file in (tmp_path / ".sim").iterdir()] == ["cloud.json"]
