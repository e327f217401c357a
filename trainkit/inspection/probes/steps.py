"""Steps of a sequence that a recurrent or attending model never reads, because one of its outputs alone is taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import PROBED, in_eval, probed
from trainkit.inspection.probes.sequences import replaced
from trainkit.inspection.recording import Call, flat
from trainkit.inspection.source import Line, code_of
from trainkit.inspection.subject import Subject, found, unpacked

SERIAL = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)
"""Modules that read sequences."""
FEWEST = 4
"""Steps that make a sequence."""


def one_step(subject: Subject) -> Iterator[Finding]:
    """Exchange all steps of a batch but the first, or but the last: outputs that do not move read that one alone."""
    if not subject.runs:
        return
    calls = [call for call in subject.trace.recording.calls if isinstance(call.module, SERIAL)]
    series = _series(subject) if calls else None
    if series is None:
        return
    for kept, others, word in ((0, slice(1, None), "first"), (-1, slice(None, -1), "last")):
        changed = series.clone()
        changed[:, others] = series.roll(1, 0)[:, others]
        alone = series.clone()
        alone[:, kept] = series.roll(1, 0)[:, kept]
        base, without, moved = (_outputs(subject, series, item) for item in (series, changed, alone))
        if base is None or without is None or moved is None or torch.equal(base, moved):
            continue
        if base.dim() == 0 or base.shape[0] != PROBED or series.shape[1] in base.shape[1:]:
            return
        if not torch.equal(base, without):
            continue
        place, line = _place(subject, calls[0])
        layer = type(calls[0].module).__name__
        yield found(
            "steps-unread",
            place,
            f"reads the {word} step of each sequence only: its other positions never reach the output of {layer} "
            "that is taken",
            at=line,
            evidence=f"exchanging all {series.shape[1] - 1} other steps with those of another sample changes no output",
            effect="the rest of the sequence cannot be learned from: the recurrence has no memory that is used",
            fix="Take the last step of what has read all (out[:, -1], h_n[-1]), make the state once before the loop, "
            "and read x[:, t] in it",
        )
        return


def _series(subject: Subject) -> Tensor | None:
    """Return the one input of the probes' batch that is a sequence: tokens, or vectors in a row."""
    inputs, _ = unpacked(probed(subject))
    given = [x for x in flat(inputs) if x.dim() in (2, 3) and x.shape[0] == PROBED and x.shape[1] >= FEWEST]
    serial = [x for x in given if x.dim() == 3 or not x.is_floating_point()]
    return serial[0] if len(serial) == 1 else None


def _outputs(subject: Subject, series: Tensor, other: Tensor) -> Tensor | None:
    """Return the outputs for a batch with another sequence, of weights none of which is zero."""
    batch: Any = probed(subject)
    given = next((x for x in flat(unpacked(batch)[0]) if x.shape == series.shape and torch.equal(x, series)), None)
    if given is None:
        return None
    with subject.scratch() as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
        return next(flat(subject.forward(model, replaced(batch, given, other))), None)


def _place(subject: Subject, call: Call) -> tuple[str, Line | None]:
    """Return where the output of a layer is taken: the line after its last call that reads it, in forward."""
    recording = subject.trace.recording
    last = [item for item in recording.calls if item.path == call.path][-1]
    for op in recording.ops:
        if op.own and op.name in ("getitem", "select") and any(fact in last.outputs for fact in op.inputs):
            return f"{_owner(subject, op.module)}.{op.function}", op.line
    return f"{_owner(subject, call.path.rpartition('.')[0])}.forward", call.line


def _owner(subject: Subject, path: str | None) -> str:
    module = subject.model.get_submodule(path or "")
    return type(module).__name__ if code_of(type(module)) is not None else type(subject.model).__name__


RULES = (one_step,)
