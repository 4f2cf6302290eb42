"""`make flash`: from a bare board to one that reports to AWS, in one pass.

Everything that can be refused is refused before anything is erased. Firmware and file system go in
one esptool call: erase, write, verify by hash.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.board import boot_check, esptool, image, partitions, rescue, romfs, room, stage
from tools.board.boot_check import Outcome
from tools.board.esptool import Chip
from tools.board.firmware import Firmware
from tools.board.partitions import Partition
from tools.board.serial_log import SerialLog
from tools.errors import ToolError
from tools.things import boards
from tools.things.boards import Board
from tools.things.folder import Folder

RECORD = "board.json"  # in things/THING/


class View(Protocol):
    """What a run shows of itself."""

    def step(self, name: str, text: str) -> None:
        """A step is done, or says something on its way."""

    def progress(self, name: str, part: float) -> None:
        """How far a long step is, 0 to 1."""


@dataclass(frozen=True)
class Job:
    """One board to flash: ``tree`` is the staged file system, ``folder`` is things/THING/."""

    thing: str
    folder: Path
    board: Board
    port: str
    tree: Mapping[str, bytes]
    firmware: Firmware
    baud: int = esptool.FAST_BAUD
    keep: bool = True
    wait_s: float = boot_check.TIMEOUT_S  # 0: do not watch the board boot
    until: str = ""  # the step after which the board is good; "": all of them


@dataclass(frozen=True)
class Result:
    """What came of it; ``outcome`` is None when nobody watched."""

    chip: Chip
    outcome: Outcome | None


def flash(job: Job, view: View, chip: Chip | None = None) -> Result:
    """Do the whole job; ``chip`` if it is known already.

    Raises ToolError; a board that was not yet erased is then as it was.
    """
    chip = fitting(chip or esptool.identify(job.port), job)
    view.step("chip", f"{chip.name}, {chip.flash_bytes >> 20} MB flash, {chip.mac}")
    where = partitions.vfs(job.firmware.data, job.board, chip.flash_bytes)
    _room_for_firmware(job, where)
    files, code = _filled(job, where)  # too large is said before the board is touched
    files.add(_rescued(job, chip, view))
    parts = [(where.offset + at, data) for at, data in image.segments(files.image())]
    segments = [(job.board.flash_offset, job.firmware.data), *code, *parts]
    sent = sum(len(data) for _, data in segments)
    view.step("image", f"{len(files.files)} files, {where.size >> 10} KB LittleFS")

    def write(baud: int) -> None:
        esptool.write(
            job.port, job.board.chip, segments, baud, lambda part: view.progress("write", part)
        )

    baud = esptool.with_fallback(job.baud, lambda text: view.step("write", text), write)
    view.step("write", f"{sent:,} bytes written and verified at {baud} baud")
    rescue.forget(job.folder, chip.mac)
    record(job, chip)
    return Result(chip, boot(job, view))


def fitting(chip: Chip, job: Job) -> Chip:
    """Return ``chip``; ToolError if it is not the one of the board asked for, or too small."""
    board = job.board
    found = boards.of_chip(chip.name)
    if found != board.name:
        hint = f"BOARD={found}" if found else f"boards: {', '.join(boards.names())}"
        raise ToolError(f"the board on {job.port} has an {chip.name}, not an {board.name}", hint)
    if chip.flash_bytes < board.flash_bytes:
        raise ToolError(
            f"{chip.flash_bytes >> 20} MB of flash; {board.build} needs {board.flash_bytes >> 20}",
            "FIRMWARE=file.bin with a build for smaller flash, or another board",
        )
    return chip


def _room_for_firmware(job: Job, where: Partition) -> None:
    end = job.board.flash_offset + len(job.firmware.data)
    if end > where.offset:
        over = end - where.offset
        hint = "is it the right build? FIRMWARE= names another"
        raise ToolError(f"the firmware reaches {over:,} bytes into the file system", hint)


def _filled(job: Job, where: Partition) -> tuple[image.FileSystem, list[tuple[int, bytes]]]:
    """The file system without readings; the code where it is beside that, as (offset, bytes)."""
    tree, code = dict(job.tree), []
    if job.firmware.has_romfs(job.board) and job.board.romfs:
        tree, rom = romfs.split(tree)
        code = [(job.board.romfs.offset, romfs.build(rom, job.board.romfs.size))]
    files = image.FileSystem(tree, where.size)
    config = json.loads(tree.get("config.json", b"{}"))
    updates = job.board.updates and config.get("updates", False)
    if problem := room.problem(config.get("outbox_bytes", 0), files, updates):
        hint = f"python -m tools config {job.thing} --no-send outbox_bytes=…"
        raise ToolError(problem, hint)
    return files, code


def _rescued(job: Job, chip: Chip, view: View) -> dict[str, bytes]:
    """The readings on the board, unless they are another thing's or not wanted."""
    if not job.keep:
        rescue.forget(job.folder, chip.mac)
        return {}

    def note(text: str) -> None:
        view.step("readings", text)

    found = rescue.read(
        job.port, chip, job.board, job.baud, note, lambda part: view.progress("readings", part)
    )
    if found.thing and found.thing != job.thing and found.files:
        folder = job.folder.parent / found.thing
        rescue.save(folder, chip.mac, found.files)
        note(f"the board was {found.thing}; its {found.size:,} bytes are kept in {folder}/rescued")
        return {}
    if found.files:
        rescue.save(job.folder, chip.mac, found.files)
        note(f"{found.size:,} bytes in {len(found.files)} files kept ({found.how})")
        return found.files
    files = rescue.pending(job.folder, chip.mac)
    if files:
        note(f"{len(files)} files of an interrupted run go back onto the board")
    return files


def record(job: Job, chip: Chip) -> None:
    """Write things/THING/board.json: which board this thing lives on, and what is on it."""
    made = {
        "thing": job.thing,
        "board": job.board.name,
        "chip": chip.name,
        "mac": chip.mac,
        "flash_bytes": chip.flash_bytes,
        "micropython": {"version": job.firmware.version, "sha256": job.firmware.sha256},
        "firmware": version(job.tree),
        "flashed": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    }
    job.folder.mkdir(parents=True, exist_ok=True)
    Folder(job.folder).write(job.folder / RECORD, json.dumps(made, indent=2).encode() + b"\n")


def summary(job: Job, result: Result) -> str:
    """The end in one line; ToolError when the board is written but does not report to AWS."""
    outcome = result.outcome
    if outcome is not None and not outcome.ok:
        why = f"{job.thing} is flashed, but: {outcome.failed}: {outcome.why}"
        raise ToolError(why, outcome.remedy.replace("THING", job.thing))
    how = f", reports to AWS after {outcome.seconds:.0f} s" if outcome else ""
    return f"{job.thing} is on the board {result.chip.mac}{how}"


def version(tree: Mapping[str, bytes]) -> str:
    """The firmware's VERSION in a staged tree, "" where it does not say."""
    found = stage.VERSION.search(tree.get(stage.VERSION_FILE, b"").decode())
    return found[1] if found else ""


def boot(job: Job, view: View) -> Outcome | None:
    """Reset the board, and follow its log to AWS unless told not to."""
    with SerialLog(job.port, patience_s=10) as log:
        log.reset()
        if not job.wait_s:
            return None
        view.step("boot", "reset")

        def on_step(name: str, text: str, passed: bool) -> None:
            view.step(name, f"{text} {'✓' if passed else '…'}")

        return boot_check.watch(log, on_step, job.wait_s, job.until)
