"""Which files of the firmware become one module on the board, and under what name: for merge.py.

`boards.json` ("together") has the groups. Where every name counts (ESP8266), the other files
become modules of one short name, one that MicroPython has anyway, `append.mpy`: of
`firmware.net.connect` both the name and the path would stay in memory for good. They lie at
the top of the ROM, where the path is shortest, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from tools.board.names import NUMBERED

Groups = Mapping[str, Sequence[str]]  # path of the group's file -> its files, in order
_START = "firmware/loading.py"
_BY_NAME = ("firmware/version.py", "firmware/drivers/")
_TRACE = re.compile(r'File "(\w+)(?:\.py)?", line (\d+)')


def flat_groups(paths: Iterable[str], groups: Groups) -> dict[str, list[str]]:
    """Groups of one for the files that get a short name: all that no other import spells out.

    They are at the top: `append.py`. What main.py starts with is loaded by its dotted name, and so
    are the drivers; version.py is read by the tools.
    """
    merged = {path for members in groups.values() for path in members}
    made: dict[str, list[str]] = {}
    names = (name for name in NUMBERED if name != "builtins")
    for target, members in groups.items():
        made[target if _START in members else f"{next(names)}.py"] = list(members)
    for path in sorted(paths):
        kept = path in merged or path.startswith(_BY_NAME) or not path.startswith("firmware/")
        if not kept:
            made[f"{next(names)}.py"] = [path]
    return made


def source_lines(sources: Mapping[str, bytes], groups: Groups, text: str) -> str:
    """``text`` with every `File "app", line 812` of a traceback as it is in the sources."""
    table: dict[str, list[tuple[str, int]]] = {}
    for target, members in groups.items():
        rows = table.setdefault(PurePosixPath(target).stem, [])
        rows += [(path, len(whole_lines(sources[path]))) for path in members if path in sources]

    def replaced(found: re.Match[str]) -> str:
        line = int(found[2])
        for path, count in table.get(found[1], []):
            if line <= count:
                return f'File "{path}", line {line}'
            line -= count
        return found[0]

    return _TRACE.sub(replaced, text)


def whole_lines(text: bytes) -> list[bytes]:
    """The lines of a file, the last one ended as well."""
    return [line if line.endswith(b"\n") else line + b"\n" for line in text.splitlines(True)]
