"""Weights that are frozen by zeroing their gradients, and that decay or momentum still moves."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.loop.parameters import listed
from trainkit.inspection.source import Line, called, code_of, tree, unparse, walk
from trainkit.inspection.subject import Stuck, Subject, found

WRITING = ("zero_", "fill_", "mul_", "copy_")
"""Methods by which people stop a gradient."""


def driven(subject: Subject) -> Iterator[Finding]:
    """Take a step where gradients are written to, and look for weights that move although theirs are 0."""
    at = _stopping(subject)
    if at is None or not subject.optimizers:
        return
    moved = _by_hand(subject) if subject.train_step is not None else _by_hook(subject)
    if not moved:
        return
    group = next(iter(_groups(subject, moved)), {})
    what = "weight decay" if group.get("weight_decay") else "momentum"
    yield found(
        "frozen-still-moves",
        f"{at[0]}: grad of {listed(moved)}",
        f"freezes weights by zeroing their gradients (grad), and {what} still moves them: they are not frozen",
        severity="warning",
        at=at[1],
        evidence=f"{listed(moved)} change in a step with a gradient of 0, weight_decay={group.get('weight_decay', 0)}",
        effect=f"{what} pulls the frozen weights away from what they were",
        fix="requires_grad_(False) for these, and leave them out of the optimizer",
    )


def _stopping(subject: Subject) -> tuple[str, Line] | None:
    """Return the function that writes to gradients, and the line."""
    code = code_of(subject.train_step) if subject.train_step is not None else None
    if code is not None:
        for node in walk(code.node):
            if _writes(node):
                return getattr(subject.train_step, "__name__", "train_step"), code.line(node)
        return None
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Call) and called(node).endswith(".register_hook") and "0" in unparse(node):
                return "register_hook", Line(file, node.lineno)
    return None


def _writes(node: ast.AST) -> bool:
    """Say whether a node writes to a ``grad``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITING:
        return ".grad" in unparse(node.func.value)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    writes = any(target is not None and ".grad" in unparse(target) for target in targets)
    empty = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is None
    return isinstance(node, ast.Assign | ast.AugAssign) and writes and not empty


def _by_hand(subject: Subject) -> list[str]:
    """Return weights that a step of the user's moves although their gradients were set to 0 after backward."""
    with copies_with(subject, subject.train_step) as copies:  # type: ignore[arg-type]
        model = copies.model
        model.train()
        given: set[str] = set()
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_hook(partial(_note, given, names[id(parameter)]))
        stopped: dict[str, Tensor] = {}
        moved: list[str] = []

        def before(optimizer: Any, *_: Any) -> None:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    name = names.get(id(parameter), "")
                    if name in given and parameter.grad is not None and not bool(parameter.grad.any()):
                        stopped[name] = parameter.detach().clone()

        def after(*_: Any) -> None:
            held = dict(model.named_parameters())
            moved.extend(name for name, was in stopped.items() if not torch.equal(held[name], was))
            stopped.clear()

        for optimizer in copies.optimizers:
            optimizer.register_step_pre_hook(before)
            optimizer.register_step_post_hook(after)
        try:
            copies.functions[0](model, copy.deepcopy(subject.batch), copies.loss, copies.optimizer)
        except Exception as error:
            raise Stuck(str(error)) from error
    return list(dict.fromkeys(moved))


def _note(given: set[str], name: str, gradient: Tensor) -> None:
    if bool(gradient.any()):
        given.add(name)


def _by_hook(subject: Subject) -> list[str]:
    """Return weights whose own hooks make their gradients 0, and that the optimizer lets decay."""
    if not subject.runs:
        return []
    decayed = {id(p) for o in subject.optimizers for g in o.param_groups if g.get("weight_decay") for p in g["params"]}
    return [
        name
        for name, parameter in subject.model.named_parameters()
        if parameter._backward_hooks and id(parameter) in decayed and _is_zero(subject.trace.gradients.get(name))
    ]


def _is_zero(gradient: Tensor | None) -> bool:
    return gradient is not None and not bool(gradient.any())


def _groups(subject: Subject, names: list[str]) -> Iterator[dict[str, Any]]:
    held = {id(p) for name, p in subject.model.named_parameters() if name in names}
    for optimizer in subject.optimizers:
        yield from (group for group in optimizer.param_groups if any(id(p) in held for p in group["params"]))


RULES = (driven,)
