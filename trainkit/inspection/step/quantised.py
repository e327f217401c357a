"""Choices on the way through a network: what is before an argmax needs another way for its gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op, Recording, facts_of
from trainkit.inspection.step.view import INPUT, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

CHOOSING = ("argmin", "argmax")
FOLLOWING = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "matmul")


def straight_through(subject: Subject) -> Iterator[Finding]:
    """Find a code that is chosen (quantised) and goes on into layers, with no gradient to what it was chosen by."""
    view = seen(subject)
    if view is None or subject.train_step is not None or not _choices(view):
        return
    with subject.scratch() as scratch:
        scratch.model.train()
        recording, ran, error = subject.rerun(scratch, subject.batch)
        outputs = [recording.keep[fact.number] for fact in facts_of(recording, ran.outputs)] if error is None else []
        ends = [item for item in outputs if item.is_floating_point() and item.requires_grad and item.dim() > 0]
        if not ends:
            return
        parameters = {name: p for name, p in scratch.model.named_parameters() if p.requires_grad}
        slopes = torch.autograd.grad(ends[0].sum(), list(parameters.values()), retain_graph=True, allow_unused=True)
        reached = {name for name, slope in zip(parameters, slopes, strict=True) if slope is not None}
        ended = _ending(recording, ends[0])
    for op in _choices(view):
        before = {fact.name for made in view.recording.ancestors(op.outputs[0]) for fact in made.inputs if fact.name}
        encoder = {name for name in before if name in parameters and not _is_table(view, name, op)}
        if not encoder or encoder & reached or op.number not in ended:
            continue
        place, line = view.place(op, op.name)
        module = sorted(encoder)[0].rpartition(".")[0].split(".")[0]
        yield found(
            "straight-through-missing",
            place,
            f"chooses a code (quantiser, {op.name}), and the model's output has no gradient to {module}, the encoder "
            "before it: the straight-through estimator is missing",
            at=line,
            evidence=f"{len(encoder)} weights before the choice get no gradient from the model's output",
            effect="the encoder learns nothing from the reconstruction",
            fix="quantised = z + (quantised - z).detach()",
        )
        return


def _choices(view: View) -> list[Op]:
    """Return the operations of the model that choose a number by what weights made of the input."""
    made = [op for op in view.path if op.name in CHOOSING and op.module is not None and op.inputs]
    return [op for op in made if view.came(op.inputs[0]) >= {INPUT, WEIGHT}]


def _ending(recording: Recording, end: Tensor) -> set[int]:
    """Return the numbers of the operations that an output came from."""
    fact = recording.fact(end)
    return {op.number for op in recording.ancestors(fact)} if fact is not None else set()


def _is_table(view: View, name: str, op: Op) -> bool:
    """Say whether a weight is what the choice is made among, not what makes the code."""
    for made in view.recording.ancestors(op.outputs[0]):
        if made.name not in FOLLOWING and any(fact.name == name for fact in made.inputs):
            return True
    readers = [item for item in view.path if item.number > op.number and any(f.name == name for f in item.inputs)]
    return any(item.name in ("embedding", "getitem", "index_select", "detach", "t", "matmul") for item in readers)


RULES = (straight_through,)
