"""The functions that run in a model's ``forward``, and what the names in them stand for."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch import nn

from trainkit.inspection.source import Code, Line, called, code_of, unparse, walk
from trainkit.inspection.subject import Subject

MISSING = object()
"""What a name stands for that cannot be told without running."""


@dataclass(frozen=True, slots=True)
class Part:
    """A function of the user's that runs in ``forward``, or in another entry.

    Attributes:
        place: As people name it: ``Net.forward``.
        owner: Class of the object on which it runs; None for a plain function.
        path: Module path of the first such object.
    """

    place: str
    code: Code
    function: FunctionType
    owner: type | None = None
    path: str = ""

    def line(self, node: ast.AST) -> Line:
        """Return where a node stands."""
        return self.code.line(node)

    def walk(self) -> Iterator[ast.AST]:
        """Yield all nodes of the body."""
        body = getattr(self.code.node, "body", [])
        for statement in body if isinstance(body, list) else [body]:
            yield from walk(statement)

    def calls(self) -> Iterator[ast.Call]:
        """Yield all calls."""
        return (node for node in self.walk() if isinstance(node, ast.Call))

    def meaning(self, node: ast.AST) -> Any:
        """Return what a dotted name stands for in the function's module and closure, else ``MISSING``."""
        dotted = called(node)
        if not dotted or dotted.startswith("."):
            return MISSING
        first, *rest = dotted.split(".")
        if first in self.function.__code__.co_varnames:
            return MISSING
        value = known_names(self.function).get(first, MISSING)
        for name in rest:
            value = getattr(value, name, MISSING) if value is not MISSING else MISSING
        return value

    def around(self, wanted: ast.AST) -> list[ast.AST]:
        """Return the nodes that enclose one, the innermost first."""
        chain = _chain(self.code.node, wanted)
        return chain[:-1][::-1] if chain else []

    def guarded(self, node: ast.AST, word: str = "training") -> bool:
        """Say whether a node runs only under a condition that tells of a word, such as ``self.training``."""
        for outer in self.around(node):
            if isinstance(outer, ast.If | ast.IfExp | ast.While) and word in unparse(outer.test):
                return True
            if isinstance(outer, ast.BoolOp) and word in unparse(outer):
                return True
        return any(_leaves(statement, word) and statement.lineno < node.lineno for statement in self._ifs())  # type: ignore[attr-defined]

    def _ifs(self) -> Iterator[ast.If]:
        return (node for node in self.walk() if isinstance(node, ast.If))


def _leaves(statement: ast.If, word: str) -> bool:
    return word in unparse(statement.test) and any(isinstance(node, ast.Return) for node in statement.body)


def _chain(node: ast.AST, wanted: ast.AST) -> list[ast.AST]:
    if node is wanted:
        return [node]
    for child in ast.iter_child_nodes(node):
        if chain := _chain(child, wanted):
            return [node, *chain]
    return []


def known_names(function: FunctionType) -> dict[str, Any]:
    """Return what the free names of a function stand for."""
    names = {**vars(builtins), **function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # set later
            names.pop(name, None)
    return names


def parts_from(entry: Any, owner: type | None = None, path: str = "", place: str = "") -> list[Part]:
    """Return a function and the user's functions and methods that it calls, each once."""
    found: dict[int, Part] = {}
    waiting: list[tuple[Any, type | None, str]] = [(entry, owner, place)]
    while waiting:
        function, own, named = waiting.pop(0)
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType):
            continue
        function = inspect.unwrap(function)
        if not isinstance(function, FunctionType) or id(function) in found:
            continue
        code = code_of(function)
        if code is None:
            continue
        part = Part(named or _place(function), code, function, own, path)
        found[id(function)] = part
        waiting += _callees(part)
    return list(found.values())


def forward_parts(subject: Subject) -> list[Part]:
    """Return all functions of the user's that run in the ``forward`` of a module, each once."""
    return subject.once(_forward_parts)


def _forward_parts(subject: Subject) -> list[Part]:
    found: dict[tuple[int, type | None], Part] = {}
    seen: set[type] = set()
    for path, module in subject.model.named_modules():
        if type(module) in seen:
            continue
        seen.add(type(module))
        for part in parts_from(type(module).forward, type(module), path):
            found.setdefault((id(part.function), None), part)
    return list(found.values())


def _callees(part: Part) -> Iterator[tuple[Any, type | None, str]]:
    for call in part.calls():
        dotted = called(call)
        if dotted.startswith("self.") and dotted.count(".") == 1 and part.owner is not None:
            yield inspect.getattr_static(part.owner, dotted[5:], None), part.owner, ""
        elif _is_super(call) and part.owner is not None:
            yield _inherited(part, dotted.rpartition(".")[2]), part.owner, ""
        else:
            meaning = part.meaning(call)
            if isinstance(meaning, FunctionType):
                yield meaning, None, ""
        for argument in call.args:
            if called(argument).startswith("self.") and part.owner is not None:
                yield inspect.getattr_static(part.owner, called(argument)[5:], None), part.owner, ""


def _is_super(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Call)
        and called(function.value) == "super"
    )


def _inherited(part: Part, name: str) -> Any:
    assert part.owner is not None
    mro = part.owner.__mro__
    defined = next((index for index, cls in enumerate(mro) if part.function in vars(cls).values()), 0)
    return next((vars(cls)[name] for cls in mro[defined + 1 :] if name in vars(cls)), None)


def _place(function: FunctionType) -> str:
    names = function.__qualname__.split(".<locals>.")[-1].split(".")
    return ".".join(names[-2:])


def assigned(module: nn.Module | type, attribute: str) -> tuple[Line, ast.AST] | None:
    """Return the line that first sets ``self.attribute``, or an attribute of a class, with the statement."""
    codes = [code for cls in (module if isinstance(module, type) else type(module)).__mro__ if (code := code_of(cls))]
    for code in codes:
        for node in (*getattr(code.node, "body", ()), *walk(code.node)):
            if any(_sets(target, attribute, node in getattr(code.node, "body", ())) for target in targets_of(node)):
                return code.line(node), node
    for code in codes:
        for call in code.calls("setattr", "__setattr__", "update"):
            if any(isinstance(item, ast.Constant) and item.value == attribute for item in walk(call)):
                return code.line(call), call
            if any(keyword.arg == attribute for keyword in call.keywords):
                return code.line(call), call
    return None


def part_of(model: nn.Module, path: str) -> nn.Module | None:
    """Return the module at a path of a model; None if there is none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def targets_of(node: ast.AST) -> list[ast.expr]:
    """Return what a statement assigns to."""
    if isinstance(node, ast.Assign):
        return [
            inner
            for item in node.targets
            for inner in (item.elts if isinstance(item, ast.Tuple | ast.List) else [item])
        ]
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def _sets(target: ast.expr, attribute: str, of_class: bool) -> bool:
    if of_class and isinstance(target, ast.Name):
        return target.id == attribute
    return isinstance(target, ast.Attribute) and target.attr == attribute


def reads(parts: list[Part], attribute: str, with_graph: bool = False) -> bool:
    """Say whether some functions read an attribute of that name; ``with_graph`` counts no reads under ``no_grad``."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.ctx, ast.Load)
        and not (with_graph and any(_without_graph(outer) for outer in part.around(node)))
        for part in parts
        for node in part.walk()
    )


def _without_graph(node: ast.AST) -> bool:
    heads: list[ast.expr] = [item.context_expr for item in node.items] if isinstance(node, ast.With) else []
    heads += node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(called(head).rpartition(".")[2] in ("no_grad", "inference_mode") for head in heads)
