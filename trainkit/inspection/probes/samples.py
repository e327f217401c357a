"""Samples: pure, each its own, and the same whoever loads them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.passes import distance
from trainkit.inspection.probes.origins import made_at, method_of, origin, stored, whole_of
from trainkit.inspection.probes.tables import indexed, is_drawn, reads_targets, sets, table
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of, walk
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

GENERATORS = (np.random.Generator, np.random.RandomState, torch.Generator, random.Random)
TRIED = 4
LISTED, REPEATED = 64, 5
"""Samples from which few different ones are odd; times that each must be given, and stored ones be more."""


def workers(subject: Subject) -> Iterator[Finding]:
    """Take one sample in two copies of the data set, as two worker processes would: their noise must differ."""
    if subject.num_workers < 2 or isinstance(subject.train_set, IterableDataset):
        return
    data = subject.train_set
    with kept_generators(1), quiet():
        one = copied_data(data)
        first, again = one[0], one[0]
    with kept_generators(2), quiet():
        other = copied_data(data)[0]
    if distance(first, again) in (None, 0.0) or distance(first, other) != 0.0:
        return
    path, place = _generator(data), "train_set"
    if path is not None:
        place = f"train_set.{path}"
    yield found(
        "workers-same-noise",
        place,
        f"each of {subject.num_workers} workers gets a copy of this rng in the same state: identical augmentation",
        at=_setting(data, path) if path is not None else None,
        evidence="one sample in two copies under two seeds: equal; twice in one copy: not",
        effect="noise repeats across workers and in every epoch",
        fix="Draw from torch's generator (torch.randn), which each worker seeds, or seed it in worker_init_fn",
    )


def validation_fixed(subject: Subject) -> Iterator[Finding]:
    """Take validation samples twice: what is measured must not be drawn at random."""
    data = subject.val_set
    if not indexed(data) or not reads_targets(subject):
        return  # views of a sample, or others beside it, are drawn by design
    with kept_generators(), quiet():
        held = copied_data(data)
        for index in _some(held):
            one, two = held[index], held[index]
            apart = distance(unpacked(one)[0], unpacked(two)[0])
            if _is_task(held, one, two):
                return
            if apart is not None and apart > 1e-6:
                yield found(
                    "validation-random",
                    "val_set: __getitem__",
                    "gives another sample at each access: the validation set is augmented at random",
                    severity="warning",
                    at=_augmenting(subject),
                    evidence=f"sample {index} twice differs by {apart:.0%} of its largest value",
                    effect="figures change by chance, and are worse than the model",
                    fix="Give the validation set the plain transform, without augmentation",
                )
                return


def _is_task(data: Any, one: Any, two: Any) -> bool:
    """Say whether what is drawn is the task: views, a noisy picture to be cleaned, or what is to be told of it."""
    (inputs, target), (_, other) = unpacked(one), unpacked(two)
    parts = [tensor for tensor in flat(inputs) if tensor.is_floating_point()]
    if len(parts) > 1 and any(part.shape == parts[0].shape for part in parts[1:]):
        return True
    targets = [torch.as_tensor(target)] if isinstance(target, int | float) else list(flat(target))
    if not targets:
        return True
    apart = abs(target - other) if isinstance(target, int | float) else distance(target, other)
    if apart != 0.0:
        return True  # drawn with the input
    if targets[0].is_floating_point() and parts and targets[0].shape == parts[0].shape and targets[0].dim():
        return True
    return is_drawn(data) and targets[0].dim() > 0


def _augmenting(subject: Subject) -> Line | None:
    """Return the line that gives the validation set its noise: its making if training has the same class."""
    shared = type(whole_of(subject.train_set)) is type(whole_of(subject.val_set))
    made = origin(subject, "val_set")
    if shared and made is not None:
        return made.line
    return _method(subject.val_set, "__getitem__") or made_at(subject, "val_set")


def whole(subject: Subject) -> Iterator[Finding]:
    """Take the last sample, and look for stored ones behind it."""
    for name, data in sets(subject):
        total = len(data)
        with kept_generators(), quiet():
            held = copied_data(data)
            first = held[0]
            try:
                held[total - 1]
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything; the finding tells it
                yield found(
                    "wrong-length",
                    f"{name}: __len__",
                    f"says {total}, and sample {total - 1} cannot be read: {type(error).__name__}: {error}",
                    at=_method(data, "__len__"),
                    evidence=f"{name}[{total - 1}] raises, {name}[0] does not",
                    effect="training fails within the first epoch",
                    fix="Return the number of samples that __getitem__ can give",
                )
                continue
            sizes = {len(value) for value in stored(held).values() if getattr(value, "ndim", 0) > 0}
            if len(sizes) != 1 or whole_of(data) is not data or _method(data, "__len__") is None or _grows(data):
                continue
            there, unit = sizes.pop(), 0
            if there < 1.5 * total or not _alike(first, _taken(held, there - 1)) or _taken(held, there) is not None:
                continue
            unit = _batch_of(subject, held, total, there)
        yield found(
            "wrong-length",
            f"{name}: __len__",
            f"says {total}, and {there} samples are stored: the others are never shown"
            + (f"; it counts batches of {unit}, where a length counts samples" if unit else ""),
            severity="error" if unit else "warning",
            at=_length(data),
            evidence=f"{name}[{there - 1}] is a sample, {name}[{there}] is none",
            effect=f"{1 - total / there:.0%} of the data is not used",
            fix="Return the number of samples",
        )


def _batch_of(subject: Subject, data: Any, total: int, there: int) -> int:
    """Return the size of the batches that a length counts, an attribute of the data set's or the run's; 0 if none."""
    sizes = [value for value in vars(data).values() if isinstance(value, int) and not isinstance(value, bool)]
    given = [size for size in (*sizes, subject.batch_size) if 1 < size < there]
    return next((size for size in given if total in (there // size, -(-there // size))), 0)


def _length(data: Any) -> Line | None:
    """Return the line of ``__len__`` that gives the length."""
    method = method_of(data, "__len__")
    for node in walk(method.node) if method is not None else ():
        if isinstance(node, ast.Return) and method is not None:
            return method.line(node)
    return _method(data, "__len__")


def _grows(data: Any) -> bool:
    """Say whether the length hangs on an attribute that a method sets, as that of a curriculum does."""
    code, length = code_of(type(data)), method_of(data, "__len__")
    if code is None or length is None:
        return False
    read = {node.attr for node in walk(length.node) if isinstance(node, ast.Attribute)}
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in read
        for name, method in code.methods().items()
        if name not in ("__init__", "__len__")
        for node in walk(method.node)
    )


def _taken(data: Any, index: int) -> Any:
    try:
        return data[index]
    except Exception:  # noqa: BLE001 - any failure says that there is no such sample
        return None


def _alike(one: Any, other: Any) -> bool:
    shapes = [[tuple(tensor.shape) for tensor in flat(sample)] for sample in (one, other)]
    return other is not None and shapes[0] == shapes[1]


def distinct(subject: Subject) -> Iterator[Finding]:
    """Hold several samples against each other: an index that is ignored gives one sample for all."""
    for name, data in sets(subject):
        rows = table(subject, name)
        if rows is None or len(rows.samples) < 8:
            continue
        samples = [sample.inputs for sample in rows.samples[:: max(len(rows.samples) // 16, 1)]]
        first = samples[0]
        if all(bool((tensor == tensor.flatten()[:1]).all()) for tensor in first if tensor.numel()):
            continue  # it is empty rather than the same
        same = sum(distance(first, other) == 0.0 for other in samples[1:])
        if same == len(samples) - 1:
            yield found(
                "one-sample",
                f"{name}: __getitem__",
                "gives the same input for every index",
                at=_method(data, "__getitem__"),
                evidence=f"{len(samples)} indices, one input",
                effect="nothing about the data can be learned",
                fix="Use the index",
            )


def stored_but_unread(subject: Subject) -> Iterator[Finding]:
    """Hold what samples show against what is stored: an index that comes round too soon leaves most of it unread."""
    for name, data in sets(subject):
        rows = table(subject, name)
        method = method_of(data, "__getitem__")
        if rows is None or rows.values is None or method is None or whole_of(data) is not data or rows.total < LISTED:
            continue
        shown = len(set(rows.codes))
        if shown < 2 or shown > len(rows.samples) / REPEATED or rows.values.shape[1] < 2:
            continue
        for path, value in stored(data).items():
            if not isinstance(value, Tensor) or value.dim() < 2 or len(value) < REPEATED * shown:
                continue
            there = len(value.flatten(1).unique(dim=0))
            if not value.is_floating_point() or there < REPEATED * shown or value[0].shape != rows.shape:
                continue
            yield found(
                "one-sample",
                f"{name}: __getitem__",
                f"gives the same {shown} samples again and again (duplicates), for the index comes round too soon",
                at=next((method.line(n) for n in walk(method.node) if isinstance(n, ast.Return)), None),
                evidence=f"{len(rows.samples)} indices give {shown} distinct inputs, and {path} holds {there}",
                effect=f"{1 - shown / there:.0%} of the data is never seen: the model learns {shown} samples by heart",
                fix="Use the index as it is",
            )
            break


def _some(data: Any) -> list[int]:
    total = len(data)
    return sorted({0, total // 3, total // 2, total - 1})[:TRIED]


def _generator(data: Any, path: str = "", depth: int = 0) -> str | None:
    for name, value in (vars(data) if hasattr(data, "__dict__") else {}).items():
        place = f"{path}.{name}" if path else name
        if isinstance(value, GENERATORS):
            return place
        if depth < 3 and hasattr(value, "__dict__") and not isinstance(value, type | Tensor):
            inner = _generator(value, place, depth + 1)
            if inner is not None:
                return inner
    return None


def _setting(data: Any, path: str) -> Line | None:
    """Return the line that sets an attribute of a data set."""
    *parents, name = path.split(".")
    for parent in parents:
        data = getattr(data, parent)
    code = code_of(type(data))
    for node in walk(code.node) if code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Attribute) and target.attr == name for target in targets):
            return code.line(node) if code is not None else None
    return None


def _method(data: Any, name: str) -> Line | None:
    method = method_of(data, name)
    return method.line(method.node) if method is not None else None


RULES = (workers, validation_fixed, whole, distinct, stored_but_unread)
