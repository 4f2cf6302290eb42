"""Where every name of a Python file stands, and what it is: for shorten.py.

What is not understood is a ToolError: a name that was missed would be found out on a board.
"""

from __future__ import annotations

import ast
import bisect
import functools
import io
import itertools
import threading
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.errors import ToolError

# CPython 3.11's ast.parse() cannot be run by two threads at once (SystemError, recursion depth).
PARSING = threading.Lock()

Place = tuple[int, int]  # line from 1, column in bytes from 0: as ast counts

_REFUSED = {"JoinedStr": "f-string", "NamedExpr": ":=", "AsyncFunctionDef": "async"}
_Function = ast.FunctionDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SEES_ALL = ("eval", "exec", "globals", "locals", "vars", "dir", "execfile", "setattr")


@dataclass(eq=False)
class Scope:
    """A module, class or function (comprehensions too); ``bound``: the names that live in it."""

    kind: str  # module, class, function
    node: ast.AST
    number: int
    parent: Scope | None
    bound: set[str] = field(default_factory=set)
    declared: dict[str, str] = field(default_factory=dict)  # name -> global, nonlocal

    @property
    def outermost(self) -> Scope:
        """The function that it is in or is, the one not within another function."""
        up = self.parent
        while up and up.kind == "class":
            up = up.parent
        return up.outermost if up and up.kind == "function" else self


Key = tuple[Scope, str]


@dataclass(eq=False)
class Mention:
    """One name at one place.

    ``kind``: module, class or function, for a name that lives in ``scope``; attribute, for what
    follows a dot; member, for what is imported out of another module; keyword, of a call.
    """

    name: str
    place: Place
    kind: str
    scope: Scope
    within: Scope  # where it stands
    node: ast.AST
    binds: bool
    origin: str = ""  # for the name of what is imported: "module" or "module.name"

    @property
    def key(self) -> Key:
        """What tells this name from the same one elsewhere: where it lives."""
        return self.scope, self.name

    @property
    def end(self) -> Place:
        """Where the name ends."""
        return self.place[0], self.place[1] + len(self.name.encode())


@dataclass
class Source:
    """A file, parsed."""

    path: str
    text: bytes
    tree: ast.Module
    mentions: list[Mention]
    scopes: list[Scope]

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """All of its tree; to walk that anew takes as long as to parse it."""
        return list(ast.walk(self.tree))

    @property
    def module(self) -> str:
        """Its dotted name."""
        return dotted(self.path)


def dotted(path: str) -> str:
    """The dotted name of a module's file; of a package's, that of its folder."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def parse(text: bytes) -> ast.Module:
    """ast.parse(), for several threads."""
    with PARSING:
        return ast.parse(text)


@functools.lru_cache(maxsize=256)  # one pass over the firmware reads 140, and all of them again
def read(path: str, text: bytes) -> Source:
    """Parse a file; ToolError for what is no Python, or is not understood here.

    It is not to be changed: who asks for the same file gets the same object.
    """
    try:
        tree = parse(text)
    except SyntaxError as e:
        raise ToolError(f"{path}: {e.msg}, line {e.lineno}", "mend that file") from e
    return _Reader(path, text, tree).source


class _Reader:
    def __init__(self, path: str, text: bytes, tree: ast.Module) -> None:
        self._path = path
        tokens = tokenize.tokenize(io.BytesIO(text).readline)
        named = [t for t in tokens if t.type == tokenize.NAME]
        self._at = {(t.start[0], len(t.line[: t.start[1]].encode())): t.string for t in named}
        self._order = sorted(self._at)
        self._scopes: list[Scope] = []
        self._found: list[Mention] = []
        module = self._scope("module", tree, None)
        self._all(tree.body, module)
        self._resolve(module)
        self.source = Source(path, text, tree, self._found, self._scopes)

    def _scope(self, kind: str, node: ast.AST, parent: Scope | None) -> Scope:
        self._scopes.append(Scope(kind, node, len(self._scopes), parent))
        return self._scopes[-1]

    def _resolve(self, module: Scope) -> None:
        # Only now every scope knows all that is bound in it.
        for mention in self._found:
            if self._at.get(mention.place) != mention.name:
                self._fail(mention.node, f"{mention.name} is not where it was expected")
            if mention.kind in ("bind", "use"):
                mention.scope = _home(mention.name, mention.within, module)
                mention.kind = mention.scope.kind

    def _fail(self, node: ast.AST, what: str) -> None:
        where = f"{self._path}: {what} in line {getattr(node, 'lineno', 0)}"
        raise ToolError(where, "write it another way: shorten.py does not understand it")

    def _note(
        self, name: str, place: Place, scope: Scope, node: ast.AST, how: str, origin: str = ""
    ) -> None:
        stored = how == "attribute" and isinstance(getattr(node, "ctx", None), ast.Store)
        binds = how == "bind" or stored
        self._found.append(Mention(name, place, how, scope, scope, node, binds, origin))
        if how == "bind":
            scope.bound.add(name)

    def _after(self, place: Place, word: str, count: int = 1) -> list[Place]:
        # Of the names that follow the next `word`.
        at = bisect.bisect_left(self._order, place)
        while self._at[self._order[at]] != word:
            at += 1
        return self._order[at + 1 : at + 1 + count]

    def _all(self, nodes: Iterable[ast.AST | None], scope: Scope) -> None:
        for node in nodes:
            if node is not None:
                self._one(node, scope)

    def _one(self, node: ast.AST, scope: Scope) -> None:
        kind = type(node).__name__
        if kind in _REFUSED:
            self._fail(node, _REFUSED[kind])
        handler = getattr(self, "_" + kind, None)
        if handler:
            handler(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            self._generated(node, scope)
        else:
            self._all(ast.iter_child_nodes(node), scope)

    def _Name(self, node: ast.Name, scope: Scope) -> None:
        if node.id in _SEES_ALL:
            self._fail(node, f"{node.id}()")
        how = "use" if isinstance(node.ctx, ast.Load) else "bind"
        self._note(node.id, (node.lineno, node.col_offset), scope, node, how)

    def _Attribute(self, node: ast.Attribute, scope: Scope) -> None:
        self._one(node.value, scope)
        end = (node.end_col_offset or 0) - len(node.attr.encode())
        self._note(node.attr, (node.end_lineno or 0, end), scope, node, "attribute")

    def _keyword(self, node: ast.keyword, scope: Scope) -> None:
        if node.arg is None:
            self._fail(node, "** in a call")
        self._note(node.arg or "", (node.lineno, node.col_offset), scope, node, "keyword")
        self._one(node.value, scope)

    def _FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> None:
        self._all(node.decorator_list, scope)
        place = self._after((node.lineno, node.col_offset), "def")[0]
        self._note(node.name, place, scope, node, "bind")
        self._function(node, node.body, scope)

    def _Lambda(self, node: ast.Lambda, scope: Scope) -> None:
        self._function(node, [node.body], scope)

    def _function(self, node: _Function, body: Iterable[ast.AST], scope: Scope) -> None:
        args = node.args
        self._all([*args.defaults, *args.kw_defaults], scope)
        inner = self._scope("function", node, scope)
        for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
            if arg is not None:
                self._note(arg.arg, (arg.lineno, arg.col_offset), inner, arg, "bind")
        if args.kwarg:
            self._fail(node, f"**{args.kwarg.arg}")
        self._all(body, inner)

    def _ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        self._all([*node.decorator_list, *node.bases, *node.keywords], scope)
        place = self._after((node.lineno, node.col_offset), "class")[0]
        self._note(node.name, place, scope, node, "bind")
        self._all(node.body, self._scope("class", node, scope))

    def _generated(self, node: ast.AST, scope: Scope) -> None:
        first, *further = node.generators  # type: ignore[attr-defined]
        self._one(first.iter, scope)
        inner = self._scope("function", node, scope)
        parts = [getattr(node, name, None) for name in ("elt", "key", "value")]
        self._all([first.target, *first.ifs, *further, *parts], inner)

    def _Global(self, node: ast.Global | ast.Nonlocal, scope: Scope) -> None:
        word = type(node).__name__.lower()
        scope.declared.update(dict.fromkeys(node.names, word))
        places = self._after((node.lineno, node.col_offset), word, len(node.names))
        for name, place in zip(node.names, places, strict=True):
            self._note(name, place, scope, node, "use")
            if word == "global":
                self._scopes[0].bound.add(name)

    _Nonlocal = _Global

    def _ExceptHandler(self, node: ast.ExceptHandler, scope: Scope) -> None:
        self._all([node.type], scope)
        if node.name and node.type:
            end = (node.type.end_lineno or 0, node.type.end_col_offset or 0)
            self._note(node.name, self._after(end, "as")[0], scope, node, "bind")
        self._all(node.body, scope)

    def _Import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            place = (alias.lineno, alias.col_offset)
            if alias.name == "*" or (isinstance(node, ast.ImportFrom) and node.level):
                self._fail(node, "import of * or relative import")
            top = alias.name.split(".")[0]
            origin = alias.name if alias.asname else top
            if isinstance(node, ast.ImportFrom):
                self._note(alias.name, place, scope, node, "member")
                origin = f"{node.module}.{alias.name}"
            if alias.asname:
                end = (alias.end_col_offset or 0) - len(alias.asname.encode())
                place = (alias.end_lineno or 0, end)
            self._note(alias.asname or top, place, scope, node, "bind", origin)

    _ImportFrom = _Import


def edited(text: bytes, edits: Iterable[tuple[Place, Place, str]]) -> bytes:
    """The file with the text from each (start, end) replaced; none may overlap another."""
    lines = text.splitlines(keepends=True)
    begins = list(itertools.accumulate(map(len, lines), initial=0))
    made = text
    for start, end, new in sorted(edits, reverse=True):
        a, b = (begins[line - 1] + column for line, column in (start, end))
        made = made[:a] + new.encode() + made[b:]
    return made


def _home(name: str, scope: Scope, module: Scope) -> Scope:
    # Where the name lives that `scope` sees; the module also for what is built in.
    up: Scope | None = scope
    while up and up is not module:
        if up.declared.get(name) == "global":
            break
        seen = up is scope or up.kind != "class"
        if seen and name in up.bound and name not in up.declared:
            return up
        up = up.parent
    return module
