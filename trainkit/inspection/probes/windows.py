"""Runs of values that samples of both sets share at different places: windows of one series, crops of one picture."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.overlap import splitting
from trainkit.inspection.probes.tables import Table, table
from trainkit.inspection.subject import Subject, found

RUN = 6
"""Values in a row that make a run."""
KINDS = 4
"""Different values in a run, without which it says nothing."""
EACH = 48
"""Runs that are kept of each sample, chosen by what they hold, so that the same ones are kept in all samples."""
SHARED = 0.5
"""Share of the validation set's runs that stand in training too, from which the split was not made by time."""
MOVED = 0.3
"""Share of a validation sample's runs that training samples hold at other places, from which it is a crop of one."""
RECURRING = 0.05
"""Share of runs that occur twice at one place, from which runs recur by nature."""


def shared_runs(subject: Subject) -> Iterator[Finding]:
    """Look for runs of values of the validation samples that training samples hold at other places."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or subject.train_set is subject.val_set:
        return
    if len(val.samples) < 20 or len(train.samples) < 50 or train.shape != val.shape:
        return
    mine, theirs = _runs(train), _runs(val)
    if mine is None or theirs is None or len(theirs[0]) < 2 * len(val.samples):
        return
    if _twice(mine) > RECURRING:
        return
    known = torch.isin(theirs[0] * 31 + theirs[2], mine[0] * 31 + mine[2])  # at their place: copies, told elsewhere
    among = torch.isin(theirs[0], mine[0]) & ~known
    samples = theirs[1]
    counts = torch.zeros(len(val.samples)).index_add_(0, samples, torch.ones(len(samples)))
    hits = torch.zeros(len(val.samples)).index_add_(0, samples, among.float())
    rich = counts >= 2
    shares = hits[rich] / counts[rich]
    within = _within(mine)
    if within > 0.2 and float(shares.mean()) >= SHARED:
        yield found(
            "windows-overlap",
            "val_set: windows",
            "overlap with the training set's (train_set): windows of one series were split at random, a leak",
            severity="warning",
            at=splitting(subject),
            evidence=f"{float(shares.mean()):.0%} of the values of validation windows stand in training windows too",
            effect="validation asks for what training has shown, and is better than the model will be on new data",
            fix="Split the series by time, with a gap of one window, and cut windows after it",
        )
    elif within < 0.05 and float((shares >= MOVED).double().mean()) >= 0.05 and int((shares >= MOVED).sum()) >= 10:
        copies = float((shares >= MOVED).double().mean())
        yield found(
            "leak-between-splits",
            "val_set: duplicates",
            "holds parts of the training set's samples (train_set), at other places: a leak, the splits overlap",
            at=splitting(subject),
            evidence=f"{copies:.0%} of the validation samples share runs of values with training, as crops of one "
            "picture do",
            effect="validation is better than the model, and does not show over-fitting",
            fix="Split first, then crop",
        )


def _runs(rows: Table) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return codes of runs, the samples that they are from, and their places; equal runs have equal codes."""
    values = rows.values
    if values is None or not rows.shape or rows.shape[-1 if len(rows.shape) != 2 else 0] < 2 * RUN:
        return None
    whole = values.reshape(len(values), *rows.shape)
    lines = whole.transpose(1, 2).reshape(len(whole), -1, rows.shape[0]) if len(rows.shape) == 2 else whole
    lines = lines.reshape(len(whole), -1, lines.shape[-1])[:, :64]
    bits = lines.float().contiguous().view(torch.int32).long() if lines.is_floating_point() else lines.long()
    weights = torch.randint(-(2**62), 2**62, (RUN,), generator=torch.Generator().manual_seed(0)) | 1
    count = bits.shape[-1] - RUN + 1
    codes = torch.zeros_like(bits[..., :count])
    for step in range(RUN):
        codes += bits[..., step : step + count] * weights[step]
    codes = (codes ^ (codes >> 29)) * -4658895280553007687  # mixes the bits, by which runs are chosen below
    chosen = ((codes >> 40) % max(codes[0].numel() // EACH, 1) == 0).nonzero()
    runs = torch.stack([bits[(*chosen.T[:-1], chosen[:, -1] + step)] for step in range(RUN)], 1)
    chosen = chosen[(runs.sort(1).values.diff(dim=1) != 0).sum(1) >= KINDS - 1]
    places = chosen[:, 1] * count + chosen[:, 2]
    return (codes[tuple(chosen.T)], chosen[:, 0], places) if len(chosen) else None


def _twice(runs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the share of runs that occur at their place in another sample too: no pass along a series gives that."""
    codes, _, places = runs
    _, counts = torch.stack([codes, places], 1).unique(dim=0, return_counts=True)
    return float(counts[counts > 1].sum() / counts.sum())


def _within(runs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the share of runs that another sample of the same set holds."""
    codes, samples, _ = runs
    pairs = torch.stack([codes, samples], 1).unique(dim=0)
    _, inverse, counts = pairs[:, 0].unique(return_inverse=True, return_counts=True)
    return float((counts[inverse] > 1).double().mean())


RULES = (shared_runs,)
