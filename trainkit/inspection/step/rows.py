"""Rows and classes of a loss: which sample and class each number of the prediction is of, and of the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import in_eval
from trainkit.inspection.recording import Fact, Op, Recording
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, View, dim_of, seen, shape_text, tensor_of
from trainkit.inspection.subject import Subject, found, unpacked

JUDGES = ("cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss")


def other_samples(subject: Subject) -> Iterator[Finding]:
    """Change one sample of a batch: the predictions that move must be those whose targets are its own."""
    view = seen(subject)
    if view is None or subject.train_step is not None or subject.objective is not None or view.size < 4:
        return
    sinks = [op for op in view.sinks(*JUDGES) if _is_flattened(view, op)]
    if not sinks:
        return
    inputs, target = unpacked(subject.batch)
    if not isinstance(target, Tensor) or not isinstance(inputs, tuple) or not isinstance(inputs[0], Tensor):
        return
    other = next((at for at in range(2, view.size) if bool((target[at] != target[1]).all())), None)
    if other is None or len(inputs) != 1:
        return
    moved = (_moved(inputs[0], other), _moved(target, other))
    records = [_record(subject, batch) for batch in ((inputs[0], target), moved)]
    pairs = [[op for op in record.ops if op.name == sinks[0].name] for record in records]
    if len(pairs[0]) != len(pairs[1]) or len(pairs[0]) != 1:
        return
    guesses, goals = (_rows(pairs[0][0], pairs[1][0], at) for at in (0, 1))
    if guesses is None or goals is None or not 0 < int(guesses.sum()) < len(guesses) or not bool(goals.any()):
        return
    shared = int((guesses & goals).sum())
    if shared > 0.5 * min(int(guesses.sum()), int(goals.sum())) or abs(int(guesses.sum()) - int(goals.sum())) > 2:
        return
    op = sinks[0]
    place, line = where(view, op, "order of the rows")
    yield found(
        "rows-of-other-samples",
        place,
        "flattens predictions and targets in another order: one is (time, batch), the other (batch, time), so the "
        "target beside a prediction is that of another sample; transpose one of them first (batch_first)",
        at=op.line or line or view.loss_line,
        evidence=f"changing one sample moves {int(guesses.sum())} predictions and {int(goals.sum())} targets, of which "
        f"{shared} stand in one row",
        effect="predictions are held against the targets of other samples and positions",
        fix="F.cross_entropy(logits.transpose(0, 1).flatten(0, 1), target.flatten())",
    )


def _is_flattened(view: View, op: Op) -> bool:
    """Say whether a loss is given rows of all positions of all samples, and their targets."""
    one, two = op.inputs[:2]
    rows = len(two.shape) == 1 and one.shape[:1] == two.shape
    return rows and two.shape[0] > view.size and two.shape[0] % view.size == 0 and view.came(two) == {TARGET}


def _moved(tensor: Tensor, other: int) -> Tensor:
    """Return a batch with the second sample replaced by another."""
    made = tensor.clone()
    made[1] = tensor[other]
    return made


def _record(subject: Subject, batch: Any) -> Recording:
    with subject.scratch() as scratch, torch.no_grad():
        in_eval(scratch.model)
        return subject.rerun(scratch, batch)[0]


def _rows(one: Op, two: Op, at: int) -> Tensor | None:
    """Say of each row whether two recordings differ in it."""
    first, second = one.inputs[at].tensor, two.inputs[at].tensor
    if first is None or second is None or first.shape != second.shape:
        return None
    return (first != second).flatten(1).any(1) if first.dim() > 1 else first != second


def one_hot_dimension(subject: Subject) -> Iterator[Finding]:
    """Find a softmax over another dimension than that of the classes in the one-hot target that it is held against."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("mul", "sub", "rsub") or len(op.inputs) != 2 or op.inputs[0].shape != op.inputs[1].shape:
            continue
        for guess, target in (op.inputs, op.inputs[::-1]):
            made = _made_by(guess)
            if view.came(target) != {TARGET} or made is None or made.name not in ("softmax", "log_softmax"):
                continue
            dim, classes = dim_of(made), _one_hot(target)
            if dim is None or classes is None or dim == classes or guess.shape != made.outputs[0].shape:
                continue
            place, line = view.place(made)
            yield found(
                "softmax-over-wrong-dim",
                place,
                f"runs over dim {dim} of {shape_text(guess)}, and the classes of the one-hot target are in dim "
                f"{classes}: positions compete with each other instead of classes (channels)",
                at=line or made.line,
                evidence=f"the target sums to 1 over dim {classes}, and the probabilities over dim {dim}",
                effect="the probabilities of the classes of a position do not sum to 1",
                fix=f"{made.name}(..., dim={classes})",
            )
            return


def _made_by(fact: Fact) -> Op | None:
    while (
        fact.maker is not None
        and fact.maker.name in ("clone", "float", "to", "contiguous", "clamp")
        and fact.maker.inputs
    ):
        fact = fact.maker.inputs[0]
    return fact.maker


def _one_hot(fact: Fact) -> int | None:
    """Return the only dimension over which a tensor of zeros and ones sums to 1."""
    values = tensor_of(fact)
    if values is None or values.dim() < 2 or not bool(((values == 0) | (values == 1)).all()):
        return None
    dims = [dim for dim in range(values.dim()) if values.shape[dim] > 1 and bool((values.sum(dim) == 1).all())]
    return dims[0] if len(dims) == 1 else None


RULES = (other_samples, one_hot_dimension)
