"""Puts files of the firmware that are loaded together into one, before it is compiled.

A module costs 160 to 176 bytes, two or three names for good, and a copy of each name that another
one imports from it: on a board that is a fifth of all that stays. In the source they are rooms of
their own; `boards.json` ("together") says which become one on the board.

What goes: the imports between files of a group, and the dot in front of what comes out of one.
Imports from elsewhere, and texts that are the dotted name of a file, name the group's file. A
global name that would meet another gets the name of its file added. Lines stay lines, one file
after the other, so that groups.py can say where line 812 of the whole comes from.

Not understood, and a ToolError: a module of the group as a value (but for `x = None`, `del x`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tools.board.groups import Groups, whole_lines
from tools.board.scopes import Key, Mention, Place, Source, dotted, edited, read
from tools.errors import ToolError


def merge(sources: Mapping[str, bytes], groups: Groups) -> dict[str, bytes]:
    """The program with each group as one file, and all that import from it in accord.

    ``sources``: path on the board -> content, every Python file. Files of a group that are not
    among them are left out. Raises ToolError for what is not understood.
    """
    return _Merger(sources, groups).merged()


@dataclass
class _File:
    """One file, what its names are, and the edits to be made in it."""

    source: Source
    target: str | None  # dotted name of its group's file
    own: set[str] = field(default_factory=set)  # globals that are made here
    # Globals that are imported, and from where.
    foreign: dict[str, str] = field(default_factory=dict)
    local: set[str] = field(default_factory=set)  # bound in its functions and classes
    built_in: set[str] = field(default_factory=set)
    edits: list[tuple[Place, Place, str]] = field(default_factory=list)


class _Merger:
    def __init__(self, sources: Mapping[str, bytes], groups: Groups) -> None:
        self._groups = {
            target: [path for path in members if path in sources]
            for target, members in groups.items()
            if sources.keys() & set(members)
        }
        self._home = {
            dotted(path): dotted(target)
            for target, members in self._groups.items()
            for path in members
        }
        self._files: dict[str, _File] = {}
        for path, text in sources.items():
            source = read(path, b"".join(whole_lines(text)))
            self._files[path] = _File(source, self._home.get(source.module))
            self._look(self._files[path])
        self._new: dict[str, str] = {}  # module.global -> its name in the group
        for members in self._groups.values():
            self._name([self._files[path] for path in members])

    def merged(self) -> dict[str, bytes]:
        for file in self._files.values():
            _Editor(file, self._home, self._new).edit()
        made = {path: edited(file.source.text, file.edits) for path, file in self._files.items()}
        for target, members in self._groups.items():
            whole = b"".join(made.pop(path) for path in members)
            if target in made:
                raise ToolError(f"{target} is no file of its group", "mend boards.json")
            made[target] = whole
            read(target, whole)
        return {path: made[path] for path in sorted(made)}

    def _look(self, file: _File) -> None:
        source = file.source
        for mention in source.mentions:
            if mention.kind == "module" and mention.name not in source.scopes[0].bound:
                file.built_in.add(mention.name)
            elif mention.kind == "member" or self._is_merged(mention.origin):
                continue
            elif mention.origin and mention.kind == "module":
                file.foreign[mention.name] = mention.origin
            elif mention.kind == "module" and mention.binds:
                file.own.add(mention.name)
            elif mention.kind in ("function", "class"):
                file.local.add(mention.name)

    def _is_merged(self, origin: str) -> bool:
        return origin in self._home or origin.rpartition(".")[0] in self._home

    def _name(self, files: list[_File]) -> None:
        """Give every global of a group a name that is nothing else in it."""
        taken: dict[str, str] = {}
        for file in files:
            for name, origin in file.foreign.items():
                if taken.setdefault(name, origin) != origin:
                    other = f"{name} is {taken[name]} elsewhere"
                    raise ToolError(f"{file.source.path}: {other}", "rename one")
        for file in files:
            others = [other for other in files if other is not file]
            barred = set().union(*(other.local | other.built_in for other in others))
            for name in sorted(file.own):
                new, stem = name, PurePosixPath(file.source.path).stem
                while new in taken or new in barred or (new != name and new in file.local):
                    new = f"{new}_{stem}"
                taken[new] = f"{file.source.module}.{name}"
                self._new[taken[new]] = new


class _Editor:
    """Makes the edits of one file."""

    def __init__(self, file: _File, home: Mapping[str, str], new: Mapping[str, str]) -> None:
        self._file, self._home, self._new = file, home, new
        self._source = file.source
        # What a name stands for: the merged module, or its name in the group's file.
        self._modules: dict[Key, str] = {}
        self._names: dict[Key, str] = {}
        self._of_node = {id(mention.node): mention for mention in self._source.mentions}
        self._used: set[int] = set()  # ids of names that are edited with what they stand in

    def edit(self) -> None:
        for mention in self._source.mentions:
            module = mention.origin.rpartition(".")[0]
            if mention.origin in self._home:
                self._modules[mention.key] = mention.origin
            elif self._home.get(module) == self._file.target is not None:
                self._names[mention.key] = self._in_group(mention.origin)
        for node in self._source.nodes:
            match node:
                case ast.Import() | ast.ImportFrom():
                    self._import(node)
                case ast.Assign() | ast.Delete():
                    self._dropped(node)
                case ast.Attribute(value=ast.Name()):
                    self._attribute(node, self._of_node[id(node.value)])
                case ast.Constant(value=str(text)) if self._home.get(text, text) != text:
                    self._replace(node, repr(self._home[text]))
        for mention in self._source.mentions:
            self._mention(mention)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        made, kept, target = [], [], self._file.target
        for alias in node.names:
            known = alias.asname or alias.name
            if isinstance(node, ast.Import):
                if self._home.get(alias.name, alias.name) == alias.name != target:
                    kept.append(alias)
                elif self._home[alias.name] != target or alias.asname:
                    self._fail(node, f"import {alias.name}")
                continue
            whole, module = f"{node.module}.{alias.name}", node.module or ""
            home = self._home.get(whole) or self._home.get(module)
            if home is None:
                kept.append(alias)
            elif home != target:
                package, _, last = home.rpartition(".")
                if whole not in self._home:
                    package, last = home, self._in_group(whole)
                where = f"from {package} " if package else ""
                made.append(f"{where}import {last}" + f" as {known}" * (last != known))
        if len(kept) == len(node.names):
            return
        if kept:
            kept_node = type(node)(**{**vars(node), "names": kept})
            made.insert(0, ast.unparse(kept_node))
        self._replace(node, "; ".join(made) or "pass")

    def _dropped(self, node: ast.Assign | ast.Delete) -> None:
        # `board = None` or `del board`, when a module is no longer needed.
        target = node.targets[0]
        if isinstance(node, ast.Assign) and ast.unparse(node.value) != "None":
            return
        if isinstance(target, ast.Name) and self._same(self._of_node[id(target)]):
            self._replace(node, "pass")
            self._used.add(id(target))

    def _in_group(self, whole: str) -> str:
        # Of a global of a merged module; what that only passes on keeps its name.
        return self._new.get(whole, whole.rpartition(".")[2])

    def _same(self, mention: Mention) -> str | None:
        # The module of our own group that the name stands for.
        found = self._modules.get(mention.key)
        return found if found and self._home[found] == self._file.target else None

    def _attribute(self, node: ast.Attribute, mention: Mention) -> None:
        found = self._modules.get(mention.key)
        if found is None:
            return
        new, (start, end) = self._in_group(f"{found}.{node.attr}"), _span(node)
        if self._home[found] == self._file.target:
            self._used.add(id(node.value))
            self._file.edits.append((start, end, new))
        elif new != node.attr:
            self._file.edits.append(((end[0], end[1] - len(node.attr)), end, new))

    def _mention(self, mention: Mention) -> None:
        if (
            isinstance(mention.node, (ast.Import, ast.ImportFrom))
            or id(mention.node) in self._used
        ):
            return
        if self._same(mention) and mention.kind in ("module", "function"):
            self._fail(mention.node, f"the module {mention.name} as a value")
        new = mention.name
        if mention.kind in ("module", "function"):
            new = self._names.get(mention.key, new)
        if mention.kind == "module" and mention.name in self._file.own:
            new = self._in_group(f"{self._source.module}.{new}")
        if new != mention.name:
            self._file.edits.append((mention.place, mention.end, new))

    def _replace(self, node: ast.stmt | ast.expr, text: str) -> None:
        start, end = _span(node)
        self._file.edits.append((start, end, text + "\n" * (end[0] - start[0])))

    def _fail(self, node: ast.AST, what: str) -> None:
        where = f"{self._source.path}, line {getattr(node, 'lineno', 0)}: {what}"
        raise ToolError(where, "write it another way: merge.py does not understand it")


def _span(node: ast.stmt | ast.expr) -> tuple[Place, Place]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
