"""Whether both sets count alike: classes under the same numbers, and features or channels in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at
from trainkit.inspection.probes.relation import coded, described, guesses
from trainkit.inspection.probes.tables import Table, reads_targets, table
from trainkit.inspection.subject import Subject, found

MIXED = 128
"""Features into which more of them are mixed."""
FEWEST = 100
"""Samples of each set that say something."""
KNOWN = 0.3
"""How much better than the commonest class a plain predictor must be, and how much worse it is on other numbers."""
APART, TOGETHER = 10.0, 4.0
"""Standard errors from which two figures differ, and within which they agree."""
CHANNELS, COLUMNS = 4, 256
"""Channels of a picture, and features of a row, that are held against each other."""


def numbered_alike(subject: Subject) -> Iterator[Finding]:
    """Guess validation classes by a predictor of the training ones: right but for the numbers, they were renumbered."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or train.classes is None or val.classes is None or not reads_targets(subject):
        return
    if min(len(train.samples), len(val.samples)) < FEWEST or train.shape != val.shape or not train.alone:
        return
    x, other, y = described(train, MIXED), described(val, MIXED), coded(train)
    if x is None or other is None or y is None or x.shape[1] != other.shape[1]:
        return
    kinds = train.classes[: len(x)].unique()
    if y.shape[1] != len(kinds) or not 2 <= len(kinds) <= 100:
        return
    labels, truth = train.classes[: len(x)], val.classes[: len(other)]
    seen, told = guesses(x, y, other)
    held = labels[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))][int(0.7 * len(x)) :]
    right = float((kinds[seen] == held).double().mean())
    commonest = float((labels[:, None] == kinds).double().mean(0).max())
    there = float((kinds[told] == truth).double().mean())
    if right < commonest + KNOWN or there > right - KNOWN:
        return
    renamed, share = _renamed(told, truth, kinds)
    if share < max(0.9 * right, there + KNOWN):
        return
    wrong = {int(old): int(new) for old, new in renamed.items() if old != new}
    yield found(
        "labels-renumbered",
        "val_set: classes",
        "are numbered in another way than the training set's: the same labels mean other classes",
        at=made_at(subject, "val_set"),
        evidence=f"a plain predictor of the training set is right in {right:.0%} there, in {there:.0%} here, and in "
        f"{share:.0%} after renaming {dict(list(wrong.items())[:4])}",
        effect="validation counts right answers as wrong",
        fix="Number the classes once, and give both sets that numbering",
    )


def _renamed(told: Tensor, truth: Tensor, kinds: Tensor) -> tuple[dict[int, int], float]:
    """Return the pairs of class numbers that fit best, each used once, and the share of samples that then agree."""
    counts = torch.stack([((told == row) & (truth[:, None] == kinds).T).sum(1) for row in range(len(kinds))])
    pairs: dict[int, int] = {}
    total, left = 0, counts.clone()
    for _ in range(len(kinds)):
        place = int(left.argmax())
        row, column = place // len(kinds), place % len(kinds)
        total += int(counts[row, column])
        pairs[int(kinds[row])] = int(kinds[column])
        left[row], left[:, column] = -1, -1
    return pairs, total / len(truth)


def ordered_alike(subject: Subject) -> Iterator[Finding]:
    """Hold the figures of features, or of a picture's channels, against those of the other set, in any order."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or train.inputs is None or val.inputs is None or train.shape != val.shape:
        return
    if min(len(train.samples), len(val.samples)) < FEWEST or len(train.shape) not in (1, 3):
        return
    one, other = _by_column(train), _by_column(val)
    width = one.shape[1]
    if not 2 <= width <= (CHANNELS if len(train.shape) == 3 else COLUMNS):
        return
    if not bool(one.isfinite().all() and other.isfinite().all()):
        return
    apart = _distances(one, other)
    order = _best_order(apart)
    moved = [column for column in range(width) if order[column] != column]
    if len(moved) < 2 or any(float(apart[order[column], column]) > TOGETHER for column in range(width)):
        return
    if any(float(apart[column, column]) < APART for column in moved):
        return
    what = "channels" if len(train.shape) == 3 else "features"
    yield found(
        "columns-in-another-order",
        f"val_set: {what}",
        f"are in another order than the training set's (train_set): {what} {moved[:6]} are swapped",
        at=made_at(subject, "val_set"),
        evidence=f"means and deviations of {len(moved)} of {width} {what} differ by more than "
        f"{APART:.0f} standard errors, and agree in the order {order[:8]}",
        effect="validation shows the model something else than training",
        fix="One order for both: RGB or BGR, and the same list of columns",
    )


def _by_column(rows: Table) -> Tensor:
    """Return one figure a sample and column, (samples, columns): the mean over a channel."""
    assert rows.inputs is not None
    if len(rows.shape) == 1:
        return rows.inputs.double()
    return rows.inputs.double().reshape(len(rows.inputs), rows.shape[0], -1).mean(2)


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return how many standard errors each column of one set is from each of the other, in mean or deviation."""
    means, spreads = zip(*((rows.mean(0), rows.std(0)) for rows in (one, other)), strict=True)
    variance = spreads[0].square()[:, None] / len(one) + spreads[1].square() / len(other)
    by_mean = (means[0][:, None] - means[1]).abs() / variance.sqrt().clamp_min(1e-12)
    error = (0.5 / len(one) + 0.5 / len(other)) ** 0.5
    ratio = (spreads[0].clamp_min(1e-12)[:, None] / spreads[1].clamp_min(1e-12)).log().abs()
    return torch.maximum(by_mean, ratio / (2 * error))


def _best_order(apart: Tensor) -> list[int]:
    """Return for each column of the second set the one of the first that it is."""
    width = len(apart)
    if width <= CHANNELS:
        orders = permutations(range(width))
        return list(min(orders, key=lambda order: float(sum(apart[row, column] for column, row in enumerate(order)))))
    nearest = apart.argmin(0).tolist()
    return nearest if len(set(nearest)) == width else list(range(width))


RULES = (numbered_alike, ordered_alike)
