"""Rotation by jobs on moto, with a board that does as docs/updates.md says: never a moment without
a working certificate, whatever is lost or interrupted."""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser

from tests.host import pki
from tests.host.aws_fakes import NETWORK_GONE, WIFI, Faulty, FaultyClients, client_error, files
from tools import cli, options
from tools.aws import certificates, csr, fleet, rotate, rotate_remote
from tools.aws import clients as made_clients
from tools.aws.clients import Clients
from tools.aws.provision import provision
from tools.aws.rotate_remote import How
from tools.errors import ToolError
from tools.things.folder import Folder, Record

NAME = "greenhouse-1"
DAY = 86_400
READ_ONLY = ("describe_", "get_", "list_")


def request(thing: str, key: Any, sign: Any = None) -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, thing[:64])])
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    return base64.b64encode(
        made.sign(key, hashes.SHA256()).public_bytes(ser.Encoding.DER)
    ).decode()


class Boards:
    """An iot client whose jobs are done by boards; after each call every board can connect."""

    def __init__(self, iot: Any, *folders: Path) -> None:
        self.iot, self.meta = iot, iot.meta
        self.jobs: dict[str, dict[str, Any]] = {}
        self.looked: dict[str, int] = {}
        self.uses: dict[str, str] = {}  # thing -> ARN of the certificate of its board
        self.policies: dict[str, set[str]] = {}
        self.calls: list[str] = []
        self.answers: dict[str, tuple[str, dict[str, str]]] = {}  # kind -> what a job ends with
        self.keys: dict[str, Any] = {}
        for folder in folders:
            record = Folder(folder).record()
            assert record is not None
            self.uses[record.thing_name] = record.certificate_arn
            self.policies[record.thing_name] = set(record.policies)

    def __getattr__(self, name: str) -> Any:
        own = getattr(type(self), f"_{name}", None)
        real = getattr(self.iot, name) if own is None else own.__get__(self)

        def call(*words: Any, **given: Any) -> Any:
            self.calls.append(name)
            try:
                return real(*words, **given)
            finally:
                if own or not name.startswith(READ_ONLY):
                    self.check()

        return call

    def check(self) -> None:
        for thing, arn in self.uses.items():
            assert self.works(thing, arn), (self.calls, thing)

    def works(self, thing: str, arn: str) -> bool:
        there = self.iot.describe_certificate(certificateId=certificates.id_of(arn))
        attached = {
            p["policyName"] for p in self.iot.list_attached_policies(target=arn)["policies"]
        }
        return (
            there["certificateDescription"]["status"] == "ACTIVE"
            and arn in self.iot.list_thing_principals(thingName=thing)["principals"]
            and self.policies[thing] <= attached
        )

    def _create_job(self, **given: Any) -> None:
        number = given["jobId"]
        assert len(number) <= 64 and given["targets"][0].endswith(":thing/" + self.thing(given))
        if number in self.jobs:
            raise client_error("ResourceAlreadyExistsException", "CreateJob")
        self.jobs[number] = {"thing": self.thing(given), "document": json.loads(given["document"])}

    @staticmethod
    def thing(given: dict[str, Any]) -> str:
        return str(given["targets"][0]).rpartition("/")[2]

    def _create_certificate_from_csr(self, **given: Any) -> Any:
        # moto's has another key than the request.
        assert given["setAsActive"] is True
        pem = given["certificateSigningRequest"].encode()
        made = pki.certificate(x509.load_pem_x509_csr(pem), start=dt.datetime.now(dt.timezone.utc))
        text = made.public_bytes(ser.Encoding.PEM).decode()
        done = self.iot.register_certificate_without_ca(certificatePem=text, status="ACTIVE")
        return {**done, "certificatePem": text}

    def _describe_job_execution(self, jobId: str, thingName: str) -> Any:
        job = self.jobs.get(jobId)
        self.looked[jobId] = self.looked.get(jobId, 0) + 1
        if job is None or self.looked[jobId] == 1:  # made in the background
            raise client_error("ResourceNotFoundException", "DescribeJobExecution")
        if self.looked[jobId] == 2:
            return {"execution": {"status": "QUEUED"}}
        if "end" not in job:
            job["end"] = self.done(thingName, job["document"])
        status, details = job["end"]
        return {"execution": {"status": status, "statusDetails": {"detailsMap": details}}}

    def done(self, thing: str, document: dict[str, str]) -> tuple[str, dict[str, str]]:
        kind = document["fieldmouse"]
        if kind in self.answers:
            return self.answers[kind]
        if kind == "csr":
            key = self.keys.setdefault(thing, pki.key.__wrapped__("ec"))
            return "SUCCEEDED", {"csr": request(thing, key)}
        pem = document["certificate"]
        for one in self.iot.list_certificates(pageSize=250)["certificates"]:
            there = self.iot.describe_certificate(certificateId=one["certificateId"])
            if there["certificateDescription"]["certificatePem"] == pem:
                own = x509.load_pem_x509_certificate(pem.encode()).public_key()
                if self.keys[thing].public_key() != own:
                    return "FAILED", {"reason": "it is for another key"}
                if not self.works(thing, one["certificateArn"]):
                    return "FAILED", {"reason": "refused"}
                self.uses[thing] = one["certificateArn"]
                self.keys.pop(thing)
                return "SUCCEEDED", {}
        raise AssertionError("a certificate that AWS does not know")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate_remote, "_POLL_S", 0.001)


@pytest.fixture
def folder(clients: Clients, tmp_path: Path) -> Path:
    provision(clients, NAME, tmp_path / NAME, wifi=WIFI, updates=True)
    return tmp_path / NAME


@pytest.fixture
def board(clients: Clients, folder: Path) -> Boards:
    return Boards(clients.iot, folder)


def run(iot: Any, folder: Path, **options: Any) -> str:
    how = How(**{"timeout_s": 5, "grace_s": DAY} | options)
    return rotate_remote.Rotation(iot, folder.name, Folder(folder), how).run()


def record(folder: Path) -> Record:
    found = Folder(folder).record()
    assert found is not None
    return found


def statuses(iot: Any) -> dict[str, str]:
    listed = iot.list_certificates(pageSize=250)["certificates"]
    return {c["certificateId"]: c["status"] for c in listed}


def test_a_new_certificate_and_a_day_later_the_old_is_off(
    board: Boards, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = record(folder)
    line = run(board, folder)
    new = record(folder)
    assert board.uses[NAME] == new.certificate_arn != old.certificate_arn
    assert f"runs under {new.certificate_id}" in line and "is valid until" in line
    assert statuses(board.iot) == {old.certificate_id: "ACTIVE", new.certificate_id: "ACTIVE"}
    assert (new.key_on_board, new.complete, new.policies) == (True, True, old.policies)
    assert files(folder) == {"certs/ca.pem", "certs/cert.pem", "thing.json", "config.json"}
    there = board.iot.describe_certificate(certificateId=new.certificate_id)
    pem = there["certificateDescription"]["certificatePem"]
    assert (folder / "certs" / "cert.pem").read_text() == pem
    assert "is valid until" in run(board, folder)  # too early; nothing new is begun
    assert len(statuses(board.iot)) == 2 and len(board.jobs) == 2
    later = time.time() + DAY + 1
    monkeypatch.setattr(rotate_remote.time, "time", lambda: later)
    assert run(board, folder).endswith(f"{old.certificate_id} is INACTIVE")
    assert statuses(board.iot) == {old.certificate_id: "INACTIVE", new.certificate_id: "ACTIVE"}
    assert record(folder) == Record(**{**vars(new), "rotation": {}})
    assert run(board, folder, finish=True) == f"{NAME}: nothing is pending"


def test_policies_first_then_the_thing(board: Boards, folder: Path) -> None:
    run(board, folder)
    order = [c for c in board.calls if c.startswith(("attach", "create", "update"))]
    wanted = ["create_job", "create_certificate_from_csr", *["attach_policy"] * 3]
    assert order == [*wanted, "attach_thing_principal", "create_job"]


@pytest.mark.parametrize("options", [{"grace_s": 0}, {"finish": True}])
def test_at_once(board: Boards, folder: Path, options: dict[str, Any]) -> None:
    old = record(folder).certificate_id
    if "finish" in options:
        run(board, folder)
    assert "deleted" in run(board, folder, delete_old=True, **options)
    assert statuses(board.iot) == {record(folder).certificate_id: "ACTIVE"}
    assert old not in statuses(board.iot)
    again = run(board, folder, grace_s=0)  # and the next one, whose old key was the board's
    assert "is INACTIVE" in again
    assert sorted(statuses(board.iot).values()) == ["ACTIVE", "INACTIVE"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_interrupted_at_every_call(board: Boards, folder: Path, after: bool) -> None:
    # The call fails, or its answer is lost; then the command is run again.
    for at in range(1, 60):
        faulty = Faulty(board, at, NETWORK_GONE, after=after)
        try:
            run(faulty, folder, grace_s=0, delete_old=True)
        except ToolError:
            run(board, folder, grace_s=0, delete_old=True)
        else:
            assert at > 10
            break
        assert statuses(board.iot) == {record(folder).certificate_id: "ACTIVE"}, faulty.calls
        assert board.uses[NAME] == record(folder).certificate_arn
        assert record(folder).rotation == {}
    else:
        raise AssertionError("rotation never came to its end")


def test_killed_at_every_write(
    board: Boards, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The power goes, of the laptop: before a file is written, and after.
    real = Folder.write
    for after in (False, True):
        for at in range(1, 30):
            writes = 0

            def write(self: Folder, *given: Any, at: int = at, after: bool = after) -> None:
                nonlocal writes
                writes += 1
                if writes == at and not after:
                    raise KeyboardInterrupt
                real(self, *given)
                if writes == at:
                    raise KeyboardInterrupt

            with monkeypatch.context() as patch:
                patch.setattr(Folder, "write", write)
                try:
                    run(board, folder, grace_s=0, delete_old=True)
                except KeyboardInterrupt:
                    pass
            if writes < at:
                assert at > 5
                break
            run(board, folder, grace_s=0, delete_old=True)
            assert statuses(board.iot) == {record(folder).certificate_id: "ACTIVE"}, (at, after)
            assert not (folder / "certs" / "key.pem").exists()


def test_a_board_that_goes_back_keeps_the_old_one(board: Boards, folder: Path) -> None:
    before, key = record(folder), (folder / "certs" / "key.pem").read_bytes()
    board.answers["certificate"] = "FAILED", {"reason": "refused\x1b[2J"}
    with pytest.raises(ToolError, match="has kept its old certificate: refused") as caught:
        run(board, folder)
    assert "\x1b" not in str(caught.value)
    assert statuses(board.iot) == {before.certificate_id: "ACTIVE"}
    assert record(folder) == before
    assert (folder / "certs" / "key.pem").read_bytes() == key
    del board.answers["certificate"]
    run(board, folder)  # anew, by other jobs
    assert record(folder).key_on_board


@pytest.mark.parametrize("status", ["TIMED_OUT", "CANCELED", "REMOVED", "REJECTED"])
def test_an_end_that_is_not_the_boards_leaves_both(
    board: Boards, folder: Path, status: str
) -> None:
    # The board may run under the new one already: it then says so to the next job.
    board.answers["certificate"] = status, {}
    with pytest.raises(ToolError, match=f"its job is {status}; both certificates are valid"):
        run(board, folder)
    assert list(statuses(board.iot).values()) == ["ACTIVE", "ACTIVE"]
    del board.answers["certificate"]
    run(board, folder, grace_s=0)
    assert sum("cert2" in number for number in board.jobs) == 1
    assert sorted(statuses(board.iot).values()) == ["ACTIVE", "INACTIVE"]


def wrong_requests() -> list[tuple[str, str]]:
    key = pki.key("ec", 3)
    good = bytearray(base64.b64decode(request(NAME, key)))
    good[-1] ^= 1
    long = "x" * 65
    return [
        ("", "has sent no request"),
        ("!", "has sent no request"),
        ("AAAA", "has sent no request"),
        (base64.b64encode(bytes(good)).decode(), "signature of its request is wrong"),
        (request("greenhouse-2", key), "is for somebody else"),
        (request(long, key), "is for somebody else"),
        (request(NAME, pki.key("rsa")), "is not for a P-256 key"),
        (request(NAME, pki.key("p384")), "is not for a P-256 key"),
    ]


def test_requests_that_are_not_signed(board: Boards, folder: Path) -> None:
    before = record(folder)
    for text, why in wrong_requests():
        board.answers["csr"] = "SUCCEEDED", {"csr": text}
        with pytest.raises(ToolError, match=why):
            run(board, folder)
        assert "create_certificate_from_csr" not in board.calls
        assert record(folder) == before
    assert csr.check(request("x" * 128, pki.key("ec")), "x" * 128)


def test_a_board_that_makes_no_key(board: Boards, folder: Path) -> None:
    board.answers["csr"] = "FAILED", {"reason": "flash: [Errno 28] ENOSPC"}
    with pytest.raises(ToolError, match="has made no key: flash"):
        run(board, folder)
    assert record(folder).rotation == {}


def test_a_board_that_is_off_is_waited_for(board: Boards, folder: Path) -> None:
    board.answers["csr"] = "QUEUED", {}
    with pytest.raises(ToolError, match="is QUEUED after 0 s; its certificate is valid as before"):
        run(board, folder, timeout_s=0)
    asked = set(board.jobs)
    del board.answers["csr"]
    for job in board.jobs.values():
        job.pop("end", None)
    run(board, folder)
    assert asked < set(board.jobs) and len(board.jobs) == 2


def test_what_was_made_twice_is_removed(
    board: Boards, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # boto3 tries again by itself when an answer is lost, and the power of the laptop goes.
    class Twice(Faulty):
        def __getattr__(self, name: str) -> Any:
            if name != "create_certificate_from_csr":
                return super().__getattr__(name)

            def call(**given: Any) -> None:
                for _ in range(2):
                    board.create_certificate_from_csr(**given)
                raise NETWORK_GONE

            return call

    with pytest.raises(ToolError):
        run(Twice(board), folder)
    assert len(statuses(board.iot)) == 3
    run(board, folder, grace_s=0, delete_old=True)
    assert statuses(board.iot) == {record(folder).certificate_id: "ACTIVE"}
    assert "made but never used" in capsys.readouterr().err


def test_who_cannot(clients: Clients, board: Boards, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="is not the whole folder of x"):
        run(board, tmp_path / "x")
    provision(clients, "old-1", tmp_path / "old-1", board="esp8266", wifi=WIFI, updates=True)
    with pytest.raises(ToolError, match="an ESP8266 makes no key of its own"):
        run(board, tmp_path / "old-1")
    rotate.begin(clients, NAME, folder)
    with pytest.raises(ToolError, match="a rotation by cable is under way"):
        run(board, folder)


def test_a_board_that_takes_no_jobs(board: Boards, folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"updates": true', '"updates": false'))
    with pytest.raises(ToolError, match="so its board takes no jobs") as caught:
        run(board, folder)
    assert "provision" in caught.value.hint and not board.jobs and record(folder).rotation == {}


def test_by_cable_after_it(clients: Clients, board: Boards, folder: Path) -> None:
    run(board, folder)
    with pytest.raises(ToolError, match="an older certificate is still valid") as caught:
        rotate.begin(clients, NAME, folder)
    assert caught.value.hint == f"python -m tools rotate {NAME} --remote --finish"
    run(board, folder, finish=True)
    made = rotate.begin(clients, NAME, folder)
    assert (folder / "certs" / "key.pem").exists() and not made.key_on_board
    rotate.finish(clients, folder)


def test_by_cable_where_it_was_given_up(clients: Clients, board: Boards, folder: Path) -> None:
    board.answers["certificate"] = "CANCELED", {}
    with pytest.raises(ToolError):
        run(board, folder)
    new = rotate.begin(clients, NAME, folder)
    rotate.finish(clients, folder)
    assert statuses(clients.iot) == {new.certificate_id: "ACTIVE"}


def test_flashing_needs_a_key(board: Boards, folder: Path, said: Any) -> None:
    run(board, folder)
    shown = said("provision", NAME)
    assert "all there already" in shown.out
    from tools.board import prepare

    with pytest.raises(ToolError, match="is on its board and nowhere else") as caught:
        prepare.tree(folder, prepare.board_of(folder, ""))
    assert f"python -m tools rotate {NAME}:" in str(caught.value.hint)
    sent = prepare.tree(folder, prepare.board_of(folder, ""), True)  # what deploy does
    assert "certs/cert.pem" in sent and "certs/key.pem" not in sent


def test_a_fleet(
    clients: Clients,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: Any,
) -> None:
    provision(clients, "g-2", tmp_path / "g-2", wifi=WIFI, updates=True)
    provision(clients, "g-3", tmp_path / "g-3", board="esp8266", wifi=WIFI, updates=True)
    boards = Boards(clients.iot, folder, tmp_path / "g-2", tmp_path / "g-3")
    monkeypatch.setattr(fleet, "PER_SECOND", 1000)
    monkeypatch.setattr(made_clients, "of", lambda local: FaultyClients(boards))
    (tmp_path / "fleet.csv").write_text(f"thing\n{NAME}\ng-2\ng-3\n")
    words = ["rotate", "--remote", "--from", str(tmp_path / "fleet.csv")]
    begin = time.monotonic()
    shown = said(*words, "--grace", "0", "--per-minute", "300", code=2)
    assert time.monotonic() - begin >= 0.2  # one begins 0.2 s after the other
    assert "2 done, 1 failed" in shown.out
    assert (
        shown.err.count("an ESP8266 makes no key of its own") == 2
    )  # its line, and the last word
    assert sorted(statuses(clients.iot).values()) == ["ACTIVE"] * 3 + ["INACTIVE"] * 2


def test_options(folder: Path, said: Any) -> None:
    for words, why in (
        (("--grace", "0"), "go with --remote"),
        (("--finish",), "go with --remote"),
        (("--remote", "--now"), "a board that is dead makes no key"),
        (("--remote", "--grace", "soon"), "'soon' is no time"),
    ):
        assert why in said("rotate", NAME, *words, code=2).err
    assert [options.seconds(t) for t in ("0", "90", "5m", "5min", "12h", "1d")] == [
        *(0, 90, 300, 300, 43_200, DAY)
    ]


def test_job_ids() -> None:
    for thing in (NAME, "x" * 128, "a:b", "a_b", "y" * 29, "y" * 28):
        number = rotate_remote.job_id("cert12", thing, "20261123-125455-a1b2")
        assert len(number) <= 64 and number.replace("-", "").replace("_", "").isalnum()
    assert rotate_remote.job_id("csr", "a:b", "1") != rotate_remote.job_id("csr", "a-b", "1")
    assert cli.main(["rotate", "--help"]) == 0
