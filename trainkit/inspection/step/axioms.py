"""What every loss of its kind satisfies, tried on answers that are made up: the worse the answer, the higher it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line
from trainkit.inspection.step.bounds import bounds
from trainkit.inspection.step.losses import sums_to_one
from trainkit.inspection.step.objectives import judged, outputs_of
from trainkit.inspection.step.sense import LIKELIHOODS
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, View, seen
from trainkit.inspection.subject import Subject, found, unpacked

Judge = Callable[[Any, Any], Tensor]
SURE = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Probabilities that are given to the right class."""


def tried(subject: Subject) -> tuple[View, Judge, Any, Any] | None:
    """Return the step, the loss on a copy, the outputs and the target; None where the loss cannot be tried alone."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    outputs = outputs_of(view) if view is not None and judge is not None else None
    if view is None or judge is None or outputs is None:
        return None
    return view, judge, outputs, unpacked(subject.batch)[1]


def worth(judge: Judge, outputs: Any, target: Any) -> float:
    """Return the loss of some outputs; NaN where it cannot be taken."""
    try:
        with torch.no_grad():
            value = judge(outputs, target)
        return float(value) if value.numel() == 1 else math.nan
    except Exception:  # noqa: BLE001 - a loss may take its outputs in a form of its own
        return math.nan


def slope(judge: Judge, outputs: Tensor, target: Any) -> Tensor | None:
    """Return the gradient of the loss in some outputs; None where there is none."""
    point = outputs.detach().clone().requires_grad_()
    try:
        value = judge(point, target)
        (found_slope,) = torch.autograd.grad(value, [point], allow_unused=True)
    except Exception:  # noqa: BLE001 - a loss may take its outputs in a form of its own
        return None
    return found_slope if found_slope is not None and bool(torch.isfinite(found_slope).all()) else None


def last_of(view: View, *names: str) -> Op | None:
    """Return the last operation of the loss that bears one of some names, or the last of all."""
    ends = [op for op in view.path if op.module is None and op.own and op.inputs]
    named = [op for op in ends if op.name in names]
    return (named or ends)[-1] if ends else None


def at_loss(view: View, what: str, *names: str) -> tuple[str, Line | None]:
    """Return the name and the line of an operation of the loss."""
    op = last_of(view, *names)
    place, line = where(view, op, what) if op is not None else (f"loss: {what}", None)
    return place, line or view.loss_line


def hard_samples(subject: Subject) -> Iterator[Finding]:
    """Find a loss of classes that is lower for a confident wrong answer than for an undecided one."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    if not _is_likelihood(view):
        return
    values = []
    for share in SURE:
        answer = _answer(view, outputs, target, share)
        if answer is None:
            return
        values.append(worth(judge, answer, target))
    if not all(map(math.isfinite, values)) or max(values) <= 0:
        return
    peak = values.index(max(values))
    if not 0 < peak < len(SURE) - 1 or values[0] > 0.5 * values[peak] or values[-1] > 0.5 * values[peak]:
        return
    place, line = at_loss(view, "modulating factor", "pow", "square", "rpow")
    yield found(
        "hard-samples-lost",
        place,
        "is lower for a confident wrong answer than for an undecided one: its modulating factor favours easy samples "
        "and takes the hard ones out (the focal loss is (1 - pt) ** gamma * ce, not pt ** gamma * ce)",
        at=line,
        evidence=", ".join(
            f"{value:.3g} at probability {share:g}" for share, value in zip(SURE, values, strict=True) if share != 0.5
        )
        + " of the right class",
        effect="samples that are told wrong hardly count, and get worse",
        fix="loss = (1 - pt) ** gamma * ce",
    )


def _is_likelihood(view: View) -> bool:
    """Say whether a loss reads outputs as scores of classes, draws nothing and holds no sample against the others."""
    judged = [op for op in view.path if op.module is None]
    crossed = any(fact.shape.count(view.size) > 1 for op in judged for fact in op.outputs)
    return any(op.name in LIKELIHOODS for op in judged) and not (crossed and view.size > 1) and not _draws(view)


def _draws(view: View) -> bool:
    return any(op.name in ("multinomial", "bernoulli", "normal") for op in view.recording.ops)


def _answer(view: View, outputs: Tensor, target: Tensor, share: float) -> Tensor | None:
    """Return outputs that give a probability to the right class of each sample, in the form that the model gives."""
    if not outputs.is_floating_point() or outputs.dim() < 1:
        return None
    low, high = bounds(view, view.outputs[0])
    given = low >= 0 and high <= 1
    if target.shape == outputs.shape or (target.dim() == 1 and outputs.shape == (len(target), 1)):
        if not bool(((target == 0) | (target == 1)).all()) or bool((target == target.flatten()[0]).all()):
            return None
        right = torch.where(target.reshape(outputs.shape).bool(), share, 1 - share)
        return right if given else torch.logit(right)
    if target.is_floating_point() or outputs.dim() != target.dim() + 1 or outputs.dim() < 2:
        return None
    count = outputs.shape[1]
    if outputs.shape[0] != target.shape[0] or outputs.shape[2:] != target.shape[1:] or count < 2:
        return None
    if int(target.min()) < 0 or int(target.max()) >= count:
        return None
    spread = torch.full_like(outputs, (1 - share) / (count - 1))
    spread = spread.scatter(1, target.long()[:, None], share)
    return spread if given and sums_to_one(outputs, 1) else spread.log()


def one_sided(subject: Subject) -> Iterator[Finding]:
    """Find a loss of two classes that has the right sign for one of them, and the wrong one for the other."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    if target.shape != outputs.shape or not target.is_floating_point() or _draws(view):
        return
    middle, right = _answer(view, outputs, target, 0.5), _answer(view, outputs, target, 0.9)
    wrong = _answer(view, outputs, target, 0.1)
    if middle is None or right is None or wrong is None:
        return
    gains = []
    for kind in (0, 1):
        values = [worth(judge, torch.where(target == kind, item, middle), target) for item in (right, wrong)]
        if not all(map(math.isfinite, values)):
            return
        gains.append(values[1] - values[0])
    shared = outputs.dim() == 2 and (sums_to_one(outputs, 1) or sums_to_one(outputs.exp(), 1))
    if gains[0] == 0 < gains[1] and shared:
        return  # probabilities of classes that exclude each other: those of the others count by their sum
    if gains[0] == 0 < gains[1] and not _is_masked(view):
        yield _zeros_unread(view, gains[1])
        return
    if not (min(gains) < -1e-4 < 1e-4 < max(gains)) or min(gains) > -0.2 * max(gains):
        return
    kind = gains.index(min(gains))
    place, line = at_loss(view, "sign", "add", "sub")
    yield found(
        "loss-with-wrong-sign",
        place,
        f"has the wrong sign for targets of {kind}: a minus holds for one of its two terms only (a parenthesis is "
        "missing), so wrong answers are rewarded",
        at=line,
        evidence=f"from wrong to right the loss falls by {max(gains):.3g} for targets of {1 - kind}, and rises by "
        f"{-min(gains):.3g} for targets of {kind}",
        effect="the model learns to say one class for all",
        fix="loss = -(target * torch.log(p) + (1 - target) * torch.log(1 - p)), or F.binary_cross_entropy",
    )


def _is_masked(view: View) -> bool:
    """Say whether a loss divides by how many targets are 1: only these are to count."""
    divisions = [op for op in view.path if op.module is None and op.name in ("div", "truediv") and len(op.inputs) == 2]
    return any(view.came(op.inputs[1]) == {TARGET} for op in divisions)


def _zeros_unread(view: View, gain: float) -> Finding:
    place, line = at_loss(view, "targets of 0", "mul", "rmul", "rsub")
    return found(
        "labels-not-signed",
        place,
        "never counts the samples of class 0: it multiplies by the label, and takes labels of -1 and 1 (signed, as a "
        "hinge or logistic loss does), or lacks the negative term (1 - y) * log(1 - p)",
        at=line,
        evidence=f"from wrong to right the loss falls by {gain:.3g} for targets of 1, and by 0 for targets of 0",
        effect="the model learns to say 1 for everything",
        fix="Give 2 * target - 1, or use F.binary_cross_entropy_with_logits(score, target).",
    )


def perfect_is_worst(subject: Subject) -> Iterator[Finding]:
    """Find a loss that is greatest for the target itself, and falls as noise is added to it."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    if outputs.shape != target.shape or not target.is_floating_point() or target.numel() < 64:
        return
    if bool(((target == 0) | (target == 1)).all()) or float(target.std()) < 1e-6:
        return
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(target) * target.std()
    values = [worth(judge, target + share * noise, target) for share in (0.0, 0.3, 1.0, 3.0)]
    others = [worth(judge, item, target) for item in (outputs, -target, noise)]
    if not all(map(math.isfinite, (*values, *others))):
        return
    falls = all(one - two > 0.02 * abs(one) for one, two in itertools.pairwise(values[:3]))
    if not falls or values[3] > values[1] or max(others) > values[0] - 0.05 * abs(values[0]):
        return
    place, line = at_loss(view, "sign")
    yield found(
        "loss-with-wrong-sign",
        place,
        "has the wrong sign: it is highest for outputs that equal their targets (a similarity is minimised, not "
        "maximised)",
        at=line,
        evidence=f"loss {values[0]:.4g} for the targets, {values[2]:.4g} with noise as large as they are",
        effect="training makes the model worse",
        fix="Turn the sign: the loss is 1 - similarity.",
    )


def alike(subject: Subject) -> Iterator[Finding]:
    """Find a loss of labels of 0 and 1 that is as low for wrong raw scores as for right ones."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    low, high = bounds(view, view.outputs[0])
    if target.shape != outputs.shape or not target.is_floating_point() or target.numel() < 16 or high - low < math.inf:
        return
    if not bool(((target == 0) | (target == 1)).all()) or _is_likelihood(view) or _draws(view):
        return
    signed = 2 * target - 1
    right, wrong = (worth(judge, way * 50 * signed, target) for way in (1, -1))
    sure, unsure = worth(judge, target, target), worth(judge, 1 - target, target)
    if not all(map(math.isfinite, (right, wrong, sure, unsure))) or not unsure - sure > 0.2:
        return
    if right < wrong - 0.05 * (unsure - sure) or right < sure + 0.05 * (unsure - sure):
        return
    place, line = at_loss(view, "raw scores", "mul", "rmul", "sum")
    yield found(
        "raw-scores-into-overlap",
        place,
        "takes probabilities, as a Dice or IoU loss does, and is given raw scores (logits): sigmoid is missing",
        at=line,
        evidence=f"loss {sure:.3g} for the labels themselves as probabilities; {right:.3g} for right and {wrong:.3g} "
        "for wrong scores of size 50",
        effect="scores beyond 0..1 make the ratio meaningless: negative, or without bound",
        fix="p = torch.sigmoid(logits) before the sums",
    )


RULES = (alike, perfect_is_worst, hard_samples, one_sided)
