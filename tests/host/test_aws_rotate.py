"""Rotation on moto: both certificates valid until the new one is in use, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.host.aws_fakes import NETWORK_GONE, WIFI, Faulty, FaultyClients, files
from tools import cli
from tools.aws import rotate
from tools.aws.clients import Clients
from tools.aws.provision import provision
from tools.errors import ToolError
from tools.things.folder import Folder

NAME = "greenhouse-1"
CERTS = {"certs/ca.pem", "certs/cert.pem", "certs/key.pem", "thing.json"}


@pytest.fixture
def folder(clients: Clients, tmp_path: Path) -> Path:
    provision(clients, NAME, tmp_path / NAME, wifi=WIFI)
    return tmp_path / NAME


def statuses(iot: Any) -> dict[str, str]:
    listed = iot.list_certificates(pageSize=250)["certificates"]
    return {c["certificateId"]: c["status"] for c in listed}


def test_both_are_valid_until_the_end(clients: Clients, folder: Path) -> None:
    old_key = (folder / "certs" / "key.pem").read_bytes()
    old = Folder(folder).record()
    assert old is not None
    new = rotate.begin(clients, NAME, folder)
    assert statuses(clients.iot) == {old.certificate_id: "ACTIVE", new.certificate_id: "ACTIVE"}
    assert len(clients.iot.list_thing_principals(thingName=NAME)["principals"]) == 2
    attached = clients.iot.list_attached_policies(target=new.certificate_arn)["policies"]
    assert {p["policyName"] for p in attached} == set(old.policies)
    assert files(folder) == CERTS | {"config.json"} | {f"old/{name}" for name in CERTS}
    assert (folder / "old" / "certs" / "key.pem").read_bytes() == old_key
    assert (folder / "certs" / "key.pem").read_bytes() != old_key
    assert json.loads((folder / "thing.json").read_text())["certificate_id"] == new.certificate_id
    assert rotate.begin(clients, NAME, folder) == new  # once more changes nothing
    assert rotate.finish(clients, folder) == old.certificate_id
    assert statuses(clients.iot) == {new.certificate_id: "ACTIVE"}
    assert files(folder) == CERTS | {"config.json"}
    assert rotate.finish(clients, folder) == ""
    again = rotate.begin(clients, NAME, folder)
    assert again.certificate_id != new.certificate_id


def test_a_failure_anywhere_leaves_the_old_one_working(clients: Clients, folder: Path) -> None:
    before = files(folder)
    old = set(statuses(clients.iot))
    for at in range(1, 20):
        iot = Faulty(clients.iot, at, NETWORK_GONE)
        try:
            rotate.begin(FaultyClients(iot), NAME, folder)
        except ToolError:
            assert files(folder) == before, iot.calls
            assert set(statuses(clients.iot)) == old, iot.calls
            continue
        assert at > 5
        return
    raise AssertionError("rotation never came to its end")


def test_the_network_gone_for_good_and_back(clients: Clients, folder: Path) -> None:
    old = Folder(folder).record()
    assert old is not None
    for at in range(1, 7):
        iot = Faulty(clients.iot, at, NETWORK_GONE, lasting=True)
        with pytest.raises(ToolError):
            rotate.begin(FaultyClients(iot), NAME, folder)
        new = rotate.begin(clients, NAME, folder)
        rotate.finish(clients, folder)
        assert statuses(clients.iot) == {new.certificate_id: "ACTIVE"}


def test_a_swap_that_was_cut_off_is_completed(
    clients: Clients, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The power goes before each of the file moves in turn.
    real = Path.replace
    for at in range(1, 9):
        moves = 0

        def replace(self: Path, target: Path, at: int = at) -> Path:
            nonlocal moves
            if self.parts[-1] in ("ca.pem", "cert.pem", "key.pem", "thing.json"):
                moves += 1
                if moves == at:
                    raise KeyboardInterrupt
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            with pytest.raises(KeyboardInterrupt):
                rotate.begin(clients, NAME, folder)
        new = rotate.begin(clients, NAME, folder)
        assert files(folder) == CERTS | {"config.json"} | {f"old/{name}" for name in CERTS}
        assert Folder(folder).record() == new
        rotate.finish(clients, folder)
        assert statuses(clients.iot) == {new.certificate_id: "ACTIVE"}


def test_without_a_whole_folder(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is not the whole folder of x") as caught:
        rotate.begin(clients, "x", tmp_path / "x")
    assert caught.value.hint == "python -m tools provision x"


def test_after_a_revocation(clients: Clients, folder: Path) -> None:
    assert cli.main(["revoke", NAME, "--yes"]) == 0
    assert cli.main(["rotate", NAME, "--now"]) == 0
    assert list(statuses(clients.iot).values()) == ["ACTIVE"]


def test_deprovision_in_the_middle_removes_both(clients: Clients, folder: Path) -> None:
    rotate.begin(clients, NAME, folder)
    assert cli.main(["deprovision", NAME, "--yes"]) == 0
    assert statuses(clients.iot) == {}
    assert not folder.exists()


def test_timed_out(
    clients: Clients, folder: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    monkeypatch.setattr(rotate, "connected", lambda _, records, timeout: records * (timeout > 1))
    shown = said("rotate", NAME, "--timeout", "1", code=2)
    assert "make deploy THING=greenhouse-1" in shown.out
    waits = "waiting up to 1 s for greenhouse-1 to connect with the new certificate"
    assert f"{waits}; Ctrl-C ends only the wait: the old one stays valid" in shown.err
    assert "both are valid" in shown.err
    assert len(statuses(clients.iot)) == 2
    assert cli.main(["rotate", NAME]) == 0
    assert len(statuses(clients.iot)) == 1


def test_ctrl_c_while_it_waits_leaves_both_and_it_goes_on(
    clients: Clients,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Any,
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(rotate, "connected", interrupted)
    assert "waiting up to 600 s for greenhouse-1" in said("rotate", NAME, code=130).err
    both = statuses(clients.iot)
    assert list(both.values()) == ["ACTIVE", "ACTIVE"]
    monkeypatch.setattr(rotate, "connected", lambda _, records, timeout: records)
    assert cli.main(["rotate", NAME]) == 0
    left = statuses(clients.iot)
    assert left.items() < both.items() and len(left) == 1


def test_a_fleet_waits_for_all_and_says_so(
    clients: Clients, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    provision(clients, "g-2", tmp_path / "g-2", wifi=WIFI)
    (tmp_path / "fleet.csv").write_text(f"thing\n{NAME}\ng-2\n")
    monkeypatch.setattr(rotate, "connected", lambda _, records, timeout: records[:1])
    words = ["rotate", "--from", str(tmp_path / "fleet.csv"), "--timeout", "9"]
    shown = said(*words, code=2).err
    assert "waiting up to 9 s for 2 things to connect with the new certificate" in shown
