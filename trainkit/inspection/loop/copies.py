"""The user's own functions on copies of all that they hold: closures, globals and the objects that they belong to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from trainkit.inspection.source import file_of, is_own
from trainkit.inspection.subject import Stuck, Subject
from trainkit.inspection.untouched import copied, kept_generators, quiet

SMALL = 1 << 16
"""Items of a list or dictionary among the globals above which it is not copied."""


@dataclass
class Copies:
    """A training's parts, and functions of the user's that work on these.

    Attributes:
        held: What the functions hold besides, by name: copies too.
        owners: The objects whose methods they are.
    """

    model: nn.Module
    loss: Any
    optimizers: list[Optimizer]
    schedulers: list[Any]
    functions: list[Callable[..., Any]] = field(default_factory=list)
    held: dict[str, Any] = field(default_factory=dict)
    owners: list[Any] = field(default_factory=list)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Modules that the functions hold besides the model, by name; those in attributes of the user's objects too."""
        things = [(name, thing) for name, thing in self.held.items() if thing is not self.model]
        things += [(name, thing) for owner in self.owners for name, thing in _attributes(owner)]
        inner = [(f"{name}.{key}", part) for name, thing in things for key, part in _attributes(thing)]
        found: dict[str, nn.Module] = {}
        for name, thing in (*things, *inner):
            if isinstance(thing, nn.Module) and not any(thing is each for each in (self.model, *found.values())):
                found[name] = thing
        return found

    @property
    def optimizer(self) -> Any:
        """The optimizer as the user's ``train_step`` takes it: one, or the list."""
        return self.optimizers[0] if len(self.optimizers) == 1 else self.optimizers


@contextmanager
def copies_with(subject: Subject, *functions: Callable[..., Any]) -> Iterator[Copies]:
    """Give copies of a training's parts and of some functions; generators are put back, warnings unsaid.

    Raises:
        Stuck: If the model or optimizer cannot be copied.
    """
    held = {name: value for function in functions for name, value in held_by(function) if _is_copied(value)}
    owners = [function.__self__ for function in functions if isinstance(function, MethodType)]
    with kept_generators(), quiet():
        parts = (subject.loss, subject.optimizers, subject.schedulers, owners)
        try:
            model, loss, optimizers, schedulers, owners, held = copied(subject.model, *parts, held, twin=subject.given)
        except Exception:  # noqa: BLE001 - one of the held things may refuse to be copied: then only those that do not
            held = {name: value for name, value in held.items() if _can_be_copied(value)}
            try:
                model, loss, optimizers, schedulers, owners, held = copied(
                    subject.model, *parts, held, twin=subject.given
                )
            except Exception as error:
                raise Stuck(f"cannot be copied: {error}") from error
        made = Copies(model, loss, optimizers, schedulers, held=held, owners=list(owners))
        made.functions = [_rebound(function, held, owners) for function in functions]
        yield made


def _plain(function: Any) -> FunctionType | None:
    while isinstance(function, partial):
        function = function.func
    function = function.__func__ if isinstance(function, MethodType) else function
    function = _inner(function) or function
    return function if isinstance(function, FunctionType) and is_own(function.__code__.co_filename) else None


def _inner(function: Any) -> FunctionType | None:
    """Return the user's function in a decorated one, such as that of ``torch.no_grad()``; None of any other."""
    inner = getattr(function, "__wrapped__", None)
    if not isinstance(function, FunctionType) or not isinstance(inner, FunctionType):
        return None
    held = any(_content(cell) is inner for cell in function.__closure__ or ())
    return inner if held and not is_own(function.__code__.co_filename) else None


def _wrapped(function: Any, made: FunctionType) -> FunctionType:
    """Return a decorated function around the copy of the user's."""
    inner = _inner(function)
    if inner is None:
        return made
    cells = tuple(CellType(made) if _content(cell) is inner else cell for cell in function.__closure__ or ())
    whole = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    whole.__kwdefaults__ = function.__kwdefaults__
    whole.__dict__.update({**vars(function), "__wrapped__": made})
    return whole


def held_by(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a function reads from its closure and globals, its helpers' too."""
    seen: set[int] = set()
    waiting = [_plain(function)]
    while waiting:
        plain = waiting.pop()
        if plain is None or id(plain) in seen:
            continue
        seen.add(id(plain))
        found = {name: plain.__globals__[name] for name in _names(plain.__code__) if name in plain.__globals__}
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True):
            value = _content(cell)
            found |= {name: value}
        for name, value in found.items():
            waiting.append(_plain(value))
            yield name, value
        yield from vars(plain).items()


def _attributes(thing: Any) -> list[tuple[str, Any]]:
    """Return what an object of the user's keeps; of a module nothing, whose parts are its own."""
    if isinstance(thing, nn.Module) or file_of(type(thing)) is None:
        return []
    return list(getattr(thing, "__dict__", {}).items())


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # set later
        return None


def _is_copied(value: Any) -> bool:
    if isinstance(value, list | dict) and len(value) > SMALL:
        return False
    return not isinstance(value, FunctionType | ModuleType | type | CodeType) and hasattr(value, "__class__")


def _can_be_copied(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - whatever it raises, it cannot be copied
        return False
    return True


def _rebound(function: Any, held: dict[str, Any], owners: list[Any]) -> Any:
    """Return a function that reads the copies."""
    if isinstance(function, partial):
        inner = _rebound(function.func, held, owners)
        return partial(inner, *function.args, **function.keywords)
    plain = _plain(function)
    if plain is None:
        return function
    world = dict(plain.__globals__)
    known: dict[int, FunctionType] = {}
    outer = function.__func__ if isinstance(function, MethodType) else function
    made = _wrapped(outer, _made(plain, held, world, known))
    return MethodType(made, owners.pop(0)) if isinstance(function, MethodType) else made


def _made(plain: FunctionType, held: dict[str, Any], world: dict[str, Any], known: dict[int, Any]) -> FunctionType:
    if id(plain) in known:
        known_one: FunctionType = known[id(plain)]
        return known_one
    cells = [
        CellType(held.get(name, _content(cell)))
        for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True)
    ]
    defaults = tuple(
        copy.deepcopy(value) if isinstance(value, list | dict | set) else value for value in plain.__defaults__ or ()
    )
    made = FunctionType(plain.__code__, world, plain.__name__, defaults or None, tuple(cells))
    made.__kwdefaults__ = plain.__kwdefaults__
    made.__dict__.update({name: held.get(name, value) for name, value in vars(plain).items()})
    known[id(plain)] = made
    for cell in cells:
        closed = _plain(_content(cell))
        if closed is not None:
            cell.cell_contents = _made(closed, held, world, known)
    for name in _names(plain.__code__):
        helper = plain.__globals__.get(name)
        if isinstance(helper, FunctionType) and _plain(helper) is helper and helper.__globals__ is plain.__globals__:
            world[name] = _made(helper, held, world, known)
        elif name in held:
            world[name] = held[name]
    return made
