"""Some samples of a data set as rows, read once for all rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.inspection.recording import flat
from trainkit.inspection.subject import Subject, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

MOST = 2000
"""Samples that are read of each data set."""
VALUES = 4_000_000
"""Values of inputs that are read of each data set."""
SECONDS = 0.5
"""Time after which no more are read."""
_READ: WeakKeyDictionary[Subject, dict[str, Table | None]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Table:
    """Samples of a data set as rows, in the order of the data set.

    Attributes:
        inputs: Of shape (samples, features), each flattened; None if they are no floats or not all of one shape.
        raw: The inputs as integers, of shape (samples, features), if they are such.
        targets: Of shape (samples, ...); None if there are none or not all of one shape.
        indices: Of the samples within the data set.
        shape: Of one sample's input.
        alone: Whether a sample has one input only.
    """

    inputs: Tensor | None
    raw: Tensor | None
    targets: Tensor | None
    indices: Tensor
    total: int
    shape: tuple[int, ...]
    alone: bool

    @property
    def classes(self) -> Tensor | None:
        """Targets that are one class a sample, None for others."""
        if self.targets is None or self.targets.is_floating_point() or self.targets.dim() > 1:
            return None
        return self.targets.long()

    @property
    def values(self) -> Tensor | None:
        """The inputs, whatever their kind."""
        return self.inputs if self.inputs is not None else self.raw


def table(subject: Subject, name: str) -> Table | None:
    """Return evenly spread samples of ``train_set`` or ``val_set``, None if it cannot be indexed."""
    known = _READ.setdefault(subject, {})
    if name not in known:
        data = getattr(subject, name)
        indexed = data is not None and not isinstance(data, IterableDataset) and hasattr(data, "__getitem__")
        known[name] = _read(data) if indexed and hasattr(data, "__len__") and len(data) else None
    return known[name]


def _read(data: Any) -> Table | None:
    total = len(data)
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    taken: list[int] = []
    alone = True
    with kept_generators(), quiet():
        held, start = copied_data(data), process_time()
        for index in _spread(held, total):
            x, y = unpacked(held[index])
            parts = list(flat(x))
            if not parts:
                parts = [torch.as_tensor(x[0])] if _number(x[0] if isinstance(x, tuple) else None) else []
            if not parts:
                return None
            alone &= len(parts) == 1
            inputs.append(parts[0])
            if y is not None:
                targets.append(y if isinstance(y, Tensor) else torch.as_tensor(y) if _number(y) else torch.empty(0))
            taken.append(index)
            if process_time() - start > SECONDS and len(taken) >= 32:
                break
    whole = _stacked(inputs)
    rows = None if whole is None else whole.reshape(len(whole), -1)
    real = rows is not None and rows.is_floating_point()
    y_rows = _stacked(targets) if len(targets) == len(inputs) else None
    return Table(
        inputs=rows.float() if real and rows is not None else None,
        raw=rows if not real else None,
        targets=y_rows if y_rows is not None and y_rows.numel() else None,
        indices=torch.tensor(taken),
        total=total,
        shape=tuple(inputs[0].shape),
        alone=alone,
    )


def _spread(data: Any, total: int) -> Sequence[int]:
    """Return indices over all of a data set, in an order of which any beginning is spread too."""
    first = next(flat(unpacked(data[0])[0]), None)
    size = 1 if first is None else max(first.numel(), 1)
    count = min(total, MOST, max(VALUES // size, 64))
    return [index * total // count for index in range(count)]


def _number(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, int | float | bool) for item in value)
    return isinstance(value, int | float | bool) or hasattr(value, "dtype")


def _stacked(tensors: list[Tensor]) -> Tensor | None:
    if not tensors or any(tensor.shape != tensors[0].shape or tensor.dtype != tensors[0].dtype for tensor in tensors):
        return None
    return torch.stack([tensor.detach().cpu() for tensor in tensors])


def reads_targets(subject: Subject) -> bool:
    """Say whether anything in a step reads the targets; a data set may give them for form's sake only."""
    if subject.train_set is None or not subject.runs:
        return True
    trace = subject.trace
    _, target = unpacked(subject.batch)
    return not list(flat(target)) or any(trace.recording.users(fact) for fact in trace.target)


def sets(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Yield the data sets that can be indexed."""
    for name, data in (("train_set", subject.train_set), ("val_set", subject.val_set)):
        if indexed(data):
            yield name, data


def indexed(data: Any) -> bool:
    """Say whether a data set has samples by index."""
    if data is None or isinstance(data, IterableDataset):
        return False
    return hasattr(data, "__getitem__") and hasattr(data, "__len__") and len(data) > 0
