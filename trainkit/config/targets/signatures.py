"""What a callable takes: its parameters with their annotations, and those that its ``**kwargs`` lead to."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from inspect import Parameter as Raw
from typing import Any

from trainkit.config.targets.forwarding import Forwarded, forwarded

REQUIRED: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""
ONLY_WHEN_CHECKED = {name: getattr(collections.abc, name) for name in collections.abc.__all__}
ONLY_WHEN_CHECKED |= {"Any": Any, "Literal": typing.Literal}
"""Names that a module may import for type checkers alone, as torch's schedulers do with ``Callable``."""
MODULE = ("torch.nn.modules.module", "Module.__init__")
"""It is written with ``*args, **kwargs`` and refuses both."""
LOOSE = {("torchvision.transforms", "RandomErasing", "value"), ("torch.optim", "SWALR", "swa_lr")}
"""Package, class and parameter of what takes more than its annotation says."""
DEPTH = 8
"""Calls through which ``**kwargs`` are followed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a callable."""

    name: str
    annotation: Any = Any
    """What its annotation means; Any where there is none or it cannot be found out."""
    default: Any = REQUIRED
    by_position: bool = True
    by_name: bool = True

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True)
class Signature:
    """What a callable takes."""

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    """Those with a name of their own, in order; the ones behind ``**kwargs`` come last."""
    open_names: bool = False
    """Whether other names are taken too, as far as can be known."""
    open_positions: bool = False
    """Whether it takes any number of arguments by position."""

    @property
    def positional(self) -> list[Parameter]:
        """Return the parameters that an argument by position fills, in order."""
        return [parameter for parameter in self.parameters.values() if parameter.by_position]

    @property
    def names(self) -> list[str]:
        """Return the names that an argument may have."""
        return [name for name, parameter in self.parameters.items() if parameter.by_name]


UNKNOWN = Signature(open_names=True, open_positions=True)


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return what a callable takes, as it is called: without ``self``, with what its ``**kwargs`` lead to.

    Where that cannot be known, as for functions of C without a signature, it is open: anything goes.
    """
    try:
        return _cached(function)
    except TypeError:  # not hashable
        return _signature(function, DEPTH)


@functools.lru_cache(maxsize=4096)
def _cached(function: Callable[..., Any]) -> Signature:
    return _signature(function, DEPTH)


def _signature(function: Any, depth: int) -> Signature:
    if isinstance(function, functools.partial):
        return _without(_signature(function.func, depth), len(function.args), function.keywords)
    if isinstance(function, type):
        return _of_class(function, depth)
    if isinstance(function, types.MethodType):
        owner = function.__self__ if isinstance(function.__self__, type) else type(function.__self__)
        return _of_function(function.__func__, depth, owner, bound=True)
    if not inspect.isroutine(function) and not hasattr(function, "__wrapped__"):
        call = inspect.getattr_static(type(function), "__call__", None)
        return _of_function(call, depth, type(function), bound=True) if inspect.isfunction(call) else UNKNOWN
    return _of_function(function, depth)


def _of_class(kind: type, depth: int) -> Signature:
    if issubclass(kind, Enum):
        return Signature({"value": Parameter("value", kind)})
    new, init = _own(kind, "__new__"), _own(kind, "__init__")
    if init is None and new is None:
        builtin = kind.__module__ == "builtins" or any(
            base.__module__ == "builtins" and base is not object for base in kind.__mro__
        )
        return UNKNOWN if builtin or _native(kind) else Signature()
    found = [_of_function(f, depth, kind, bound=True) for f in (init, new) if f is not None]
    best = min(found, key=lambda signature: (signature.open_names, signature.open_positions))
    for package, name, loose in LOOSE:
        if kind.__name__ == name and kind.__module__.startswith(package) and loose in best.parameters:
            loosened = replace(best.parameters[loose], annotation=Any)
            best = replace(best, parameters={**best.parameters, loose: loosened})
    return best


def _own(kind: type, name: str) -> Any:
    """Return the Python function that a class, or one that it comes from, has for making its objects."""
    for base in kind.__mro__:
        if name in vars(base) and base is not typing.Generic and base is not typing.Protocol:
            function = vars(base)[name]
            function = function.__func__ if isinstance(function, staticmethod) else function
            return function if inspect.isfunction(inspect.unwrap(function)) else None
    return None


def _native(kind: type) -> bool:
    """Say whether objects of a class are made by C."""
    return any(name in vars(base) for base in kind.__mro__ if base is not object for name in ("__init__", "__new__"))


def _of_function(function: Any, depth: int, owner: type | None = None, bound: bool = False) -> Signature:
    """Return the signature of a function, of a class ``owner``, without its first parameter if it is ``bound``."""
    inner = inspect.unwrap(function)
    if (getattr(inner, "__module__", None), getattr(inner, "__qualname__", "")) == MODULE:
        return Signature()
    try:
        raw = list(inspect.signature(inner).parameters.values())
    except (ValueError, TypeError):
        return UNKNOWN
    hints = _hints(inner)
    if bound and raw and raw[0].kind in (Raw.POSITIONAL_ONLY, Raw.POSITIONAL_OR_KEYWORD):
        raw = raw[1:]
    named = {p.name: _parameter(p, hints) for p in raw if p.kind not in (Raw.VAR_POSITIONAL, Raw.VAR_KEYWORD)}
    rest = next((p.name for p in raw if p.kind is Raw.VAR_POSITIONAL), None)
    keywords = next((p.name for p in raw if p.kind is Raw.VAR_KEYWORD), None)
    signature = Signature(named, open_positions=rest is not None)
    if inner is not function and (older := _legacy_names(function)):
        extra = {name: Parameter(name, default=None, by_position=False) for name in older if name not in named}
        signature = replace(signature, parameters={**named, **extra})
    if keywords is None:
        return signature
    if depth == 0 or not inspect.isfunction(inner):
        return replace(signature, open_names=True)
    return _followed(signature, forwarded(inner, keywords, owner), depth)


def _followed(signature: Signature, through: Forwarded | None, depth: int) -> Signature:
    """Return the signature with what its ``**kwargs`` lead to."""
    if through is None:
        return replace(signature, open_names=True)
    parameters = dict(signature.parameters)
    closed, is_open = False, False
    open_positions = signature.open_positions
    for name in through.read:
        parameters.setdefault(name, Parameter(name, default=None, by_position=False))
    for call in through.calls:
        inner = _bound_signature(call.function, call.owner, depth - 1)
        positional = [p.name for p in inner.positional]
        taken = {*positional[: call.positions], *call.names}
        closed = closed or (call.always and not inner.open_names)  # what this call refuses is refused
        is_open = is_open or inner.open_names
        for name, parameter in inner.parameters.items():
            if name in taken or name in parameters or not parameter.by_name:
                continue
            sure = call.always and not call.spread and len(through.calls) == 1
            default = parameter.default if sure or not parameter.required else None
            by_position = signature.open_positions and call.spread and parameter.by_position
            parameters[name] = replace(parameter, default=default, by_position=by_position)
        if call.spread:
            open_positions = inner.open_positions
    return Signature(parameters, is_open and not closed, open_positions)


def _bound_signature(function: Any, owner: type | None, depth: int) -> Signature:
    if function is None:
        return UNKNOWN
    if owner is None:
        return _signature(function, depth)
    if not inspect.isfunction(inspect.unwrap(function)):
        return Signature() if function in (object.__init__, object.__new__) else UNKNOWN
    return _of_function(function, depth, owner, bound=True)


def _parameter(raw: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    return Parameter(
        raw.name,
        hints.get(raw.name, Any),
        raw.default,
        by_position=raw.kind is not Raw.KEYWORD_ONLY,
        by_name=raw.kind is not Raw.POSITIONAL_ONLY,
    )


def _hints(function: Any) -> dict[str, Any]:
    """Return what the annotations of a function mean, without those that stand for names that are not there."""
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - evaluating an annotation may fail in any way; the others may still be known
        pass_on = getattr(function, "__annotations__", {})
    found, names = {}, {**ONLY_WHEN_CHECKED, **getattr(function, "__globals__", {})}
    for name, annotation in pass_on.items():
        if not isinstance(annotation, str):
            found[name] = annotation
            continue
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(typing.get_type_hints(holder, names))
        except Exception:  # noqa: BLE001 - as above; what one annotation means stays unknown
            found[name] = Any
    return found


def returned(function: Callable[..., Any]) -> Any:
    """Return the annotation of what a function returns; Any where there is none."""
    inner = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    return _hints(inner).get("return", Any)


def _without(signature: Signature, positions: int, names: Mapping[str, Any]) -> Signature:
    """Return what is left to give when some arguments are given."""
    gone = {parameter.name for parameter in signature.positional[:positions]}
    parameters, by_position = {}, True
    for name, parameter in signature.parameters.items():
        if name not in gone:
            by_position = by_position and name not in names  # nothing behind a named one can be given by position
            default = names.get(name, parameter.default)
            parameters[name] = replace(parameter, default=default, by_position=by_position and parameter.by_position)
    return replace(signature, parameters=parameters)


def _legacy_names(function: Any) -> tuple[str, ...]:
    """Return the names that torchvision's decorator of model builders takes besides, such as ``pretrained``."""
    names: list[str] = []
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and "weights" in code.co_freevars:
            cell = function.__closure__[code.co_freevars.index("weights")].cell_contents
            if isinstance(cell, dict):
                names += [value[0] for value in cell.values() if isinstance(value, tuple) and isinstance(value[0], str)]
        function = getattr(function, "__wrapped__", None)
    return tuple(names)
