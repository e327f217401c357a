"""The user's own collate: it may pad and stack samples, but neither change, drop, cut nor shuffle what they hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import NEAR, distance, evaluated
from trainkit.inspection.probes.tables import affordable, indexed
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators

COLLECTED = re.compile(r"(edge|index|indices|adj|pair|bond|link)\w*\.(append|extend)|cat\(.*(edge|index|indices|adj)")
"""How a collate puts indices together."""
TRIED = 8
"""Samples that are collated."""
Parts = tuple[Tensor, Any]
"""The first input of a batch, and its target."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples collated one by one and together.

    Attributes:
        samples: As the data set gives them.
        singles: A batch of each.
        inputs, target: Of the batch of all.
    """

    samples: list[Any]
    singles: list[Parts]
    inputs: Tensor
    target: Any


@dataclass(frozen=True, slots=True)
class Collated:
    """What the user's collate makes of some samples: of each alone, and of all of them; None where it raises."""

    samples: list[Any]
    singles: list[Any]
    whole: Any


def _collated(subject: Subject) -> Collated | None:
    """Return samples collated, once for all rules; None where there is no collate or it takes no single samples."""
    if subject.collate is None or not indexed(subject.train_set) or not affordable(subject, TRIED):
        return None
    samples = subject.samples(TRIED)
    try:
        with kept_generators():
            singles = [subject.collated([sample]) for sample in samples]
    except Exception:  # noqa: BLE001 - a collate may need several samples
        return None
    try:
        with kept_generators(1):
            whole = subject.collated(samples)
    except Exception:  # noqa: BLE001 - nor need samples fit together
        whole = None
    return Collated(samples, singles, whole)


def _batch(subject: Subject) -> Batch | None:
    """Return a batch and its samples; None where that draws at random, or single ones tell nothing of its rows."""
    held = subject.once(_collated)
    if held is None or held.whole is None:
        return None
    samples, singles, whole = held.samples, [_parts(single) for single in held.singles], _parts(held.whole)
    with kept_generators(1):
        again = [_parts(subject.collated([sample])) for sample in samples]
    if whole is None or any(single is None for single in singles):
        return None
    if len(list(flat(unpacked(held.whole)[0]))) != len(list(flat(unpacked(held.singles[0])[0]))):
        return None  # a list of samples of different sizes, not stacked
    if any(distance(one, other) != 0.0 for one, other in zip(singles, again, strict=True)):
        return None
    known = [single for single in singles if single is not None]
    inputs, target = whole
    second = all(x.dim() > 1 and len(x) != 1 == x.shape[1] for x, _ in known)
    if second and inputs.dim() > 1 and inputs.shape[1] == len(samples):  # time first
        known = [(x.transpose(0, 1), y) for x, y in known]
        inputs = inputs.transpose(0, 1)
    fitting = all(x.dim() == inputs.dim() and len(x) == 1 and x.dtype == inputs.dtype for x, _ in known)
    return Batch(samples, known, inputs, target) if fitting else None


def _parts(batch: Any) -> Parts | None:
    inputs, target = unpacked(batch)
    first = next(flat(inputs), None)
    return None if first is None or first.dim() == 0 else (first, target)


def _are_mixed(target: Any, singles: list[Any]) -> bool:
    """Say whether there are targets that are no sample's own either: both are mixed by design, as mixup does."""
    if not isinstance(target, Tensor) or target.dim() == 0 or not target.is_floating_point():
        return False
    known = [one[0] for one in singles if isinstance(one, Tensor) and one.dim()]
    return any(all(distance(row, one) != 0.0 for one in known) for row in target)


def faithful(subject: Subject) -> Iterator[Finding]:
    """Hold the rows of a batch against its samples: as many, each whole, and each beside its own target."""
    batch = _batch(subject)
    if batch is None:
        return
    count, rows = len(batch.samples), len(batch.inputs)
    tell = partial(found, place="collate", at=subject.where_made(subject.collate))
    if rows != count:
        if rows < count:
            yield tell(
                "collate-drops",
                message=f"gives {rows} rows for {count} samples, each of which alone gives one: samples are dropped",
                evidence=f"{count - rows} of {count} samples are lost",
                effect="part of the data is never trained on",
                fix="Take all samples of the list",
            )
        return
    cut = [number for number, (x, _) in enumerate(batch.singles) if _is_cut(batch.inputs[0], x[0])]
    if cut:
        yield tell(
            "collate-cuts",
            message="cuts samples to the length of the shortest in the batch: they are truncated",
            at=_cutting(subject) or subject.where_made(subject.collate),
            evidence=f"{len(cut)} of {count} samples are longer than the batch's {list(batch.inputs.shape[1:])}",
            effect="what a sample holds depends on its mates, and its end is lost",
            fix="Pad to the longest: torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)",
        )
        return
    held = [_mates(batch, row) for row in range(count)]
    if not any(held) and not _are_mixed(batch.target, [y for _, y in batch.singles]):
        mixed, given = torch.cat([x.flatten() for x, _ in batch.singles]), batch.inputs.flatten()
        parted = mixed.shape == given.shape and torch.equal(mixed.sort().values, given.sort().values)
        yield tell(
            "collate-mixes",
            message="gives rows that mix the values of several samples: reshape (view) where stack or permute is meant"
            if parted
            else "gives rows that are none of its samples: what a row holds hangs on the others in the batch",
            severity="error" if parted else "warning",
            evidence=f"none of {count} rows begins with what a sample gives alone",
            effect="a sample is another in each batch, and another alone",
            fix="torch.stack(samples), and figures of the whole training set where inputs are normalised",
        )
    elif _are_rows(batch):
        wrong = sum(
            bool(mates) and not any(_begins(batch.target[row], batch.singles[mate][1][0]) for mate in mates)
            for row, mates in enumerate(held)
        )
        if wrong:
            yield tell(
                "collate-misaligns",
                message="gives inputs and targets in different orders: a target stands beside another sample's input",
                evidence=f"{wrong} of {count} rows",
                effect="labels are noise",
                fix="Sort or filter the samples before they are split into inputs and targets",
            )


def _mates(batch: Batch, row: int) -> list[int]:
    """Return the samples that a row may be."""
    return [number for number, (x, _) in enumerate(batch.singles) if _begins(batch.inputs[row], x[0])]


def _are_rows(batch: Batch) -> bool:
    """Say whether the targets of single batches can be compared with those of the batch."""
    target = batch.target
    if not isinstance(target, Tensor) or target.shape[:1] != batch.inputs.shape[:1]:
        return False
    if torch.equal(target.flatten(), torch.arange(len(target), dtype=target.dtype, device=target.device)):
        return False  # each row's own number, as for the pairs of a contrastive loss
    return all(isinstance(y, Tensor) and y.dim() == target.dim() and len(y) == 1 for _, y in batch.singles)


def _is_cut(row: Tensor, single: Tensor) -> bool:
    """Say whether a row is shorter than a sample, and holds its beginning or end."""
    return row.dim() > 0 and any(mine < theirs for mine, theirs in zip(row.shape, single.shape, strict=True))


def _begins(row: Tensor, single: Tensor) -> bool:
    """Say whether a row of a batch holds a single one, with padding behind or before it."""
    ends = row
    for axis in range(row.dim()):
        size = min(row.shape[axis], single.shape[axis])
        row, ends = row.narrow(axis, 0, size), ends.narrow(axis, ends.shape[axis] - size, size)
    same = row.shape == single.shape
    return same and any(torch.allclose(part.double(), single.double(), 1e-5, 1e-6) for part in (row, ends))


def _cutting(subject: Subject) -> Line | None:
    """Return the line at which the user's collate takes the least length."""
    code = code_of(subject.collate)
    return next((code.line(call) for call in code.calls("min", "amin")), None) if code is not None else None


def kept(subject: Subject) -> Iterator[Finding]:
    """Hold the numbers of a batch against those of its samples: a cast loses what the new type cannot hold."""
    held = subject.once(_collated)
    for part in (1, 0) if held is not None else ():
        before, after = [], []
        for pair in zip(held.samples, held.singles, strict=True) if held is not None else ():
            given, made = (_number(unpacked(thing)[part]) for thing in pair)
            if given is None or made is None or given.numel() != made.numel():
                break
            before.append(given)
            after.append(made)
        else:
            rounded, line = _whole_again(before, after), _cast(subject)
            if rounded and line is None:
                continue  # whole numbers are wanted
            told = _lost(before, [tensor.long() for tensor in after] if rounded else after)
            if told is not None:
                lost, kind, which = told
                cast = "whole numbers" if rounded else str(after[0].dtype).removeprefix("torch.")
                yield found(
                    "collate-truncates",
                    "collate",
                    f"casts {'float targets' if part and kind == 'point' else 'targets' if part else 'inputs'} to "
                    f"{cast}: {TOLD[kind]}",
                    at=line or subject.where_made(subject.collate),
                    evidence=lost,
                    effect=f"the model {'learns' if part else 'reads'} other numbers: {which}",
                    fix=f"torch.tensor({'targets' if part else 'inputs'}, "
                    f"dtype=torch.{'float32' if before[0].is_floating_point() else 'int64'})",
                )
                return


def shifted(subject: Subject) -> Iterator[Finding]:
    """See whether numbers of a sample's rows, as of the nodes of a graph, are moved on where rows are put together."""
    held = subject.once(_collated)
    if held is None or held.whole is None:
        return
    singles, whole = [list(flat(unpacked(single)[0])) for single in held.singles], list(flat(unpacked(held.whole)[0]))
    if len(singles) < 3 or len({len(parts) for parts in (whole, *singles)}) > 1:
        return
    rows = [_rows(single, whole) for single in singles]
    for number, part in enumerate(whole):
        parts = [single[number] for single in singles]
        if not _name_rows(part, parts, rows):
            continue
        axis = 1 if len(part) == 2 else 0
        joined = torch.cat(parts, axis)
        if part.shape == joined.shape and torch.equal(part, joined) and _are_mixed_up(subject, held):
            yield found(
                "indices-not-shifted",
                "collate",
                "puts the rows (nodes) of several samples together, and leaves the indices (edges) into them as they "
                "were: those of all samples point to the rows of the first ones",
                at=_joining(subject) or subject.where_made(subject.collate),
                evidence=f"input {number + 1} names rows 0..{int(part.max())} of {sum(rows)}, as samples alone do",
                effect="all samples but the first are read by the structure, and with the values, of others",
                fix="Add the number of rows before: edges.append(edge_index + offset); offset += len(x)",
            )
            return


def _name_rows(part: Tensor, parts: list[Tensor], rows: list[int]) -> bool:
    """Say whether a part of a batch holds pairs of indices of each sample's rows, mostly of the last one too."""
    if part.is_floating_point() or part.dtype == torch.bool or part.dim() != 2 or 2 not in part.shape:
        return False
    axis = 1 if len(part) == 2 else 0
    others = {item.shape[1 - axis] for item in parts if item.dim() == 2} | {part.shape[1 - axis]}
    if not all(rows) or len(set(rows)) < 2 or others != {2} or not all(item.numel() for item in parts):
        return False
    ends = [(int(item.min()), int(item.max()), count) for item, count in zip(parts, rows, strict=True)]
    last = sum(high == count - 1 for _, high, count in ends)
    return all(0 <= low <= high < count for low, high, count in ends) and 2 * last > len(rows)


def _are_mixed_up(subject: Subject, held: Collated) -> bool:
    """Say whether the model gives the last sample something else beside the others than alone: it shifts nothing."""
    alone, together = (evaluated(subject, batch)[1:] for batch in (held.singles[-1], held.whole))
    a, b = next(flat(alone[0]), None), next(flat(together[0]), None)
    if alone[1] is not None or together[1] is not None or a is None or b is None or a.dim() == 0 or len(b) < len(a):
        return False
    apart = distance(a, b[-len(a) :])
    return apart is not None and apart > NEAR


def _rows(single: list[Tensor], whole: list[Tensor]) -> int:
    """Return how many rows of numbers a sample alone has, if the batch has them behind each other; 0 if it does not."""
    pairs = zip(single, whole, strict=True)
    return next((len(a) for a, b in pairs if a.is_floating_point() and a.dim() == 2 and len(a) < len(b)), 0)


def _joining(subject: Subject) -> Line | None:
    """Return the line that collects indices in the user's collate, by the names that such have."""
    code = code_of(subject.collate)
    for node in walk(code.node) if code is not None else ():
        if code is not None and isinstance(node, ast.Call) and COLLECTED.search(unparse(node).lower()):
            return code.line(node)
    return None


TOLD = {"point": "what is behind the point is lost", "range": "numbers beyond its range or precision become others"}


def _number(value: Any) -> Tensor | None:
    """Return the only tensor or number that a thing holds."""
    value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    if isinstance(value, int | float):
        return torch.tensor([value], dtype=torch.float64 if isinstance(value, float) else torch.int64)
    if hasattr(value, "__array__") or isinstance(value, Tensor):
        return torch.as_tensor(value)
    return None


def _lost(before: list[Tensor], after: list[Tensor]) -> tuple[str, str, str] | None:
    """Return how numbers changed, if a cast makes them so: the numbers, the kind of loss, a word for it."""
    kind = after[0].dtype
    if before[0].dtype == kind or any(tensor.dtype == torch.bool for tensor in (before[0], after[0])):
        return None
    given, made = (torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (before, after))
    wide = given.double()
    if not bool(wide.isfinite().all()) or not torch.equal(given.to(kind), made):
        return None
    apart = (wide - made.double()).abs() > 0.02 * wide.abs().clamp_min(1e-6)
    if not made.is_floating_point() and given.is_floating_point():
        loss = bool((wide != wide.round()).any())
        name = "point"
    else:
        loss = bool(apart.any()) if given.is_floating_point() else bool((wide != made.double()).any())
        name = "range"
    if not loss:
        return None
    changed = (wide != made.double()).nonzero().flatten()[:3]
    shown = f"{[round(float(x), 4) for x in wide[changed]]} become {made[changed].tolist()}"
    return shown, name, "rounded ones" if name == "point" else "wrapped or infinite ones"


def _whole_again(before: list[Tensor], after: list[Tensor]) -> bool:
    """Say whether numbers with decimals came back as whole ones of a floating type: through an integer and back."""
    if not (before[0].is_floating_point() and after[0].is_floating_point()):
        return False
    given, made = (torch.cat([tensor.flatten().double() for tensor in tensors]) for tensors in (before, after))
    return bool((given != given.trunc()).any()) and torch.equal(given.trunc(), made)


def _cast(subject: Subject) -> Line | None:
    """Return the line of a cast in the user's collate."""
    code = code_of(subject.collate)
    words = ("long", "int", "half", "float16", "byte", "char", "short")
    for node in walk(code.node) if code is not None else ():
        text = unparse(node).lower() if isinstance(node, ast.Call) else ""
        if code is not None and any(word in text for word in words) and called(node) != "":
            return code.line(node)
    return None


RULES = (faithful, kept, shifted)
