"""Samples that are fewer than they seem: drawn without their index, one for many indices, augmented once for all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, method_of, stored, whole_of
from trainkit.inspection.probes.overlap import continuous
from trainkit.inspection.probes.tables import affordable, is_drawn, raw, table
from trainkit.inspection.source import Code, Line, called, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

FEWEST, TRIED = 100, 8
"""Samples that say something, and samples that are read several times."""
FEW, MANY = 0.1, 0.5
"""Share of samples that differ in a set that repeats a few, and in one that does not."""
AGAIN = 0.02
"""Share of training samples that equal an earlier one, from which it is told."""
TIMES = 5
"""Rows that are stored for each one that is shown, from which the others are left out by mistake."""
NEAR = 0.8
"""Distance of two augmentations of one sample, by that of two samples, below which they are of one."""


def repeated(subject: Subject) -> Iterator[Finding]:
    """Count how many training samples differ, where many more are stored, and nearly all validation samples do."""
    rows, val = table(subject, "train_set"), table(subject, "val_set")
    if rows is None or not rows.complete or rows.total < FEWEST or rows.values is None:
        return
    different = len(set(rows.codes))
    if not 2 <= different <= FEW * rows.total or not rows.values.is_floating_point():
        return
    kept = [len(value) for value in stored(subject.train_set).values() if getattr(value, "ndim", 0) > 1]
    if not kept or max(kept) < TIMES * different:
        return
    others = len(set(val.codes)) if val is not None else 0
    if val is None or others < MANY * len(val.samples):
        return
    yield found(
        "few-distinct-samples",
        "train_set: samples",
        f"shows {different} distinct samples in {rows.total} indices: the same ones repeat (duplicates), others never "
        "come",
        at=_choosing(subject) or made_at(subject, "train_set"),
        evidence=f"{max(kept)} rows are stored; of the validation samples {others} of {len(val.samples)} differ",
        effect="the model learns these few by heart",
        fix="Look at how indices are chosen: a sampler's weights are one for each sample, weights[labels], not one for "
        "each class",
    )


def twice_in_training(subject: Subject) -> Iterator[Finding]:
    """Count training samples of continuous values that equal an earlier one."""
    rows = table(subject, "train_set")
    whole = None if rows is None else rows.whole
    if rows is None or whole is None or len(whole) < FEWEST or not whole.is_floating_point() or not continuous(whole):
        return
    codes = [code for code in rows.codes if code]
    again = len(codes) - len(set(codes))
    if not AGAIN * len(codes) <= again <= MANY * len(codes):
        return
    yield found(
        "duplicate-samples",
        "train_set: samples",
        f"holds {again} duplicates: samples that are identical to an earlier one",
        severity="info",
        at=made_at(subject, "train_set"),
        evidence=f"{again / len(codes):.0%} of {len(codes)} samples stand twice or more",
        effect="they weigh more than others; a split that is made later may have them on both sides",
        fix="torch.unique(x, dim=0), unless they are meant, as in oversampling",
    )


def _choosing(subject: Subject) -> Line | None:
    """Return the line of the data set's class that draws or divides indices."""
    for name in ("__init__", "__getitem__"):
        method = method_of(subject.train_set, name)
        for node in walk(method.node) if method is not None else ():
            drawn = isinstance(node, ast.Call) and called(node).rpartition(".")[2] in DRAWS
            divided = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.FloorDiv)
            if method is not None and (drawn or (divided and name == "__getitem__")):
                return method.line(node)
    return None


DRAWS = ("multinomial", "choice", "choices", "randint", "WeightedRandomSampler", "integers", "sample")


UNIFORM = ("randint", "randrange", "integers", "choice", "random_integers")


def unread_index(subject: Subject) -> Iterator[Finding]:
    """See whether ``__getitem__`` draws one of its stored samples whatever index it is given."""
    method, rows = method_of(subject.train_set, "__getitem__"), table(subject, "train_set")
    if method is None or rows is None or not _ignores(method) or not is_drawn(subject.train_set):
        return
    if len(list(method.calls(*UNIFORM))) != 1:
        return  # a class first, then one of its samples: drawn by design
    if not any(getattr(value, "ndim", 0) and len(value) == rows.total for value in stored(subject.train_set).values()):
        return
    yield found(
        "index-ignored",
        f"{type(whole_of(subject.train_set)).__name__}.__getitem__",
        "ignores its index and draws a random one: an epoch shows some samples several times and others never",
        severity="info" if _are_transitions(subject) else "warning",
        at=_overwriting(method),
        evidence=f"one index twice gives two samples; of {rows.total} about {1 - 0.368:.0%} are seen in an epoch",
        effect="37 % of the data are missing in each epoch, and shuffling and samplers have no say",
        fix="Use the index that the loader gives: it shuffles",
    )


def _are_transitions(subject: Subject) -> bool:
    """Say whether batches are such as a replay buffer gives, which draws by design."""
    return subject.train_step is not None and isinstance(subject.batch, list | tuple) and len(subject.batch) > 3


def _ignores(method: Code) -> bool:
    """Say whether the index is never read before it is overwritten."""
    args = getattr(method.node, "args", None)
    if args is None or len(args.args) < 2:
        return False
    name = args.args[1].arg
    uses = [node for node in walk(method.node) if isinstance(node, ast.Name) and node.id == name]
    first = min(uses, key=lambda node: (node.lineno, isinstance(node.ctx, ast.Store), node.col_offset), default=None)
    return first is None or isinstance(first.ctx, ast.Store)


def _overwriting(method: Code) -> Line:
    for node in walk(method.node):
        if isinstance(node, ast.Call) and any(word in called(node) for word in ("rand", "choice", "integers")):
            return method.line(node)
    return method.line(method.node)


def augmented_once(subject: Subject) -> Iterator[Finding]:
    """Read samples of two copies under two seeds: augmented each in its own way, and then always the same."""
    method, rows = method_of(subject.train_set, "__getitem__"), table(subject, "train_set")
    if method is None or rows is None or not affordable(subject, 4 * TRIED) or len(rows.samples) < TRIED:
        return
    indices = rows.indices[:: max(len(rows.samples) // TRIED, 1)][:TRIED].tolist()
    one, again = _twice(subject, indices, 1)
    other, _ = _twice(subject, indices, 2)
    if not _equal(one, again) or _equal(one, other) or not _alike(one, other):
        return
    yield found(
        "augmented-once",
        f"{type(whole_of(subject.train_set)).__name__}.__getitem__",
        "keeps samples in a cache after they were augmented at random: each has the same augmentation in every epoch",
        severity="warning",
        at=_keeping(method),
        evidence=f"{len(indices)} samples read twice: equal; read first under another seed: not",
        effect="what should vary from epoch to epoch is fixed: the set is as small as without augmentation",
        fix="Cache what was loaded, and augment after it was taken from the cache",
    )


def _twice(subject: Subject, indices: list[int], seed: int) -> tuple[list[Any], list[Any]]:
    with kept_generators(seed), quiet():
        held = copied_data(subject.train_set)
        first, second = ([raw(held[index]) for index in indices] for _ in range(2))
    return first, second


def _equal(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(_firsts(one), _firsts(other), strict=True)
    return all(a.shape == b.shape and torch.allclose(a, b) for a, b in pairs)  # mixed with itself, but for rounding


def _firsts(samples: list[Any]) -> list[Tensor]:
    return [inputs[0] if inputs else torch.empty(0) for inputs, _ in samples]


def _alike(one: list[Any], other: list[Any]) -> bool:
    """Say whether samples of two copies are the same ones but for an augmentation: targets, and most of the inputs."""
    a, b = _firsts(one), _firsts(other)
    if any(x.shape != a[0].shape or not x.is_floating_point() for x in (*a, *b)):
        return False
    if any(y is None or z is None or not torch.equal(y, z) for (_, y), (_, z) in zip(one, other, strict=True)):
        return False
    first, second = torch.stack(a).flatten(1).double(), torch.stack(b).flatten(1).double()
    apart = (first - second).norm(dim=1).mean()
    return bool(apart < NEAR * (first - first.roll(1, 0)).norm(dim=1).mean())


def _keeping(method: Code) -> Line:
    """Return the line that writes a sample into an attribute."""
    for node in walk(method.node):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Subscript | ast.Attribute) for target in targets):
            return method.line(node)
    return method.line(method.node)


RULES = (repeated, twice_in_training, unread_index, augmented_once)
