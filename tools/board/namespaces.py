"""Which names of the firmware must stay different, and which as they are: for shorten.py.

A name is an attribute of an object, or a global of a module, or both. What matters is that no two
names that one object or one module has become the same. Where that cannot be seen it is assumed.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tools.board.bindings import Bindings
from tools.board.names import EXCEPTION, UMQTT
from tools.board.scopes import Mention, Scope, Source
from tools.errors import ToolError

_WORD = re.compile(r"[^\W\d]\w*")
_ASKING = ("getattr", "hasattr")
_EXCEPTIONS = re.compile(r"\w*(Error|Exception|Interrupt|Exit|Iteration)")


@dataclass
class Namespaces:
    """All of the program's.

    ``groups``: the names of one module, of one class and all that inherits, of one class's body.
    ``fixed``: names of a group that are not the program's to change, or stand in the same file for
    something else. ``loose``: attributes given to who knows what, so they may meet any other.
    ``kept``: names that must not change. ``keywords``: arguments that must not. ``probed``: what
    objects are asked for that may not have it.
    """

    groups: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    fixed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    loose: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    keywords: set[str] = field(default_factory=set)
    probed: set[str] = field(default_factory=set)

    @property
    def defined(self) -> set[str]:
        """Every name that is the program's own."""
        return self.loose.union(*self.groups.values())

    def sizes(self) -> dict[str, int]:
        """How many names each group has."""
        sizes = {name: len(group) for name, group in self.groups.items()}
        return sizes | {"attributes given from outside": len(self.loose)}


def find(sources: Iterable[Source]) -> Namespaces:
    """Look through the whole program."""
    return _Finder(list(sources)).made


def texts(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are spelled out in a text of their own."""
    values = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return {text for text in values if isinstance(text, str) and _WORD.fullmatch(text)}


class _Finder:
    def __init__(self, sources: list[Source]) -> None:
        self.made = made = Namespaces()
        self._modules = {source.module: source for source in sources}
        self._known = Bindings(sources)
        self._classes: dict[str, tuple[Source, Scope]] = {}
        self._constants: dict[str, set[str]] = {}
        for source in sources:
            for scope in source.scopes:
                if isinstance(scope.node, ast.ClassDef):
                    name = f"{source.module}.{scope.node.name}"
                    if name in self._classes:
                        raise ToolError(f"{source.path}: two classes {name}", "rename one")
                    self._classes[name] = source, scope
        self._family = self._families()
        for name, source in self._modules.items():
            made.kept.update(name.split("."))
            package, _, last = name.rpartition(".")
            if package in self._modules:  # a module becomes an attribute of its package
                made.groups[package].add(last)
            constants = self._constants[name] = _constants(source.nodes)
            # With an underscore they leave nothing in the bytecode.
            made.kept.update(name for name in constants if name.startswith("_"))
            made.kept |= texts(source.nodes)
            made.probed |= _probed(source.nodes)
            # The compiler puts a constant's value wherever its name stands in the file.
            made.groups[name] |= constants
            for mention in source.mentions:
                self._mention(source, mention)
        for source, scope in self._classes.values():
            self._class(source, scope)

    def _mention(self, source: Source, mention: Mention) -> None:
        made, node, name = self.made, mention.node, mention.name
        if mention.kind == "function":
            made.fixed[source.module].add(name)
        elif mention.kind == "keyword":
            made.fixed[source.module].add(name)
            made.keywords.add(name)
        elif mention.kind == "module":
            ours = name in source.scopes[0].bound  # else it is built in
            (made.groups if ours else made.fixed)[source.module].add(name)
        elif mention.kind == "attribute" and isinstance(node, ast.Attribute):
            self._attribute(source, mention, node)
        elif mention.kind == "member" and isinstance(node, ast.ImportFrom):
            # In a function it becomes a local name.
            made.groups[source.module].add(name)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for module in self._known.foreign_names(node):
                made.kept.add(module)

    def _attribute(self, source: Source, mention: Mention, node: ast.Attribute) -> None:
        if self._known.is_foreign(node.value):
            self.made.kept.add(mention.name)
        # To change a value in place (+=) it must be there already.
        if mention.binds and id(node) not in self._known.changed:
            group = self._owner(source, node.value)
            if group:
                self.made.groups[group].add(mention.name)
            elif not self._known.is_foreign(node.value, surely=True):
                self.made.loose.add(mention.name)

    def _owner(self, source: Source, value: ast.expr) -> str | None:
        # The group of the object, if that is certain.
        if isinstance(value, ast.Name):
            inside = self._known.method_of(value)
            if inside:
                return self._family[f"{source.module}.{inside}"]
            made = self._known.made_by(source, value)
            if made in self._family:
                return self._family[made]
        whole = self._known.dotted(source, value)
        return whole if whole in self._modules else None

    def _class(self, source: Source, scope: Scope) -> None:
        made, node = self.made, scope.node
        assert isinstance(node, ast.ClassDef)
        family = self._family[f"{source.module}.{node.name}"]
        made.groups[family] |= scope.bound
        for base in self._bases(source, node):
            if base not in self._family:
                made.fixed[family] |= UMQTT | EXCEPTION
            if _EXCEPTIONS.fullmatch(base.rpartition(".")[2]):
                made.kept.add(node.name)  # a traceback shows it
        body = f"{source.module}, body of {node.lineno}"
        seen = {n.id for child in node.body for n in _outside_functions(child)}
        made.groups[body] |= scope.bound | self._constants[source.module]
        bound = source.scopes[0].bound
        made.groups[body] |= seen & bound
        made.fixed[body] |= seen - bound

    def _bases(self, source: Source, node: ast.ClassDef) -> list[str]:
        # Dotted names for those of ours, the last part for others.
        found = []
        for base in node.bases:
            whole = self._known.dotted(source, base)
            if whole in self._classes:
                found.append(whole)
            elif self._known.is_foreign_name(base):
                found.append(ast.unparse(base).rpartition(".")[2])
            else:
                where = f"{source.path}: {ast.unparse(base)} in line {node.lineno}"
                raise ToolError(f"{where}: what class is it?", "import it from its own file")
        return found

    def _families(self) -> dict[str, str]:
        # Classes that inherit from each other share the attributes of one object.
        family = {name: frozenset({name}) for name in self._classes}
        for name, (source, scope) in self._classes.items():
            assert isinstance(scope.node, ast.ClassDef)
            for base in self._bases(source, scope.node):
                joined = family[name] | family.get(base, frozenset())
                family |= dict.fromkeys(joined, joined)
        order = list(self._classes)
        return {name: f"class {min(map(order.index, group))}" for name, group in family.items()}


def _constants(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func).rpartition(".")[2]
            if called == "const":
                found |= {name.id for name in node.targets if isinstance(name, ast.Name)}
    return found


def _probed(nodes: Iterable[ast.AST]) -> set[str]:
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    asking = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in _ASKING]
    return {text for call in asking for text in texts(ast.walk(call))}


def _outside_functions(node: ast.AST) -> Iterable[ast.Name]:
    # Names that a class's body looks up itself.
    if isinstance(node, ast.Name):
        yield node
    inner = node.args if isinstance(node, (ast.FunctionDef, ast.Lambda)) else node
    parts = [inner, *getattr(node, "decorator_list", [])] if inner is not node else []
    for child in parts or ast.iter_child_nodes(node):
        yield from _outside_functions(child)
