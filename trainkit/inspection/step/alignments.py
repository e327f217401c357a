"""Losses over alignments, such as CTC: what they are given."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line, code_of
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
        yield from _full_lengths(view, op)
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


def _full_lengths(view: View, op: Op) -> Iterator[Finding]:
    """Find lengths of the padded batch where the inputs of most samples end in padding."""
    lengths = _sizes(op.setting("input_lengths", 2))
    steps = op.inputs[0].shape[0]
    if lengths is None or len(op.inputs[0].shape) != 3 or any(length != steps for length in lengths):
        return
    real = next((sizes for fact in view.inputs if (sizes := _ends(fact)) is not None), None)
    if real is None or len(real) != len(lengths):
        return
    short = sum(size < 0.95 * max(real) for size in real)
    if short < 0.3 * len(real):
        return
    place, line = view.place(op, "input_lengths")
    yield found(
        "ctc-full-lengths",
        place,
        f"gives CTC the padded length as input_lengths of all samples ({steps}): alignments run into the padding",
        severity="warning",
        at=_lengths_line(op, view) or line or view.loss_line,
        evidence=f"{short} of {len(real)} inputs of the batch end in padding, the shortest after {min(real)} of "
        f"{max(real)} steps",
        effect="labels may be read off padding, and the loss hangs on how much of it a batch has",
        fix="input_lengths = the true length of each sample, divided by what the model's strides divide by",
    )


def _sizes(given: object) -> list[int] | None:
    tensor = getattr(given, "tensor", None)
    if isinstance(tensor, Tensor):
        return [int(size) for size in tensor.flatten().tolist()]
    return [int(size) for size in given] if isinstance(given, list | tuple) else None


def _lengths_line(op: Op, view: View) -> Line | None:
    """Return the line that makes the lengths in the loss."""
    for item in op.inputs[2:]:
        if item.maker is not None and item.maker.own and item.maker.name == "full":
            return item.maker.line
    code = code_of(view.subject.loss)
    call = next(code.calls("full", "full_like"), None) if code is not None else None
    return code.line(call) if code is not None and call is not None else None


def _ends(fact: Fact) -> list[int] | None:
    """Return how many steps each sample of an input has before a run of zeros at its end."""
    values = fact.tensor
    if values is None or values.dim() != 3 or not values.is_floating_point() or len(values) < 4:
        return None
    behind = (values == 0).all(-1).flip(1).cumprod(1).sum(1)
    sizes = [int(size) for size in (values.shape[1] - behind).tolist()]
    return sizes if len(set(sizes)) > 2 and min(sizes) > 0 else None


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
