"""Training and validation held against each other: another treatment of inputs or targets."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import is_scaling, made_at, method_of, one_sided, origin
from trainkit.inspection.probes.tables import Table, is_finite, table
from trainkit.inspection.source import Line, unparse, walk
from trainkit.inspection.subject import Subject, found

APART = 3.0
"""Ratio of scales, or shift in standard deviations, from which two data sets were not treated alike."""
STANDARD = 5e-3
"""Distance of mean from 0 and of standard deviation from 1 that tells of a standardised data set."""


def alike(subject: Subject) -> Iterator[Finding]:
    """Hold the scale of the validation inputs against the training ones."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or min(len(train.indices), len(val.indices)) < 30:
        return
    one, other = train.inputs, val.inputs
    if one is None or other is None or one.shape[1] != other.shape[1]:
        return
    if is_finite(one) and is_finite(other) and _apart(one, other):
        yield found(
            "splits-treated-differently",
            "val_set: input range",
            "inputs are not normalised as the training set's (train_set) are",
            at=_treating(subject, "val_set"),
            evidence=_figures(one, other),
            effect="validation measures the model on inputs that it never saw the like of",
            fix="One transform, with the training set's mean and std, for both",
        )


def targets_alike(subject: Subject) -> Iterator[Finding]:
    """Hold the scale of the validation targets against the training ones."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or min(len(train.indices), len(val.indices)) < 50:
        return
    one, other = train.targets, val.targets
    if one is None or other is None or not one.is_floating_point() or not other.is_floating_point():
        return
    one, other = one.float().reshape(len(one), -1), other.float().reshape(len(other), -1)
    if one.shape[1] != other.shape[1] or float(one.std()) == 0 or len(one.unique()) <= 20:
        return
    if bool(one.isfinite().all() and other.isfinite().all()) and _apart(one, other):
        yield found(
            "targets-treated-differently",
            "val_set: target range",
            "targets are not normalised as the training set's (train_set) are",
            at=_treating(subject, "val_set"),
            evidence=_figures(one, other),
            effect="the validation loss is on another scale than the model's answers",
            fix="Scale targets with the training set's mean and std in both",
        )


def _apart(one: Tensor, other: Tensor) -> bool:
    """Say whether two sets of rows can hardly have been treated alike."""
    if float(one.std()) == 0 or float(other.std()) == 0:
        return False
    ratio = float(other.std() / one.std().clamp_min(1e-12))
    shift = float((other.mean() - one.mean()).abs() / one.std().clamp_min(1e-12))
    if not (1 / APART < ratio < APART and shift < APART):
        return True
    if _is_standard(one) != _is_standard(other):
        by_feature = (other.mean(0) - one.mean(0)).abs() / one.std(0).clamp_min(1e-6)
        if ratio < 0.6 or ratio > 1.7 or float(by_feature.median()) > 1.0:
            return True
    return _bounded(one, other) or _bounded(other, one)


def _is_standard(rows: Tensor) -> bool:
    """Say whether features (or all values together) have mean 0 and standard deviation 1, as only arithmetic gives."""
    overall = abs(float(rows.mean())) < STANDARD and abs(float(rows.std()) - 1) < STANDARD
    spread = rows.std(0)
    live = spread > 1e-6
    each = rows.mean(0)[live].abs().median() < STANDARD and (spread[live] - 1).abs().median() < STANDARD
    return bool(overall or (live.any() and each))


def _bounded(one: Tensor, other: Tensor) -> bool:
    """Say whether one set fills 0..1 to both ends, as pixels do, and the other is the same shifted and stretched."""
    if not (-1e-6 <= float(one.min()) <= 0.02 and 0.9 <= float(one.max()) <= 1 + 1e-6):
        return False
    if float(other.min()) > -0.3 or one.shape[1] < 4:
        return False
    levels = torch.linspace(0.02, 0.98, 25)
    a, b = (_quantiles(rows, levels) for rows in (one, other))
    slope = float(((a - a.mean()) * (b - b.mean())).sum() / (a - a.mean()).square().sum().clamp_min(1e-12))
    rest = (b - b.mean() - slope * (a - a.mean())).abs().max() / b.std().clamp_min(1e-12)
    return (slope > 1.5 or slope < 0.6) and float(rest) < 0.2


def _quantiles(rows: Tensor, levels: Tensor) -> Tensor:
    flat = rows.flatten()
    return flat[:: max(len(flat) // 50_000, 1)].quantile(levels)


def _figures(one: Tensor, other: Tensor) -> str:
    return (
        f"mean {float(one.mean()):.3g} and standard deviation {float(one.std()):.3g} in training, "
        f"{float(other.mean()):.3g} and {float(other.std()):.3g} in validation"
    )


def _treating(subject: Subject, name: str) -> Line | None:
    """Return the line that scales one of the sets and not the other, else the one that makes the set."""
    at = one_sided(subject, is_scaling)
    if at is not None:
        return at
    train, val = (method_of(data, "__getitem__") for data in (subject.train_set, subject.val_set))
    if train is not None and val is not None and train.node is not val.node:
        scaling = [val.line(node) for node in walk(val.node) if is_scaling(node)]
        return scaling[0] if scaling else val.line(val.node)
    return made_at(subject, name)


def own_figures(subject: Subject) -> Iterator[Finding]:
    """See by whose figures the inputs were standardised: each set's by its own, or both by those of all samples."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or not (train.complete and val.complete) or train.shape != val.shape:
        return
    one, other = train.inputs, val.inputs
    if one is None or other is None or min(len(one), len(other)) < 30 or _by_sample(train) or _by_sample(val):
        return
    both = torch.cat([one, other])
    if _is_exact(one) and _is_exact(other):
        yield found(
            "own-statistics",
            "val_set: mean and std",
            "is standardised by its own statistics (mean and std), not by the training set's",
            severity="info",
            at=_last_scaling(subject),
            evidence=f"each set for itself has mean 0 and standard deviation 1 to {_figure(other)}",
            effect="one input means another thing in each set, and a single sample could not be prepared at all",
            fix="mean, std = x_train.mean(0), x_train.std(0); (x_val - mean) / std",
        )
    elif _is_exact(both) and not _is_exact(one) and not _is_exact(other):
        yield found(
            "own-statistics",
            "val_set: mean and std",
            "is standardised by statistics (mean and std) of all samples: they were computed before the split, a small "
            "leak of validation into train_set",
            severity="info",
            at=_last_scaling(subject),
            evidence=f"both sets together have mean 0 and standard deviation 1 to {_figure(both)}",
            effect="validation is a little better than on data that come later",
            fix="Split first; mean, std of the training part for both",
        )


def _is_exact(rows: Tensor) -> bool:
    """Say whether all features have mean 0 and deviation 1 but for rounding, as their own figures alone give them."""
    if not bool(rows.isfinite().all()) or rows.shape[1] < 2:
        return False
    wide = rows.double()
    return bool(wide.mean(0).abs().max() < EXACT and (wide.std(0) - 1).abs().max() < 1.0 / len(rows))


EXACT = 1e-4
"""Distance of a mean from 0 that is rounding."""


def _by_sample(rows: Table) -> bool:
    """Say whether each sample was standardised by itself."""
    assert rows.inputs is not None
    return rows.inputs.shape[1] > 1 and bool(rows.inputs.double().mean(1).abs().max() < EXACT)


def _figure(rows: Tensor) -> str:
    return f"{float(rows.double().mean(0).abs().max()):.1g}"


def _last_scaling(subject: Subject) -> Line | None:
    """Return the line that standardises the validation set: one that takes a mean or deviation."""
    made = origin(subject, "val_set")
    at = made.find(lambda node: isinstance(node, ast.stmt) and _standardises(node)) if made is not None else None
    return at or _treating(subject, "val_set")


def _standardises(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ".std(" in unparse(node) and ".mean(" in unparse(node)


RULES = (alike, targets_alike, own_figures)
