"""A training step that runs backward on the negated loss: it climbs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.source import Line, unparse, walk
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step


def negated(step: Step) -> Iterator[Finding]:
    """Hold what backward was called on against what the loss gave: the same with the other sign, in each step."""
    loss, seen = step.subject.loss, step.seen
    library = isinstance(loss, nn.modules.loss._Loss) or getattr(loss, "__module__", "") == "torch.nn.functional"
    maximized = any(group.get("maximize") for o in step.subject.optimizers for group in o.param_groups)
    if not library or maximized or len(step.subject.optimizers) != 1:
        return
    if _is_meant(step):
        return
    pairs = []
    for events, losses in zip(seen.steps, seen.losses, strict=False):
        values = [event.value for event in events if event.kind == "backward"]
        if len(values) != 1 or len(losses) != 1 or values[0] is None or losses[0] <= 0:
            return
        pairs.append((values[0], losses[0]))
    if not pairs or any(abs(value + given) > 1e-5 * given for value, given in pairs):
        return
    yield found(
        "loss-with-wrong-sign",
        f"{step.place}: backward",
        "runs backward on the negated loss (a minus sign): each step is gradient ascent, and the loss rises",
        at=_minus(step) or step.call("backward"),
        evidence=f"the loss gives {pairs[0][1]:.3g}, and backward is called on {pairs[0][0]:.3g}",
        effect="the model learns to be wrong",
        fix="value.backward(), without the minus",
    )


def _is_meant(step: Step) -> bool:
    """Say whether a step names a purpose for which a loss is to rise."""
    code = unparse(step.code.node) if step.code is not None else ""
    text = f"{type(step.subject.model).__name__} {code}".lower()
    return any(word in text for word in ("attack", "advers", "perturb", "unlearn", "forget", "ascen"))


def _minus(step: Step) -> Line | None:
    """Return the line of the step that negates."""
    for node in walk(step.code.node) if step.code is not None else ():
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and not isinstance(node.operand, ast.Constant)
        ):
            return step.code.line(node) if step.code is not None else None
    return None


RULES = (negated,)
