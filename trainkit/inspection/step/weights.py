"""Class weights that make rare classes count less, and classes that the loss leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line
from trainkit.inspection.step.view import INPUT, View, seen, tensor_of
from trainkit.inspection.subject import Subject, found

RARE = 0.35
"""Share of the positive samples below which they are called rare."""
AGREES = 0.9
"""Correlation of the weights with the frequencies from which they follow them."""


def class_weights(subject: Subject) -> Iterator[Finding]:
    """Find weights of classes that rise with how often a class occurs."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy", "nll_loss"):
        weight, target = _tensor(op, "weight", 2), tensor_of(op.inputs[1])
        if weight is None or target is None or op.inputs[1].dtype.is_floating_point or weight.numel() < 2:
            continue
        kept = target[(target >= 0) & (target < weight.numel())].long()
        counts = torch.bincount(kept.flatten(), minlength=weight.numel()).float()
        if _follows(weight, counts):
            yield _upside_down(
                view, op, "weight", f"weights {_few(weight)} for classes that occur {_few(counts)} times"
            )
            return
    for op in view.sinks("binary_cross_entropy_with_logits"):
        weight, target = _tensor(op, "pos_weight", 5), tensor_of(op.inputs[1])
        share = float(target.mean()) if target is not None else 0.5
        if weight is not None and weight.numel() > 1 and target is not None and _is_turned(weight.flatten(), target):
            yield _upside_down(view, op, "pos_weight", f"pos_weight {_few(weight.flatten())} for labels that are rare")
            return
        if weight is not None and weight.numel() == 1 and float(weight) < 0.7 and 0 < share < RARE:
            yield _upside_down(
                view, op, "pos_weight", f"pos_weight={float(weight):.3g}, {share:.0%} of targets positive"
            )
            return


def _tensor(op: Op, name: str, position: int) -> Tensor | None:
    fact = op.setting(name, position)
    return tensor_of(fact) if isinstance(fact, Fact) else None


def _follows(weight: Tensor, counts: Tensor) -> bool:
    if float(counts.max()) < 2 * float(counts.clamp(min=1).min()) or float(weight.max()) < 1.5 * float(weight.min()):
        return False
    return float(torch.corrcoef(torch.stack([weight, counts]))[0, 1]) > AGREES


def _is_turned(weight: Tensor, target: Tensor) -> bool:
    """Say whether the positive samples of rare labels weigh less than their negative ones, the rarer the less."""
    if target.dim() != 2 or target.shape[1] != len(weight):
        return False
    shares = target.mean(0)
    if float(shares.max()) > RARE or not bool((weight < 0.7).all()) or float(weight.max() - weight.min()) < 1e-3:
        return False
    return float(torch.corrcoef(torch.stack([weight, shares]))[0, 1]) > 0.5


def _few(values: Tensor) -> str:
    return ", ".join(f"{float(value):.3g}" for value in values[:6])


def _upside_down(view: View, op: Op, name: str, evidence: str) -> Finding:
    place, line = view.place(op, name)
    return found(
        "class-weights-upside-down",
        place,
        f"weighs frequent classes most: {name} rises with the frequency of a class instead of falling with it",
        severity="warning",
        at=line or view.loss_line,
        evidence=evidence,
        effect="rare classes count even less than without weights, and are not learnt",
        fix="weight = counts.sum() / (len(counts) * counts)"
        if name == "weight"
        else "pos_weight = number of negatives / number of positives",
    )


def ignored_class(subject: Subject) -> Iterator[Finding]:
    """Find an ignore_index that is a class of the data."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy", "nll_loss"):
        index = op.setting("ignore_index", 4, -100)
        target = tensor_of(op.inputs[1])
        if not isinstance(index, int) or index < 0 or target is None or target.dim() != 1 or not _single(view, op):
            continue
        share = float((target == index).float().mean())
        if not 0 < share < 1:
            continue
        place, line = view.place(op, f"ignore_index={index}")
        yield found(
            "class-ignored",
            place,
            f"leaves class {index} out: ignore_index={index} is a label that samples have",
            at=_setting(view, op) or line or view.loss_line,
            evidence=f"{share:.0%} of the samples are of class {index}, and none of them counts",
            effect="this class is never learnt",
            fix="Leave ignore_index at -100, which no class has.",
        )
        return


def _setting(view: View, op: Op) -> Line | None:
    return op.line if op.own and op.line is not None else view.loss_line


def _single(view: View, op: Op) -> bool:
    """Say whether the targets of a loss are one label a sample, not the positions of padded sequences."""
    rows = op.inputs[1].shape[0] == view.size
    return rows and bool(view.inputs) and any(INPUT in view.came(fact) for fact in op.inputs[:1])


RULES = (class_weights, ignored_class)
