"""What a name in the firmware stands for, as far as it can be seen: for namespaces.py."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tools.board.scopes import Key, Mention, Source

_LITERALS = (
    *(ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.GeneratorExp, ast.BinOp, ast.UnaryOp, ast.Compare),
)


class Bindings:
    """Of all names in all files."""

    def __init__(self, sources: list[Source]) -> None:
        self._tops = {source.module.split(".")[0] for source in sources}
        self._mention: dict[int, Mention] = {}  # by the id of its Name
        self._imports: dict[Key, str] = {}  # name -> module, or module.member
        self._values: dict[Key, list[ast.expr | None]] = defaultdict(list)
        self._foreign: set[str] = set()  # attributes that may hold what is not ours
        self.changed: set[int] = set()  # ids of attributes that are changed in place
        for source in sources:
            self._names(source)
        given = [
            (target.attr, value)
            for source in sources
            for target, value in _assignments(source.nodes)
            if isinstance(target, ast.Attribute)
        ]
        size = -1
        while len(self._foreign) > size:  # until nothing more is found
            size = len(self._foreign)
            for name, value in given:
                if self.is_foreign(value):
                    self._foreign.add(name)

    def _names(self, source: Source) -> None:
        self.changed |= {id(n.target) for n in source.nodes if isinstance(n, ast.AugAssign)}
        values = {id(target): value for target, value in _assignments(source.nodes)}
        for mention in source.mentions:
            node = mention.node
            if isinstance(node, ast.Name):
                self._mention[id(node)] = mention
            if mention.origin:
                self._imports[mention.key] = mention.origin
            elif mention.binds and mention.kind != "attribute":
                self._values[mention.key].append(values.get(id(node)))

    def foreign_names(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """Names in an import that are not ours to change."""
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        for module in modules:
            yield from (module or "").split(".")
        if isinstance(node, ast.ImportFrom) and not self._is_ours(node.module or ""):
            yield from (alias.name for alias in node.names)

    def _is_ours(self, dotted: str) -> bool:
        return dotted.split(".")[0] in self._tops

    def dotted(self, source: Source, node: ast.expr) -> str | None:
        """The module, or what is in it by that name."""
        if isinstance(node, ast.Attribute):
            whole = self.dotted(source, node.value)
            return whole and f"{whole}.{node.attr}"
        if not isinstance(node, ast.Name):
            return None
        key = self._mention[id(node)].key
        if key in self._imports:
            return None if key in self._values else self._imports[key]
        here = self._mention[id(node)].kind == "module" and key in self._values
        return f"{source.module}.{node.id}" if here else None

    def method_of(self, name: ast.Name) -> str | None:
        """The class, where the name is the `self` of one of its methods."""
        scope = self._mention[id(name)].scope
        inside = scope.parent and scope.parent.node
        if not isinstance(scope.node, ast.FunctionDef) or not isinstance(inside, ast.ClassDef):
            return None
        once = len(self._values[self._mention[id(name)].key]) == 1
        args = [arg.arg for arg in scope.node.args.args]
        first = args[:1] == [name.id] and not scope.node.decorator_list
        return inside.name if first and once else None

    def made_by(self, source: Source, name: ast.Name) -> str | None:
        """The class, where the name is only ever given a new object of that."""
        values = self._values[self._mention[id(name)].key]
        calls = [value.func for value in values if isinstance(value, ast.Call)]
        made = {self.dotted(source, call) for call in calls}
        return made.pop() if len(made) == 1 and len(calls) == len(values) else None

    def is_foreign_name(self, node: ast.expr) -> bool:
        """Whether it is built in, or out of a module that is not ours."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and self._of_name(node) is True

    def is_foreign(
        self, node: ast.expr | None, surely: bool = False, seen: frozenset[int] = frozenset()
    ) -> bool:
        """Whether it may be MicroPython's, or umqtt's. If in doubt, no.

        ``surely``: by what it is made of, and not because it is in an attribute of that name.
        """
        if node is None or id(node) in seen:
            return False
        if isinstance(node, ast.Name):
            found = self._of_name(node)
        elif isinstance(node, ast.Attribute) and node.attr in self._foreign and not surely:
            return True
        else:
            found = _of(node)
        if isinstance(found, bool):
            return found
        seen |= {id(node)}
        return any(self.is_foreign(part, surely, seen) for part in found)

    def _of_name(self, name: ast.Name) -> bool | list[ast.expr | None]:
        key = self._mention[id(name)].key
        if key in self._imports:
            return not self._is_ours(self._imports[key])
        if self._mention[id(name)].kind == "module" and key not in self._values:
            return name.id != "super"  # built in
        return self._values[key]


def _of(node: ast.expr) -> bool | list[ast.expr | None]:
    # Whether it is foreign, or what decides that.
    match node:
        case ast.Constant(value=value):
            return value is not None
        case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Call(func=value):
            return [value]
        case ast.BoolOp(values=values):
            return list(values)
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
    return isinstance(node, _LITERALS)


def _assignments(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Every (target, value), where that is one and the other."""
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield target, node.value
                both = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                if both and len(target.elts) == len(node.value.elts):  # type: ignore[attr-defined]
                    yield from zip(target.elts, node.value.elts, strict=True)  # type: ignore[attr-defined]
        elif isinstance(node, ast.withitem) and node.optional_vars:
            yield node.optional_vars, node.context_expr
