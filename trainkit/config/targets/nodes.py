"""Holding each ``_target_`` of a config against what it names: trust, role, arguments and values. It builds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainkit.config.composing.origins import Origins
from trainkit.config.paths import at
from trainkit.config.targets.arguments import (
    UNSET,
    Problem,
    argument_problems,
    directive_problems,
    is_directive,
    item_of,
    object_problem,
    positional,
    value_problem,
)
from trainkit.config.targets.families import LOGGERS
from trainkit.config.targets.instantiate import MISSING, looked_up
from trainkit.config.targets.lookup import TargetError
from trainkit.config.targets.lookup import resolve as resolve
from trainkit.config.targets.roles import ROLES, Role, fits_at_last, misfit_of_role, named, role_of
from trainkit.config.targets.signatures import UNKNOWN, Parameter, Signature, signature_of
from trainkit.config.targets.trusted import ANYONE, DISCOVERY, Trusted, untrustable
from trainkit.findings import Finding
from trainkit.optim.schedules import TOTALS
from trainkit.values import shown

NEEDED = ("model", "data.datasets", "objective", "optimizer")
"""Places that no run can leave out."""
MANY = ("callbacks", "diagnostics", "loggers", "metrics")
"""Groups of entries with names of their own."""
EXAMPLES = {
    "callbacks": "trainkit.callbacks.EarlyStopping",
    "diagnostics": "trainkit.diagnostics.Gradients",
    "loggers": "trainkit.loggers.TensorBoard",
    "metrics": "trainkit.metrics.Classification",
    "averaging": "trainkit.optim.WeightAverage",
    "checkpoint": "trainkit.checkpoint.Store",
}


@dataclass(frozen=True, slots=True)
class _Config:
    """What all nodes of a config share."""

    plain: Mapping[str, Any]
    origins: Origins | None
    trusted: Trusted


def target_findings(
    config: Mapping[str, Any], origins: Origins | None = None, trusted: Trusted = ANYONE
) -> list[Finding]:
    """Find what is wrong with the targets that a run would build, and with their arguments.

    Args:
        config: The composed config, as plain dicts and lists; ``???`` stands for what is not known and is not judged.
        origins: Who set what, for the messages.
        trusted: Whose code the config may name.

    Returns:
        Findings of the rules ``untrusted-target``, ``cannot-import``, ``wrong-role``, ``missing-target``,
        ``unknown-argument``, ``missing-argument``, ``duplicate-argument``, ``wrong-type``, ``out-of-range``,
        ``unknown-choice`` and ``wrong-directive``.
    """
    whole = _Config(config, origins, trusted)
    problems = list(_of_packages(config))
    for path in _places(config):
        problems += _of_place(path, whole)
    return [_finding(problem, whole) for problem in problems]


def _of_packages(config: Mapping[str, Any]) -> Iterator[Problem]:
    named = config.get("trusted_packages") or ()
    for name in named if isinstance(named, list | tuple) else ():
        if reason := untrustable(name):
            yield Problem(rule="untrusted-target", place="trusted_packages", message=f"{name} {reason}")


def _places(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of all nodes that a run builds an object of."""
    yield from (path for path in ROLES if path != "objective.loss" and not path.endswith(".*"))
    for group in MANY:
        node = config.get(group)
        if isinstance(node, Mapping):
            yield from (f"{group}.{name}" for name, entry in node.items() if entry is not None and entry != {})


def _of_place(path: str, whole: _Config) -> Iterator[Problem]:
    top, node, role = path.split(".")[0], at(whole.plain, path), role_of(path)
    assert role is not None
    if MISSING in (node, whole.plain.get(top)) if not isinstance(node, Mapping) else False:
        return
    if isinstance(node, Mapping) and "_target_" in node:
        yield from _of_node(node, path, whole, role)
    elif node in (None, {}) and path not in NEEDED:
        return
    elif node is None or (node == {} and not whole.plain.get(top)):
        message = f"nothing chosen; a recipe or {top}=OPTION does"
        yield Problem(rule="missing-target", place=top, message=message, value=None)
    else:
        message = "has no _target_, so it is not known what to build"
        fix = f"Give {path}._target_={EXAMPLES.get(top, 'NAME')}, {role.wanted}"
        fix += "" if path in NEEDED else f"; ~{path} leaves it out"
        yield Problem(rule="missing-target", place=path, message=message, value=shown(node), fix=fix)


def _of_node(
    node: Mapping[str, Any], path: str, whole: _Config, role: Role | None = None, parameter: Parameter | None = None
) -> Iterator[Problem]:
    """Judge a node with a ``_target_``, and all within it.

    Args:
        node: The node.
        path: Where it stands, or where what it refers to does.
        whole: The config.
        role: What the place is for.
        parameter: The one that takes what the node gives.
    """
    target = node["_target_"]
    if target == MISSING:
        return
    yield from directive_problems(node, path)
    key = "path" if isinstance(target, str) and target in DISCOVERY else "_target_"
    try:
        found = _meant(node, _trusted_at(path, whole.trusted))
    except TargetError as error:
        value = shown(node[key]) if key in node else None
        untrusted = error.rule == "untrusted-target"  # then what the place is for is beside the point
        fix = error.cure or (f"{role.name.capitalize()} must be {role.wanted}" if role and not untrusted else "")
        yield Problem(rule=error.rule, place=f"{path}.{key}", message=error.problem, value=value, fix=fix)
        yield from _within(node, path, whole, UNKNOWN)
        return
    name = shown(target) if isinstance(target, str) else getattr(target, "__qualname__", repr(target))
    if key == "path":
        if role is not None and not fits_at_last(found, path):
            message = f"is {named(type(found))}; {role.name} must be {role.wanted}"
            yield Problem(rule="wrong-role", place=f"{path}.path", message=message, value=looked_up(node))
        return
    message, fix = misfit_of_role(found, path, node)
    if not message and parameter is not None:
        message = object_problem(found, node, parameter)
    if message:
        yield Problem(rule="wrong-role", place=f"{path}._target_", message=message, value=name, fix=fix)
    else:
        signature = signature_of(found)
        yield from argument_problems(found, signature, node, path, role)
        yield from _within(node, path, whole, signature, role)


def _trusted_at(path: str, trusted: Trusted) -> Trusted:
    """Return whose code a place may name: within a logger, what loggers are made of too."""
    return replace(trusted, packages=(*trusted.packages, *LOGGERS)) if path.startswith("loggers.") else trusted


def _meant(node: Mapping[str, Any], trusted: Trusted) -> Callable[..., Any]:
    """Return what the target of a node names, or what its ``path`` names if that is what the target looks up."""
    target = node["_target_"]
    if callable(target):  # a config that was made in Python
        return target  # type: ignore[no-any-return]
    if isinstance(target, str) and target in DISCOVERY:
        if (name := looked_up(node)) is None:
            raise TargetError(target, f"{target} takes one argument, path: the dotted name of what is meant")
        return resolve(name, trusted)  # type: ignore[no-any-return]
    return resolve(target, trusted)  # type: ignore[no-any-return]


def _within(
    node: Mapping[str, Any], path: str, whole: _Config, signature: Signature, role: Role | None = None
) -> Iterator[Problem]:
    """Judge the values of a node's arguments, and the nodes in them."""
    if node.get("_recursive_") is False:
        return
    takers: list[Parameter | None] = list(signature.positional)
    leading = role is not None and role.leading > 0
    for number, value in enumerate([] if leading else positional(node)):
        parameter = takers[number] if number < len(takers) else None
        yield from _of_value(value, f"{path}._args_[{number}]", parameter, whole)
    for name, value in node.items():
        filled = value is None and name in TOTALS and path == "schedule.scheduler"  # from the length of the run
        if not is_directive(name) and not filled:
            yield from _of_value(value, _source(whole, path, name, value), signature.parameters.get(name), whole)


def _source(whole: _Config, path: str, name: str, value: Any) -> str:
    """Return the place of an argument: ``data.augment`` for ``data.datasets.augment``, which refers to it."""
    data = whole.plain.get("data")
    refers = path == "data.datasets" and isinstance(data, Mapping) and name in data and data[name] == value
    return f"data.{name}" if refers else f"{path}.{name}"


def _of_value(value: Any, path: str, parameter: Parameter | None, whole: _Config) -> Iterator[Problem]:
    if value == MISSING or (isinstance(value, str) and "${" in value):
        return
    if isinstance(value, Mapping) and "_target_" in value:
        role = role_of(path) if path == "objective.loss" else None
        yield from _of_node(value, path, whole, role, parameter)
    elif problem := value_problem(value, path, parameter):
        yield problem
    else:
        for inner_path, inner in _nodes(value, path):
            yield from _of_node(inner, inner_path, whole, None, item_of(parameter))


def _nodes(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the nodes with a ``_target_`` in lists and plain mappings, the outermost ones."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
            return
        for name, inner in value.items():
            yield from _nodes(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _nodes(inner, f"{path}[{number}]")


def _finding(problem: Problem, whole: _Config) -> Finding:
    told = {} if whole.origins is None else whole.origins.told(problem.place)
    return Finding(
        rule=problem.rule,
        severity=problem.severity,
        place=problem.place,
        value=shown(at(whole.plain, problem.place)) if problem.value is UNSET else problem.value,
        message=problem.message,
        fix=problem.fix,
        **told,
    )
