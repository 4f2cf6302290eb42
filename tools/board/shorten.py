"""Gives the firmware's own names short ones before it is compiled: they cost RAM.

MicroPython interns every name of a loaded module for good, at seven bytes and its length. So each
name of ours becomes one that MicroPython has anyway (names.py), and where those run out one of a
few letters. The same name becomes the same one everywhere; different ones may become the same, as
long as no object, module or function has both (namespaces.py, where it is decided). The names of
arguments are chosen for each function anew. Local variables have no names in bytecode.

Lines stay where they are, and with them the line numbers of a traceback; the name of a function
there is its new one. What is done is checked afterwards, by reading the result.

Never changed: what is a text of its own anywhere (getattr, keys of JSON), is used by main.py,
boot.py or version.py, is an argument's name in some call, a module's, an exception's; what
MicroPython or umqtt.simple has, too; names with two underscores. Not seen is a name that is put
together at run time: spell it out.
"""

from __future__ import annotations

import ast
import functools
import itertools
import keyword
import string
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tools.board import namespaces
from tools.board.names import BUILT_IN, NUMBERED
from tools.board.namespaces import Namespaces
from tools.board.scopes import Key, Mention, Place, Source, edited, read
from tools.errors import ToolError


def shorten(
    sources: Mapping[str, bytes], rest: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """The same Python files with short names; lines stay lines.

    ``sources``: path on the board -> content, all modules that know each other. ``rest``: the
    program's other Python files, which stay as they are. With main.py among them the program is
    whole, and public names change as well; without, only those with an underscore.

    Raises ToolError for a file that is no Python, or that has what is not understood here.
    """
    return dict(_shorten(tuple(sources.items()), tuple((rest or {}).items())))


@functools.lru_cache(maxsize=8)
def _shorten(
    program: tuple[tuple[str, bytes], ...], rest: tuple[tuple[str, bytes], ...]
) -> dict[str, bytes]:
    before = [read(*file) for file in program]
    spaces = namespaces.find(before)
    kept = BUILT_IN | spaces.kept | {"self"}
    for source in [read(*file) for file in rest]:
        kept |= {mention.name for mention in source.mentions} | namespaces.texts(source.nodes)
        spaces.keywords |= {m.name for m in source.mentions if m.kind == "keyword"}
    whole = "main.py" in dict(rest)
    own = {n for n in spaces.defined - kept if _may_change(n, whole)}
    new = _choose(own, spaces, before)
    made = {source.path: _rewrite(source, new, spaces) for source in before}
    _check(before, [read(path, text) for path, text in made.items()], new, spaces)
    return made


def _may_change(name: str, whole: bool) -> bool:
    return not name.startswith("__") and name != "_" and (whole or name.startswith("_"))


def _choose(own: set[str], spaces: Namespaces, sources: list[Source]) -> dict[str, str]:
    """The new name of each, no two the same in any group."""
    apart: dict[str, set[str]] = {name: set() for name in own}  # the others must differ
    taken = {name: set(spaces.probed) for name in own}  # these it cannot be
    for group, names in spaces.groups.items():
        members = names | spaces.loose
        for name in members & own:
            apart[name] |= members & own
            taken[name] |= (members - own) | spaces.fixed[group]
    where: dict[str, set[str]] = defaultdict(set)
    present: dict[str, set[str]] = defaultdict(set)
    for source in sources:
        for mention in source.mentions:
            (where if mention.name in own else present)[mention.name].add(source.path)
    new: dict[str, str] = {}
    for name in sorted(own, key=lambda name: (-len(apart[name]), name)):
        barred = taken[name] | {new[other] for other in apart[name] if other in new}
        new[name] = _best(barred, where[name], present)
        present[new[name]] |= where[name]
    return new


def _best(barred: set[str], where: set[str], present: Mapping[str, set[str]]) -> str:
    """Of the names that are free: one that these files have already (two bytes a file)."""
    free = [name for name in NUMBERED if name not in barred]
    if free:
        return max(free, key=lambda name: len(present.get(name, set()) & where))
    return next(name for name in _letters() if name not in barred)


def _letters() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            name = "".join(letters)
            if not keyword.iskeyword(name) and name not in BUILT_IN:
                yield name


def _rewrite(source: Source, new: Mapping[str, str], spaces: Namespaces) -> bytes:
    places: dict[Place, str] = {}
    local = _locals(source, new, spaces)
    for mention in source.mentions:
        if mention.kind == "function":
            name = local.get(mention.key, mention.name)
        elif mention.kind == "keyword":
            continue
        else:
            name = new.get(mention.name, mention.name)
        if places.setdefault(mention.place, name) != name:
            raise ToolError(
                f"{source.path}: {mention.name} in line {mention.place[0]} is two things",
                "give one of them another name",
            )
    ends = {mention.place: mention.end for mention in source.mentions}
    return edited(source.text, [(place, ends[place], name) for place, name in places.items()])


def _locals(source: Source, new: Mapping[str, str], spaces: Namespaces) -> dict[Key, str]:
    """The new names of all in functions that is no mere variable.

    Those are arguments, functions and classes within functions, and what is imported there: that
    has the name it has in its module. Within an outermost function every argument of the same name
    gets the same new one, which nothing else there has.
    """
    found: dict[Key, str] = {}
    group = spaces.groups[source.module]
    taken = {new.get(name, name) for name in group}
    taken |= {m.name for m in source.mentions if m.kind == "keyword" or _is_built_in(m)}
    present = {new.get(m.name, m.name) for m in source.mentions if m.kind != "function"}
    order = sorted(NUMBERED, key=lambda name: name not in present)
    for mentions in _by_function(source):
        members = {m.place for m in mentions if m.kind == "member"}
        inside = [m for m in mentions if m.kind == "function"]
        imported = {m.key for m in inside if m.place in members and m.name in new}
        found |= {key: new[key[1]] for key in imported}
        names = dict.fromkeys(m.name for m in inside if m.kind == "function" and is_interned(m))
        names = {name: None for name in names if name not in spaces.keywords}
        others = {m.name for m in inside} - set(names)
        free = (n for n in itertools.chain(order, _letters()) if n not in taken | others)
        chosen = dict(zip(names, free, strict=False))
        for m in inside:
            if m.name in chosen and m.key not in imported:
                found[m.key] = chosen[m.name]
    return found


def _is_built_in(mention: Mention) -> bool:
    return mention.kind == "module" and mention.name not in mention.scope.bound


def is_interned(mention: Mention) -> bool:
    """Whether MicroPython keeps this name: not that of a local variable."""
    kinds = (ast.arg, ast.FunctionDef, ast.ClassDef)
    kept = mention.kind != "function" or isinstance(mention.node, kinds)
    return kept and mention.name not in ("self", "_")


def _by_function(source: Source) -> list[list[Mention]]:
    """All that is mentioned in each outermost function."""
    found: dict[int, list[Mention]] = defaultdict(list)
    for mention in source.mentions:
        found[mention.within.outermost.number].append(mention)
    return list(found.values())


def _check(
    before: list[Source], after: list[Source], new: Mapping[str, str], spaces: Namespaces
) -> None:
    """Read what was made: every name must mean what it meant, and no object has lost one."""
    for old, made in zip(before, after, strict=True):
        there: dict[tuple[str, int, str], str] = {}
        back: dict[tuple[str, int, str], str] = {}
        for a, b in zip(old.mentions, made.mentions, strict=True):
            kind = (a.kind, a.scope.number)
            same = kind == (b.kind, b.scope.number)
            if a.kind in ("module", "function"):
                same = same and there.setdefault((*kind, a.name), b.name) == b.name
                same = same and back.setdefault((*kind, b.name), a.name) == a.name
            if a.kind == "keyword":
                same = same and a.name == b.name
            elif a.kind != "function":
                same = same and new.get(a.name, a.name) == b.name
            if not same:
                where = f"{old.path}, line {a.place[0]}"
                raise ToolError(f"{where}: {a.name} cannot be shortened", "report this, with it")
    if namespaces.find(after).sizes() != spaces.sizes():
        raise ToolError("two names of one object have become the same", "report this")
