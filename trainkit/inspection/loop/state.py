"""The model's state: kept whole by ``state_dict``, tied where it is meant to be, and left alone by evaluation."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import NEAR, distance, equal, in_eval, steady
from trainkit.inspection.source import Line, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied, kept_generators, quiet

ROUNDED = 0.02
"""How far outputs may be apart where the weights were made half precision after building."""
FAST = 0.85
"""Momentum of a batch norm from which it is taken to be meant as Keras means it: the share that is kept."""


def kept_whole(subject: Subject) -> Iterator[Finding]:
    """Build the model anew under another seed, load the state, and compare the outputs."""
    if not subject.runs or code_of(type(subject.model)) is None:
        return
    fresh = _fresh(subject.model)
    if fresh is None:
        return
    seen = steady(subject)
    with subject.scratch() as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        try:
            fresh.load_state_dict(model.state_dict())
        except Exception:  # noqa: BLE001 - it was built with other arguments, or changed since
            return
        with kept_generators(1):
            apart = distance(seen.outputs, subject.forward(in_eval(fresh), seen.batch))
        rough = any(p.dtype in (torch.bfloat16, torch.float16) for p in model.parameters())
        if apart is None or apart <= (ROUNDED if rough else NEAR):
            return
        again = [subject.forward(model, seen.batch) for _ in range(2)]
        if distance(*again) not in (None, 0.0):
            return
    place, at = _outside(subject.model, fresh)
    yield found(
        "state-not-saved",
        place,
        "is no part of state_dict: a fresh model with this model's state gives other outputs",
        at=at,
        evidence=f"{type(subject.model).__name__}() under another seed, with the state loaded, differs by {apart:.0%}",
        effect="a model that is saved and loaded is another one",
        fix="self.register_buffer(name, tensor), or nn.Parameter for what is to be trained",
    )


def _fresh(model: nn.Module) -> nn.Module | None:
    """Return a second instance, if its class takes no arguments (or those of this one are its attributes).

    It is copied, for modules among the default values of a signature are the user's own.
    """
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(model).__init__).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        held = getattr(model, name, None)
        if isinstance(held, int | float | str) and not isinstance(held, nn.Module):
            given[name] = held
        elif parameter.default is parameter.empty:
            return None
    with kept_generators(12345), quiet():
        try:
            (fresh,) = copied(type(model)(**given))
        except Exception:  # noqa: BLE001 - it takes what is not known
            return None
    return fresh if isinstance(fresh, nn.Module) else None


def _outside(model: nn.Module, fresh: nn.Module) -> tuple[str, Line | None]:
    """Return the attribute that differs between two instances, and where it is set."""
    for path, module in model.named_modules():
        try:
            other = fresh.get_submodule(path)
        except AttributeError:
            continue
        for name, value in vars(module).items():
            theirs = vars(other).get(name)
            if isinstance(value, Tensor) and isinstance(theirs, Tensor) and not equal(value, theirs):
                return f"{path}.{name}".strip("."), _set_at(module, name)
    return type(model).__name__, None


def _set_at(module: nn.Module, name: str) -> Line | None:
    code = code_of(type(module))
    for node in walk(code.node) if code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Attribute) and target.attr == name for target in targets) and code is not None:
            return code.line(node)
    return None


def evaluation_keeps(subject: Subject) -> Iterator[Finding]:
    """Evaluate a batch, and look for buffers that forward changed."""
    if not subject.runs:
        return
    seen, buffers = steady(subject), dict(subject.model.named_buffers())
    real = [name for name in seen.moved if name in buffers and buffers[name].is_floating_point()]
    if not real or seen.training:
        return
    name = real[0]
    path, _, key = name.rpartition(".")
    yield found(
        "evaluation-changes-state",
        f"{name}",
        "changes when the model is evaluated: forward updates it in eval() too",
        severity="warning",
        at=_changed_at(subject.model.get_submodule(path), key) or subject.where_built(path),
        evidence=f"{len(real)} buffers differ after one batch in eval()",
        effect="the model learns from the validation set, and figures depend on what was evaluated before",
        fix="Update it only `if self.training`",
    )


def _changed_at(module: nn.Module, key: str) -> Line | None:
    code = code_of(type(module))
    forward = code.methods().get("forward") if code is not None else None
    for node in walk(forward.node) if forward is not None else ():
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) or forward is None:
            continue
        written = any(isinstance(inner, ast.Attribute) and inner.attr == key for inner in walk(node))
        if written and (not isinstance(node, ast.Assign) or unparse(node.targets[0]).find(key) >= 0):
            return forward.line(node)
    return None


def round_trip(subject: Subject) -> Iterator[Finding]:
    """Load a copy's own state into it, and compare what it gives, and which of its parameters are one."""
    if not subject.runs or code_of(type(subject.model)) is None:
        return
    with kept_generators(), quiet(), torch.no_grad():
        one, other = in_eval(copied(subject.model)[0]), in_eval(copied(subject.model)[0])
        try:
            for value in other.parameters():
                value.add_(0.5)
            other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
        except Exception as error:  # noqa: BLE001 - the user's hooks may raise anything; the finding tells it
            yield found(
                "state-not-loaded",
                "model: load_state_dict",
                f"cannot load its own state_dict: {type(error).__name__}: {' '.join(str(error).split())[:160]}",
                effect="no checkpoint of it can be resumed",
                fix="Register what __init__ makes, under one name each",
            )
            return
        left = [
            name
            for (name, a), (_, b) in zip(one.named_parameters(), other.named_parameters(), strict=True)
            if not equal(a, b)
        ]
    if left:
        yield found(
            "state-not-loaded",
            left[0],
            "is not what it was after load_state_dict: the state_dict leaves it out",
            evidence=f"{len(left)} parameters keep what they had before",
            effect="a model that is saved and loaded is another one",
            fix="Leave state_dict as nn.Module gives it",
        )


def norm_momentum(subject: Subject) -> Iterator[Finding]:
    """Look for a batch norm's momentum as Keras counts it."""
    fast = [
        (path, module)
        for path, module in subject.model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and FAST <= (module.momentum or 0.0) < 1.0
    ]
    if not fast:
        return
    path, module = fast[0]
    momentum = module.momentum or 0.0
    yield found(
        "norm-momentum",
        f"{path} ({type(module).__name__}): momentum",
        f"momentum={momentum:g} is the share of the new batch in PyTorch, not that of the old statistics as in Keras",
        severity="warning",
        at=subject.where_built(path),
        evidence=f"{len(fast)} norms; running statistics keep {1 - momentum:.3g} of themselves",
        effect="evaluation uses the statistics of the last batch: figures jump from epoch to epoch",
        fix=f"momentum={1 - momentum:.3g}",
    )


RULES = (kept_whole, evaluation_keeps, round_trip, norm_momentum)
