"""The user's own source: which code is theirs, its syntax trees, and the line where a thing was written."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType, FunctionType, MethodType
from typing import Any, TypeVar

from torch import nn

from trainkit.frames import is_users

T = TypeVar("T")
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
"""Trees that are called."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of source."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """The line itself, without the space around it."""
        return linecache.getline(self.file, self.line).strip()


@dataclass(frozen=True, slots=True)
class Code:
    """The tree of a class or function, in a file whose lines it counts.

    ``node`` keeps the line numbers of the whole file.
    """

    file: str
    name: str
    node: ast.AST

    def line(self, node: ast.AST) -> Line:
        """Return where a node of this tree stands."""
        return Line(self.file, getattr(node, "lineno", getattr(self.node, "lineno", 1)))

    def methods(self) -> dict[str, Code]:
        """Return the methods of a class by name."""
        found = (node for node in getattr(self.node, "body", []) if isinstance(node, ast.FunctionDef))
        return {node.name: Code(self.file, f"{self.name}.{node.name}", node) for node in found}

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Yield the calls in this tree whose last name is one of ``names``; of any without names."""
        for node in walk(self.node):
            if isinstance(node, ast.Call) and (not names or called(node).rpartition(".")[2] in names):
                yield node


def walk(node: ast.AST) -> Sequence[ast.AST]:
    """Return all nodes of a tree, as ``ast.walk`` yields them; those of a file, class or function are kept with it.

    Every rule that reads walks the same few trees, which are never changed.
    """
    return _kept(node, "_walked", lambda node: tuple(ast.walk(node)))


def unparse(node: ast.AST) -> str:
    """Return a tree as source, as ``ast.unparse`` does; that of a file, class or function is kept with it."""
    return _kept(node, "_unparsed", ast.unparse)


def _kept(node: ast.AST, name: str, made: Callable[[ast.AST], T]) -> T:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return made(node)
    if name not in vars(node):
        setattr(node, name, made(node))
    kept: T = vars(node)[name]
    return kept


def called(call: ast.AST) -> str:
    """Return the dotted name that is called, as it is written: ``F.dropout``; empty for what is no plain name."""
    node = call.func if isinstance(call, ast.Call) else call
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(node.id)
    elif names:
        names.append("")
    return ".".join(reversed(names))


def is_own(file: str | None) -> bool:
    """Say whether a file is known and the user's."""
    return file is not None and is_users(file)


def own_line(frame: FrameType | None = None) -> Line | None:
    """Return the innermost line of the user's on the stack."""
    here: FrameType | None = frame or sys._getframe(1)
    while here is not None:
        if is_own(here.f_code.co_filename):
            return Line(here.f_code.co_filename, here.f_lineno)
        here = here.f_back
    return None


@functools.cache
def tree(file: str) -> ast.Module | None:
    """Return the syntax tree of a file; None if it cannot be read as Python."""
    text = "".join(linecache.getlines(file))
    try:
        return ast.parse(text, file) if text else None
    except (SyntaxError, ValueError):
        return None


def file_of(thing: Any) -> str | None:
    """Return the file in which a class, a function or the class of an object is written, if it is the user's."""
    thing = _written(thing)
    try:
        file = thing.__code__.co_filename if isinstance(thing, FunctionType) else inspect.getsourcefile(thing)
    except TypeError:
        file = None
    if file is None and isinstance(thing, type):  # of a module that was run, not imported
        codes = [value.__code__ for value in vars(thing).values() if isinstance(value, FunctionType)]
        file = codes[0].co_filename if codes else None
    return file if file is not None and is_own(file) else None


def code_of(thing: Any) -> Code | None:
    """Return the tree of a class, a function, a lambda or the class of an object; None if it is not the user's."""
    thing, file = _written(thing), file_of(thing)
    whole = tree(file) if file else None
    if file is None or whole is None:
        return None
    if isinstance(thing, FunctionType):
        return _function(thing, file, whole)
    name = thing.__qualname__.replace("<locals>.", "")
    node = _named(whole, name.split("."))
    return Code(file, thing.__name__, node) if isinstance(node, ast.ClassDef) else None


def own_classes(model: nn.Module) -> Iterator[tuple[str, nn.Module, Code]]:
    """Yield each class of the user's among the modules once: path of its first instance, that instance, its tree.

    A class of theirs that others derive from comes too, with the instance of the derived class.
    """
    seen: set[type] = set()
    for path, module in model.named_modules():
        for cls in type(module).__mro__:
            if cls not in seen and (code := code_of(cls)) is not None:
                seen.add(cls)
                yield path, module, code


def own_files(things: Iterable[Any]) -> list[str]:
    """Return the files in which some objects are written, as far as they are the user's, each once."""
    return list(dict.fromkeys(file for thing in things if (file := file_of(thing)) is not None))


def built_at(model: nn.Module, path: str, files: Iterable[str] = ()) -> Line | None:
    """Return the line that built a module: in its parent's class, or else in the files where the model is made.

    Args:
        model: The whole model.
        path: Path of the module, empty for the whole.
        files: Files of the user's in which a module that no class of theirs holds may have been built.
    """
    wanted = model.get_submodule(path)
    parent = path
    while parent:
        parent = parent.rpartition(".")[0]
        code = code_of(type(model.get_submodule(parent)))
        if code is not None:
            name = path.removeprefix(parent).lstrip(".").split(".")[0]
            return _in_class(code, name, wanted) or _only_call(code, wanted) or _only_call(_file(code), wanted)
    candidates = [found for file in files if (found := _likest_call(file, wanted)) is not None]
    return candidates[0] if candidates else None


def _in_class(code: Code, name: str, wanted: nn.Module) -> Line | None:
    """Return the line in a class that sets ``self.name`` and, if that is a larger expression, builds the module."""
    for node in walk(code.node):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = [inner for item in targets for inner in (item.elts if isinstance(item, ast.Tuple) else [item])]
        if not any(isinstance(target, ast.Attribute) and target.attr == name for target in named):
            continue
        value = getattr(node, "value", None)
        inner = [call for call in walk(value) if isinstance(call, ast.Call)] if value is not None else []
        fitting = [call for call in inner if fits(call, wanted)]
        return code.line(fitting[0] if fitting else node)
    return None


def _file(code: Code) -> Code:
    """Return the whole file in which a class or function stands."""
    whole = tree(code.file)
    return code if whole is None else Code(code.file, "", whole)


def _only_call(code: Code, wanted: nn.Module) -> Line | None:
    """Return the one call that may have built a module; None if there are several."""
    fitting = [call for call in code.calls() if fits(call, wanted) and _is_placed(call, wanted)]
    return code.line(fitting[0]) if len(fitting) == 1 else None


def _is_placed(call: ast.Call, module: nn.Module) -> bool:
    """Say whether the widths in a call, where they are numbers, are those of a layer in this order."""
    names = (("in_channels", "out_channels"), ("in_features", "out_features"), ("num_embeddings", "embedding_dim"))
    held = next(([getattr(module, name) for name in pair] for pair in names if hasattr(module, pair[0])), [])
    given = [getattr(item, "value", None) for item in call.args[:2]]
    return all(one is None or one == other for one, other in zip(given, held, strict=False))


def _likest_call(file: str, wanted: nn.Module) -> Line | None:
    whole = tree(file)
    calls = (node for node in walk(whole) if isinstance(node, ast.Call)) if whole is not None else ()
    fitting = [call for call in calls if fits(call, wanted)]
    return Line(file, fitting[0].lineno) if fitting else None


def fits(call: ast.Call, module: nn.Module) -> bool:
    """Say whether a call may have built a module: its class's name, and the numbers that the module still holds."""
    if called(call).rpartition(".")[2] != type(module).__name__:
        return False
    if isinstance(module, nn.Sequential):
        inner = [item for item in call.args if isinstance(item, ast.Call)]
        modules = list(module.children())
        return len(inner) != len(call.args) or (
            len(inner) == len(modules) and all(fits(one, other) for one, other in zip(inner, modules, strict=True))
        )
    numbers = [item.value for item in call.args if isinstance(item, ast.Constant) and type(item.value) in (int, float)]
    held = [value for value in vars(module).values() if type(value) in (int, float)]
    held += [item for value in vars(module).values() if isinstance(value, tuple) for item in value]
    return all(number in held for number in numbers)


def _written(thing: Any) -> Any:
    """Return the class or function that an object was made of."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    if isinstance(thing, MethodType):
        thing = thing.__func__
    if isinstance(thing, FunctionType):
        return inspect.unwrap(thing)
    return thing if isinstance(thing, type) else type(thing)


def _function(function: FunctionType, file: str, whole: ast.Module) -> Code | None:
    found = _functions(whole).get(function.__code__.co_firstlineno)
    if not found:
        return None
    names = [node for node in found if getattr(node, "name", "<lambda>") == function.__name__]
    return Code(file, function.__name__, (names or found)[0])


@functools.cache
def _functions(whole: ast.Module) -> dict[int, list[Function]]:
    """Return the functions of a file by the lines on which they may be said to start: their own, and decorators'."""
    found: dict[int, list[Function]] = {}
    for node in walk(whole):
        if isinstance(node, Function):
            decorators = getattr(node, "decorator_list", [])
            for line in {node.lineno, *(decorator.lineno for decorator in decorators)}:
                found.setdefault(line, []).append(node)
    return found


def _named(whole: ast.AST, names: list[str]) -> ast.AST | None:
    """Return the class or function of a qualified name."""
    node: ast.AST | None = whole
    for name in names:
        inner = walk(node) if node is not None else ()
        kinds = (ast.ClassDef, ast.FunctionDef)
        node = next((item for item in inner if isinstance(item, kinds) and item.name == name), None)
    return node
