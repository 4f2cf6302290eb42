"""`make sim UPDATE=1`: a next version of this tree, signed, rolled out to the boards that run.

Its key is made for the run and lies in the run's folder. The next version is these sources with
another number and another text in one module, so that a board fetches little and copies the rest.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.aws.clients import Clients
from tools.aws.rules import apply as rules
from tools.board import stage
from tools.errors import ToolError
from tools.sim.streams import Played
from tools.things import boards, values
from tools.updates import jobs, making, rollout, signers, stream

_CHANGED = "firmware/updates/trial.py"
_TEXT, _NEXT = '"update: good, {} stays"', '"update: good, {} stays, as of the next version"'
_POLL_S = 1.0
_TIMEOUT_H = 1.0


def check(board: str, power: str) -> None:
    """ToolError for boards that take no updates."""
    if why := values.updates(True, power, boards.get(board).chip):
        raise ToolError(f"update: {why}", "BOARD=esp32, and no POWER=battery")


def new_keys(folder: Path) -> Path:
    """A folder with a key for releases, readable by the user alone, and its public half."""
    signers.new_key(folder / "release-1.pem", "")
    return folder


def next_release(
    folder: Path,
    keys: Path,
    board: str = "esp32",
    sensors: Sequence[str] = (),
    edits: Mapping[str, tuple[str, str]] | None = None,
    source: Path = stage.ROOT,
) -> making.Made:
    """The next version of ``source``, signed with the key in ``keys``; everything in ``folder``.

    ``edits``: path -> text and what comes in its place; None: the usual log text.
    """
    tree = folder / "next"
    for path, data in stage.sources(source).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    major, minor, patch = stage.version_of(source).partition("-")[0].split(".")
    version = f'VERSION = "{major}.{minor}.{int(patch) + 1}"'
    file = tree / stage.VERSION_FILE
    file.write_text(stage.VERSION.sub(version, file.read_text("utf-8"), count=1), "utf-8")
    for path, (text, other) in ({_CHANGED: (_TEXT, _NEXT)} if edits is None else edits).items():
        before = (tree / path).read_text("utf-8")
        if text not in before:
            raise ToolError(f"{path} has no longer {text}", "mend tools/sim/updating.py")
        (tree / path).write_text(before.replace(text, other, 1), "utf-8")
    signer = signers.of_file(keys / "release-1.pem", str)
    wanted = making.Wanted(board=board, sensors=sensors, dirty=True)
    made = making.make(signer, folder / "releases", wanted, tree, keys)
    shutil.rmtree(tree)
    return made


def planned(
    clients: Clients, made: making.Made, things: Sequence[str], canaries: int, abort_above: float
) -> rollout.Plan:
    """Bring the release to where boards fetch it; the plan of its rollout."""
    home, image = stream.home_of(clients), stream.image(str(made.file), made.file.parent)
    for _ in rules.apply(list(stream.steps(home, image, stream.bucket_of(home), "")), False):
        pass
    return rollout.Plan(image, home, tuple(things), canaries, 0, abort_above, _TIMEOUT_H)


class Updating:
    """One rollout in a thread of its own; ``ready()`` says when it may begin.

    ``state(thing, folder)`` is for the view, from any thread; ``told`` has a line about all of it
    once it is over.
    """

    def __init__(
        self,
        clients: Clients,
        make: Callable[[], making.Made],
        things: Sequence[str],
        played: Played,
        say: Callable[[str], None],
    ) -> None:
        self.told = ""
        self._clients, self._make, self._things = clients, make, tuple(things)
        self._played, self._say = played, say
        self._states: dict[str, str] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="update", daemon=True)

    def start(self, ready: Callable[[], bool]) -> None:
        """Begin once ``ready()``."""
        self._ready = ready
        self._thread.start()

    def stop(self) -> None:
        """No longer watch it."""
        self._end.set()
        self._thread.join()

    def state(self, thing: str, folder: Path) -> str:
        """How far a board is: what AWS says of its job, and while it works what its flash says."""
        found = self._states.get(thing, "")
        return doing(folder) or found if found == jobs.IN_PROGRESS else found

    def _run(self) -> None:
        try:
            while not self._ready():
                self._pause(_POLL_S / 4)
            self._roll_out()
        except _Ended:
            pass
        except ToolError as e:
            self.told = f"update: {e}"

    def _roll_out(self) -> None:
        made = self._make()
        count = len(self._things)
        canaries = min(count - 1, 1)  # as `rollout` does
        plan = planned(self._clients, made, self._things, canaries, abort_above=5)
        size, number = len(made.release.data()), made.release.version
        self._states = dict.fromkeys(self._things, "waiting")
        first = ", one of them first" if canaries else ""
        self._say(f"update: {number}, {size:,} bytes, goes to {_plural(count)}{first}")
        before, began = self._played.copy(), time.monotonic()
        try:
            rollout.run(self._clients.iot, plan, self._tell, self._pause)
            ending = f"{_plural(count)} updated to {number}"
        except rollout.Stopped as e:
            ending = str(e)
        took, more = time.monotonic() - began, self._played.since(before)
        self.told = f"update: {ending} in {took:.0f} s; streams: {more}"

    def _tell(self, _wave: str, states: rollout.States) -> None:
        for thing, state in states.items():
            if self._states.get(thing) != state:
                self._states[thing] = state
                self._say(f"update: {thing}: {state}")

    def _pause(self, seconds: float) -> None:
        if self._end.wait(min(seconds, _POLL_S)):
            raise _Ended


class _Ended(Exception):
    """The simulation ends before the rollout."""


def doing(folder: Path) -> str:
    """What a board with an update under way does, by its flash: "fetching 12 of 60 files"."""
    try:
        slot = (folder / "slot").read_text("ascii").split()
    except (OSError, ValueError):
        slot = []
    if len(slot) == 3 and slot[2].isdecimal():
        return "on trial"
    try:
        job: dict[str, Any] = json.loads((folder / "data" / "job.json").read_text("utf-8"))
        state, manifest = job.get("state"), int(job["document"]["manifest_bytes"])
        lines = (folder / "data" / "release").read_bytes()[:manifest].decode("ascii")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    paths = re.findall(r"^(firmware/\S+) \d+ ", lines, re.M)
    if state == "fetch" and paths:
        spare = folder / ("" if slot[:1] and slot[0][0] == "b" else "b")
        there = sum((spare / path).exists() for path in paths)
        return f"fetching {there} of {len(paths)} files"
    shown = {"check": "checking", "trial": "on trial", "result": "reporting"}
    return shown.get(str(state), "fetching")


def _plural(count: int) -> str:
    return f"{count} board{'' if count == 1 else 's'}"
