"""Single samples that break a training or hold it up: unreadable, of another shape, not finite, slow."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from statistics import median

import torch

from trainkit.findings import Finding
from trainkit.inspection.clock import wall_seconds
from trainkit.inspection.first_step import raised_at
from trainkit.inspection.probes.origins import made_at, method_of, origin
from trainkit.inspection.probes.tables import Sample, Table, table
from trainkit.inspection.source import Line, called, unparse, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

ODD = 0.1
"""Share of samples up to which those of another shape are the odd ones."""
SLOW, LONG, SHARE = 10.0, 5e-3, 0.05
"""Times the median, seconds, and share of all reading from which one sample is slow."""


def unreadable(subject: Subject) -> Iterator[Finding]:
    """Tell of samples that raise."""
    for name, rows in _tables(subject):
        if not rows.failed or rows.failed[-1][0] == rows.total - 1:
            continue  # a wrong length, which is told
        index, error = rows.failed[0]
        yield found(
            "sample-fails",
            f"{name}[{index}]",
            f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}",
            at=raised_at(error) or made_at(subject, name),
            evidence=f"{len(rows.failed)} of {len(rows.failed) + len(rows.samples)} samples that were looked at raise",
            effect="the epoch ends at this sample",
            fix="Drop or mend these samples before training",
        )


def misshapen(subject: Subject) -> Iterator[Finding]:
    """Look for few samples of another shape than all others, which no batch can hold."""
    for name, rows in _tables(subject):
        if subject.collate is not None:
            continue
        for part, shapes in (
            ("input", [tuple(tuple(x.shape) for x in sample.inputs) for sample in rows.samples]),
            ("target", [None if s.target is None else (tuple(s.target.shape),) for s in rows.samples]),
        ):
            counts = Counter(shapes)
            usual = counts.most_common(1)[0][0]
            odd = [sample for sample, shape in zip(rows.samples, shapes, strict=True) if shape != usual]
            if not odd or len(odd) > ODD * len(shapes) or usual is None:
                continue
            shape = shapes[rows.samples.index(odd[0])]
            yield found(
                "wrong-shape",
                f"{name}[{odd[0].index}]: {part} shape",
                f"is {_shown(shape)}, where all others are {_shown(usual)}",
                at=made_at(subject, name),
                evidence=f"{len(odd)} of {len(shapes)} samples that were looked at: {[s.index for s in odd[:5]]}",
                effect="the batch that holds it cannot be stacked",
                fix="Drop or mend these samples, or pad them in a collate of your own",
            )


def _shown(shapes: tuple[tuple[int, ...], ...] | None) -> str:
    return "none" if shapes is None else " and ".join(str(list(shape)) for shape in shapes)


def finite(subject: Subject) -> Iterator[Finding]:
    """Look for NaN and infinity in inputs and targets."""
    for name, rows in _tables(subject):
        for part in ("input", "target"):
            bad = [sample for sample in rows.samples if not _is_finite(sample, part)]
            if not bad or _harmless(subject, name, bad[0].index):
                continue
            indices = [sample.index for sample in bad]
            yield found(
                "not-finite",
                f"{name}[{indices[0]}]: {part}",
                f"holds {_kind(bad[0], part)}",
                at=made_at(subject, name),
                evidence=f"{len(bad)} of {len(rows.samples)} samples that were looked at: {indices[:5]}",
                effect="one such batch makes all weights NaN",
                fix="Drop or fill these samples before training",
            )


def _is_finite(sample: Sample, part: str) -> bool:
    return all(bool(x.isfinite().all()) for x in _values(sample, part))


def _harmless(subject: Subject, name: str, index: int) -> bool:
    """Say whether model and loss leave out what is not finite, as those of a training with missing targets do."""
    if not subject.runs:
        return False
    with subject.scratch() as scratch:
        data = copied_data(getattr(subject, name))
        others = [other for other in (0, len(data) // 2, len(data) - 1) if other != index]
        try:
            batch = subject.collated([data[number] for number in (index, *others)])
            loss = subject.run(scratch.model, scratch.loss, batch).loss
            if not isinstance(loss, torch.Tensor) or not bool(loss.isfinite().all()):
                return False
            loss.sum().backward()
        except Exception:  # noqa: BLE001 - what cannot be run is not harmless
            return False
        gradients = [parameter.grad for parameter in scratch.model.parameters() if parameter.grad is not None]
        return all(bool(gradient.isfinite().all()) for gradient in gradients)


def _values(sample: Sample, part: str) -> list[torch.Tensor]:
    given = sample.inputs if part == "input" else (sample.target,)
    return [x for x in given if x is not None and x.is_floating_point()]


def _kind(sample: Sample, part: str) -> str:
    return "NaN" if any(bool(x.isnan().any()) for x in _values(sample, part)) else "infinity"


def slow(subject: Subject) -> Iterator[Finding]:
    """Tell of a sample that takes many times as long as the others, each time that it is read."""
    for name, rows in _tables(subject):
        if len(rows.samples) < FEWEST_TIMED:
            continue
        usual = median(sample.seconds for sample in rows.samples)
        worst = max(rows.samples, key=lambda sample: sample.seconds)
        all_of_it = sum(sample.seconds for sample in rows.samples)
        if worst.seconds < max(SLOW * usual, LONG, SHARE * all_of_it):
            continue
        again = _seconds(subject, name, worst.index)
        if again < max(SLOW * usual, LONG):
            continue
        yield found(
            "slow-sample",
            f"{name}[{worst.index}]",
            f"takes {again:.3g} s to read, {again / max(usual, 1e-9):.0f} times as long as most",
            severity="info",
            at=_reading(subject, name),
            evidence=f"the slowest of {len(rows.samples)} samples, {worst.seconds / all_of_it:.0%} of all their time; "
            f"the median is {usual:.2g} s",
            effect="a batch waits for its slowest sample",
            fix="Look at this sample (its size, its format), and prepare such ones beforehand",
        )


FEWEST_TIMED = 16
"""Samples from which the usual time is known."""


def _seconds(subject: Subject, name: str, index: int) -> float:
    """Return the shorter of two times to read a sample, caches filled."""
    with kept_generators(), quiet():
        data = copied_data(getattr(subject, name))
        times = []
        for _ in range(2):
            start = wall_seconds()
            data[index]
            times.append(wall_seconds() - start)
    return min(times)


def _reading(subject: Subject, name: str) -> Line | None:
    method = method_of(getattr(subject, name), "__getitem__")
    return method.line(method.node) if method is not None else made_at(subject, name)


def double(subject: Subject) -> Iterator[Finding]:
    """Tell of float64 inputs or targets into float32 weights, where a step fails by it."""
    error = subject.trace.error if subject.train_set is not None else None
    rows = table(subject, "train_set")
    if error is None or rows is None or "ouble" not in str(error) or "loat" not in str(error):
        return
    weights = {parameter.dtype for parameter in subject.model.parameters()}
    if torch.float64 in weights:
        return
    first = rows.samples[0]
    wide = [x.dtype is torch.float64 for x in first.inputs]
    part = "inputs" if any(wide) else "target"
    if part == "target" and (first.target is None or first.target.dtype is not torch.float64):
        return
    yield found(
        "float64-data",
        f"train_set: {part} dtype",
        "is float64 (Double), as numpy makes it, and the model's weights are float32 (Float)",
        at=_widening(subject) or made_at(subject, "train_set"),
        evidence=" ".join(str(error).split())[:120],
        effect="the first step fails",
        fix="x.float(), or numpy's astype('float32'), in the data set",
    )


def _widening(subject: Subject) -> Line | None:
    """Return the line that takes numbers over from numpy, or asks for float64."""

    def wanted(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        name = called(node).rpartition(".")[2]
        return name in ("from_numpy", "double", "as_tensor") or "float64" in unparse(node)

    made = origin(subject, "train_set")
    at = made.find(wanted) if made is not None else None
    for name in ("__getitem__", "__init__"):
        method = method_of(subject.train_set, name)
        if at is None and method is not None:
            at = next((method.line(node) for node in walk(method.node) if wanted(node)), None)
    return at


def _tables(subject: Subject) -> Iterator[tuple[str, Table]]:
    for name in ("train_set", "val_set"):
        rows = table(subject, name)
        if rows is not None:
            yield name, rows


RULES = (unreadable, misshapen, finite, slow, double)
