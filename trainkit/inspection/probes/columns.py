"""Columns of a table that are no measurements: numbers of things, and numbers that stand for missing ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, origin
from trainkit.inspection.probes.relation import coded
from trainkit.inspection.probes.tables import reads_targets, table
from trainkit.inspection.source import Line
from trainkit.inspection.subject import Subject, found

FEWEST, WIDEST = 200, 512
"""Samples that say something, and columns that are looked at."""
KINDS, TIMES = 12, 5
"""Different values of a column of numbers, counted as if all were as frequent, and samples of each, from which one
value is told from its neighbours."""
TELLS, SMOOTH = 0.3, 0.3
"""Share of the targets' variance that the values of such a column tell, and part of it that their neighbours tell."""
OFTEN, FAR = 5, 10.0
"""Times that one value occurs, and distance from all others in their whole spread, which no measurement has."""


def identities(subject: Subject) -> Iterator[Finding]:
    """Look for numbers that name things: each tells much of the target, and nothing of that of the number beside it."""
    rows = table(subject, "train_set")
    if rows is None or rows.inputs is None or len(rows.shape) != 1 or len(rows.samples) < FEWEST:
        return
    if not subject.runs or not 2 <= rows.inputs.shape[1] <= WIDEST or not reads_targets(subject):
        return
    if any(op.name in ("embedding", "one_hot", "embedding_bag") for op in subject.trace.recording.ops):
        return
    y = coded(rows)
    if y is None or not bool(rows.inputs.isfinite().all()):
        return
    for column, x in enumerate(rows.inputs[: len(y)].T):
        kinds, place, counts = x.unique(return_inverse=True, return_counts=True)
        if not 1 < len(kinds) <= len(x) // TIMES or float(counts.double().median()) < TIMES or not _counts(kinds):
            continue
        if float(1 / (counts / len(x)).square().sum()) < KINDS:  # as with counts of events
            continue
        alone, beside = _told(place, counts, y)
        if alone < TELLS or beside > SMOOTH * alone:
            continue
        yield found(
            "id-as-number",
            f"train_set: input {column}",
            "is an id that is read as a number: each value has an answer of its own, and neighbouring values have "
            "nothing in common",
            severity="warning",
            at=made_at(subject, "train_set"),
            evidence=f"{len(kinds)} values; the value itself explains {alone:.0%} of the targets' variance, the values "
            f"beside it {max(beside, 0):.0%}",
            effect="layers read the size of a number that says nothing",
            fix="nn.Embedding(number of ids, width) for this column, or one-hot",
        )
        return


def _counts(kinds: Tensor) -> bool:
    """Say whether values stand evenly, as numbers that count things do, whatever they were divided by."""
    steps = kinds.double().diff()
    parts = steps / steps.min()
    return bool((parts - parts.round()).abs().max() < 0.05) and float(parts.round().median()) == 1.0


def _told(place: Tensor, counts: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the share of variance that other samples of the same value explain, and that those beside it do."""
    sums = torch.zeros(len(counts), y.shape[1], dtype=y.dtype).index_add_(0, place, y)
    whole = y.square().sum()
    others = (counts[place] - 1).clamp_min(1)[:, None]
    alone = (y - (sums[place] - y) / others).square().sum()
    padded, numbers = (torch.nn.functional.pad(part, (0, 0, 1, 1)) for part in (sums, counts[:, None].double()))
    beside = ((padded[:-2] + padded[2:]) / (numbers[:-2] + numbers[2:]).clamp_min(1))[place]
    slope = (beside * y).sum() / beside.square().sum().clamp_min(1e-30)
    return float(1 - alone / whole), float(1 - (y - slope.clamp(0, 1) * beside).square().sum() / whole)


def sentinels(subject: Subject) -> Iterator[Finding]:
    """Look for one value far from all others that occurs again and again: it stands for a missing one."""
    rows = table(subject, "train_set")
    if rows is None or rows.inputs is None or len(rows.shape) != 1 or len(rows.samples) < FEWEST:
        return
    if not 2 <= rows.inputs.shape[1] <= WIDEST or not bool(rows.inputs.isfinite().all()):
        return
    for column, x in enumerate(rows.inputs.double().T):
        for end in (x.min(), x.max()):
            there = x == end
            rest = x[~there]
            if int(there.sum()) < OFTEN or len(rest) < FEWEST // 2 or len(rest.unique()) < 20:
                continue
            spread = rest.max() - rest.min()
            distance = torch.minimum((rest.min() - end).abs(), (rest.max() - end).abs())
            if spread == 0 or distance < FAR * spread:
                continue
            yield found(
                "missing-as-number",
                f"train_set: input {column}",
                f"holds {float(end):.6g} again and again, far from all other values: may be a missing value, read as a "
                "number",
                severity="info",
                at=_written(subject, abs(float(end))) or made_at(subject, "train_set"),
                evidence=f"{int(there.sum())} of {len(x)} samples; all others lie in {float(rest.min()):.4g}.."
                f"{float(rest.max()):.4g}",
                effect="these samples rule the gradient and the figures by which inputs are normalised",
                fix="Fill with the column's mean, and add a column that says whether it was missing",
            )
            return


def _written(subject: Subject, value: float) -> Line | None:
    """Return the line that writes a number into the training set."""
    made = origin(subject, "train_set")
    return made.find(lambda node: isinstance(node, ast.Constant) and node.value == value) if made is not None else None


RULES = (identities, sentinels)
