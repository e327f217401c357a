"""Losses whose gradient is the same whatever the targets are: they read them, and learn nothing from them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.step.objectives import judged, outputs_of
from trainkit.inspection.step.view import TARGET, seen
from trainkit.inspection.subject import Subject, found, unpacked

NEAR = 1e-5
"""Relative difference of gradients that is rounding."""


def indifferent(subject: Subject) -> Iterator[Finding]:
    """Give the loss other targets: its value changes, and so must what it asks of the outputs."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    target = unpacked(subject.batch)[1] if view is not None else None
    if view is None or judge is None or not isinstance(target, Tensor) or not target.is_floating_point():
        return
    outputs = outputs_of(view)
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point() or view.size < 4:
        return
    if not any(TARGET in view.came(loss) for loss in view.losses):
        return  # one that does not even read them is told by itself
    spread = float(target.std()) if target.numel() > 1 else 0.0
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(target)
    others = (target.flip(0) + spread * noise, -2 * target + spread)
    try:
        slopes = [_slope(judge, outputs, given) for given in (target, *others)]
    except Exception:  # noqa: BLE001 - a loss that takes only targets of its own kind: nothing to be said
        return
    if not all(math.isfinite(value) and bool(slope.isfinite().all()) for value, slope in slopes):
        return
    first, rest = slopes[0], slopes[1:]
    if spread == 0 or not bool(first[1].any()) or any(abs(value - first[0]) <= NEAR * abs(value) for value, _ in rest):
        return
    if any(float((slope - first[1]).abs().max()) > NEAR * float(first[1].abs().max()) for _, slope in rest):
        return
    ends = [op for op in view.path if op.module is None]
    yield found(
        "target-never-read",
        "loss: target",
        "asks the same of the outputs whatever the targets are: its gradient does not depend on them, and it has no "
        "minimum (unbounded below)",
        at=(ends[0].line if ends else None) or view.loss_line,
        evidence="with three sets of targets the loss differs, and its gradient by the outputs does not",
        effect="outputs run off in one direction, and the loss falls without bound while nothing is learnt",
        fix="Take the square or the absolute value (abs) of the difference: ((output - target) ** 2).mean().",
    )


def _slope(judge: object, outputs: Tensor, target: Tensor) -> tuple[float, Tensor]:
    assert callable(judge)
    given = outputs.detach().clone().requires_grad_()
    value = judge(given, target)
    (slope,) = torch.autograd.grad(value, given)
    return float(value.detach()), slope


RULES = (indifferent,)
