"""Data that reading or training changes in place: a sample that is another one the next time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import FEW
from trainkit.inspection.reading.parts import Part, forward_parts, targets_of
from trainkit.inspection.reading.randomness import sample_parts
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, unparse
from trainkit.inspection.subject import Stuck, Subject, found, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

LIMIT = 1 << 26
"""Bytes of a data set that are copied and compared."""


def changed_data(subject: Subject) -> Iterator[Finding]:
    """Read some samples twice with the same seeds, from a copy, and see what its stored data are afterwards."""
    data = subject.train_set
    if data is None or isinstance(data, IterableDataset) or not _writes(subject):
        return
    stored = list(_arrays(data, 4, set()))
    if not stored or sum(value.nbytes for value in stored) > LIMIT:
        return
    with quiet():
        try:
            mine = copy.deepcopy(data)
            before = [_copy(value) for value in _arrays(mine, 4, set())]
            first = _read(subject, mine)
            moved = [not _equal(a, b) for a, b in zip(before, _arrays(mine, 4, set()), strict=False)]
            second = _read(subject, mine)
        except Exception as error:
            raise Stuck(str(error)) from error
    if not any(moved) or all(_equal(a, b) for a, b in zip(first, second, strict=False)):
        return
    part, line = _writer(subject)
    yield found(
        "data-changed",
        part.place if part is not None else "train_set",
        "changes the stored data in place: the data set is another one after each sample that is read",
        at=line,
        evidence="one sample read twice with the same seed gives two values",
        effect="each epoch works on what the one before left: augmentation and normalisation pile up",
        fix="Work on a copy: x = self.x[i].clone() (or .copy()), and x = x + noise instead of x += noise",
    )


def _read(subject: Subject, data: Any) -> list[Any]:
    with kept_generators(0):
        samples = [data[index] for index in subject.indices(3)]
        values = [_copy(value) for value in _arrays(samples, 4, set())]
        subject.collated(samples)
        return values


def _arrays(thing: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    if depth == 0 or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor | np.ndarray):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _arrays(value, depth - 1, seen)
    elif isinstance(thing, list | tuple):
        for value in thing[:2000]:
            yield from _arrays(value, depth - 1, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from _arrays(vars(thing), depth, seen)


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else np.array(value)


def _equal(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if isinstance(one, Tensor):
        return (
            bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))
            if one.is_floating_point()
            else torch.equal(one, other)
        )
    return bool(np.array_equal(one, other))


def _writes(subject: Subject) -> bool:
    return any(_is_write(node) for part in sample_parts(subject) for node in part.walk())


def _is_write(node: ast.AST) -> bool:
    if isinstance(node, ast.AugAssign):
        return True
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Subscript) for target in targets_of(node))
    if isinstance(node, ast.Call):
        in_place = (
            isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_") and not node.func.attr.endswith("__")
        )
        return in_place or any(keyword.arg in ("out", "inplace") for keyword in node.keywords) or _shuffles(node)
    return False


def _shuffles(node: ast.Call) -> bool:
    return called(node).rpartition(".")[2] in ("shuffle", "fill", "sort", "copyto")


def _writer(subject: Subject) -> tuple[Part | None, Line | None]:
    """Return the statement that most likely writes: one on a name taken from ``self`` comes first."""
    found_at: list[tuple[int, Part, Line]] = []
    for part in sample_parts(subject):
        taken = {
            called(target)
            for node in part.walk()
            if isinstance(node, ast.Assign) and "self." in unparse(node.value)
            for target in targets_of(node)
        }
        for node in part.walk():
            if _is_write(node):
                name = _base(node)
                found_at.append((0 if name in taken or name.startswith("self.") else 1, part, part.line(node)))
    best = min(found_at, key=lambda item: item[0], default=None)
    return (best[1], best[2]) if best is not None else (None, None)


def _base(node: ast.AST) -> str:
    target: ast.AST = node
    if isinstance(node, ast.AugAssign):
        target = node.target
    elif isinstance(node, ast.Assign):
        target = targets_of(node)[0]
    elif isinstance(node, ast.Call):
        target = node.func.value if isinstance(node.func, ast.Attribute) else node
    while isinstance(target, ast.Subscript):
        target = target.value
    return called(target)


def changed_input(subject: Subject) -> Iterator[Finding]:
    """Find a forward that writes into its input, which the target or the data share."""
    if not subject.runs or not any(_is_write(node) for part in forward_parts(subject) for node in part.walk()):
        return
    with kept_generators(), quiet():
        data = copied_data(subject.train_set)
        if isinstance(data, IterableDataset):
            return
        batch = subject.collated([data[index] for index in subject.indices(min(FEW, subject.batch_size))])
    inputs, target = unpacked(batch)
    stored = [value for value in _arrays(data, 3, set()) if isinstance(value, Tensor)]
    shared = {_address(t) for t in flat(inputs)} & {_address(t) for t in (*flat(target), *stored)}
    mine = copy.deepcopy(batch)
    own = list(flat(unpacked(mine)[0]))
    before = [tensor.clone() for tensor in own]
    with subject.scratch() as scratch:
        scratch.model.train()
        subject.forward(scratch.model, mine)
    if all(_equal(a, b) for a, b in zip(before, own, strict=True)):
        return
    part, line = _input_writer(subject)
    yield found(
        "input-changed",
        part.place if part is not None else f"{type(subject.model).__name__}.forward",
        "changes its input in place",
        severity="error" if shared else "info",
        at=line,
        evidence="input and target (or data set) share their memory" if shared else "nothing else shares it here",
        effect="what shares it changes too, batch after batch" if shared else "a batch used twice is another one then",
        fix="Write x = x * mask instead of x *= mask, or x = x.clone() first",
    )


def _input_writer(subject: Subject) -> tuple[Part | None, Line | None]:
    lines = [op.line for op in subject.trace.recording.ops if op.in_place and op.inputs and not op.inputs[0].name]
    writes: list[tuple[Part, Line]] = []
    for part in forward_parts(subject):
        names = set(part.function.__code__.co_varnames[: part.function.__code__.co_argcount])
        writes += [(part, part.line(node)) for node in part.walk() if _is_write(node) and _base(node) in names]
    recorded = [item for item in writes if item[1] in lines]
    return (recorded or writes)[0] if writes else (None, None)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


RULES = (changed_data, changed_input)
