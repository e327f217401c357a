"""Order: a model that gives the same for permuted positions cannot learn targets that hang on their order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import distance, evaluated, in_eval, probed
from trainkit.inspection.probes.relation import coded, dependence, linear
from trainkit.inspection.probes.sequences import replaced
from trainkit.inspection.probes.tables import Table, reads_targets, table
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of, walk
from trainkit.inspection.subject import Stuck, Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators

TABLE = re.compile("^(pe|pos)$|^pos_(?!weight)|_pos$|(^|_)position(s|al)?(_|$)|^positional", re.IGNORECASE)
"""Names of what holds an encoding of positions."""
SAME = 1e-4
"""Difference of outputs, relative to the largest, that is rounding."""
FEWEST, ROWS, WIDEST = 300, 1500, 20_000
"""Samples that say something, that are read, and numbers by which one is described."""
HANGS = 0.25
"""Share of the targets' variance that positions must explain beyond what the values without their order do."""
ATTENTIVE = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def order_read(subject: Subject) -> Iterator[Finding]:
    """Permute the positions of a batch: outputs that do not change cannot tell targets that hang on the order."""
    rows = table(subject, "train_set")
    if not subject.runs or rows is None or len(rows.samples) < FEWEST or not rows.alone or not reads_targets(subject):
        return
    if rows.values is None or rows.targets is None or not 4 <= _positions(rows) <= 1024:
        return
    length = _positions(rows)
    batch = probed(subject)
    series = next(flat(unpacked(batch)[0]), None)
    if series is None or series.dim() < 2 or series.shape[1] != length or rows.targets[0].numel() > 1:
        return
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0)).to(series.device)
    _, outputs, error = evaluated(subject, batch)
    _, permuted, failed = evaluated(subject, replaced(batch, series, series[:, order]))
    apart = distance(outputs, permuted)
    if error is not None or failed is not None or apart is None or apart > SAME:
        return
    if distance(outputs, _of_other_samples(subject, batch, series)) in (None, 0.0):
        return  # it reads nothing at all, which is told
    told, without = _by_order(rows, length)
    if told < without + HANGS:
        return
    vain = _table_in_vain(subject)
    if vain is not None and _tells_once_filled(subject, vain[0], batch, series, order):
        return  # it starts at 0, and is read right
    yield found(
        "order-ignored",
        f"{_place(subject)}: position" if vain is None else f"{vain[0]}: position",
        "gives the same in whatever order: it has no positional encoding, and the targets hang on the order"
        if vain is None
        else "tells no position from another (one slice for all?): the model gives the same in whatever order",
        severity="error" if vain is not None else "warning" if _attends(subject) else "info",  # a bag of words is one
        at=_line(subject) if vain is None else vain[1],
        evidence=f"permuted positions move the outputs by {apart:.1g}; a line over values at their positions explains "
        f"{told:.0%} of the targets' variance, values without their order {max(without, 0):.0%}",
        effect="what the order tells cannot be learned",
        fix="Add an embedding of the positions: x = embed(tokens) + position(torch.arange(length))",
    )


def _positions(rows: Table) -> int:
    """Return how many positions a sample has: tokens, or vectors in a row; 0 for anything else."""
    assert rows.values is not None
    tokens = len(rows.shape) == 1 and rows.raw is not None and rows.raw.dtype != torch.bool
    return rows.shape[0] if tokens or (len(rows.shape) == 2 and rows.inputs is not None) else 0


def _of_other_samples(subject: Subject, batch: Any, series: Tensor) -> Any:
    return evaluated(subject, replaced(batch, series, series.roll(1, 0)))[1]


def _by_order(rows: Table, length: int) -> tuple[float, float]:
    """Return the share of the targets' variance that values at their positions explain, and that values alone do."""
    values, y = rows.values, coded(rows)
    if values is None or y is None:
        return 0.0, 0.0
    if rows.raw is not None:
        kinds = rows.raw[:ROWS].unique()
        if len(kinds) * length > WIDEST:
            return 0.0, 0.0
        hot = (rows.raw[:ROWS, :, None] == kinds).double()
    else:
        hot = values[:ROWS].double().reshape(-1, length, rows.shape[1])
        if hot[0].numel() > WIDEST or not bool(hot.isfinite().all()):
            return 0.0, 0.0
    told = linear(hot.flatten(1), y)
    if told < HANGS:
        return told, told
    bag = hot.sum(1) if rows.raw is not None else torch.cat([hot.mean(1), hot.square().mean(1), hot.amax(1)], 1)
    return told, max(linear(bag, y), dependence(bag, y, thorough=True))


def _table_in_vain(subject: Subject) -> tuple[str, Line] | None:
    """Return the model's own positions, and where they are read, if it has some: then the order was meant to count."""
    model = subject.model
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        owner, _, last = name.rpartition(".")
        while TABLE.search(last) or TABLE.search(owner.rpartition(".")[2]):
            code = code_of(type(model.get_submodule(owner)))
            forward = code.methods().get("forward") if code is not None else None
            for node in walk(forward.node) if forward is not None else ():
                if isinstance(node, ast.Attribute) and node.attr == last and forward is not None:
                    return name, forward.line(node)
            if not owner:
                break
            owner, _, last = owner.rpartition(".")
    return None


def _tells_once_filled(subject: Subject, name: str, batch: Any, series: Tensor, order: Tensor) -> bool:
    """Say whether the order counts once a table of positions holds other values."""
    with subject.scratch() as scratch, torch.no_grad(), kept_generators(1):
        model = in_eval(scratch.model)
        table_of = dict([*model.named_parameters(), *model.named_buffers()])[name]
        if not table_of.is_floating_point():
            return False
        table_of.normal_()
        try:
            one, two = (subject.forward(model, thing) for thing in (batch, replaced(batch, series, series[:, order])))
        except Stuck:
            return False
    apart = distance(one, two)
    return apart is not None and apart > SAME


def _attends(subject: Subject) -> bool:
    """Say whether positions read each other, which asks where they stand."""
    named = any(isinstance(call.module, ATTENTIVE) for call in subject.trace.recording.calls)
    return named or any("attention" in op.name or op.name in ("bmm", "matmul") for op in subject.trace.recording.ops)


def _place(subject: Subject) -> str:
    return type(subject.model).__name__ if code_of(type(subject.model)) is not None else "model"


def _line(subject: Subject) -> Line | None:
    """Return the line that calls the first module that attends, or that of ``forward`` which embeds, or its first."""
    calls = subject.trace.recording.calls
    for kinds in (ATTENTIVE, (nn.Embedding,)):
        for call in calls:
            if isinstance(call.module, kinds) and call.line is not None:
                return call.line
    code = code_of(type(subject.model))
    forward = code.methods().get("forward") if code is not None else None
    return forward.line(forward.node) if forward is not None else None


RULES = (order_read,)
