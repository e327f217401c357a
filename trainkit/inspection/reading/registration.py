"""Modules and tensors that a model uses and does not register: nothing trains, saves or moves them."""

from __future__ import annotations

import ast
import functools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import HOOKS, OWN
from trainkit.inspection.reading.parts import Part, assigned, forward_parts, known_names, reads
from trainkit.inspection.source import Line, code_of, is_own
from trainkit.inspection.subject import Subject, found

DEPTH = 5
PLAIN = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
Key = tuple[tuple[int, ...], float | None, float | None]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A module or tensor that is held somewhere and registered nowhere."""

    place: str
    path: str
    attribute: str
    thing: Any
    at: Line | None
    inside: str
    """What holds it: ``list``, ``dict``, ``tensor``, ``class``, ``global``."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is registered, and what the recorded step read beside it."""

    ids: set[int]
    read: set[Key] | None
    """Weights without a name that got a gradient; None if no step could be recorded."""
    parts: list[Part]
    optimized: set[int]


def unregistered(subject: Subject) -> Iterator[Finding]:
    """Find modules and parameters in lists, dicts, closures, classes and globals."""
    known = _known(subject)
    told: set[tuple[str, str]] = set()
    for hidden in (*_in_instances(subject.model, known), *_in_functions(known)):
        if (hidden.path, hidden.attribute) in told:
            continue
        finding = _judged(hidden, known)
        if finding is not None:
            told.add((hidden.path, hidden.attribute))
            yield finding


def _known(subject: Subject) -> Known:
    model = subject.model
    ids: set[int] = set()
    for whole in (model, model if subject.given is None else subject.given):
        ids |= {id(thing) for thing in (*whole.modules(), *whole.parameters(), *whole.buffers())}
    if isinstance(subject.loss, nn.Module):
        ids |= {id(thing) for thing in (*subject.loss.modules(), *subject.loss.parameters())}
    read = None
    if subject.runs:
        ops = [op for op in subject.trace.recording.ops if op.grad_enabled and op.module is not None]
        live = [op for op in ops if any(fact.grad_norm is not None for fact in op.outputs)]
        facts = [fact for op in live for fact in op.inputs if fact.requires_grad and not fact.name]
        read = {(fact.shape, fact.low, fact.high) for fact in facts}
    optimized = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    return Known(ids, read, forward_parts(subject), optimized)


def _in_instances(model: nn.Module, known: Known) -> Iterator[Hidden]:
    for path, module in model.named_modules():
        if code_of(type(module)) is None and type(module) not in PLAIN:
            continue
        holders: list[tuple[Any, dict[str, Any]]] = [(module, vars(module))]
        holders += [(cls, dict(vars(cls))) for cls in type(module).__mro__ if code_of(cls) is not None]
        for holder, values in holders:
            name = holder.__name__ if isinstance(holder, type) else type(module).__name__
            for attribute, value in values.items():
                if attribute in (*OWN, *HOOKS) or (holder is not module and attribute in vars(module)):
                    continue
                if isinstance(value, FunctionType) and holder is not module:
                    continue
                for thing, inside in held(value, known.ids):
                    at = assigned(holder, attribute)
                    where = "class" if holder is not module else inside
                    yield Hidden(f"{name}.{attribute}", path, attribute, thing, at[0] if at else None, where)


def _in_functions(known: Known) -> Iterator[Hidden]:
    for part in known.parts:
        names = known_names(part.function)
        for node in part.walk():
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
                if node.id in part.function.__code__.co_varnames:
                    continue
                value = names[node.id]
                if isinstance(value, nn.Module | Tensor | list | dict | tuple):
                    for thing, _ in held(value, known.ids):
                        yield Hidden(f"{part.place}: {node.id}", part.path, node.id, thing, part.line(node), "global")


def held(value: Any, registered: set[int], depth: int = DEPTH, inside: str = "") -> Iterator[tuple[Any, str]]:
    """Yield modules and tensors in a value that are not registered, with the kind of what holds them."""
    if isinstance(value, nn.Module | Tensor):
        if id(value) not in registered:
            yield value, inside or "attribute"
    elif depth:
        items: list[Any] = []
        if isinstance(value, Mapping):
            items = list(value.values())
        elif isinstance(value, list | tuple | set | deque):
            items = list(value)
        elif isinstance(value, functools.partial):
            items = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, FunctionType):
            items = [*_cells(value), *(value.__defaults__ or ())]
        elif isinstance(value, MethodType):
            items = [value.__self__]
        elif hasattr(value, "__dict__") and not isinstance(value, type) and is_own_object(value):
            items = list(vars(value).values())
        for item in items[:1000]:
            yield from held(item, registered, depth - 1, inside or _kind(value))


def is_own_object(value: Any) -> bool:
    """Say whether an object's class is written by the user."""
    return code_of(type(value)) is not None


def _cells(function: FunctionType) -> Iterator[Any]:
    if not is_own(function.__code__.co_filename):
        return
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _kind(value: Any) -> str:
    if isinstance(value, FunctionType):
        return "closure"
    for kind in (dict, list, tuple, set):
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


def _judged(hidden: Hidden, known: Known) -> Finding | None:
    thing = hidden.thing
    if isinstance(thing, nn.Module):
        weights = [p for p in thing.parameters() if p.requires_grad and id(p) not in known.ids]
        if weights:
            return _weights(hidden, known, weights) if _used(hidden, known, weights) else None
        return _modes(hidden, known)
    if thing.requires_grad:
        return _weights(hidden, known, [thing]) if _used(hidden, known, [thing]) else None
    return None


def _used(hidden: Hidden, known: Known, weights: Sequence[Tensor]) -> bool:
    if known.read is None:
        return hidden.inside == "global" or reads(known.parts, hidden.attribute, with_graph=True)
    return any(_key(weight) in known.read for weight in weights)


def _key(tensor: Tensor) -> Key:
    if tensor.numel() == 0 or tensor.is_complex() or tensor.is_meta:
        return tuple(tensor.shape), None, None
    with torch.no_grad():
        low, high = tensor.detach().aminmax()
    return tuple(tensor.shape), low.item(), high.item()


WRAPPER = {"list": "nn.ModuleList", "tuple": "nn.ModuleList", "set": "nn.ModuleList", "dict": "nn.ModuleDict"}


def _weights(hidden: Hidden, known: Known, weights: Sequence[Tensor]) -> Finding:
    module = isinstance(hidden.thing, nn.Module)
    count = sum(weight.numel() for weight in weights)
    optimized = all(id(weight) in known.optimized for weight in weights)
    what = "a layer" if module else "a weight"
    where = {"class": "the class, which all instances share", "global": "a global variable or closure"}
    inside = where.get(hidden.inside, f"a plain {hidden.inside}")
    wrapper = WRAPPER.get(hidden.inside)
    if module:
        fix = f"Write self.{hidden.attribute} = {wrapper}(...)" if wrapper else "Set the layer as self.NAME in __init__"
        message = f"holds {what} ({type(hidden.thing).__name__}) in {inside}, so it is not registered with the model"
    else:
        wrapper = {"nn.ModuleList": "nn.ParameterList", "nn.ModuleDict": "nn.ParameterDict"}.get(wrapper or "")
        fix = f"Write self.{hidden.attribute} = {wrapper or 'nn.Parameter'}(...)"
        plain = "" if isinstance(hidden.thing, nn.Parameter) else " that requires grad and is no nn.Parameter"
        message = f"is or holds {what}{plain} in {inside}, so it is not registered with the model"
    trained = "the optimizer has it, but state_dict(), train()/eval() and to(device) miss it"
    return found(
        "unregistered-module" if module else "unregistered-parameter",
        hidden.place,
        message,
        severity="warning" if optimized else "error",
        at=hidden.at,
        evidence=f"{count} numbers that model.parameters() does not give",
        effect=trained
        if optimized
        else "parameters(), state_dict() and to(device) miss it: it is never trained or saved",
        fix=fix,
    )


def _modes(hidden: Hidden, known: Known) -> Finding | None:
    inner = [item for item in hidden.thing.modules() if id(item) not in known.ids]
    if any(isinstance(item, nn.Module) and any(True for _ in item.parameters()) for item in inner):
        return None  # frozen, such as a teacher that is hidden on purpose
    kinds = [type(item).__name__ for item in inner if _has_modes(item)]
    if not kinds or not (hidden.inside == "global" or reads(known.parts, hidden.attribute)):
        return None
    return found(
        "unregistered-module",
        hidden.place,
        f"holds {kinds[0]} where it is not registered with the model, so model.eval() does not reach it",
        at=hidden.at,
        evidence=f"{len(kinds)} of them",
        effect="it works as in training when the model is evaluated",
        fix=f"Write self.{hidden.attribute} = {WRAPPER.get(hidden.inside, 'nn.ModuleList')}(...)",
    )


def _has_modes(module: nn.Module) -> bool:
    return module.training and ((isinstance(module, _DropoutNd) and module.p > 0) or isinstance(module, _NormBase))


RULES = (unregistered,)
