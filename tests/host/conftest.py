"""What the tests of tools/aws and tools/sim share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.aws.clients import Clients

if TYPE_CHECKING:
    from tests.host.sim_device import Workbench


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clients]:
    """Clients of an empty account on moto; things lie in ``tmp_path``."""
    from moto import mock_aws  # here, since it takes a second that other tests need not wait
    from moto.iotdata.exceptions import ResourceNotFoundException
    from moto.iotdata.responses import IoTDataPlaneResponse

    from tests.host.aws_fakes import environment

    def nothing_retained(_: object) -> str:
        raise ResourceNotFoundException

    call = "get_retained_message"  # which moto has not
    monkeypatch.setattr(IoTDataPlaneResponse, call, nothing_retained, raising=False)
    environment(monkeypatch)
    monkeypatch.setenv("FIELDMOUSE_THINGS", str(tmp_path))
    with mock_aws():
        yield Clients()


@pytest.fixture
def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """said(word, …, code=0) runs a command line that ends with ``code``; has its .out and .err."""
    from tools import cli

    def run(*words: str, code: int = 0) -> Any:
        capsys.readouterr()  # what was printed before
        monkeypatch.setattr("sys.argv", ["tools", *words])
        ended = cli.main()
        shown = capsys.readouterr()
        assert ended == code, shown.err
        return shown

    return run


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    """Makes virtual boards that are gone after the test."""
    from tests.host.sim_device import Workbench

    made = Workbench(tmp_path)
    yield made
    for board in made.boards:
        print(f"--- log of {board.folder}", *board.log, sep="\n")
        board.close()
