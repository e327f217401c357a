"""Checkpointed parts that are computed again with other random numbers: their gradient is another function's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

from torch import Tensor
from torch.utils import checkpoint as module

from trainkit.findings import Finding
from trainkit.inspection.source import Line, called, file_of, is_own, tree, walk
from trainkit.inspection.subject import Subject, found

APART = 0.05
"""Difference of the gradients, relative to their size, from which they are another's."""


def other_masks(subject: Subject) -> Iterator[Finding]:
    """Take a step as it is written, and one whose checkpoints keep the generators' state, under one seed."""
    at = _switched_off(subject)
    if at is None or not subject.runs:
        return
    original = module.checkpoint
    gradients = []
    for keeps in (False, True):

        def run(function: Any, *args: Any, keeps: bool = keeps, **kwargs: Any) -> Any:
            return original(function, *args, **{**kwargs, "preserve_rng_state": keeps})

        gradients.append(_gradients(subject, run))
    one, other = gradients
    if not one or not other or len(one) != len(other):
        return
    size = max(float(b.norm()) for b in other)
    apart = max(float((a - b).norm()) for a, b in zip(one, other, strict=True)) / max(size, 1e-12)
    if apart < APART:
        return
    yield found(
        "checkpoint-redraws",
        f"{at[0]}: checkpoint(preserve_rng_state=False)",
        "draws another dropout mask when the checkpointed part is run again in backward: the rng state is not kept",
        at=at[1],
        evidence=f"gradients differ by {apart:.0%} from those with preserve_rng_state=True under the same seed",
        effect="the gradients belong to another random mask than the loss: they are wrong",
        fix="Leave preserve_rng_state=False out; it is for parts without dropout or noise",
    )


def _switched_off(subject: Subject) -> tuple[str, Line] | None:
    for file in subject.files:
        whole = tree(file)
        for function in walk(whole) if whole is not None else ():
            for node in walk(function) if isinstance(function, ast.FunctionDef) else ():
                if not isinstance(node, ast.Call) or "checkpoint" not in called(node):
                    continue
                for word in node.keywords:
                    off = isinstance(word.value, ast.Constant) and word.value.value is False
                    if word.arg == "preserve_rng_state" and off and isinstance(function, ast.FunctionDef):
                        return _owner(whole, function), Line(file, word.value.lineno)
    return None


def _owner(whole: ast.AST | None, function: ast.FunctionDef) -> str:
    for node in walk(whole) if whole is not None else ():
        if isinstance(node, ast.ClassDef) and function in node.body:
            return f"{node.name}.{function.name}"
    return function.name


def _gradients(subject: Subject, run: Any) -> list[Tensor]:
    """Return the gradients of a step in which ``checkpoint`` is another function."""
    with subject.scratch() as scratch, ExitStack() as stack:
        original = module.checkpoint
        stack.enter_context(mock.patch.object(module, "checkpoint", run))
        for kind in {type(part) for part in scratch.model.modules()}:
            world = getattr(kind.forward, "__globals__", {})
            names = [name for name, value in world.items() if value is original] if is_own(file_of(kind)) else []
            stack.enter_context(mock.patch.dict(world, dict.fromkeys(names, run)))
        scratch.model.train()
        loss = subject.run(scratch.model, scratch.loss, subject.batch).loss
        if not isinstance(loss, Tensor):
            return []
        loss.backward()
        return [p.grad.detach() for p in scratch.model.parameters() if p.grad is not None]


RULES = (other_masks,)
