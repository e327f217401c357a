"""Class numbers that are learnt as if they were quantities."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.tables import table
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, WEIGHT, seen, tensor_of
from trainkit.inspection.subject import Subject, found

FEWEST, MOST = 4, 20
"""Classes that are looked at."""
ORDERED = 0.35
"""Correlation of the distance of two classes in the data with that of their numbers, from which they are ordered."""
APART = 2.0
"""Variance between classes over that within them, from which the inputs tell them apart."""


def numbers_of_classes(subject: Subject) -> Iterator[Finding]:
    """Find a regression on the numbers of classes that have no order in the data."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks(*RESIDUALS):
        guess, goal = op.inputs[:2]
        values = tensor_of(goal)
        if view.came(goal) != {TARGET} or values is None or torch.Size(guess.shape).numel() != guess.shape[0]:
            continue
        if values.numel() != view.size or guess.shape[0] != view.size or WEIGHT not in view.came(guess):
            continue
        told = _classes(subject) if len(view.targets) == 1 else None
        if told is None:
            continue
        count, order, ratio = told
        place, line = where(view, op, op.name)
        yield found(
            "classes-as-numbers",
            place,
            "is a regression on class numbers: the distance of two classes has no meaning, they have no order "
            "(not ordinal), and a classification wants CrossEntropyLoss with one output for each class",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"{count} whole numbers as targets; classes whose numbers are close are no closer in the data "
            f"(correlation {order:.2f}), although the inputs tell them apart ({ratio:.1f} times)",
            effect="between two likely classes the answer is a third one that lies between their numbers",
            fix=f"nn.Linear(..., {count}) with nn.CrossEntropyLoss() on target.long()",
        )
        return


def _classes(subject: Subject) -> tuple[int, float, float] | None:
    """Return how many classes there are, how ordered they lie in the data, and how far apart; None if they are none."""
    rows = table(subject, "train_set")
    if rows is None or len(rows.samples) < 50:
        return None
    pairs = [(sample.inputs, sample.target) for sample in rows.samples]
    if any(target is None or target.numel() != 1 or len(inputs) != 1 for inputs, target in pairs):
        return None
    y = torch.stack([target.flatten()[0].float() for _, target in pairs if target is not None])
    kinds = y.unique()
    whole = bool((y == y.round()).all()) and FEWEST <= len(kinds) <= MOST
    if not whole or float(kinds[0]) not in (0.0, 1.0) or not bool((kinds.diff() == 1).all()):
        return None
    if len({inputs[0].shape for inputs, _ in pairs}) != 1 or not pairs[0][0][0].is_floating_point():
        return None
    counts = torch.stack([(y == kind).sum() for kind in kinds])
    if int(counts.min()) < 5 or float(counts.max()) > 4 * float(counts.min()):
        return None  # counts of things are rare when they are large
    x = torch.stack([inputs[0].flatten().float() for inputs, _ in pairs])
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    centres = torch.stack([x[y == kind].mean(0) for kind in kinds])
    within = torch.stack([x[y == kind].var(0).sum() / (y == kind).sum() for kind in kinds]).mean()
    ratio = float(centres.var(0).sum() / within.clamp(min=1e-12))
    order = _order(centres)
    return (len(kinds), order, ratio) if ratio > APART and order < ORDERED else None


def _order(centres: Tensor) -> float:
    one, two = torch.triu_indices(len(centres), len(centres), 1)
    far = (centres[one] - centres[two]).norm(dim=1)
    return float(torch.corrcoef(torch.stack([far, (one - two).abs().float()]))[0, 1])


RULES = (numbers_of_classes,)
