"""`make sim`: a local AWS, things provisioned on it, virtual boards, and a live view of it all.

One ExitStack holds all that is started: however it ends, that is stopped again, and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from tools.aws import viewer, watch
from tools.aws.clients import Clients
from tools.endings import interrupt, on_endings
from tools.errors import ToolError
from tools.sim import chaos, curve, devices, folders, launch, streams, updating, world
from tools.sim.board import VirtualBoard
from tools.sim.chaos_proxy import Proxy
from tools.sim.cloud import LocalCloud, free_port
from tools.sim.options import Options
from tools.sim.view import View
from tools.things import boards
from tools.things.folder import check_name
from tools.updates import making

_REFRESH_S = 0.25
_BATCH = 6  # readings between two connects of a board that sleeps
_MOST_SENSORS = 4  # firmware/core/optional.py
_SVG_WIDTH = 112


class Simulation:
    """One run. `start()` brings everything up, `close()` takes everything down again."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.fleet = View(devices.names(options.thing, options.things))
        self.live = console.is_terminal
        self.boards: list[VirtualBoard] = []
        self.cloud = LocalCloud(lan=options.lan)
        self.proxy: Proxy | None = None
        self._plan = chaos.parse(options.chaos) if options.chaos is not None else None
        self.folder = Path()
        self.cloud_file = Path()
        self._stack = contextlib.ExitStack()
        self._quiet = False
        self._profile = "esp32"
        self._keys: Path | None = None
        self._update: updating.Updating | None = None

    def start(self) -> None:
        """Bring up the cloud, the viewer and the boards; ToolError says what cannot be."""
        for name in self.fleet.things:
            check_name(name)
        world.check(self._world(0))
        self._profile = boards.get(self.options.board).profile
        launch.prepare(None, 64, None, self._profile)
        self.folder = self._stack.enter_context(folders.scratch(self.options.keep))
        self.cloud_file = self._stack.enter_context(folders.place(self.folder))
        self._start_cloud()
        with self._step("opening the view"):
            clients = self.cloud.clients
            filters = [watch.DATA, *watch.OTHERS]
            self._stack.enter_context(
                viewer.listening(clients, filters, self._message, self.fleet.link)
            )
            told = streams.playing(clients, lambda text: self._print(f"streams: {text}"))
            played = self._stack.enter_context(told)
        if self.options.update:
            with self._step("making a key for releases"):
                self._keys = updating.new_keys(self.folder / "keys")
        with self._step("provisioning, staging and booting") as say:
            for name in self.fleet.things:
                say(name)
                self._boot(name, clients)
        if self._keys is not None:
            self._begin_update(clients, self._keys, played)
        if self.proxy is not None:
            self.proxy.begin()

    def _begin_update(self, clients: Clients, keys: Path, played: streams.Played) -> None:
        named = self._sensors().get("sensor", [])
        sensors = [named] if isinstance(named, str) else [row["chip"] for row in named]
        if set(sensors) <= set(boards.get(self.options.board).sensors):
            sensors = []  # whose drivers are on every board

        def make() -> making.Made:
            return updating.next_release(self.folder, keys, self.options.board, sensors)

        def say(text: str) -> None:
            if not self.live:  # else the table says it
                self._print(text)

        update = updating.Updating(clients, make, [*self.fleet.things], played, say)
        self.fleet.updates, self._update = update.state, update
        self._stack.callback(update.stop)
        update.start(lambda: all(thing.count > 1 for thing in self.fleet.things.values()))

    def _start_cloud(self) -> None:
        ports = folders.last_ports(self.cloud_file)
        with self._step("starting the local AWS (MiniStack)") as say:
            self._stack.callback(self.cloud.stop)
            self.cloud.start(
                lambda waited: say(f"{waited:.0f} s") if waited > 1 else None,
                (ports.get("http"), ports.get("mqtt")),
            )
        self._open_proxy(ports.get("proxy"))
        cloud = self.cloud.info
        ports |= {"http": cloud.gateway_port, "mqtt": cloud.mqtt_port}
        if self.proxy is not None:
            ports["proxy"] = self.proxy.port
            cloud = replace(cloud, proxy_port=self.proxy.port)
        folders.save_ports(self.cloud_file, ports)
        old = folders.renew(self.things, cloud)
        unused = [name for name in old if name not in self.fleet.things]
        for line in folders.outlived(unused, self.cloud_file):
            self._print(line)
        self._stack.enter_context(folders.announced(cloud, self.cloud_file))

    def close(self) -> None:
        """Stop boards, view and cloud, in that order, and say no more."""
        self._quiet = True
        self._stack.close()

    def run(self, end: threading.Event) -> None:
        """Show what happens until ``end`` is set, the duration is over, or its reader has gone."""
        duration_s = self.options.duration_s
        until = math.inf if duration_s is None else time.monotonic() + duration_s
        self._print(self._intro())
        shown = Live(console=self.console, auto_refresh=False)
        with shown if self.live else contextlib.nullcontext() as live:
            while not (end.is_set() or self.console.quiet) and time.monotonic() < until:
                if live is not None:
                    live.update(self.fleet.render(*self.console.size), refresh=True)
                self._check_cloud()
                end.wait(_REFRESH_S)
        if self.options.svg is not None:
            self._export(self.options.svg)

    @property
    def things(self) -> Path:
        """The folder of its things, where `--local` looks."""
        return self.cloud_file.parent / "things"

    def summary(self) -> str:
        first_s = self.fleet.slowest_first_s()
        first = "" if first_s is None else f", the first one {first_s:.1f} s after the boot"
        plural = "" if len(self.fleet.things) == 1 else "s"
        things = f"{len(self.fleet.things)} thing{plural}"
        readings = f"{self.fleet.readings} readings of {things}, {self.fleet.lost} lost"
        ended = f"{readings}{first}; everything is stopped"
        if self._update is None:
            return ended
        return f"{self._update.told or 'update: not over'}\n{ended}"

    def _open_proxy(self, last: int | None) -> None:
        if self._plan is None:
            return

        def tell(hosts: dict[str, list[str]]) -> None:
            for board in self.boards:
                board.set(hosts=hosts)

        self.proxy = Proxy(
            self.cloud.info.mqtt_port,
            self._plan,
            on_event=lambda text: self._print(f"chaos: {text}"),
            on_hosts=tell,
            port=free_port(last),
        )
        self._stack.enter_context(self.proxy)

    def _boot(self, name: str, clients: Clients) -> None:
        settings: dict[str, Any] = {"interval_s": self.options.interval_s, **self._sensors()}
        if self.options.power != "mains":
            settings |= {"power": self.options.power, "batch": _BATCH}
        around: dict[str, Any] = {}
        if self.proxy is not None:
            settings["port"] = self.proxy.port
            around["hosts"] = self.proxy.hosts()
        kind = self.options.board
        if self._profile == "esp32":
            around["chip"] = boards.get(kind).chip
        home = self.things / name
        shutil.rmtree(home, ignore_errors=True)  # config.json of an earlier run
        folder = self.folder / name
        device = devices.make(clients, name, folder, kind, home, self._keys, **settings)
        log = self._stack.enter_context((self.folder / f"{name}.log").open("w", buffering=1))

        def on_line(line: str) -> None:
            log.write(line + "\n")
            self.fleet.log(name, line)
            if not self.live:
                self._print(f"{name}: {line}")

        number = len(self.boards)
        board = VirtualBoard(
            device,
            heap=self._profile,
            on_line=on_line,
            **self._world(number),
            **around,
        )
        self.boards.append(board)
        self._stack.callback(board.close)
        self.fleet.booted(name, device)
        board.start()

    def _world(self, number: int) -> dict[str, Any]:
        """What board ``number`` measures."""
        temperature = _shifted(self.options.temperature, number)
        found = {"sensor": self.options.sensor, "temperature": temperature}
        return found if self.options.scene is None else found | {"scene": self.options.scene}

    def _sensors(self) -> dict[str, Any]:
        """The setting by which a board reads all that is plugged in, as far as it can."""
        usual = boards.get(self.options.board).sensors
        if not world.plugged({"sensor": self.options.sensor}, "sensor"):
            return {}
        chips = [part.partition("@")[0].strip() for part in self.options.sensor.split(",")]
        if 1 < len(chips) == len(set(chips)):
            return {"sensor": [{"chip": chip} for chip in chips[:_MOST_SENSORS]]}
        others = [chip for chip in chips if chip not in usual]
        return {"sensor": others[0]} if others else {}

    def _message(self, topic: str, payload: bytes) -> None:
        line = self.fleet.message(topic, payload)
        if line and not self.live:
            self._print(line)

    def _print(self, line: str) -> None:
        if self._quiet:
            return
        with contextlib.suppress(SystemExit):  # by rich: no reader any more, console.quiet is set
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _check_cloud(self) -> None:
        if self.cloud.pid is None:
            raise ToolError(f"MiniStack has ended; it said:\n{self.cloud.log_tail}", "make sim")

    @contextlib.contextmanager
    def _step(self, text: str) -> Iterator[Any]:
        """Show a long step: a spinner in a terminal, else one line when it is done."""
        began = time.monotonic()
        if self.live:
            with self.console.status(text) as status:
                yield lambda more: status.update(f"{text}: {more}")
        else:
            yield lambda more: None
        self.console.print(f"{text}: {time.monotonic() - began:.1f} s", highlight=False)

    def _intro(self) -> str:
        thing, lan = next(iter(self.fleet.things)), self.options.lan
        text = folders.intro(self.cloud.info, self.cloud_file, thing, self.folder, lan)
        network = f"The network between boards and cloud: {self._plan}\n" if self._plan else ""
        return network + text

    def _export(self, path: Path) -> None:
        picture = Console(record=True, width=_SVG_WIDTH, file=io.StringIO())
        picture.print(self._intro(), highlight=False, markup=False)
        picture.print(self.fleet.render(_SVG_WIDTH, 24))
        path.write_text(picture.export_svg(title="make sim"), "utf-8")


def _shifted(temperature: str, number: int) -> str:
    """The same curve a little later for each further board, so that they can be told apart."""
    if not number or temperature.startswith(curve.PREFIX):
        return temperature
    return temperature.replace("t/60", f"(t+{17 * number})/60")


def run(options: Options, console: Console) -> None:
    """Run until Ctrl-C, SIGTERM or the end of the duration; ToolError when something fails."""
    options.check()
    end = threading.Event()
    simulation = Simulation(options, console)
    with on_endings(interrupt) as handle_by:
        try:
            simulation.start()
            handle_by(lambda *_: end.set())
            simulation.run(end)
        finally:
            handle_by(signal.SIG_IGN)  # nothing may interrupt the stopping; it takes seconds
            simulation.close()
    console.print(simulation.summary(), highlight=False, soft_wrap=True)
