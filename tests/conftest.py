"""What all tests share: which folders are not pytest's, the options of a run, and its order.

Those that take longest come first, each for itself: else one worker would be at it when the others
have long been done. Of the rest most end-to-end tests wait for a board and most others compute: so
they take turns.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["device"]
# `make test` sets it, and remedies are spelled by it.
os.environ.pop("FIELDMOUSE_TARGET", None)
# What a board gets is not to depend on the keys that this checkout may have.
os.environ["FIELDMOUSE_KEYS"] = os.devnull

# Parts of ids, what takes longest first.
LONG = (
    "test_long_session.py::test_many_reconnects[esp8266",
    "test_try_flash.py",
    "test_flash_hil.py",
    "test_flash_bench.py",
    "test_link.py",
    "e2e/test_pythons.py",
    "advisor/test_waiting.py",
    "test_memory.py::test_nothing_grows",
    "advisor/test_sabotage.py",
    "test_faults.py",
    "test_memory.py",
    "test_update_trial.py",
    "test_long_session.py",
    "test_soak_short.py",
    "test_device.py::test_device[test_outbox_powercut",
    "test_flash_faults.py",
    "test_sim_run.py",
    "test_crash_path.py",
    "test_flash_board.py",
    "test_flash_repl.py",
    "test_doctor_board.py",
)
# So far the last of those that wait is begun: an end-to-end file takes up to a minute.
_WAITING_ENDS = 0.85
# Files of independent tests, which any worker may take.
SPREAD = (
    *("test_long_session.py", "test_soak_short.py", "test_flash_faults.py", "test_sim_run.py"),
    *("test_crash_path.py", "test_main_job.py", "test_no_memory.py", "test_device.py"),
    *("test_flash_repl.py", "test_flash_board.py", "test_doctor_board.py", "test_link.py"),
    *("test_server_session.py", "test_clock.py", "test_no_clock.py"),
)


def pytest_configure() -> None:
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited: the
    # programs that tests interrupt would not notice.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Each worker collects all tests; what they are made of stays, and is no garbage ever."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--umqtt",
        metavar="DIR",
        default=os.environ.get("UMQTT"),
        help="folder with the umqtt/simple.py that the boards get",
    )


@pytest.fixture(scope="session", autouse=True)
def aws_models() -> Iterator[None]:
    """Each of boto3's descriptions of AWS is read once, not for each test's clients anew.

    So is the list of them, for which a folder of each service is looked into.
    """
    from botocore.loaders import JSONFileLoader, Loader

    read = functools.cache(JSONFileLoader().load_file)
    listing = Loader.list_available_services

    @functools.cache
    def listed(folders: tuple[str, ...], kind: str) -> list[str]:
        return listing(Loader(list(folders), include_default_search_paths=False), kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda self, path: read(path))
        patch.setattr(
            Loader,
            "list_available_services",
            lambda self, type_name: list(listed(tuple(self.search_paths), type_name)),
        )
        yield


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    """The account of the command that ran is forgotten, as it is when its process ends."""
    from tools import options

    yield
    options.ACCOUNT.set(options.Account())


@pytest.fixture(scope="session")
def umqtt_dir(pytestconfig: pytest.Config) -> Path:
    """The folder to put on MICROPYPATH for umqtt.simple."""
    from tools import toolchain

    given = pytestconfig.getoption("umqtt")
    return Path(given).resolve() if given else toolchain.umqtt_dir()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {nodeid: n for n, nodeid in enumerate(in_order([item.nodeid for item in items]))}
    items.sort(key=lambda item: place[item.nodeid])


def in_order(nodeids: Sequence[str]) -> list[str]:
    """The tests as they are begun: LONG, then each kind spread evenly over the time.

    A kind is the end-to-end files, the others, or the tests of a file of SPREAD.
    """
    first = [nodeid for nodeid in nodeids if rank(nodeid) < len(LONG)]
    rest = [nodeid for nodeid in nodeids if rank(nodeid) == len(LONG)]
    kinds: dict[str, dict[str, None]] = {}  # of units: tests, or whole files
    for nodeid in rest:
        unit = _unit(nodeid)
        alike = "waits" if "/e2e/" in nodeid else "computes"
        kinds.setdefault(_file(nodeid) if unit == nodeid else alike, {})[unit] = None
    at = {
        unit: n * (_WAITING_ENDS if "/e2e/" in unit else 1.0) / len(units)
        for units in kinds.values()
        for n, unit in enumerate(units)
    }
    return sorted(first, key=rank) + sorted(rest, key=lambda nodeid: at[_unit(nodeid)])


def _unit(nodeid: str) -> str:
    file = _file(nodeid)
    return nodeid if file.endswith(SPREAD) else file


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def rank(nodeid: str) -> int:
    """The place in LONG."""
    named = (number for number, name in enumerate(LONG) if name in nodeid)
    return min(named, default=len(LONG))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to a worker whole, but for those of SPREAD."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    return Scheduling(config, log)
