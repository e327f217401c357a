"""Targets: their order, their classes, and whether they have anything to do with the inputs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, tree
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

MOST = 2000
"""Samples that are read of each data set."""
SECONDS = 1.0
"""Time after which no more are read."""


@dataclass(frozen=True)
class Table:
    """Samples of a data set as rows, in the order of the data set.

    Attributes:
        inputs: Of shape (samples, features), each flattened; None if they are no floats or not all of one shape.
        raw: The inputs as integers, of shape (samples, features), if they are such.
        targets: Of shape (samples, ...); None if there are none or not all of one shape.
        indices: Of the samples within the data set.
    """

    inputs: Tensor | None
    raw: Tensor | None
    targets: Tensor | None
    indices: Tensor
    total: int
    shape: tuple[int, ...]

    @property
    def classes(self) -> Tensor | None:
        """Targets that are one class a sample, None for others."""
        if self.targets is None or self.targets.is_floating_point() or self.targets.dim() > 1:
            return None
        return self.targets.long()


@lru_cache(maxsize=8)
def _table(key: int, holder: Any) -> Table | None:
    return _read(holder.data)


class _Holder:
    def __init__(self, data: Any) -> None:
        self.data = data

    def __hash__(self) -> int:
        return id(self.data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder) and other.data is self.data


def table(data: Any) -> Table | None:
    """Return evenly spread samples of a data set, None if it cannot be indexed."""
    if data is None or isinstance(data, IterableDataset) or not hasattr(data, "__len__") or len(data) == 0:
        return None
    return _table(id(data), _Holder(data))


def _read(data: Any) -> Table | None:
    total = len(data)
    inputs: list[Tensor] = []
    targets: list[Tensor] = []
    taken: list[int] = []
    with kept_generators(), quiet():
        held, start = copied_data(data), perf_counter()
        for index in range(0, total, max(-(-total // MOST), 1)):
            x, y = unpacked(held[index])
            first = next(flat(x), None)
            if first is None:
                return None
            inputs.append(first)
            if y is not None:
                targets.append(y if isinstance(y, Tensor) else torch.as_tensor(y) if _number(y) else torch.empty(0))
            taken.append(index)
            if perf_counter() - start > SECONDS and len(taken) >= 32:
                break
    whole = _stacked(inputs)
    rows = None if whole is None else whole.reshape(len(whole), -1)
    real = rows is not None and rows.is_floating_point()
    y_rows = _stacked(targets) if len(targets) == len(inputs) else None
    return Table(
        inputs=rows.double() if real and rows is not None else None,
        raw=rows if not real else None,
        targets=y_rows if y_rows is not None and y_rows.numel() else None,
        indices=torch.tensor(taken),
        total=total,
        shape=tuple(inputs[0].shape),
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float | bool | list | tuple) or hasattr(value, "dtype")


def _stacked(tensors: list[Tensor]) -> Tensor | None:
    if not tensors or any(tensor.shape != tensors[0].shape or tensor.dtype != tensors[0].dtype for tensor in tensors):
        return None
    return torch.stack([tensor.detach().cpu() for tensor in tensors])


def ordered(subject: Subject) -> Iterator[Finding]:
    """Hold the classes within a batch against those of the whole, where nothing shuffles."""
    rows = table(subject.train_set)
    if subject.shuffle or rows is None or rows.classes is None:
        return
    size = subject.batch_size
    if rows.total < 3 * size:
        return
    classes = _in_batches(subject, size)
    if classes is None:
        return
    kinds = len(rows.classes.unique())
    if kinds < 2:
        return
    shares = torch.stack([(batch[:, None] == batch.unique()).double().mean(0).max() for batch in classes])
    overall = (rows.classes[:, None] == rows.classes.unique()).double().mean(0).max()
    alone = sum(len(batch.unique()) for batch in classes) / len(classes)
    expected = min(kinds, size) if kinds <= size // 4 else kinds * (1 - (1 - 1 / kinds) ** size)
    if alone > 0.6 * expected or shares.mean() < min(1.4 * overall, 0.9 * overall + 0.1):
        return
    yield found(
        "sorted-not-shuffled",
        "shuffle",
        "shuffle is off and the samples are sorted by class: a batch holds one class or few, in this order",
        at=_written(subject, "shuffle"),
        evidence=f"{alone:.1f} of {kinds} classes in a batch of {size}, {expected:.1f} were they mixed",
        effect="the model follows the last class that it saw, and batch norm's statistics with it",
        fix="shuffle=True for the training set",
    )


def _in_batches(subject: Subject, size: int) -> list[Tensor] | None:
    total, found = len(subject.train_set), []
    with kept_generators(), quiet():
        held = copied_data(subject.train_set)
        for start in (0, total // 3, 2 * total // 3, total - size):
            targets = [unpacked(held[index])[1] for index in range(start, start + size)]
            found.append(torch.as_tensor([int(target) for target in targets]))
    return found


def classes(subject: Subject) -> Iterator[Finding]:
    """Look at which classes there are."""
    rows, val = table(subject.train_set), table(subject.val_set)
    if rows is None or rows.targets is None or len(rows.indices) < 16:
        return
    at = subject.where_made(subject.train_set)
    if bool((rows.targets == rows.targets[:1]).all()) and rows.targets.numel() > 0:
        yield found(
            "constant-target",
            "train_set: target",
            "is the same for every sample",
            at=at,
            evidence=f"{len(rows.indices)} samples, all {rows.targets[0].flatten()[:1].tolist()}",
            effect="a constant is all that can be learned",
            fix="Look at how targets are read",
        )
        return
    labels = rows.classes
    if labels is None or val is None or val.classes is None:
        return
    unseen = sorted(set(val.classes.tolist()) - set(labels.tolist()))
    if unseen and len(labels.unique()) < 50 and len(rows.indices) == rows.total:
        share = torch.isin(val.classes, torch.tensor(unseen)).double().mean()
        yield found(
            "unseen-class",
            "val_set: classes",
            f"holds classes that training never shows: {unseen[:5]}",
            severity="error" if share > 0.2 else "warning",
            evidence=f"{share:.0%} of the validation samples",
            effect="these cannot be right; the split was cut from sorted data, or labels are numbered in two ways",
            fix="Split after shuffling, by class (stratified)",
        )


def beyond(subject: Subject) -> Iterator[Finding]:
    """Hold the classes against the outputs of the head."""
    rows = table(subject.train_set)
    labels = None if rows is None else rows.classes
    if labels is None or not subject.runs or not subject.trace.recording.ops:
        return
    for op in subject.trace.recording.of("cross_entropy", "nll_loss"):
        if op.module is not None or not op.inputs or len(op.inputs[0].shape) != 2:
            continue
        heads, low, high = op.inputs[0].shape[1], int(labels.min()), int(labels.max())
        ignored = op.setting("ignore_index", 4, -100)
        if high >= heads or (low < 0 and low != ignored):
            yield found(
                "class-beyond-head",
                "train_set: classes",
                f"has labels {low}..{high}, and the head gives {heads} outputs, for 0..{heads - 1}",
                at=subject.where_built(_last_layer(subject)),
                evidence=f"label {high} or {low} is none of them",
                effect="the first batch with it fails, or counts a wrong class",
                fix=f"Give the head {high + 1} outputs, or number the labels from 0",
            )
        return


def _last_layer(subject: Subject) -> str:
    calls = [call for call in subject.trace.recording.calls if list(call.module.parameters(recurse=False))]
    return calls[-1].path if calls else ""


def related(subject: Subject) -> Iterator[Finding]:
    """See whether targets have anything to do with their inputs: neighbours, a line and random features all guess."""
    rows = table(subject.train_set)
    if rows is None or rows.inputs is None or rows.targets is None or len(rows.indices) < 300:
        return
    if rows.targets.dim() > 2 or (rows.targets.dim() == 2 and rows.targets.shape[1] != 1):
        return
    inputs, _ = unpacked(subject.samples(1)[0])
    if len(list(flat(inputs))) != 1 or rows.inputs.shape[1] > 4096 or not bool(rows.inputs.isfinite().all()):
        return
    labels = rows.targets.flatten()
    y = _coded(labels)
    if y is None or dependence(rows.inputs, y) > BOUND:
        return
    for shift in (1, -1):
        if dependence(rows.inputs, y.roll(shift, 0)) > 2 * BOUND:
            yield found(
                "target-of-neighbour",
                "train_set: target",
                f"belongs to the sample {'before' if shift == -1 else 'behind'}: inputs tell the target one index away",
                at=subject.where_made(subject.train_set),
                evidence=f"no relation at the same index, a strong one {abs(shift)} away",
                effect="labels are noise: nothing can be learned",
                fix="Index inputs and targets alike",
            )
            return
    val = table(subject.val_set)
    told = val is not None and val.inputs is not None and val.targets is not None and len(val.indices) >= 100
    clear = told and val is not None and val.inputs is not None and val.inputs.shape[1] == rows.inputs.shape[1]
    if clear and val is not None and val.inputs is not None and val.targets is not None:
        other = _coded(val.targets.flatten())
        if other is not None and dependence(val.inputs, other) > 2 * BOUND:
            yield found(
                "target-unrelated",
                "train_set: target",
                "has nothing to do with its input, while the validation set's has: labels are shuffled or misaligned",
                at=subject.where_made(subject.train_set),
                evidence="neighbours, a linear fit and random features guess no better than a constant",
                effect="the labels are noise: the model can only learn them by heart",
                fix="Look at how inputs and targets are paired: one order, one index, one permutation for both",
            )
            return
    yield found(
        "target-unrelated",
        "train_set: target",
        "shows no relation to the inputs: labels may be shuffled or misaligned",
        severity="info",
        evidence="neighbours, a linear fit and random features guess no better than a constant",
        fix="Look at some samples beside their targets",
    )


BOUND = 0.08
"""Share of the targets' variance that must be explained on unseen samples to count as a relation."""


def dependence(x: Tensor, y: Tensor) -> float:
    """Return the share of variance that the best of three plain predictors explains on the samples it has not seen.

    Args:
        x: Inputs, (samples, features).
        y: Targets, (samples, columns), centred; one column a class.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=generator)
    x, y = (x - x.mean(0))[order], y[order]
    scale = x.std(0)
    x = (x / torch.where(scale > 1e-12, scale, torch.ones_like(scale)))[:, scale > 1e-12]
    if x.shape[1] == 0:
        return 0.0
    cut = int(0.7 * len(x))
    base = (y[cut:] - y[:cut].mean(0)).square().sum()
    if base <= 0:
        return 1.0
    guesses = [_neighbours(x, y, cut), _ridge(x, y, cut)]
    width = x.shape[1] ** 0.5
    for gain in (0.5, 2.0):
        mix = torch.randn(x.shape[1], 256, dtype=x.dtype, generator=generator) * gain / width
        shift = torch.rand(256, dtype=x.dtype, generator=generator) * 6.28
        guesses.append(_ridge(torch.cos(x @ mix + shift), y, cut))
    return max(float(1 - (y[cut:] - guess).square().sum() / base) for guess in guesses)


def _neighbours(x: Tensor, y: Tensor, cut: int, count: int = 15) -> Tensor:
    near = torch.cdist(x[cut:], x[:cut]).topk(min(count, cut), largest=False).indices
    return y[:cut][near].mean(1)


def _ridge(x: Tensor, y: Tensor, cut: int) -> Tensor:
    mean, target = x[:cut].mean(0), y[:cut].mean(0)
    a, b = x[:cut] - mean, y[:cut] - target
    penalty = 0.1 * len(a)
    if a.shape[1] <= len(a):
        weight = torch.linalg.solve(a.T @ a + penalty * torch.eye(a.shape[1], dtype=a.dtype), a.T @ b)
    else:
        weight = a.T @ torch.linalg.solve(a @ a.T + penalty * torch.eye(len(a), dtype=a.dtype), b)
    guess: Tensor = (x[cut:] - mean) @ weight + target
    return guess


def _coded(labels: Tensor) -> Tensor | None:
    """Return targets as centred columns: one a class, or the number itself."""
    if labels.is_floating_point() and len(labels.unique()) > 20:
        y = labels.double()[:, None]
    else:
        kinds = labels.unique()
        if len(kinds) < 2 or len(kinds) > len(labels) // 10:
            return None
        y = (labels[:, None] == kinds).double()
    return y - y.mean(0)


def _written(subject: Subject, name: str) -> Line | None:
    """Return the line of the user's that names an argument as a key or keyword set to False."""
    for file in subject.files:
        whole = tree(file)
        for node in ast.walk(whole) if whole is not None else ():
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name and _is_false(value):
                        return Line(file, value.lineno)
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ("DataLoader", "check", "inspect"):
                for keyword in node.keywords:
                    if keyword.arg == name and _is_false(keyword.value):
                        return Line(file, keyword.value.lineno)
    return None


def _is_false(node: Any) -> bool:
    return getattr(node, "value", None) is False


RULES = (classes, ordered, beyond, related)
