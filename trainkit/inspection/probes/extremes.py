"""A step on the extreme samples of the data: the quietest and loudest, empty ones, the shortest and the longest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.tables import Sample, Table, affordable, table
from trainkit.inspection.step.numbers import breaks_backward, breaks_forward
from trainkit.inspection.step.trial import worth_a_step
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

BESIDE = 4
"""Ordinary samples beside the extreme ones: a norm needs several."""


def extreme(subject: Subject) -> Iterator[Finding]:
    """Take a step on the samples that stand out, and name the operation that breaks on them and on no ordinary ones."""
    rows = table(subject, "train_set")
    if not subject.runs or subject.train_step is not None or rows is None or not affordable(subject, 16):
        return
    if any(True for look in (breaks_forward, breaks_backward) for _ in look(subject)):
        return
    chosen = _standing_out(rows)
    if not chosen or not worth_a_step(subject, "the extreme samples"):
        return
    data: Any = _read(subject, [*chosen, *rows.indices[:BESIDE].tolist()])
    trial = replace(subject, train_set=data, val_set=None, batch_size=len(data), shuffle=False)
    culprits = ", ".join(f"{index} ({why})" for index, why in chosen.items())
    if trial.trace.error is not None:
        yield from _failed(subject, trial, rows, chosen, culprits)
        return
    for look in (breaks_forward, breaks_backward):
        for finding in look(trial):
            evidence = f"{finding.evidence}; on a batch with the samples {culprits} of train_set"
            yield replace(finding, evidence=evidence)
            return


def _failed(subject: Subject, trial: Subject, rows: Table, chosen: dict[int, str], culprits: str) -> Iterator[Finding]:
    """Tell of a step that fails on such samples, and not on as many ordinary ones."""
    ordinary = [index for index in rows.indices.tolist() if index not in chosen][: trial.batch_size]
    data: Any = _read(subject, ordinary)
    other = replace(subject, train_set=data, val_set=None, batch_size=len(data), shuffle=False)
    error = trial.trace.error
    if len(data) < trial.batch_size or other.trace.error is not None or error is None:
        return
    path = trial.trace.recording.failed_in
    last = next((op.line for op in reversed(trial.trace.recording.ops) if op.line is not None), None)
    yield found(
        "sample-fails",
        f"train_set: {path or 'model'}",
        f"holds samples on which a step fails: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
        at=(subject.where_built(path) if path else None) or last,
        evidence=f"a batch with the samples {culprits} fails, {len(data)} others do not",
        effect="training ends at the first batch with such a sample",
        fix="Make the model as large as the longest sample and the largest code of all data, or cut those",
    )


def _standing_out(rows: Table) -> dict[int, str]:
    """Return the indices of samples that stand out, and why."""
    samples = [s for s in rows.samples if all(bool(x.isfinite().all()) for x in s.inputs if x.is_floating_point())]
    real = [sample for sample in samples if any(x.is_floating_point() and x.numel() for x in sample.inputs)]
    chosen: dict[int, str] = {}
    constant = next((sample for sample in real if _is_constant(sample)), None)
    if real:
        sizes = [sum(float(x.double().square().mean()) for x in _floats(sample)) for sample in real]
        chosen[real[sizes.index(max(sizes))].index] = "the largest values"
        chosen[real[sizes.index(min(sizes))].index] = "the smallest values"
    if constant is not None:
        chosen[constant.index] = "one value throughout"
    coded = [sample for sample in samples if _codes(sample)]
    if coded and len(coded) == len(samples):
        largest = [max(int(x.max()) for x in _codes(sample)) for sample in coded]
        chosen[coded[largest.index(max(largest))].index] = "the largest code"
    twins = next((sample for sample in real if _is_pair_of_one(sample)), None)
    if twins is not None:
        chosen[twins.index] = "two equal inputs"
    lengths = [sum(x.numel() for x in sample.inputs) for sample in samples]
    if lengths and min(lengths) < max(lengths):
        chosen[samples[lengths.index(min(lengths))].index] = "the shortest"
        chosen[samples[lengths.index(max(lengths))].index] = "the longest"
    return chosen


def _floats(sample: Sample) -> list[Tensor]:
    return [x for x in sample.inputs if x.is_floating_point() and x.numel()]


def _codes(sample: Sample) -> list[Tensor]:
    return [x for x in sample.inputs if x.dtype in (torch.int64, torch.int32) and x.numel()]


def _is_constant(sample: Sample) -> bool:
    return any(x.numel() > 1 and bool((x == x.flatten()[0]).all()) for x in _floats(sample))


def _is_pair_of_one(sample: Sample) -> bool:
    """Say whether two inputs of a sample are the same, which an ordinary batch may happen to lack."""
    floats = _floats(sample)
    return any(a.shape == b.shape and torch.equal(a, b) for a, b in pairwise(floats))


def _read(subject: Subject, indices: list[int]) -> list[Any]:
    with kept_generators(), quiet():
        held = copied_data(subject.train_set)
        return [held[index] for index in dict.fromkeys(indices)]


RULES = (extreme,)
