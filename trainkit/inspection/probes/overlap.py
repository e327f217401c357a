"""Validation samples that training shows too: by index, by name, equal, nearly equal, mirrored or rearranged."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from trainkit.findings import Finding
from trainkit.inspection.passes import distance
from trainkit.inspection.probes.origins import made_at, origin, stored, whole_of
from trainkit.inspection.probes.tables import indexed, is_finite, table
from trainkit.inspection.source import Line, called, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

CLOSE = 0.01
"""Share of the usual distance of neighbours below which two samples are one."""
NEAR = 0.3
"""Share of the usual distance of neighbours that hardly any of one set's own samples come below."""
FEWEST, MANY, FEW = 5, 10, 20
"""Equal samples, and near ones, that are no accident; validation samples that say something."""
WORTH = 0.01
"""Share of the validation set from which an overlap is told."""
CHANCE = 5
"""Multiple of the share of training samples that equal an earlier one, up to which an overlap of codes is by chance.

Of n samples drawn from N that many are n / 2N, and n / N of another set are among them."""
STEPS = 16
"""Values by which a window may lie behind the one before."""
CONTINUOUS = 0.3
"""Distinct values of a feature by distinct sample, from which samples equal in it are copies and not alike."""
ALIKE = 0.8
"""Correlation from which two samples of one name are one picture, augmented or not."""
SEVERAL = 2
"""Features of that kind which are enough."""
FEW_ROWS, COLUMNS, DISCRETE = 64, 1024, 16
"""Samples and features among which values are counted, and so many of them that are bits, classes or grades."""


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Look for validation samples that training shows too."""
    if subject.train_set is subject.val_set and subject.train_set is not None:
        yield found(
            "leak-between-splits",
            "val_set",
            "is the training set (train_set) itself: duplicates in every sample, a leak",
            severity="warning",
            at=made_at(subject, "val_set"),
            evidence="one object",
            effect="validation cannot show over-fitting",
            fix="Hold samples back: torch.utils.data.random_split",
        )
        return
    for look in (_by_index, _by_name, _by_value):
        evidence = look(subject)
        if evidence is not None:
            share, how = evidence
            yield _leak(subject, share, how)
            return


def _leak(subject: Subject, share: float, how: str) -> Finding:
    rows = table(subject, "train_set")
    seen = 1.0 if rows is None else len(rows.samples) / rows.total
    part = f" ({seen:.0%} of training was looked at)" if seen < 1 and "index" not in how else ""
    return found(
        "leak-between-splits",
        "val_set: duplicates",
        "holds samples of the training set (train_set): a leak, the splits overlap",
        severity="error" if share >= 0.05 else "warning",
        at=splitting(subject),
        evidence=f"{share:.0%} of the validation samples stand in training too: {how}{part}",
        effect="validation is better than the model, and does not show over-fitting",
        fix="Split once, by index, and remove duplicates before",
    )


def _by_index(subject: Subject) -> tuple[float, str] | None:
    """Hold the indices of two parts of one data set, or of two with the same stored data, against each other."""
    train, val = (_indices(data) for data in (subject.train_set, subject.val_set))
    if train is None or val is None or not _one_source(train[0], val[0]):
        return None
    shared = set(train[1]) & set(val[1])
    share = sum(index in shared for index in val[1]) / max(len(val[1]), 1)
    if share < WORTH or len(shared) < FEWEST:
        return None
    return share, f"{len(shared)} indices of one source are in both"


def _indices(data: Any) -> tuple[Any, Sequence[int]] | None:
    if not indexed(data):
        return None
    indices: Sequence[int] = range(len(data))
    while isinstance(data, Subset):
        indices = [int(data.indices[index]) for index in indices]
        data = data.dataset
    return data, indices


def _one_source(one: Any, other: Any) -> bool:
    """Say whether two data sets are one, or read the same stored data by the same class."""
    if one is other:
        return True
    if type(one) is not type(other) or not indexed(one) or not indexed(other) or len(one) != len(other):
        return False
    mine, theirs = (
        {path: value for path, value in stored(data).items() if np.ndim(value) and len(value) == len(data)}
        for data in (one, other)
    )
    return bool(mine) and mine.keys() == theirs.keys() and all(_equal(mine[name], theirs[name]) for name in mine)


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    a, b = (torch.as_tensor(value) if not _is_text(value) else value for value in (one, other))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    return np.array_equal(one, other)


def _is_text(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "OSU"


def _by_name(subject: Subject) -> tuple[float, str] | None:
    """Hold the files, or other names of samples, that two data sets list against each other."""
    train, val = (_indices(data) for data in (subject.train_set, subject.val_set))
    if train is None or val is None or train[0] is val[0]:
        return None
    for name, names in _names(train[0]).items():
        others = _names(val[0]).get(name)
        if others is None:
            continue
        listed, theirs = [names[index] for index in train[1]], [others[index] for index in val[1]]
        mine = set(listed)
        if len(mine) < 0.9 * len(train[1]) or len(set(theirs)) < 0.9 * len(theirs):
            continue
        share = sum(item in mine for item in theirs) / max(len(theirs), 1)
        if share >= WORTH and share * len(theirs) >= FEWEST and not _are_others(subject, listed, theirs):
            return share, f"their .{name} names the same ones"
    return None


def _are_others(subject: Subject, names: Sequence[str], others: Sequence[str]) -> bool:
    """Say whether samples of one name are nothing alike: the names stand for other files, as in another folder."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or not (_is_steady(subject.train_set) and _is_steady(subject.val_set)):
        return False  # augmented at random, one picture may look like another
    by_name = {names[int(index)]: sample for index, sample in zip(train.indices, train.samples, strict=False)}
    pairs = [
        (by_name[others[int(index)]].inputs, sample.inputs)
        for index, sample in zip(val.indices, val.samples, strict=False)
        if others[int(index)] in by_name
    ]
    alike = [_correlated(one, other) for one, other in pairs[:32]]
    return len(alike) >= FEWEST and sum(alike) < len(alike) / 2


def _is_steady(data: Any) -> bool:
    """Say whether an index gives the same sample twice."""
    with kept_generators(), quiet():
        held = copied_data(data)
        return distance(held[0], held[0]) == 0.0


def _correlated(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Say whether two samples are one, perhaps augmented."""
    a, b = (torch.cat([tensor.detach().double().flatten() for tensor in inputs]) for inputs in (one, other))
    if a.shape != b.shape or len(a) < 4:
        return a.shape == b.shape and torch.equal(a, b)
    return bool(torch.corrcoef(torch.stack([a, b]))[0, 1].nan_to_num(1.0).abs() > ALIKE)


def _names(data: Any) -> dict[str, list[str]]:
    """Return lists of a data set that name each of its samples, such as paths."""
    named: dict[str, list[str]] = {}
    for name, value in vars(data).items() if hasattr(data, "__dict__") else ():
        if isinstance(value, list | tuple) and len(value) == len(data) and value:
            firsts = [item[0] if isinstance(item, tuple | list) and item else item for item in value]
            if all(isinstance(item, str) or hasattr(item, "__fspath__") for item in firsts):
                named[name] = [str(item) for item in firsts]
    return named


def _by_value(subject: Subject) -> tuple[float, str] | None:
    """Hold the samples themselves against each other."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or len(val.samples) < FEW:
        return None
    seen = len(train.samples) / train.total
    if max(sum(x.numel() for x in sample.inputs) for sample in val.samples) < 2:
        return None
    one, other = train.whole, val.whole
    copied = one is not None and one.is_floating_point() and continuous(one)
    share, natural = _shared(train.codes, val.codes)
    if _counts(share, 0.0 if copied else natural, len(val.samples), seen, times=CHANCE):
        return min(share / seen, 1.0), "equal in every value"
    if one is not None and other is not None and one.shape[1] == other.shape[1] and one.is_floating_point():
        if not other.is_floating_point() or not (is_finite(one) and is_finite(other)):
            return None
        spread = slice(None, None, max(one.shape[1] // COLUMNS, 1))
        if max(len(rows[:FEW_ROWS, spread].unique()) for rows in (one, other)) <= DISCRETE:
            return None  # of bits or grades many are near by nature, and noise would show in the values
        distances = neighbours(one, other)
        for limit in (CLOSE,) if _are_windows(one) else (CLOSE, NEAR):
            share, natural = distances.near(limit)
            least = (WORTH, FEWEST, 3) if limit == CLOSE else (0.05, MANY, 5)
            if _counts(share, natural, len(other), seen, *least):
                return min(share / seen, 1.0), "near copies, as by a little noise"
    if one is not None and other is not None and one.shape[1] == other.shape[1] >= 16 and one.dtype == other.dtype:
        if not set(_sums(one)) & set(_sums(other)):
            return None
        share, natural = _shared(_unordered(one), _unordered(other))
        if _counts(share, natural, len(val.samples), seen):
            return min(share / seen, 1.0), "the same values in another order, as in a mirrored picture"
    return None


def _are_windows(rows: Tensor) -> bool:
    """Say whether a row is the one before, moved on: where two series come near once, so do many of their windows."""
    shifts = [by for by in range(1, min(rows.shape[1] // 2, STEPS) + 1) if _follow(rows[:9], by) > 0.5]
    return any(_follow(rows, by) > 0.5 for by in shifts)


def _follow(rows: Tensor, by: int) -> float:
    """Return the share of rows that are the one before, moved on by so many values."""
    return float((rows[1:, :-by] == rows[:-1, by:]).all(1).double().mean())


def _counts(
    share: float, natural: float, count: int, seen: float, worth: float = WORTH, least: int = FEWEST, times: int = 3
) -> bool:
    """Say whether a share of validation samples in training is more than what samples are alike by nature."""
    return share / seen > worth and share * count >= least and share >= times * natural + 0.01 * seen


def _sums(rows: Tensor) -> list[int]:
    """Return a sum for each row that rows of the same values have in common, and few others: quicker than a code."""
    return _bits(rows).sum(1).tolist()


def _bits(rows: Tensor) -> Tensor:
    return rows.contiguous().view(torch.int32) if rows.is_floating_point() else rows


def _unordered(rows: Tensor) -> list[int]:
    """Return a code of the values of each row, in whatever order; 0 of a row that holds one value throughout."""
    mixed = (_bits(rows).long() + 1) * -7046029254386353131
    mixed = (mixed ^ (mixed >> 32)) * -4658895280553007687
    codes = (mixed ^ (mixed >> 29)).sum(1)
    codes[(rows == rows[:, :1]).all(1)] = 0
    return codes.tolist()


def _shared(train: Sequence[bytes | int], val: Sequence[bytes | int]) -> tuple[float, float]:
    """Return the share of validation codes that training has, and of training codes that it has twice."""
    mine = [code for code in train if code]
    known = set(mine)
    hits = sum(code in known for code in val)
    return hits / len(val), 1 - len(known) / max(len(mine), 1)


def continuous(rows: Tensor) -> bool:
    """Say whether equal samples can hardly be an accident: some features have a value of their own for many samples."""
    columns = rows[:, :: max(rows.shape[1] // 16, 1)]
    different = len(columns.unique(dim=0))
    kinds = torch.tensor([len(column.unique()) for column in columns.T]).double()
    own = int((kinds > CONTINUOUS * different).sum())
    return rows.shape[1] >= 4 and own >= SEVERAL and different > FEW


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Distances to the nearest of one set.

    Attributes:
        within: Of some of its own samples, each left out itself.
        across: Of the samples of the other set; infinite for those that are the mean of all.
        usual: The usual one of ``within``.
        least: What is rounding.
    """

    within: Tensor
    across: Tensor
    usual: float
    least: float

    def near(self, limit: float = CLOSE) -> tuple[float, float]:
        """Return the share of the other set's samples, and of one set's own, that lie within a part of the usual."""
        bound = max(limit * self.usual, self.least)
        return float((self.across <= bound).double().mean()), float((self.within <= bound).double().mean())


def neighbours(one: Tensor, other: Tensor) -> Neighbours:
    """Return how near the rows of one set are to each other, and those of the other set to them.

    Args:
        one, other: Of shape (samples, features).
    """
    one, other = one.float(), other.float()
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(one.shape[1], min(one.shape[1], 48), generator=generator) / one.shape[1] ** 0.5
    a, b = one @ mix, other @ mix
    some = torch.arange(0, len(a), max(len(a) // 500, 1))
    within = torch.cdist(a[some], a, compute_mode="donot_use_mm_for_euclid_dist")
    within[torch.arange(len(some)), some] = float("inf")
    nearest = within.amin(1)
    across = torch.cdist(b, a, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    across[(b - b.mean(0)).abs().amax(1) == 0] = float("inf")
    usual = max(float(nearest.median()), CLOSE * float(within[within.isfinite()].median()))
    return Neighbours(nearest, across, usual, 1e-6 * float(a.abs().max()))


def splitting(subject: Subject) -> Line | None:
    """Return the line that cuts out the validation set, or draws it with the training set's seed."""
    made = origin(subject, "val_set")
    if made is None:
        return made_at(subject, "val_set")
    if not isinstance(made.entry, ast.Name):
        return made.line
    given = next((part for part in made.parts if isinstance(part, ast.Assign) and _sets(part, made.entry.id)), None)
    if given is not None and any(_cuts(node) for node in walk(given)):
        return Line(made.file, given.lineno)
    at = made.find(lambda node: isinstance(node, ast.Slice))
    return at or (Line(made.file, given.lineno) if given is not None else made.line)


def _sets(part: ast.Assign, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for target in part.targets for node in walk(target))


def _cuts(node: ast.AST) -> bool:
    return isinstance(node, ast.Slice) or (isinstance(node, ast.Call) and "split" in called(node).lower())


def grouped(subject: Subject) -> Iterator[Finding]:
    """Tell, as an aside, of groups such as patients whose samples are in both sets."""
    train, val = (_indices(data) for data in (subject.train_set, subject.val_set))
    if train is None or val is None:
        return
    for name in GROUPS:
        names = [(_groups(data, name), indices) for data, indices in (train, val)]
        if any(groups is None for groups, _ in names):
            continue
        mine, theirs = ({groups[index] for index in indices} for groups, indices in names if groups is not None)
        shared = mine & theirs
        if not shared or len(mine | theirs) < 3 or len(mine) > 0.7 * len(train[1]):
            continue
        yield found(
            "group-in-both-splits",
            f"val_set.{name}",
            f"{len(shared)} of its {len(theirs)} groups are in the training set too",
            severity="info",
            at=splitting(subject),
            evidence=f"such as {sorted(map(str, shared))[:3]}",
            effect="validation says how well known groups are told, not new ones",
            fix="Split by group (sklearn's GroupShuffleSplit) where new groups will come",
        )
        return


GROUPS = (
    *("groups", "group", "group_ids", "patients", "patient", "patient_ids", "subjects", "subject", "subject_ids"),
    *("users", "user", "user_ids", "speakers", "speaker", "speaker_ids", "sessions", "session_ids", "authors"),
)
"""Names by which data sets keep the group of each sample."""


def _groups(data: Any, name: str) -> list[Any] | None:
    values = getattr(whole_of(data), name, None)
    if isinstance(values, Tensor | np.ndarray):
        values = values.tolist() if np.ndim(values) == 1 else None
    if not isinstance(values, list | tuple) or len(values) != len(data):
        return None
    return list(values) if all(isinstance(value, str | int) for value in values) else None


RULES = (duplicates, grouped)
