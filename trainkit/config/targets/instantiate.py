"""Building what a config describes: nested objects first, and errors in the words of whoever wrote the config."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from textwrap import shorten
from types import UnionType
from typing import Any, Union, get_args, get_origin

import torch

from trainkit.config.schema.keys import DIRECTIVES as DIRECTIVES
from trainkit.config.secrets import MASKED, is_secret
from trainkit.config.targets.lookup import TargetError, frames_that_matter, resolve
from trainkit.config.targets.signatures import Parameter, signature_of
from trainkit.config.targets.trusted import ANYONE, DISCOVERY, Trusted
from trainkit.errors import ConfigError, TrainingError

CONVERSIONS = ("none", "partial", "object", "all")
"""What ``_convert_`` may say. Containers are plain here whichever it is."""
MISSING = "???"
TOLD_LINES, TOLD, GIVEN = 3, 300, 300


def instantiate(
    node: Any,
    path: str,
    *arguments: Any,
    trusted: Trusted = ANYONE,
    shared: Mapping[str, Any] | None = None,
) -> Any:
    """Build the object of a ``_target_`` node, nested ones first.

    Directives mean what they mean to Hydra: ``_args_`` are arguments by position, ``_partial_: true`` gives a function
    that still takes arguments, ``_recursive_: false`` leaves nested nodes as they are; ``_convert_`` changes nothing,
    for containers are plain dicts and lists. Text becomes a member of an Enum or a ``torch.dtype`` where the annotation
    of a parameter asks for one.

    Args:
        node: Plain dicts, lists and values.
        path: Where it stands in the config.
        arguments: Given to the target by position.
        trusted: Whose code it may name.
        shared: Arguments, by name, for each nested target that requires one of that name and is not given it.

    Raises:
        ConfigError: That names the config path, of a nested node if it is one, the target and what it said.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{path}: has no _target_, so it is not known what to build; {path}=OPTION chooses one")
    return _object(node, path, arguments, _Way(trusted, shared or {}))


class _Way(typing.NamedTuple):
    """What holds for a node and all within it."""

    trusted: Trusted
    shared: Mapping[str, Any]


def _built(value: Any, path: str, way: _Way) -> Any:
    """Return a value with the objects in it built."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _object(value, path, (), way)
        return {key: _built(inner, f"{path}.{key}", way) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_built(inner, f"{path}[{number}]", way) for number, inner in enumerate(value)]
    return value


def _object(node: Mapping[str, Any], path: str, arguments: Sequence[Any], way: _Way) -> Any:
    partial = _switch(node, "_partial_", False, path)
    recursive = _switch(node, "_recursive_", True, path)
    if (conversion := node.get("_convert_", "all")) not in CONVERSIONS:
        raise ConfigError(f"{path}._convert_={conversion}: must be one of {', '.join(CONVERSIONS)}")
    given = node.get("_args_") or []
    if not isinstance(given, list | tuple):
        raise ConfigError(f"{path}._args_={given}: must be a list of the arguments by position")
    if given and arguments:
        raise ConfigError(f"{path}._args_: trainkit gives the first argument itself; name the others")
    target = target_of(node, path, way.trusted)
    if node["_target_"] in DISCOVERY:
        return target
    values = {name: value for name, value in node.items() if name not in DIRECTIVES}
    if partial:
        values = {name: value for name, value in values.items() if value != MISSING}
    if recursive:
        values = {name: _built(value, f"{path}.{name}", way) for name, value in values.items()}
        given = [_built(value, f"{path}._args_[{number}]", way) for number, value in enumerate(given)]
    parameters = signature_of(target).parameters
    if not arguments:
        for name, value in way.shared.items():
            if name in parameters and parameters[name].required and name not in values and not given:
                values[name] = value
    values = {name: converted(value, parameters.get(name) or Parameter(name), target) for name, value in values.items()}
    positional = signature_of(target).positional
    given = [converted(v, p, target) for v, p in zip(given, [*positional, *[None] * len(given)], strict=False)]
    if partial:
        return functools.partial(target, *arguments, *given, **values)
    return _called(target, node, path, (*arguments, *given), values)


def target_of(node: Mapping[str, Any], path: str, trusted: Trusted = ANYONE) -> Any:
    """Return what the ``_target_`` of a node names.

    Raises:
        ConfigError: If there is no such thing, it is not trusted, or nothing that can be called.
    """
    target = node["_target_"]
    if callable(target):  # a config that was made in Python
        return target
    name = target
    if target in DISCOVERY:
        name = looked_up(node)
        if name is None:
            raise ConfigError(f"{path}: {target} takes one argument, path: the dotted name of what is meant")
    try:
        found = resolve(name, trusted)
    except TargetError as error:
        key = "path" if target in DISCOVERY else "_target_"
        raise ConfigError(f"{path}.{key}={error}") from error
    if target not in DISCOVERY and not callable(found):
        raise ConfigError(f"{path}._target_={target}: is {kind_of(found)}, and nothing that can be called")
    return found


def looked_up(node: Mapping[str, Any]) -> str | None:
    """Return the dotted name that a node such as ``{_target_: hydra.utils.get_object, path: NAME}`` stands for."""
    values = {name: value for name, value in node.items() if name not in DIRECTIVES}
    given = [*(node.get("_args_") or []), *values.values()]
    return given[0] if len(given) == 1 and isinstance(given[0], str) and set(values) <= {"path"} else None


def kind_of(found: Any) -> str:
    """Return in words what an object is that cannot be called."""
    if isinstance(found, type(torch)):
        return "a module"
    return f"the value {shorten(repr(found), 40)}"


def _switch(node: Mapping[str, Any], name: str, default: bool, path: str) -> bool:
    value = node.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{path}.{name}={value}: must be true or false")
    return value


# ---------------------------------------------------------------------- text that means an object


def converted(value: Any, parameter: Parameter | None, target: Any = None) -> Any:
    """Return text as the member of an Enum or the ``torch.dtype`` that the parameter's annotation asks for."""
    if not isinstance(value, str) or parameter is None:
        return value
    kinds = kinds_of(parameter.annotation)
    if str in kinds:
        return value
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum) and (member := member_of(kind, value)) is not None:
            return member
    bare = parameter.annotation is Any and parameter.name == "dtype"
    if torch.dtype in kinds or (bare and _is_of_torch(target)):
        return dtype_of(value) or value
    return value


def kinds_of(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of an annotation: those of a union, else itself."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for inner in get_args(annotation) for kind in kinds_of(inner))
    return (annotation,)


def member_of(kind: type[Enum], value: str) -> Enum | None:
    """Return the member that text names, or whose value it is."""
    name = value.removeprefix(f"{kind.__name__}.")
    members = kind.__members__
    found = members.get(name) or members.get(name.upper())
    return found or next((member for member in members.values() if member.value == value), None)


def dtype_of(value: str) -> torch.dtype | None:
    """Return the number format that text names, such as ``float32`` or ``torch.bfloat16``."""
    found = getattr(torch, value.removeprefix("torch."), None)
    return found if isinstance(found, torch.dtype) else None


def _is_of_torch(target: Any) -> bool:
    if isinstance(target, type) and issubclass(target, torch.nn.Module):
        return True
    return str(getattr(target, "__module__", None) or "torch").startswith("torch")


# ---------------------------------------------------------------------- calling, and what comes of it


def _called(target: Callable[..., Any], node: Mapping[str, Any], path: str, given: Any, values: dict[str, Any]) -> Any:
    try:
        return target(*given, **values)
    except ConfigError as error:
        if type(error) is not ConfigError:  # of a kind that somebody waits for
            raise
        raise ConfigError(under_path(str(error), path)) from error
    except TrainingError:
        raise
    except Exception as error:  # whatever a constructor raises is told in the words of the config
        raise ConfigError(told(error, node, path)) from error


def under_path(message: str, path: str) -> str:
    """Return a message with the config path in front, unless it names a place in the same part of the config."""
    top = path.split(".", 1)[0]
    named = message.startswith(top) and message[len(top) : len(top) + 1] in (".", "=", ":", "[", " ")
    return message if named else f"{path}: {message}"


def told(error: BaseException, node: Mapping[str, Any], path: str) -> str:
    """Return what a target said when it was called: where, with what, and the frames that matter."""
    lines = [shorten(line, TOLD, placeholder=" ...") for line in str(error).splitlines() if line.strip()]
    more = ["  ..."] if len(lines) > TOLD_LINES else []
    lines = [*lines[:1], *(f"  {line}" for line in lines[1:TOLD_LINES]), *more] or ["(it says no more)"]
    name = node["_target_"] if isinstance(node["_target_"], str) else getattr(node["_target_"], "__name__", "?")
    head = f"{path} ({name}): {type(error).__name__}: {lines[0]}"
    shown = given(node)
    if len(lines) == 1:
        head, shown = f"{head}; {shown}" if shown else head, ""
    return "\n".join(part for part in (head, *lines[1:], f"  {shown}" if shown else "", _frames(error)) if part)


def given(node: Mapping[str, Any]) -> str:
    """Return the arguments of a node in a line, without secrets."""
    shown = [_shown(value) for value in node.get("_args_") or ()]
    for name, value in node.items():
        if name not in DIRECTIVES:
            secret = isinstance(value, str) and is_secret(name)
            shown.append(f"{name}={MASKED if secret else _shown(value)}")
    return shorten("given " + ", ".join(shown), GIVEN, placeholder=" ...") if shown else ""


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "_target_" in value:
        return f"{{{value['_target_']}}}"
    return repr(value)


def _frames(error: BaseException) -> str:
    """Return the two frames that matter: the innermost of the user's code, else of the library that was called."""
    inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
    lines = []
    for frame in frames_that_matter(inside):
        lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        lines += [f"    {frame.line}"] if frame.line else []
    return "\n".join(lines)
