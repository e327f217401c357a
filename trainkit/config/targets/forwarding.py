"""Where the ``**kwargs`` of a function go, read off its source: the calls that take them, the names that it reads."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

READING = ("get", "pop", "setdefault")
"""Methods of a dictionary that are called with the name of one argument."""
HARMLESS = ("keys", "values", "items", "copy", "clear")
OVERWRITING = ("_ovewrite_named_param", "_ovewrite_value_param")
"""Functions of torchvision that hold one argument against what the weights ask for, and take no others."""


@dataclass(slots=True)
class Call:
    """A call that the ``**kwargs`` are passed on to."""

    function: Callable[..., Any] | None
    """None where it is not known before the function runs."""
    owner: type | None
    """The class whose method it is, of which the object is passed along; None for a plain function or class."""
    positions: int
    """Arguments that it is given by position, besides the object."""
    names: frozenset[str]
    """Names of the arguments that it is given."""
    spread: bool
    """Whether it is given ``*args`` too, so that it is not known how many by position."""
    always: bool
    """Whether it is made whatever the arguments."""


@dataclass(slots=True)
class Forwarded:
    """What becomes of the ``**kwargs`` of a function."""

    calls: list[Call] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    """Names that the function itself takes out of them."""


def forwarded(function: Any, keywords: str, owner: type | None = None) -> Forwarded | None:
    """Return where the ``**kwargs`` of a function go; None if that is not known, or nowhere.

    Args:
        function: A function of Python.
        keywords: What it calls its ``**kwargs``.
        owner: The class that is being built, if it is a method.
    """
    tree = _tree(function)
    if tree is None:
        return None
    found = Forwarded()
    understood: set[ast.AST] = set()
    top = {id(node) for node in tree.body}
    for statement, call in _calls(tree):
        through = [k for k in call.keywords if k.arg is None and _is_name(k.value, keywords)]
        if through:
            target = _callee(call, function, owner, tree)
            callee, kind, shift = target or (None, None, 0)
            found.calls.append(_call(call, callee, kind, shift, always=id(statement) in top))
            understood.update(keyword.value for keyword in through)
        elif name := _read(call, keywords):
            found.read.add(name)
            understood.add(call.func.value)  # type: ignore[attr-defined]
        elif _overwrites(call, keywords):
            understood.add(call.args[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_name(node.value, keywords) and _text(node.slice) is not None:
            if isinstance(node.ctx, ast.Load):
                found.read.add(str(_text(node.slice)))
            understood.add(node.value)
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1 and _is_name(node.comparators[0], keywords):
            if _text(node.left) is None:  # a name that is not written there may be any
                return None
            found.read.add(str(_text(node.left)))
            understood.add(node.comparators[0])
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == keywords]
    return found if uses and all(use in understood for use in uses) else None


def _call(call: ast.Call, callee: Any, owner: type | None, shift: int, always: bool) -> Call:
    starred = [argument for argument in call.args if isinstance(argument, ast.Starred)]
    names = frozenset(keyword.arg for keyword in call.keywords if keyword.arg is not None)
    others = any(k.arg is None for k in call.keywords[:-1]) or sum(k.arg is None for k in call.keywords) > 1
    spread = bool(starred) or others
    return Call(callee, owner, len(call.args) - len(starred) - shift, names, spread, always)


def _calls(tree: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[ast.stmt, ast.Call]]:
    """Yield the calls of a function, each with the statement of its body that it lies in."""
    for statement in tree.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                yield statement if not _branches(statement) else ast.Pass(), node


def _branches(statement: ast.stmt) -> bool:
    kinds = (ast.If, ast.For, ast.While, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    return isinstance(statement, kinds) or any(
        isinstance(node, ast.IfExp | ast.BoolOp | ast.Lambda | ast.comprehension) for node in ast.walk(statement)
    )


def _callee(
    call: ast.Call, function: Any, owner: type | None, tree: ast.FunctionDef | ast.AsyncFunctionDef
) -> tuple[Any, type | None, int] | None:
    """Return what is called, the class whose method it is, and how many arguments by position are the object's."""
    target = call.func
    if (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Call)
        and _is_name(target.value.func, "super")
    ):
        return _of_super(target, function, owner)
    first = tree.args.args[0].arg if owner is not None and tree.args.args else None
    if first is not None and isinstance(target, ast.Name) and target.id == first == "cls":
        return owner, None, 0
    if first is not None and isinstance(target, ast.Attribute) and _is_name(target.value, first):
        method = inspect.getattr_static(owner, target.attr, None)
        return (method, owner, 0) if inspect.isfunction(method) else None
    found = _evaluated(target, function, _local_names(tree))
    if found is None or not callable(found):
        return None
    if inspect.isfunction(found) and isinstance(target, ast.Attribute) and call.args and _is_name(call.args[0], "self"):
        return found, owner or object, 1  # Base.__init__(self, ...)
    return found, None, 0


def _of_super(target: ast.Attribute, function: Any, owner: type | None) -> tuple[Any, type | None, int] | None:
    if owner is None:
        return None
    order = owner.__mro__
    unwrapped = [
        inspect.unwrap(getattr(vars(base).get(target.attr), "__func__", vars(base).get(target.attr, 0)))
        for base in order
    ]
    here = next((n for n, candidate in enumerate(unwrapped) if candidate is function), None)
    if here is None:
        return None
    for base in order[here + 1 :]:
        if target.attr in vars(base):
            method = vars(base)[target.attr]
            return getattr(method, "__func__", method), owner, int(target.attr == "__new__")
    return None


def _evaluated(node: ast.expr, function: Any, local: frozenset[str]) -> Any:
    """Return what a name or a dotted name in a function means; None if that is not fixed."""
    if isinstance(node, ast.Attribute):
        holder = _evaluated(node.value, function, local)
        return None if holder is None else getattr(holder, node.attr, None)
    if not isinstance(node, ast.Name) or node.id in local:
        return None
    free = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    if node.id in free:
        try:
            return free[node.id].cell_contents
        except ValueError:  # not set yet
            return None
    return function.__globals__.get(node.id, getattr(builtins, node.id, None))


def _local_names(tree: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that a function sets itself, whose meaning is not known before it runs."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = tree.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return frozenset(names | {argument.arg for argument in every if argument is not None})


def _read(call: ast.Call, keywords: str) -> str | None:
    """Return the name that a call such as ``kwargs.pop("name")`` takes out."""
    if not isinstance(call.func, ast.Attribute) or not _is_name(call.func.value, keywords):
        return None
    return _text(call.args[0]) if call.func.attr in READING and call.args else None


def _overwrites(call: ast.Call, keywords: str) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    return name in OVERWRITING and bool(call.args) and _is_name(call.args[0], keywords)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def _tree(function: Any) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the source of a function, taken apart; None where there is none."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    node = tree.body[0] if tree.body else None
    return node if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
