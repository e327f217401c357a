"""Where data were written: the expression that makes a data set, and the user's functions that it calls."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Subset

from trainkit.inspection.source import Code, Line, called, code_of, tree, walk
from trainkit.inspection.subject import Subject

DEPTH = 6
"""Functions that call each other, which are followed."""
ASSIGNED = (ast.Assign, ast.AugAssign, ast.AnnAssign)


@dataclass(eq=False)
class Origin:
    """The source that makes one of the data sets.

    Attributes:
        entry: The expression that is given as ``train_set`` or ``val_set``.
        parts: That expression, the assignments that it reads, then the functions that these call, nearest first.
    """

    file: str
    entry: ast.AST
    parts: list[ast.AST] = field(default_factory=list)

    @property
    def line(self) -> Line:
        """The line of the expression itself."""
        return Line(self.file, getattr(self.entry, "lineno", 1))

    def find(self, wanted: Callable[[ast.AST], bool]) -> Line | None:
        """Return the line of the first node that is wanted, nearest first."""
        for part in self.parts:
            for node in walk(part):
                if hasattr(node, "lineno") and wanted(node):
                    return Line(self.file, node.lineno)
        return None


def origin(subject: Subject, name: str) -> Origin | None:
    """Return where ``train_set`` or ``val_set`` is made, as a dictionary's entry, an argument or a variable."""
    found: list[tuple[bool, Origin]] = []
    for file in subject.files:
        whole = tree(file)
        scopes = [node for node in walk(whole) if isinstance(node, ast.FunctionDef)] if whole is not None else []
        for scope in [*scopes, whole]:
            entry = _entry(scope, name) if scope is not None else None
            if entry is not None and whole is not None and scope is not None:
                both = all(_entry(scope, other) is not None for other in ("train_set", "val_set"))
                found.append((both, Origin(file, entry, _followed(whole, scope, entry))))
    best = [made for both, made in found if both] or [made for _, made in found]
    return best[0] if best else None


def _entry(scope: ast.AST, name: str) -> ast.AST | None:
    for node in walk(scope):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == name:
                    return value
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == name:
                    return keyword.value
    return None


def _followed(whole: ast.Module, scope: ast.AST, entry: ast.AST) -> list[ast.AST]:
    """Return an expression, then the assignments and functions that it hangs on."""
    functions = {node.name: node for node in walk(whole) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    parts: list[ast.AST] = [entry]
    names: set[str] = set()
    for _ in range(DEPTH):
        fresh = set().union(*(_names(part) for part in parts)) - names
        names |= fresh
        added: list[ast.AST] = [functions[name] for name in sorted(fresh & set(functions))]
        local = [node for node in _assignments(scope) if _targets(node) & fresh]
        outer = fresh - set().union(*(_targets(node) for node in local))
        added += local + [node for node in whole.body if isinstance(node, ASSIGNED) and _targets(node) & outer]
        added = [node for node in added if node not in parts and node is not scope]
        if not added:
            break
        parts += added
    parts[1:] = sorted(parts[1:], key=lambda part: isinstance(part, ast.FunctionDef | ast.ClassDef))
    return parts


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in walk(node) if isinstance(inner, ast.Name)}


def _assignments(scope: ast.AST) -> Iterator[ast.Assign | ast.AugAssign | ast.AnnAssign]:
    return (node for node in walk(scope) if isinstance(node, ASSIGNED))


def _targets(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
    return set().union(*(_names(target) for target in targets))


def made_at(subject: Subject, name: str) -> Line | None:
    """Return the line at which a data set is made; the first line of its class if that is the user's."""
    made = origin(subject, name)
    return made.line if made is not None else subject.where_made(whole_of(getattr(subject, name)))


def whole_of(data: Any) -> Any:
    """Return the data set of which a part is given."""
    while isinstance(data, Subset):
        data = data.dataset
    return data


def stored(data: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the tensors and arrays that a data set stores, by path; of lists of them the first ones."""
    found: dict[str, Any] = {}
    inner = vars(data) if hasattr(data, "__dict__") else data if isinstance(data, Mapping) else {}
    for name, value in inner.items():
        place = f"{path}.{name}" if path else str(name)
        if isinstance(value, Tensor | np.ndarray):
            found[place] = value
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Tensor | np.ndarray):
            found |= {f"{place}.{number}": item for number, item in enumerate(value[:64])}
        elif depth < 3 and hasattr(value, "__dict__") and not isinstance(value, type):
            found |= stored(value, place, depth + 1)
    return found


def method_of(data: Any, name: str) -> Code | None:
    """Return a method of a data set's class, if that is the user's, its bases' too."""
    for cls in type(whole_of(data)).__mro__:
        code = code_of(cls)
        method = code.methods().get(name) if code is not None else None
        if method is not None:
            return method
    return None


def one_sided(subject: Subject, wanted: Callable[[ast.AST], bool]) -> Line | None:
    """Return the line of a wanted node that makes one of the two data sets and not the other."""
    train, val = origin(subject, "train_set"), origin(subject, "val_set")
    if train is None or val is None:
        return None
    for one, other in ((val, train), (train, val)):
        for part in [*one.parts[1:], one.entry]:
            if part not in other.parts:
                for node in walk(part):
                    if hasattr(node, "lineno") and wanted(node):
                        return Line(one.file, node.lineno)
    return None


def is_scaling(node: ast.AST) -> bool:
    """Say whether a node scales or shifts by arithmetic, or calls what is named after it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.Sub):
        return not (isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant))
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult | ast.Div | ast.Sub):
        return True
    name = called(node).rpartition(".")[2].lower() if isinstance(node, ast.Call) else ""
    return any(word in name for word in ("normal", "standard", "scale", "totensor")) and name != "normal"
