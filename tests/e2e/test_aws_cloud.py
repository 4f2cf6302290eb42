"""The tools against a real broker: a device's certificate, its policies, the ways in."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware.core import topics
from tests.host import tls_front
from tools import cli
from tools.aws import local, policy, retire, rotate, shadow
from tools.aws.clients import Clients
from tools.aws.mqtt import Connection
from tools.aws.provision import Provisioned, provision
from tools.aws.route import Route, identity, route
from tools.board.stage import stage
from tools.errors import ToolError
from tools.things.folder import Folder
from tools.toolchain import ROOT

WIFI = [{"ssid": "virtual"}]
Make = Callable[[str], Provisioned]


@pytest.fixture
def make(clients: Clients, tmp_path: Path) -> Make:
    return lambda thing: provision(clients, thing, tmp_path / thing, wifi=WIFI)


@pytest.fixture
def here(cloud: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `--local` finds."""
    monkeypatch.setenv("FIELDMOUSE_CLOUD", str(local.write(cloud.info, tmp_path / "cloud.json")))
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path))


def identities(iot: Any) -> tuple[int, int]:
    listed = iot.list_certificates(pageSize=250)["certificates"]
    return len(listed), len(iot.list_policies(pageSize=250)["policies"])


def way(clients: Clients, made: Provisioned) -> Route:
    return route(clients, "mqtt", certs_dir=made.folder.certs)


def test_a_device_may_do_all_the_firmware_does(clients: Clients, make: Make) -> None:
    made = make("cloud-1")
    names = topics.of("cloud-1", "devices/{thing}/data", "devices/{thing}/commands")
    heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    lost: list[str] = []
    device = Connection(
        way(clients, made), clients, "cloud-1", lambda t, p: heard.put((t, p)), lost.append
    )
    with device:
        for name in topics.subscribes(names[1], names[4]):
            device.subscribe(name)
        for name, retained in policy.publishes(names):
            device.publish(name, b"{}", retain=retained)
        clients.data.publish(topic="devices/cloud-1/commands", qos=1, payload=b"hello")
        while heard.get(timeout=10) != ("devices/cloud-1/commands", b"hello"):
            pass
    assert lost == []


@pytest.mark.parametrize(
    "act",
    [
        lambda device: device.publish("devices/cloud-2/data", b"{}"),
        lambda device: device.publish("anything", b"{}"),
        lambda device: device.publish("devices/cloud-1b/data", b"{}", retain=True),
        lambda device: device.publish("$aws/things/cloud-1b/shadow/delete", b"{}"),
        lambda device: device.subscribe("devices/cloud-1/commands"),
    ],
)
def test_and_nothing_else(clients: Clients, make: Make, act: Callable[[Connection], None]) -> None:
    made = make("cloud-1b")
    try:
        device = Connection(way(clients, made), clients, "cloud-1b")
        with device, pytest.raises(ToolError, match="AWS closed the connection"):
            act(device)
    finally:
        retire.deprovision(clients, retire.look(clients, "cloud-1b", made.folder))


def test_not_under_another_name(clients: Clients, make: Make) -> None:
    made = make("cloud-4")
    for client_id in ("cloud-1", "cloud-4x", "anybody"):
        with pytest.raises(ToolError, match="closed the connection without an answer") as caught:
            Connection(way(clients, made), clients, client_id).open()
        assert "doctor" in caught.value.hint


def test_revoked_and_deprovisioned_devices_stay_out(clients: Clients, make: Make) -> None:
    made = make("cloud-5")
    there = way(clients, made)
    retire.revoke(clients, "cloud-5", made.folder.path)
    with pytest.raises(ToolError):
        Connection(there, clients, "cloud-5").open()
    gone = retire.deprovision(clients, retire.look(clients, "cloud-5", Folder(made.folder.path)))
    assert "thing cloud-5" in gone
    assert not made.folder.path.exists()


# The ways in.


def test_websocket_with_aws_credentials(cloud: Any, clients: Clients) -> None:
    # The name is one that only a proxy can find: MiniStack knows IoT by the host it is asked for.
    gateway = int(cloud.info.gateway_url.rsplit(":", 1)[1])
    connect = tls_front.relay_to(lambda: socket.create_connection(("127.0.0.1", gateway)))
    name = "abcdefghijklmn-ats.iot.us-east-1.localhost"
    heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    asked: list[str] = []
    with (
        tls_front.front(connect, alpn=["http/1.1"], name=name) as front,
        tls_front.listening(tls_front.tunnel_to(front.port, asked)) as proxy,
    ):
        there = Route("websocket", name, 443, tls_front.ca_pem(), None, ("127.0.0.1", proxy))
        with Connection(there, clients, "", lambda t, p: heard.put((t, p))) as link:
            link.subscribe("talk/#")
            link.publish("talk/1", b"by websocket")
            assert heard.get(timeout=10) == ("talk/1", b"by websocket")
    assert asked == [f"{name}:443"]


def test_alpn_with_a_certificate(cloud: Any, clients: Clients, make: Make) -> None:
    made = make("cloud-6")

    def onwards() -> socket.socket:
        context = ssl.create_default_context(cadata=made.place.ca_pem.decode())
        context.load_cert_chain(made.folder.cert, made.folder.key)
        raw = socket.create_connection(("127.0.0.1", cloud.info.mqtt_port))
        return context.wrap_socket(raw, server_hostname="localhost")

    own = identity(made.folder.certs)
    client_ca = made.place.ca_pem
    name, relay = "aws.example", tls_front.relay_to(onwards)
    for left in (2, 1, 0):  # on a busy machine awscrt's limit for CONNACK runs out now and then
        with (
            tls_front.front(relay, client_ca, ["x-amzn-mqtt-ca"], name) as front,
            tls_front.listening(tls_front.tunnel_to(front.port, [])) as proxy,
        ):
            there = Route("mqtt443", name, 443, tls_front.ca_pem(), own, ("127.0.0.1", proxy))
            try:
                with Connection(there, clients, "cloud-6") as device:
                    device.publish("devices/cloud-6/data", b"{}")
            except ToolError as e:
                if left and "TIMEOUT" in str(e):
                    continue
                raise
            assert front.alpn == ["x-amzn-mqtt-ca"]
            break


def test_publish_and_subscribe_commands(
    here: None, clients: Clients, make: Make, capsys: pytest.CaptureFixture[str], said: Any
) -> None:
    made = make("cloud-7")
    certs = str(made.folder.certs)
    result: list[int] = []
    listen = ["subscribe", "--local", "-C", certs, "--client-id", "cloud-7", "-n", "1"]
    listen += ["-t", "devices/cloud-7/commands"]
    listening = threading.Thread(target=lambda: result.append(cli.main(listen)))
    listening.start()
    for _ in range(40):
        clients.data.publish(topic="devices/cloud-7/commands", qos=1, payload=b'{"a": 1}')
        listening.join(0.25)
        if not listening.is_alive():
            break
    assert result == [0]
    assert 'devices/cloud-7/commands {"a": 1}' in capsys.readouterr().out
    words = ["publish", "--local", "-C", certs, "--client-id", "cloud-7", "-n", "3"]
    shown = said(*words, "-t", "devices/cloud-7/data", "-m", "{}").out
    assert "3/3 devices/cloud-7/data: 2 bytes by mqtt" in shown
    shown = said(*words, "-t", "devices/cloud-1/data", "-m", "{}", code=2).err
    assert "AWS closed the connection" in shown


def test_publish_and_subscribe_without_a_certificate(
    here: None, clients: Clients, listener: Any, said: Any
) -> None:
    before = identities(clients.iot)
    words = ["publish", "--local", "-t", "devices/cloud-7b/data", "--retain"]
    assert cli.main([*words, "-m", '{"temperature": 2}']) == 0
    assert listener.wait("devices/cloud-7b/data") == {"temperature": 2}
    shown = said("subscribe", "--local", "-t", "devices/cloud-7b/data", "-n", "1").out
    assert 'devices/cloud-7b/data {"temperature": 2}' in shown
    assert identities(clients.iot) == before


def test_ctrl_c_ends_a_view_with_0_and_leaves_nothing(here: None, clients: Clients) -> None:
    before = identities(clients.iot)
    running = subprocess.Popen(
        [sys.executable, "-m", "tools", "subscribe", "--local", "-t", "nothing/here"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    assert "Ctrl-C ends" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (0, "")
    assert identities(clients.iot) == before


def test_the_subscriber_reconnects_and_says_so(
    here: None, cloud: Any, clients: Clients, make: Make
) -> None:
    made = make("cloud-9")
    links: list[socket.socket] = []

    def onwards() -> socket.socket:
        links.append(socket.create_connection(("127.0.0.1", cloud.info.mqtt_port)))
        return links[-1]

    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    topic = "devices/cloud-9/commands"
    with tls_front.listening(tls_front.relay_to(onwards)) as port:
        there = route(clients, "mqtt", "localhost", port, made.folder.certs)
        with Connection(there, clients, "cloud-9", lambda _, p: heard.put(p), told.put) as link:
            link.subscribe(topic)
            clients.data.publish(topic=topic, qos=1, payload=b"before")
            assert heard.get(timeout=10) == b"before"
            links[0].shutdown(socket.SHUT_RDWR)
            assert "connection lost" in told.get(timeout=10)
            assert told.get(timeout=20) == "connected again"
            for number in range(40):
                clients.data.publish(topic=topic, qos=1, payload=b"after %d" % number)
                with contextlib.suppress(queue.Empty):
                    assert heard.get(timeout=0.25).startswith(b"after")
                    break
            else:
                raise AssertionError("nothing arrives after the reconnect")


def test_publish_with_aws_credentials(here: None, cloud: Any, listener: Any) -> None:
    words = ["publish", "--local", "--via", "https-sigv4", "-t", "devices/cloud-8/data"]
    assert cli.main([*words, "-m", '{"temperature": 1}']) == 0
    assert listener.wait("devices/cloud-8/data") == {"temperature": 1}


# Shadows and commands reach a running board.


def test_set_waits_for_the_board(
    here: None, clients: Clients, new_device: Any, boot: Any, listener: Any, said: Any
) -> None:
    device = new_device(interval_s=60)
    boot(device)
    listener.wait(f"devices/{device.thing}/status", lambda m: m.get("online"), 30)
    shown = said("shadow", "set", device.thing, "interval_s=7", "--local").out
    assert f"{device.thing}: interval_s is 7" in shown
    found = shadow.get(clients.data, device.thing)
    assert found is not None
    assert found["state"]["reported"]["interval_s"] == 7
    words = ["command", device.thing, "set_reporting_interval", "interval_seconds=5"]
    shown = said(*words, "--id", "c1", "--local").out
    assert f"{device.thing}: set_reporting_interval: done" in shown
    done = listener.wait(f"devices/{device.thing}/commands/result", lambda m: m["id"] == "c1")
    assert done["ok"] is True
    silent = said(*words, "--id", "c1", "--local", "--timeout", "2", code=2).err
    assert "the same id acts once: nothing is done if c1 was sent before" in silent
    again = shadow.follow(lambda: shadow.get(clients.data, device.thing), {"interval_s": 5}, 15)
    assert again.applied == {"interval_s": 5}


def test_a_sensor_that_is_not_there_and_back_to_config_json(
    here: None, clients: Clients, new_device: Any, boot: Any, listener: Any, said: Any
) -> None:
    device = new_device(interval_s=2)
    board = boot(device)
    listener.wait(f"devices/{device.thing}/data")
    words = ["shadow", "set", device.thing, "--local"]
    shown = said(*words, "sensor=sht3x", code=2)
    assert "sensor: the device has rejected it: " in shown.err
    assert f"shadow set {device.thing} sensor=null --local" in shown.err
    assert "sensor is" not in shown.out
    shown = said(*words, "sensor=null", "interval_s=7").out
    assert 'sensor is back to config.json: "auto"' in shown
    assert "interval_s is back to config.json: 2" in said(*words, "interval_s=null").out
    assert "get_log: done" in said("command", device.thing, "get_log", "--local").err
    # Off: AWS says so, and the tool.
    board.close()
    listener.wait(f"devices/{device.thing}/status", lambda m: m.get("online") is False, 30)
    shown = said("command", device.thing, "read_now", "--local", "--timeout", "2", code=2)
    assert f"{device.thing} is not connected" in shown.err
    assert f"try: python -m tools doctor {device.thing} --local" in shown.err


def test_what_the_board_rejects_is_shown(
    clients: Clients, new_device: Any, boot: Any, listener: Any
) -> None:
    # Written past the check of `shadow set`, as another program would.
    device = new_device(interval_s=60)
    boot(device)
    listener.wait(f"devices/{device.thing}/status", lambda m: m.get("online"), 30)
    desired = {"interval_s": 0}
    shadow.desire(clients.data, device.thing, desired)
    said = shadow.follow(lambda: shadow.get(clients.data, device.thing), desired, 20)
    assert "must be a whole number" in said.rejected["interval_s"]
    assert json.dumps(said.rejected)


def test_watch_shows_what_boards_send(
    here: None, clients: Clients, new_device: Any, boot: Any, tmp_path: Path, said: Any
) -> None:
    device = new_device(interval_s=1)
    boot(device)
    file = tmp_path / "readings.csv"
    before = identities(clients.iot)
    shown = said("watch", device.thing, "-n", "3", "--csv", str(file), "--local").out
    lines = shown.splitlines()
    assert all(device.thing in line for line in lines)
    assert sum(" °C  seq " in line or " %RH " in line for line in lines) == 3
    rows = file.read_text().splitlines()
    assert len(rows) == 4
    assert all(f",{device.thing}," in row for row in rows[1:])
    # The identity it listened with is gone again.
    assert identities(clients.iot) == before


def test_rotation_ends_when_the_board_has_connected_with_the_new_certificate(
    clients: Clients, new_device: Any, boot: Any, listener: Any
) -> None:
    device = new_device(interval_s=1)
    board = boot(device)
    listener.wait(f"devices/{device.thing}/data")
    old = Folder(device.things).record()
    new = rotate.begin(clients, device.thing, device.things)
    assert old is not None
    assert old.certificate_id != new.certificate_id
    assert not list(rotate.connected(clients, [new], 2))
    board.close()
    # The old one still works ...
    again = boot(device)
    again.wait_for("link: up")
    again.close()
    # ... and the new one ends the wait.
    stage(device.things / "config.json", device.things / "certs", device.folder)
    result: list[Any] = []
    waiting = threading.Thread(target=lambda: result.extend(rotate.connected(clients, [new], 30)))
    waiting.start()
    last = boot(device)
    waiting.join(5)
    while waiting.is_alive():  # nobody listened yet when the board connected
        last.kill()
        last.start()
        waiting.join(5)
    assert result == [new]
    assert rotate.finish(clients, device.things) == old.certificate_id
    seen = len(listener.on(f"devices/{device.thing}/data"))
    listener.wait(
        f"devices/{device.thing}/data",
        lambda _: len(listener.on(f"devices/{device.thing}/data")) > seen + 2,
    )
    last.close()
