"""Targets of a regression held against what the model gives, and how far a few steps bring it towards them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, origin
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import Fact
from trainkit.inspection.source import Line
from trainkit.inspection.step.trial import steps_ahead, trained
from trainkit.inspection.subject import Subject, found

REGRESSIONS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
LARGE = 100.0
"""Size of targets, and their multiple of the outputs' size, from which the way to them is measured."""
STEPS = 24
"""Steps of the trial."""
LEFT = 0.9
"""Share of the loss that is left after the trial, from which the targets are out of its reach."""


def unscaled(subject: Subject) -> Iterator[Finding]:
    """Hold the size of targets against that of outputs, and see how far some steps of training bring them together."""
    rows = table(subject, "train_set")
    if not subject.runs or rows is None or rows.targets is None or not rows.targets.is_floating_point():
        return
    pair = _compared(subject)
    if pair is None:
        return
    output, target = (_size(fact.tensor) for fact in pair)
    if not (target >= LARGE and target >= LARGE * max(output, 1.0)):
        return
    trial = trained(subject, STEPS)
    if trial is None:
        return
    share = trial.end / trial.before if trial.finite and trial.before > 0 else math.inf
    if share < LEFT:
        return
    values = rows.targets.double()
    reached = (1 - share) / STEPS * steps_ahead(subject) if math.isfinite(share) else 0.0
    told = f"{share:.0%} of the loss is left" if math.isfinite(share) else "the loss is not finite"
    yield found(
        "targets-unscaled",
        "train_set: target range",
        f"targets are large for the network, which gives about {output:.2g}: {float(values.min()):.4g}.."
        f"{float(values.max()):.4g}, not normalised (standardised)",
        severity="error" if reached < 0.5 else "warning",
        at=_scaling(subject) or made_at(subject, "train_set"),
        evidence=f"mean {float(values.mean()):.4g}, standard deviation {float(values.std()):.4g}; after "
        f"{STEPS} steps {told}",
        effect="it takes thousands of steps only to reach their scale, or the gradients are as many times too large",
        fix="Train on (y - mean) / std of the training targets, and undo it for what is reported",
    )


def _compared(subject: Subject) -> tuple[Fact, Fact] | None:
    """Return output and target of a regression's loss, where the target is that of the batch."""
    for op in subject.trace.recording.of(*REGRESSIONS):
        facts = op.inputs[:2]
        if len(facts) == 2 and all(fact.tensor is not None for fact in facts):
            output, target = facts if facts[0].requires_grad else facts[::-1]
            if output.requires_grad and not target.requires_grad:
                return output, target
    return None


def _size(tensor: Tensor | None) -> float:
    return float(tensor.double().square().mean().sqrt()) if tensor is not None and tensor.numel() else 0.0


def _scaling(subject: Subject) -> Line | None:
    """Return the line that brings a large factor into what the training set is made of."""
    made = origin(subject, "train_set")
    return made.find(_is_large) if made is not None else None


def _is_large(node: ast.AST) -> bool:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Add):
        return False
    values = [getattr(side, "value", None) for side in (node.left, node.right)]
    return any(isinstance(value, int | float) and abs(value) >= LARGE for value in values)


RULES = (unscaled,)
