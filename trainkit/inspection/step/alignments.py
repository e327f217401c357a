"""Losses over alignments, such as CTC: what they are given."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op
from trainkit.inspection.step.losses import sums_to_one
from trainkit.inspection.step.view import View, seen, tensor_of
from trainkit.inspection.subject import Subject, found


def ctc(subject: Subject) -> Iterator[Finding]:
    """Find CTC losses on what is no log-probability, and labels that are the blank."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name != "ctc_loss" or len(op.inputs) < 2:
            continue
        values = tensor_of(op.inputs[0])
        if values is not None and op.inputs[0].finite and not sums_to_one(values.exp(), -1):
            yield _not_logs(view, op, sums_to_one(values, -1))
        yield from _blank(view, op)
        return


def _not_logs(view: View, op: Op, are_probabilities: bool) -> Finding:
    place, line = view.place(op, "ctc_loss")
    return found(
        "nll-without-log-softmax",
        place,
        f"is given {'probabilities (softmax)' if are_probabilities else 'raw scores'} and takes log-probabilities: "
        "log_softmax is missing",
        at=line or view.loss_line,
        evidence=f"input from {op.inputs[0].low:.3g} to {op.inputs[0].high:.3g}; its exp does not sum to 1",
        effect="the loss is no likelihood: all scores rise, or have almost no gradient",
        fix="log_probs = scores.log_softmax(-1)",
    )


def _blank(view: View, op: Op) -> Iterator[Finding]:
    blank = op.setting("blank", 4, 0)
    said = _labels(op)
    if said is None or not isinstance(blank, int):
        return
    count = int((said == blank).sum())
    if count == 0:
        return
    place, line = view.place(op, "blank")
    yield found(
        "blank-is-a-label",
        place,
        f"blank={blank} also stands among the labels: a class of its own and the gap between labels are one",
        at=line or view.loss_line,
        evidence=f"{count} of {said.numel()} labels of the first batch are {blank}",
        effect="these labels are never read out, and alignments cannot be told",
        fix="Give the blank an index that no label has (0, with labels from 1 on).",
    )


def _labels(op: Op) -> Tensor | None:
    """Return the labels within their lengths."""
    labels = op.inputs[1].tensor
    lengths = op.setting("target_lengths", 3)
    tensor = getattr(lengths, "tensor", None)
    sizes = (
        tensor.tolist() if isinstance(tensor, Tensor) else list(lengths) if isinstance(lengths, list | tuple) else None
    )
    if labels is None or sizes is None:
        return None
    if labels.dim() == 1:
        return labels
    return torch.cat([row[: int(size)] for row, size in zip(labels, sizes, strict=False)])


RULES = (ctc,)
