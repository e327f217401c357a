"""Targets that stand in their inputs: a column that is the target, a function of it, or nearly so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainkit.findings import Finding, Severity
from trainkit.inspection.probes.origins import made_at, method_of, origin
from trainkit.inspection.probes.relation import coded, dependence
from trainkit.inspection.probes.tables import Table, reads_targets, table
from trainkit.inspection.source import Line, code_of, walk
from trainkit.inspection.subject import Subject, found

FEWEST, WIDEST = 64, 4096
"""Samples that say something, and features that are looked at."""
MANY, ENOUGH = 512, 300
"""Features from which no more than so many samples are looked at."""
FEW = 0.1
"""Share of columns up to which those that give the target away are the odd ones; where all do, it is the task."""
EXACT, NEARLY, USUAL = 1e-5, 0.03, 0.9
"""Share of the target's spread that is left unexplained: none, hardly any; and correlation that the others reach."""
TOLD = 0.05
"""Share of the target's variance that other features explain where one that gives it away is a leak."""
KINDS = 50
"""Classes up to which columns are held against each."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Columns that give the target away.

    Attributes:
        columns: Their numbers.
        relation: What they are to the target.
        exact: Whether without any error.
    """

    columns: list[int]
    relation: str
    exact: bool


def in_inputs(subject: Subject) -> Iterator[Finding]:
    """Look for a feature that is the target, a function of it, or the target with a little noise."""
    rows = table(subject, "train_set")
    if rows is None or len(rows.samples) < FEWEST or not reads_targets(subject) or _is_reward(subject):
        return
    whole, target = rows.whole, _target(rows)
    if whole is None or target is None or not 2 <= whole.shape[1] <= WIDEST or not whole.is_floating_point():
        return
    if not bool(whole.isfinite().all() and target.isfinite().all()) or float(target.std()) == 0:
        return
    if whole.shape[1] > MANY:
        whole, target = whole[:ENOUGH], target[:ENOUGH]
    x = whole.double()
    if target.dim() == 2:
        leak = _several(x, target)
    elif rows.classes is not None or len(target.unique()) < 3:
        leak = _classes(x, target)
    else:
        leak = _numbers(x, target)
    if leak is None:
        return
    column = leak.columns[0]
    severity: Severity = "error" if leak.exact else "warning"
    if target.dim() == 1 and rows.classes is None and not _others_tell(rows, x, leak.columns):
        severity = "info"  # the target is made of this feature alone: it is the task
    yield found(
        "target-in-inputs",
        f"train_set: input {column}",
        f"{leak.relation}: a leak of the target into the inputs",
        severity=severity,
        at=_pairing(subject),
        evidence=f"feature {column} of {whole.shape[1]} tells the target of all {len(target)} samples looked at",
        effect="training and validation look perfect, and nothing was learned",
        fix="Take this column out of the inputs, or show that it is known before the target is",
    )


def _others_tell(rows: Table, x: Tensor, columns: list[int]) -> bool:
    """Say whether the other features tell something of the target too, as of a label they do that is to be told."""
    y = coded(rows)
    rest = [column for column in range(x.shape[1]) if column not in columns]
    if y is None or not rest:
        return True
    count = min(len(y), len(x))
    return dependence(x[:count, rest], y[:count], thorough=True) > TOLD


def _target(rows: Table) -> Tensor | None:
    """Return one number a sample, or a few."""
    if rows.targets is None or rows.targets.dim() > 2:
        return None
    target = rows.targets.double()
    target = target[:, 0] if target.dim() == 2 and target.shape[1] == 1 else target
    return target if target.dim() == 1 or target.shape[1] <= KINDS else None


def _several(x: Tensor, y: Tensor) -> Leak | None:
    """Hold each column against each of several targets; where most of these stand in the inputs, that is the task."""
    y = y[:, y.std(0) > 0]
    if y.shape[1] == 0:
        return None
    columns = torch.zeros(x.shape[1], dtype=torch.bool)
    known = 0
    for target in y.T:
        same = ((x - target[:, None]).abs().amax(0) <= EXACT * target.abs().max()) & (x.std(0) > 0)
        columns |= same
        known += bool(same.any())
    return _few(columns, "is one of the targets itself", exact=True) if known <= y.shape[1] / 2 else None


def _numbers(x: Tensor, y: Tensor) -> Leak | None:
    """Hold each column against a number: equal, a line, a rising or falling function, or a line with little noise."""
    spread = x.std(0, correction=0)
    live = spread > 1e-12 * x.abs().amax(0).clamp_min(1e-300)
    correlation = ((x - x.mean(0)) * (y - y.mean())[:, None]).mean(0) / (
        spread.clamp_min(1e-300) * y.std(correction=0).clamp_min(1e-300)
    )
    correlation = torch.where(live, correlation, 0)
    left = (1 - correlation.square()).clamp_min(0).sqrt()
    same = ((x - y[:, None]).abs().amax(0) <= EXACT * y.abs().max()) & live
    line = (left <= EXACT * 10) & live
    rising = _monotone(x, y) & live
    near = (left <= NEARLY) & live
    others = correlation.abs()[~(near | rising)]
    apart = len(others) >= 1 and float(others.max()) < USUAL and x.shape[1] >= 3
    for columns, relation, exact in (
        (same, "is the target itself", True),
        (line, "is the target on another scale: a line through all samples", True),
        (rising & apart, "is a function of the target: it rises or falls with it without exception", True),
        (near & apart, "is the target with a little noise", False),
    ):
        leak = _few(columns, relation, exact=exact)
        if leak is not None:
            return leak
    return None


def _monotone(x: Tensor, y: Tensor) -> Tensor:
    """Say of each column whether it takes another value for each other target, in the order of the targets."""
    order = y.argsort()
    steps, moved = x[order].diff(dim=0), y[order].diff() > 0
    if int(moved.sum()) < FEWEST - 1:
        return torch.zeros(x.shape[1], dtype=torch.bool)
    kept = steps[moved]
    return ((kept > 0).all(0) | (kept < 0).all(0)) & (steps[~moved] == 0).all(0)


def _classes(x: Tensor, y: Tensor) -> Leak | None:
    """Hold each column against the classes: their number, one of them, a code of them, or one with a little noise."""
    kinds, place, counts = y.unique(return_inverse=True, return_counts=True)
    if not 2 <= len(kinds) <= KINDS or int(counts.min()) < 3:
        return None
    live = x.std(0) > 0
    same = (x == y[:, None]).all(0) & live
    member = torch.zeros(x.shape[1], dtype=torch.bool)
    if len(kinds) > 2:
        for kind in range(len(kinds)):
            member |= (x == (place == kind).double()[:, None]).all(0)
    means = torch.zeros(len(kinds), x.shape[1], dtype=x.dtype).index_add_(0, place, x) / counts[:, None]
    within = (x - means[place]).abs().amax(0)
    gaps = means.sort(0).values.diff(dim=0).amin(0)
    code = (within <= EXACT * gaps) & (gaps > 0) & live
    near = (within <= 0.25 * gaps) & (gaps > 0) & live
    each = _explained(x, means[place])
    others = each[~near & ~member]
    apart = len(others) >= 1 and float(others.max()) < USUAL and x.shape[1] >= 3
    for columns, relation, exact in (
        (same, "is the target itself", True),
        (member, "says whether the target is one class (a one-hot column of the target)", True),
        (code & apart, "is a function of the target: one number for each class", True),
        (near & apart, "is the target with a little noise: the classes lie far apart in it", False),
    ):
        leak = _few(columns, relation, exact=exact, most=max(len(kinds), 2))
        if leak is not None:
            return leak
    return None


def _explained(x: Tensor, means: Tensor) -> Tensor:
    """Return the share of each column's variance that the classes explain."""
    whole = (x - x.mean(0)).square().sum(0).clamp_min(1e-300)
    return 1 - (x - means).square().sum(0) / whole


def _few(columns: Tensor, relation: str, *, exact: bool, most: int = 2) -> Leak | None:
    """Return the columns, unless so many are alike that this is what the data are made of."""
    count = int(columns.sum())
    if not 0 < count <= max(most, FEW * len(columns)) or (count == len(columns)):
        return None
    return Leak(columns.nonzero().flatten().tolist(), relation, exact)


def _is_reward(subject: Subject) -> bool:
    """Say whether all that a loss does with the target is to add it to what the model gives: a reward.

    An input may tell of that by design, as of a step that ends an episode.
    """
    code = code_of(subject.loss)
    node = code.node if code is not None else None
    names = [item.arg for item in node.args.args] if isinstance(node, ast.FunctionDef) else []
    if node is None or len(names) != 2:
        return False
    reads = [part for part in walk(node) if isinstance(part, ast.Name) and part.id == names[1]]
    sums = [part for part in walk(node) if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add)]
    return len(reads) == 1 and any(reads[0] in (part.left, part.right) for part in sums)


def in_channel(subject: Subject) -> Iterator[Finding]:
    """Look for a channel of a series that is the series of targets."""
    rows = table(subject, "train_set")
    if rows is None or rows.inputs is None or rows.targets is None or len(rows.shape) != 2:
        return
    series = rows.inputs.reshape(len(rows.inputs), *rows.shape)
    target = rows.targets.float()
    target = target[..., 0] if target.dim() == 3 and target.shape[2] == 1 else target
    if target.dim() != 2 or rows.shape[1] < 2 or target.shape[1] != rows.shape[0] or float(target.std()) == 0:
        return
    same = ((series - target[..., None]).abs().amax((0, 1)) <= EXACT * target.abs().max()).nonzero().flatten()
    if len(same) in (0, rows.shape[1]):
        return
    yield found(
        "target-in-inputs",
        f"train_set: input channel {int(same[0])}",
        "is the target itself, at each position: a leak of the target into the inputs",
        at=_pairing(subject),
        evidence=f"equal in all {target.numel()} positions looked at",
        effect="training and validation look perfect, and nothing was learned",
        fix="Take this channel out of the inputs",
    )


def _pairing(subject: Subject) -> Line | None:
    """Return the line that puts inputs beside targets: where columns are joined, else where the set is made."""
    joins = ("cat", "concat", "concatenate", "hstack", "column_stack", "stack", "insert", "assign", "append")
    made = origin(subject, "train_set")
    if made is not None:
        at = made.find(lambda node: type(node).__name__ == "Call" and _last(node) in joins)
        if at is not None:
            return at
    for name in ("__getitem__", "__init__"):
        method = method_of(subject.train_set, name)
        calls = list(method.calls(*joins)) if method is not None else []
        if method is not None and calls:
            return method.line(calls[0])
    return made_at(subject, "train_set")


def _last(node: object) -> str:
    function = getattr(node, "func", None)
    return str(getattr(function, "attr", getattr(function, "id", "")))


RULES = (in_inputs, in_channel)
