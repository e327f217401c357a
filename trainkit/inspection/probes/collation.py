"""The user's own collate: it may pad and stack samples, but neither change, drop, cut nor shuffle what they hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.passes import distance
from trainkit.inspection.probes.tables import affordable, indexed
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, code_of
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators, quiet

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


def _batch(subject: Subject) -> Batch | None:
    """Collate samples; None where that draws at random, or single batches tell nothing of rows of a large one."""
    if subject.collate is None or not indexed(subject.train_set) or not affordable(subject, TRIED):
        return None
    samples = subject.samples(TRIED)
    try:
        with kept_generators(), quiet():
            singles = [_parts(subject.collated([sample])) for sample in samples]
        with kept_generators(1), quiet():
            again = [_parts(subject.collated([sample])) for sample in samples]
            whole = _parts(subject.collated(samples))
    except Exception:  # noqa: BLE001 - a collate may need several samples
        return None
    if whole is None or any(single is None for single in singles):
        return None
    if any(distance(one, other) != 0.0 for one, other in zip(singles, again, strict=True)):
        return None
    known = [single for single in singles if single is not None]
    inputs, target = whole
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
    if subject.collate is None or not indexed(subject.train_set) or not affordable(subject, TRIED):
        return
    samples = subject.samples(TRIED)
    for part in (1, 0):
        before, after = [], []
        for sample in samples:
            given, made = (_number(unpacked(thing)[part]) for thing in (sample, subject.collated([sample])))
            if given is None or made is None or given.numel() != made.numel():
                break
            before.append(given)
            after.append(made)
        else:
            told = _lost(before, after)
            if told is not None:
                lost, kind, which = told
                yield found(
                    "collate-truncates",
                    "collate",
                    f"casts {'float targets' if part and kind == 'point' else 'targets' if part else 'inputs'} to "
                    f"{str(after[0].dtype).removeprefix('torch.')}: {TOLD[kind]}",
                    at=_cast(subject) or subject.where_made(subject.collate),
                    evidence=lost,
                    effect=f"the model {'learns' if part else 'reads'} other numbers: {which}",
                    fix=f"torch.tensor({'targets' if part else 'inputs'}, "
                    f"dtype=torch.{'float32' if before[0].is_floating_point() else 'int64'})",
                )
                return


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


def _cast(subject: Subject) -> Line | None:
    """Return the line of a cast in the user's collate."""
    code = code_of(subject.collate)
    words = ("long", "int", "half", "float16", "byte", "char", "short")
    for node in ast.walk(code.node) if code is not None else ():
        text = ast.unparse(node) if isinstance(node, ast.Call) else ""
        if code is not None and any(word in text for word in words) and called(node) != "":
            return code.line(node)
    return None


RULES = (faithful, kept)
