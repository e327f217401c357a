"""Some samples of a data set as rows, read once for all rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.inspection.clock import cpu_seconds, wall_seconds
from trainkit.inspection.recording import flat
from trainkit.inspection.subject import Subject, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

MOST = 2000
"""Samples that are read of each data set."""
VALUES = 4_000_000
"""Values of inputs that are read of each data set."""
SECONDS, WAITED = 0.5, 0.8
"""Time of this process, and time by the clock, after which no more are read."""
FEWEST = 8
"""Samples that are read however long they take."""
NAMES_OF_TARGETS = ("labels", "label", "target", "targets")


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as the model is given it, without the dimension that counts samples.

    Attributes:
        index: Within the data set.
        inputs: All its input tensors.
        target: None if there is none that can be a tensor.
        seconds: That reading it took.
    """

    index: int
    inputs: tuple[Tensor, ...]
    target: Tensor | None
    seconds: float


@dataclass(frozen=True)
class Table:
    """Samples of a data set as rows, in the order of the data set.

    Attributes:
        samples: Those that were read.
        total: Samples of the data set.
        failed: Indices that could not be read, with what they raised.
    """

    samples: tuple[Sample, ...]
    total: int
    failed: tuple[tuple[int, Exception], ...] = ()

    @cached_property
    def indices(self) -> Tensor:
        """Indices of the samples within the data set."""
        return torch.tensor([sample.index for sample in self.samples])

    @property
    def complete(self) -> bool:
        """Whether all samples were read."""
        return len(self.samples) == self.total

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input of the first sample."""
        return tuple(self.samples[0].inputs[0].shape)

    @cached_property
    def codes(self) -> list[bytes]:
        """A code of the values of each sample's inputs, the same for equal ones."""
        return [digest(sample.inputs) for sample in self.samples]

    @property
    def alone(self) -> bool:
        """Whether a sample has one input only."""
        return all(len(sample.inputs) == 1 for sample in self.samples)

    @property
    def seconds(self) -> float:
        """Mean time to read one sample."""
        return sum(sample.seconds for sample in self.samples) / len(self.samples)

    @cached_property
    def targets(self) -> Tensor | None:
        """Targets, (samples, ...); None if there are none or not all of one shape."""
        given = [sample.target for sample in self.samples if sample.target is not None]
        rows = _stacked(given) if len(given) == len(self.samples) else None
        return rows if rows is not None and rows.numel() else None

    @property
    def classes(self) -> Tensor | None:
        """Targets that are one class a sample, None for others."""
        if self.targets is None or self.targets.is_floating_point() or self.targets.dim() > 1:
            return None
        return self.targets.long()

    @cached_property
    def values(self) -> Tensor | None:
        """First inputs of whatever kind, (samples, features); None if not all are of one shape and kind."""
        rows = _stacked([sample.inputs[0] for sample in self.samples])
        return None if rows is None else rows.reshape(len(rows), -1)

    @cached_property
    def inputs(self) -> Tensor | None:
        """First inputs, (samples, features), if they are floats."""
        return self.values.float() if self.values is not None and self.values.is_floating_point() else None

    @property
    def raw(self) -> Tensor | None:
        """First inputs, (samples, features), if they are integers."""
        return self.values if self.values is not None and not self.values.is_floating_point() else None

    @cached_property
    def whole(self) -> Tensor | None:
        """All inputs side by side, (samples, features); integers only where all are."""
        parts = [_stacked(list(part)) for part in zip(*(sample.inputs for sample in self.samples), strict=False)]
        rows = [part.reshape(len(part), -1) for part in parts if part is not None]
        if len(rows) != len(parts) or not rows or any(len(s.inputs) != len(rows) for s in self.samples):
            return None
        real = any(part.is_floating_point() for part in rows)
        return torch.cat([part.float() if real else part.long() for part in rows], 1)


def digest(inputs: tuple[Tensor, ...]) -> bytes:
    """Return a code of a sample's values; none of a sample that holds one value throughout."""
    code = hashlib.blake2b(digest_size=16)
    for tensor in inputs:
        values = tensor.contiguous().flatten()
        code.update(f"{values.dtype}{tuple(tensor.shape)}".encode())
        code.update((values.float() if values.dtype is torch.bfloat16 else values).numpy().tobytes())
    constant = all(tensor.numel() == 0 or bool((tensor == tensor.flatten()[0]).all()) for tensor in inputs)
    return b"" if constant else code.digest()


def table(subject: Subject, name: str) -> Table | None:
    """Return evenly spread samples of ``train_set`` or ``val_set``, None if it cannot be indexed."""
    return subject.once(_of_training if name == "train_set" else _of_validation)


def _of_training(subject: Subject) -> Table | None:
    return _read(subject, subject.train_set) if indexed(subject.train_set) else None


def _of_validation(subject: Subject) -> Table | None:
    return _read(subject, subject.val_set) if indexed(subject.val_set) else None


def affordable(subject: Subject, count: int) -> bool:
    """Say whether so many more training samples may be read."""
    rows = table(subject, "train_set")
    return rows is None or rows.seconds * count < SECONDS


def _read(subject: Subject, data: Any) -> Table | None:
    total = len(data)
    samples: list[Sample] = []
    failed: list[tuple[int, Exception]] = []
    with kept_generators(), quiet():
        held = copied_data(data)
        first = _first(subject, held)
        if not first:
            return None
        begun, clock = cpu_seconds(), wall_seconds()
        for index in _spread(first, total):
            start = wall_seconds()
            try:
                read = held[index]
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything; a rule tells of it
                failed.append((index, error))
                continue
            taken = wall_seconds() - start
            inputs, target = sample_of(subject, read)
            if not inputs:
                return None
            samples.append(Sample(index, inputs, target, taken))
            late = cpu_seconds() - begun > SECONDS or wall_seconds() - clock > WAITED
            if late and len(samples) >= FEWEST:
                break
    return Table(tuple(samples), total, tuple(failed)) if samples else None


def _first(subject: Subject, data: Any) -> tuple[Tensor, ...]:
    try:
        return sample_of(subject, data[0])[0]
    except Exception:  # noqa: BLE001 - no sample at all: first_step tells why
        return ()


def sample_of(subject: Subject, sample: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Return inputs and target of a sample as the model is given them: by the user's own collate, where there is one.

    They lack the dimension that counts samples.
    """
    if subject.collate is not None:
        try:
            inputs, target = _parted(unpacked(subject.collated([sample])))
        except Exception:  # noqa: BLE001 - a collate may need several samples: then the sample itself is looked at
            inputs, target = (), None
        if inputs and all(tensor.dim() and tensor.shape[0] == 1 for tensor in inputs):
            alone = target is not None and target.dim() > 0 and target.shape[0] == 1
            return tuple(tensor[0] for tensor in inputs), target[0] if alone and target is not None else target
    return raw(sample)


def raw(sample: Any) -> tuple[tuple[Tensor, ...], Tensor | None]:
    """Return inputs and target of a sample as the data set gives it: what is random about it is the data set's."""
    return _parted(unpacked(sample))


def _parted(parts: tuple[Any, Any]) -> tuple[tuple[Tensor, ...], Tensor | None]:
    inputs, target = parts
    if isinstance(inputs, Mapping):
        inputs = [value for name, value in inputs.items() if name not in NAMES_OF_TARGETS]
    tensors = tuple(_tensors(inputs))
    return tensors, next(_tensors([target]), torch.empty(0)) if target is not None else None


def _tensors(thing: Any) -> Iterator[Tensor]:
    """Yield what a sample holds as tensors: arrays, numbers and lists of numbers too."""
    for item in thing:
        if isinstance(item, np.ndarray | np.generic | int | float) or _is_row(item):
            yield torch.as_tensor(item)
        else:
            yield from (tensor.detach().cpu() for tensor in flat(item))


def _is_row(thing: Any) -> bool:
    kind = isinstance(thing, list | tuple) and bool(thing)
    return kind and all(isinstance(item, int | float) for item in thing)


def _spread(first: tuple[Tensor, ...], total: int) -> Sequence[int]:
    """Return indices over all of a data set."""
    size = max(sum(tensor.numel() for tensor in first), 1)
    count = min(total, MOST, max(VALUES // size, 64))
    return [index * total // count for index in range(count)]


def is_finite(rows: Tensor) -> bool:
    """Say whether no value is NaN or infinite; least and greatest tell it, and take no memory."""
    return rows.numel() == 0 or bool(torch.stack(rows.aminmax()).isfinite().all())


def _stacked(tensors: list[Tensor]) -> Tensor | None:
    if not tensors or any(tensor.shape != tensors[0].shape or tensor.dtype != tensors[0].dtype for tensor in tensors):
        return None
    return torch.stack(tensors)


def reads_targets(subject: Subject) -> bool:
    """Say whether anything in a step reads the targets; a data set may give them for form's sake only.

    What the last of many parts is, such as those of a transition, the user's own step alone knows.
    """
    if subject.train_step is not None and isinstance(subject.batch, list | tuple) and len(subject.batch) > 3:
        return False
    if subject.train_set is None:
        return True
    if not subject.runs:
        return _read_in_own_step(subject)
    trace = subject.trace
    _, target = unpacked(subject.batch)
    return not list(flat(target)) or any(trace.recording.users(fact) for fact in trace.target)


def _read_in_own_step(subject: Subject) -> bool:
    """Say whether the user's own step reads the targets, as that of a GAN does not."""
    from trainkit.inspection.step.view import seen

    view = seen(subject) if subject.train_step is not None else None
    if view is None or not view.targets:
        return subject.loss is not None
    return any(view.readers.get(fact.number) for fact in view.targets)


def is_drawn(data: Any) -> bool:
    """Say whether an index chooses nothing: what it gives twice is as far apart as what two indices give."""
    with kept_generators(), quiet():
        held = copied_data(data)
        some = [index * len(held) // FEWEST for index in range(FEWEST)]
        first, again = ([next(flat(unpacked(held[index])[0]), None) for index in some] for _ in range(2))
    rows, others = _stacked([x for x in first if x is not None]), _stacked([x for x in again if x is not None])
    if rows is None or others is None or rows.shape != others.shape or not rows.is_floating_point():
        return False
    apart = (rows - others).flatten(1).norm(dim=1).mean()
    return bool(apart > 0.8 * (rows - rows.roll(1, 0)).flatten(1).norm(dim=1).mean())


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
