"""Holding the arguments of one node against the signature of what it names, and values against annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin

from torch.optim import Optimizer

from trainkit.config.targets.instantiate import CONVERSIONS, DIRECTIVES, MISSING, dtype_of, kinds_of, member_of
from trainkit.config.targets.lookup import elsewhere
from trainkit.config.targets.roles import Role, classes_of, named, place_of, result_of
from trainkit.config.targets.signatures import Parameter, Signature
from trainkit.errors import closest
from trainkit.findings import Severity
from trainkit.optim.schedules import TOTALS
from trainkit.values import judged, shown

LISTED = 8
"""Parameters that a message lists."""
LIKELY = 0.8
"""From this likeness on, an argument that is passed on to who knows where is taken for a misspelt one."""
PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None), type)
UNSET: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a node."""

    rule: str
    place: str
    message: str
    value: Any = UNSET
    """What is shown behind the place; unset: what stands there."""
    fix: str = ""
    severity: Severity = "error"


def is_directive(name: Any) -> bool:
    """Say whether a key is none of an argument: ``_target_``, ``_args_``, and whatever looks like them."""
    return not isinstance(name, str) or (name.startswith("_") and name.endswith("_") and len(name) > 2)


def directive_problems(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Judge the directives of a node."""
    rule = "wrong-directive"
    for name in ("_partial_", "_recursive_"):
        if name in node and not isinstance(node[name], bool) and node[name] != MISSING:
            yield Problem(rule=rule, place=f"{path}.{name}", message="must be true or false")
    if node.get("_convert_", "all") not in (*CONVERSIONS, MISSING):
        message = f"must be one of {', '.join(CONVERSIONS)}"
        yield Problem(rule=rule, place=f"{path}._convert_", message=message)
    if not isinstance(node.get("_args_") or [], list | tuple) and node["_args_"] != MISSING:
        yield Problem(rule=rule, place=f"{path}._args_", message="must be a list of the arguments by position")
    for name in node:
        if isinstance(name, str) and is_directive(name) and name not in DIRECTIVES:
            fix = closest(name, DIRECTIVES).strip() or f"There are {', '.join(DIRECTIVES)}"
            yield Problem(rule=rule, place=f"{path}.{name}", message="there is no such directive", fix=fix)


def argument_problems(
    found: Callable[..., Any], signature: Signature, node: Mapping[str, Any], path: str, role: Role | None
) -> Iterator[Problem]:
    """Judge which arguments a node gives: unknown, missing and double ones.

    Args:
        found: What its target names.
        signature: That of ``found``.
        node: The node.
        path: Where it stands.
        role: What the place is for, None for a nested node.
    """
    given, leading = positional(node), role.leading if role is not None else 0
    if given and leading:
        message = "trainkit gives the first argument itself"
        yield Problem(rule="duplicate-argument", place=f"{path}._args_", message=message, fix="Name the others")
        given = []
    takers = signature.positional
    taken = [parameter.name for parameter in takers[: leading + len(given)]]
    if given and leading + len(given) > len(takers) and not signature.open_positions:
        most = len(takers) - leading
        message = f"{called(found)} takes {most or 'no'} argument{'s' * (most != 1)} by position, not {len(given)}"
        yield Problem(rule="unknown-argument", place=f"{path}._args_", message=message, fix=_takes(signature, taken))
    names = [name for name in node if not is_directive(name)]
    for name in names:
        if name in taken and signature.parameters[name].by_name:
            yield _twice(path, name, leading, taken)
        elif name not in signature.names:
            yield from _unknown(found, signature, node, path, name, [*names, *taken])
    if isinstance(found, type) and issubclass(found, Optimizer):
        yield from _together(node, path)
    if node.get("_partial_") is not True:
        yield from _missing(found, signature, path, {*names, *taken}, role)


def _together(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Judge the ways in which an optimizer of torch takes its steps, of which it can have one."""
    chosen = [name for name in ("fused", "foreach", "differentiable") if node.get(name) is True]
    if len(chosen) > 1:
        message = f"cannot be true together with {chosen[1]}"
        fix = f"Take out one: ~{path}.{chosen[1]}"
        yield Problem(rule="wrong-together", place=f"{path}.{chosen[0]}", message=message, fix=fix)


def positional(node: Mapping[str, Any]) -> list[Any]:
    """Return the arguments that a node gives by position."""
    given = node.get("_args_") or []
    return list(given) if isinstance(given, list | tuple) else []


def _twice(path: str, name: str, leading: int, taken: Sequence[str]) -> Problem:
    place = f"{path}.{name}"
    if taken.index(name) < leading:
        message, fix = "trainkit gives this argument itself", f"Take it out: ~{place}"
    else:
        message = f"is given twice: by name, and by position as {path}._args_[{taken.index(name) - leading}]"
        fix = "Take one out"
    return Problem(rule="duplicate-argument", place=place, message=message, fix=fix)


def _unknown(
    found: Any, signature: Signature, node: Mapping[str, Any], path: str, name: str, given: Sequence[str]
) -> Iterator[Problem]:
    place = f"{path}.{name}"
    if place == "optimizer.fused" and node[name] is None:
        return  # trainkit takes it out where there are no such kernels
    free = [other for other in signature.names if other not in given]
    near = closest(name, [*free, *(other for other in signature.names if other not in free)])
    near = near.strip().replace("'", f"'{path}.", 1)
    if not signature.open_names:
        fix = near or f"{_takes(signature, ())}; ~{place} leaves it out"
        yield Problem(rule="unknown-argument", place=place, message=f"{called(found)} takes no such argument", fix=fix)
    elif closest(name, free, LIKELY):
        message = f"{called(found)} passes it on, and nothing that is known reads it"
        yield Problem(rule="unknown-argument", place=place, message=message, fix=near, severity="warning")


def _missing(found: Any, signature: Signature, path: str, given: set[str], role: Role | None) -> Iterator[Problem]:
    if path.startswith("schedule.scheduler"):
        filled: tuple[str, ...] = TOTALS if role is not None else ("optimizer",)
    else:
        filled = role.supplied if role is not None else ()
    absent = [p.name for p in signature.parameters.values() if p.required and p.name not in (*given, *filled)]
    if len(absent) >= 2 and not isinstance(found, type) and path in ("objective", "objective.loss"):
        message, fix = f"{called(found)} needs {' and '.join(absent)}", f"{path}._partial_=true hands over the function"
        yield Problem(rule="missing-argument", place=path, message=message, value=None, fix=fix)
        return
    unknown = [] if signature.open_names else [name for name in given if name not in signature.names]
    for name in absent:
        if not closest(name, unknown):  # of a misspelt one another problem tells
            place, message = f"{path}.{name}", f"must be given: {called(found)} needs it"
            yield Problem(rule="missing-argument", place=place, message=message, value=None, fix=f"Give {place}=VALUE")


def called(found: Any) -> str:
    """Return what a class or function calls itself."""
    return str(getattr(found, "__qualname__", None) or getattr(found, "__name__", None) or type(found).__name__)


def _takes(signature: Signature, taken: Sequence[str]) -> str:
    names = [name for name in signature.names if name not in taken]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"It takes {', '.join(names[:LISTED])}{more}" if names else "It takes none"


# ---------------------------------------------------------------------- values


def value_problem(value: Any, path: str, parameter: Parameter | None) -> Problem | None:
    """Return why a value does not fit the annotation of its parameter, None if it does."""
    if parameter is None or _is_default(value, parameter) or _means_object(value, parameter):
        return None
    if problem := _instead_of_object(value, path, parameter):
        return problem
    misfit = judged(_judgeable(value), parameter.annotation)
    if misfit is None:
        return None
    fix = misfit.fix or ("" if parameter.required else f"Default: {_default(parameter)}")
    return Problem(rule=misfit.rule, place=path, message=misfit.message, value=shown(value), fix=fix.strip())


def _instead_of_object(value: Any, path: str, parameter: Parameter) -> Problem | None:
    """Return what is wrong with text for a class or function, and with a plain mapping for a dataclass."""
    kinds = [kind for kind in kinds_of(parameter.annotation) if kind is not type(None)]
    default = None if parameter.required else parameter.default  # that of a required one is a class that says so
    unknown = kinds in ([Any], [object]) and inspect.isroutine(default)
    unknown = unknown or (kinds == [Any] and isinstance(default, type))
    if isinstance(value, str) and kinds and (unknown or all(_is_callable(kind) for kind in kinds)):
        name = value if "." in value else elsewhere(value) or value
        message = "must be a class or function, and text is none"
        fix = f"Write {{_target_: {name}, _partial_: true}}, or {{_target_: hydra.utils.get_object, path: {name}}}"
        return Problem(rule="wrong-type", place=path, message=message, value=shown(value), fix=fix)
    if isinstance(value, Mapping) and kinds and all(isinstance(kind, type) and is_dataclass(kind) for kind in kinds):
        message = f"must be {named(kinds[0])}, and a mapping without _target_ is none"
        fix = f"Give {path}._target_={kinds[0].__module__}.{kinds[0].__qualname__}"
        return Problem(rule="wrong-type", place=path, message=message, value=shown(dict(value)), fix=fix)
    return None


def _is_callable(kind: Any) -> bool:
    """Say whether an annotation wants a class or function, or a list of such."""
    origin = get_origin(kind) or kind
    if origin in (list, tuple, Sequence):
        inner = [other for other in get_args(kind) if other is not ...]
        return bool(inner) and all(_is_callable(other) for other in inner)
    return origin in (type, Callable)


def object_problem(found: Any, node: Mapping[str, Any], parameter: Parameter) -> str:
    """Return why what a target gives does not suit an annotated parameter; empty if it may."""
    wanted = classes_of(parameter.annotation)
    kind = result_of(found, node.get("_partial_") is True)
    if not wanted or not isinstance(kind, type) or kind in (object, type):
        return ""
    objects = [other for other in wanted if other not in PLAIN and not _is_abstract(other)]
    if not objects or any(_may_be(kind, other) for other in wanted):
        return ""
    words = place_of(kind) or ("a function" if kind.__name__ == "partial" else named(kind))
    names = " or ".join(other.__name__ for other in wanted if other is not type(None))
    return f"gives {words}; {parameter.name} must be a {names}"


def item_of(parameter: Parameter | None) -> Parameter | None:
    """Return what the items of a list must be, as a parameter; None where that is not known."""
    for kind in kinds_of(parameter.annotation) if parameter is not None else ():
        origin, inner = get_origin(kind), get_args(kind)
        alike = len(inner) == 1 or (len(inner) == 2 and inner[1] is ...)
        if isinstance(origin, type) and origin is not type and alike and parameter is not None:
            return Parameter(parameter.name, inner[0])
    return None


def _is_abstract(kind: type) -> bool:
    return kind.__module__ in ("collections.abc", "typing", "numbers")


def _may_be(kind: type, wanted: type) -> bool:
    try:
        return issubclass(kind, wanted) or issubclass(wanted, kind)
    except TypeError:
        return True


def _judgeable(value: Any) -> Any:
    """Return a value with what is not known in it as something that fits anywhere."""
    if isinstance(value, Mapping):
        return {name: _judgeable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [{"_target_": MISSING} if inner == MISSING else _judgeable(inner) for inner in value]
    return value


def _is_default(value: Any, parameter: Parameter) -> bool:
    default = parameter.default
    if value is None:
        return default is None  # an annotation that should say "or None", and does not
    if isinstance(value, list) and isinstance(default, tuple):
        return value == list(default)
    return type(value) is type(default) and bool(value == default)


def _means_object(value: Any, parameter: Parameter) -> bool:
    """Say whether text stands for a member of an Enum, or for a number format."""
    if not isinstance(value, str):
        return False
    for kind in kinds_of(parameter.annotation):
        if isinstance(kind, type) and issubclass(kind, Enum) and member_of(kind, value) is not None:
            return True
    return parameter.name == "dtype" and dtype_of(value) is not None


def _default(parameter: Parameter) -> str:
    default = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
    plain = default is None or isinstance(default, bool | int | float | str | list)
    return shown(default) if plain else str(default)
