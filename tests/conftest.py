"""What all tests share: which folders are not pytest's, and the options of a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

collect_ignore = ["device", "hil"]


def pytest_configure() -> None:
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited: the
    # programs that tests interrupt would not notice.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--umqtt",
        metavar="DIR",
        default=os.environ.get("UMQTT"),
        help="folder with the umqtt/simple.py that the boards get",
    )


@pytest.fixture(scope="session")
def umqtt_dir(pytestconfig: pytest.Config) -> Path:
    """The folder to put on MICROPYPATH for umqtt.simple."""
    from tools import toolchain

    given = pytestconfig.getoption("umqtt")
    return Path(given).resolve() if given else toolchain.umqtt_dir()
