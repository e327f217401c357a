"""Columns that the model never reads and that tell of the target, and categories of several fields in one row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import distance, in_eval
from trainkit.inspection.probes.relation import coded, dependence
from trainkit.inspection.probes.steps import SERIAL
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import Op, flat
from trainkit.inspection.step.view import SHAPING, seen
from trainkit.inspection.subject import Subject, found, unpacked

TELLING = 0.1
"""Share of the target's variance that unread columns explain, from which they matter."""
SEVERAL = 4
"""Steps of a sequence, at least, of which more than one is to be read."""
FEW, MOST, ROWS = 32, 4096, 600
"""Samples of the probe, columns up to which each is looked at, samples of the relation."""
FIELDS = 64
"""Categories of a sample up to which they are fields, and no text."""


def columns_unread(subject: Subject) -> Iterator[Finding]:
    """Find columns of the first input that change no output although the target hangs on them."""
    view = seen(subject)
    if view is None or not subject.runs or not view.inputs or subject.train_step is not None:
        return
    fact = view.inputs[0]
    if len(fact.shape) != 2 or not fact.dtype.is_floating_point or not 2 <= fact.shape[1] <= MOST:
        return
    taken = [op for op in view.path if op.name in ("getitem", "narrow", "index_select", "split", "chunk") and op.own]
    if not any(op.inputs and op.inputs[0] is fact for op in taken):
        return
    unread = _unread(subject)
    rows = table(subject, "train_set")
    if unread is None or not unread.any() or unread.all() or rows is None or rows.inputs is None:
        return
    y = coded(rows)
    if y is None or rows.inputs.shape[1] != len(unread):
        return
    x = rows.inputs[:ROWS].double()
    told = dependence(x[:, unread], y[:ROWS], plain=True)
    count = int(unread.sum())
    place, line = view.place(next(op for op in taken if op.inputs[0] is fact))
    columns = [index for index, idle in enumerate(unread.tolist()) if idle]
    yield found(
        "columns-unread",
        place,
        f"takes a part of the input: {count} of its {len(unread)} columns (features) are never read, unused and ignored"
        + (", and the target hangs on them" if told > TELLING else ""),
        severity="warning" if told > TELLING else "info",
        at=line,
        evidence=f"columns {', '.join(map(str, columns[:6]))}{', ...' if count > 6 else ''} change no output; they "
        f"alone explain {max(told, 0):.0%} of the target",
        effect="what they say cannot be learnt",
        fix="Take all columns, or leave these out of the data",
    )


def _slope(subject: Subject) -> Tensor | None:
    """Return the gradient of all outputs, mixed at random, to the first input; None if there is none."""
    with suppress(Exception), subject.scratch() as scratch:
        model, batch = in_eval(scratch.model), subject.collated(subject.samples(FEW))
        given = next(flat(unpacked(batch)[0]))
        given.requires_grad_()
        outputs = [item for item in flat(subject.forward(model, batch)) if item.is_floating_point()]
        total = sum((item * torch.randn_like(item)).sum() for item in outputs)
        assert isinstance(total, Tensor)
        return torch.autograd.grad(total, given)[0]
    return None


def _unread(subject: Subject) -> Tensor | None:
    """Say of each column whether other values of it change no output; None if that cannot be told."""
    slope = _slope(subject)
    if slope is None:
        return None
    still = (slope == 0).all(0)
    if not bool(still.any()) or bool(still.all()):
        return still
    with suppress(Exception), subject.scratch() as scratch, torch.no_grad():
        model, batch = in_eval(scratch.model), subject.collated(subject.samples(FEW))
        before = subject.forward(model, batch)
        given = next(flat(unpacked(batch)[0]))
        given[:, still] = given[:, still].roll(1, 0)
        return still if distance(before, subject.forward(model, batch)) == 0 else None
    return None


def fields_without_offset(subject: Subject) -> Iterator[Finding]:
    """Find a table that has rows for every field's categories, and fields that all read the same first rows."""
    view = seen(subject)
    looked_up = [op for op in view.recording.of("embedding") if len(op.inputs[0].shape) == 2] if view else []
    looked_up = [op for op in looked_up if 2 <= op.inputs[0].shape[1] <= FIELDS and _is_input(op)]
    rows = table(subject, "train_set") if looked_up else None
    if view is None or rows is None or rows.raw is None or rows.raw.dtype == torch.bool:
        return
    counts = rows.raw.amax(0).long() + 1
    if int(rows.raw.min()) < 0 or int(counts.min()) < 2:
        return
    for op in looked_up:
        ids, weight = op.inputs[0], op.inputs[1]
        if ids.shape[1] != len(counts) or ids.dtype.is_floating_point:
            continue
        size = weight.shape[0]
        if not int(counts.sum()) <= size <= int(counts.sum()) + 2 or int(counts.max()) >= size:
            continue
        place, line = view.place(op)
        yield found(
            "fields-share-rows",
            place,
            f"looks all {len(counts)} columns up in one embedding table without an offset: category 3 of each field is "
            "the same row",
            severity="warning",
            at=line,
            evidence=f"the table has {size} rows, as many as the fields have categories together; only the first "
            f"{int(counts.max())} are ever used",
            effect="different categories share an embedding, and most rows are never trained",
            fix="self.embed(x + offsets), with offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)",
        )
        return


def _is_input(op: Op) -> bool:
    """Say whether the numbers that an embedding looks up are the input's own."""
    fact = op.inputs[0]
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in SHAPING | {"long", "to", "int"}:
        fact = fact.maker.inputs[0]
    return fact.maker is None


def steps_unread(subject: Subject) -> Iterator[Finding]:
    """Find sequences of which a network without recurrence or attention reads one step alone."""
    view = seen(subject)
    if view is None or not subject.runs or not view.inputs or subject.train_step is not None:
        return
    fact = view.inputs[0]
    if len(fact.shape) != 3 or not fact.dtype.is_floating_point or fact.shape[1] < SEVERAL or len(view.inputs) > 1:
        return
    if any(isinstance(call.module, SERIAL) for call in view.recording.calls):
        return  # probes.steps tells of these
    slope = _slope(subject)
    if slope is None or slope.dim() != 3:
        return
    live = (slope != 0).any(2).any(0)
    if int(live.sum()) != 1:
        return
    step, count = int(live.int().argmax()), len(live)
    taken = [op for op in view.path if op.name in ("getitem", "select", "narrow") and op.own and op.inputs]
    first = next((op for op in taken if op.inputs[0] is fact), None)
    place, line = view.place(first) if first is not None else ("model: input", subject.where_made(subject.model))
    yield found(
        "steps-unread",
        place,
        f"reads step {step} of {count} alone: every other time step of the window is ignored, unused and never read",
        severity="warning",
        at=line,
        evidence=f"values of the {count - 1} other steps change no output of {len(slope)} samples",
        effect="what happened before, or after, cannot be learnt",
        fix="Read the whole window: flatten(1), a recurrent layer, or attention over the steps",
    )


RULES = (columns_unread, fields_without_offset, steps_unread)
