"""Samples: pure, each its own, and the same whoever loads them."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, method_of, origin, whole_of
from trainkit.inspection.probes.outputs import distance
from trainkit.inspection.probes.tables import indexed, sets
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

GENERATORS = (np.random.Generator, np.random.RandomState, torch.Generator, random.Random)
TRIED = 4


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
    if not indexed(data):
        return
    with kept_generators(), quiet():
        held = copied_data(data)
        for index in _some(held):
            one, two = held[index], held[index]
            apart = distance(unpacked(one)[0], unpacked(two)[0])
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
            stored = {len(value) for value in _arrays(held).values() if getattr(value, "ndim", 0) > 0}
            if len(stored) != 1 or whole_of(data) is not data or _method(data, "__len__") is None:
                continue
            there = stored.pop()
            if there < 1.5 * total or not _alike(first, _taken(held, there - 1)) or _taken(held, there) is not None:
                continue
        yield found(
            "wrong-length",
            f"{name}: __len__",
            f"says {total}, and {there} samples are stored: the others are never shown",
            severity="warning",
            at=_method(data, "__len__"),
            evidence=f"{name}[{there - 1}] is a sample, {name}[{there}] is none",
            effect=f"{1 - total / there:.0%} of the data is not used",
            fix="Return the number of samples",
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
    """Take several indices: an index that is ignored gives one sample for all."""
    for name, data in sets(subject):
        with kept_generators(), quiet():
            held = copied_data(data)
            total = len(held)
            if total < 8:
                continue
            samples = [unpacked(held[index])[0] for index in range(0, total, max(total // 16, 1))]
        first, same = samples[0], 0
        if all(bool((tensor == tensor.flatten()[:1]).all()) for tensor in flat(first) if tensor.numel()):
            continue  # it is empty rather than the same
        for other in samples[1:]:
            same += distance(first, other) == 0.0
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


def aligned(subject: Subject) -> Iterator[Finding]:
    """Collate samples one by one and together: each target must stay beside its input."""
    if subject.collate is None or not indexed(subject.train_set):
        return
    samples = subject.samples(8)
    with kept_generators(), quiet():
        singles = [unpacked(subject.collated([sample])) for sample in samples]
        inputs, target = unpacked(subject.collated(samples))
    batch_inputs = next(flat(inputs), None)
    if batch_inputs is None or not isinstance(target, Tensor) or target.shape[:1] != batch_inputs.shape[:1]:
        return
    if len(target) != len(samples) or not _plain(singles, batch_inputs, target):
        return
    wrong = 0
    for row in range(len(samples)):
        mates = [number for number, (x, _) in enumerate(singles) if _begins(batch_inputs[row], next(flat(x))[0])]
        wrong += bool(mates) and not any(_begins(target[row], singles[number][1][0]) for number in mates)
    if wrong:
        yield found(
            "collate-misaligns",
            "collate",
            "gives inputs and targets in different orders: a target stands beside another sample's input",
            at=subject.where_made(subject.collate),
            evidence=f"{wrong} of {len(samples)} rows",
            effect="labels are noise",
            fix="Sort or filter the samples before they are split into inputs and targets",
        )


def _plain(singles: list[Any], inputs: Tensor, target: Tensor) -> bool:
    """Say whether single batches can be compared with rows of a large one."""
    for x, y in singles:
        one = next(flat(x), None)
        if one is None or one.dim() != inputs.dim() or one.shape[0] != 1 or one.dtype != inputs.dtype:
            return False
        if not isinstance(y, Tensor) or y.dim() != target.dim() or y.shape[0] != 1:
            return False
    return True


def _begins(row: Tensor, single: Tensor) -> bool:
    """Say whether a row of a batch holds a single one, with padding behind it."""
    for axis in range(row.dim()):
        row = row.narrow(axis, 0, min(row.shape[axis], single.shape[axis]))
    return row.shape == single.shape and torch.equal(row, single)


def _some(data: Any) -> list[int]:
    total = len(data)
    return sorted({0, total // 3, total // 2, total - 1})[:TRIED]


def _arrays(data: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the tensors and arrays that a data set stores, by path."""
    found: dict[str, Any] = {}
    inner = vars(data) if hasattr(data, "__dict__") else data if isinstance(data, Mapping) else {}
    for name, value in inner.items():
        place = f"{path}.{name}" if path else str(name)
        if isinstance(value, Tensor | np.ndarray):
            found[place] = value
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Tensor | np.ndarray):
            found |= {f"{place}.{number}": item for number, item in enumerate(value[:64])}
        elif depth < 3 and hasattr(value, "__dict__") and not isinstance(value, type):
            found |= _arrays(value, place, depth + 1)
    return found


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
    for node in ast.walk(code.node) if code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Attribute) and target.attr == name for target in targets):
            return code.line(node) if code is not None else None
    return None


def _method(data: Any, name: str) -> Line | None:
    method = method_of(data, name)
    return method.line(method.node) if method is not None else None


RULES = (workers, validation_fixed, whole, distinct, aligned)
