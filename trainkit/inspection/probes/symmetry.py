"""Augmentations by mirroring or turning, of samples whose target says which way round they are."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, method_of, whole_of
from trainkit.inspection.probes.tables import Table, affordable, indexed, sample_of, table
from trainkit.inspection.source import Line, called, unparse, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

READ, TIMES = 8, 8
"""Samples that are read, and how often each."""
FEWEST, MOST, WIDTH = 60, 500, 256
"""Samples that say something, those that are held against each other, and features into which more are mixed."""
SURE = 0.85
"""Correlation from which one reading is another one moved, and by which it beats any other motion."""
BESIDE = 1.25
"""Distance of moved samples to their neighbours, relative to the usual one, up to which they look like any other."""
NEAR = 7
"""Neighbours that are asked."""
TOLD, LOST = 0.7, 0.25
"""Share of samples whose class neighbours tell, and share of moved ones from which they no longer do."""
Motion = Callable[[Tensor], Tensor]
MOVING = ("flip", "rot", "transpose", "mirror", "rever", "hflip", "vflip")


@dataclass(frozen=True, slots=True)
class Moved:
    """A motion that readings of training samples show, with one target for both.

    Attributes:
        name: What it does.
        apply: Does it to a sample.
        count: How many samples showed it.
    """

    name: str
    apply: Motion
    count: int


def targets_of_moved(subject: Subject) -> Iterator[Finding]:
    """See what neighbours say of moved validation samples: another answer than the target that training keeps."""
    rows, val = table(subject, "train_set"), table(subject, "val_set")
    method = method_of(subject.train_set, "__getitem__")
    if rows is None or val is None or method is None or val.inputs is None or val.targets is None:
        return
    if not rows.alone or len(val.samples) < FEWEST or val.shape != rows.shape or len(rows.shape) > 3:
        return
    if not any(word in unparse(method.node).lower() for word in MOVING) or not affordable(subject, READ * TIMES):
        return
    for moved in _motions(subject, rows):
        said = _said_of(val, moved.apply)
        if said is None:
            continue
        yield found(
            "augmentation-changes-target",
            f"{type(whole_of(subject.train_set)).__name__}.__getitem__",
            f"augments samples: they are {moved.name} at random, and the target (label) stays, although it hangs on "
            f"which way round they are: {said[0]}",
            at=_moving(subject),
            evidence=f"{said[1]}; {moved.count} of {READ} training samples are shown both ways with one target",
            effect="the same input comes with contradictory targets: labels are noise to this extent",
            fix="Change the target with the input (swap left and right, mirror coordinates), or leave this "
            "augmentation out",
        )
        return


def _motions(subject: Subject, rows: Table) -> list[Moved]:
    """Return the motions by which readings of one training sample differ while its target stays."""
    counts: dict[str, int] = {}
    candidates = _candidates(rows.shape)
    with kept_generators(3), quiet():
        held = copied_data(subject.train_set)
        for sample in rows.samples[:: max(len(rows.samples) // READ, 1)][:READ]:
            first = sample.inputs[0].float()
            shown: set[str] = set()
            for _ in range(TIMES):
                inputs, target = sample_of(subject, held[sample.index])
                if inputs[0].shape != first.shape or target is None or sample.target is None:
                    return []
                name = _by_which(first, inputs[0].float(), candidates)
                if name and not torch.equal(target, sample.target):
                    return []
                shown |= {name} if name else set()
            for name in shown:
                counts[name] = counts.get(name, 0) + 1
    return [Moved(name, candidates[name], count) for name, count in counts.items() if count >= READ // 2]


def _candidates(shape: tuple[int, ...]) -> dict[str, Motion]:
    if len(shape) == 1:
        return {"reversed": lambda x: x.flip(-1)}
    if len(shape) == 2 and shape[0] != shape[1]:
        return {"reversed in time": lambda x: x.flip(-2), "mirrored (flipped)": lambda x: x.flip(-1)}
    motions: dict[str, Motion] = {
        "mirrored (flipped) from left to right": lambda x: x.flip(-1),
        "mirrored (flipped) upside down": lambda x: x.flip(-2),
        "turned by 180 degrees": lambda x: x.flip((-1, -2)),
    }
    if shape[-1] == shape[-2]:
        motions["turned by 90 degrees"] = lambda x: x.rot90(1, (-2, -1))
        motions["turned by 270 degrees"] = lambda x: x.rot90(-1, (-2, -1))
        motions["transposed"] = lambda x: x.transpose(-1, -2)
    return motions


def _by_which(one: Tensor, other: Tensor, candidates: dict[str, Motion]) -> str:
    """Return the motion that makes one reading of the other; empty if none does, or none is needed."""
    still = _correlation(one, other)
    scores = {name: _correlation(motion(one), other) for name, motion in candidates.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > SURE and still < scores[best] - 0.2 else ""


def _correlation(one: Tensor, other: Tensor) -> float:
    a, b = one.flatten() - one.mean(), other.flatten() - other.mean()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-12))


def _said_of(val: Table, motion: Motion) -> tuple[str, str] | None:
    """Return what neighbours say of moved samples, if they look like others and have another target; and figures."""
    assert val.inputs is not None
    assert val.targets is not None
    x = val.inputs[:MOST]
    moved = torch.stack([motion(row).flatten() for row in x.reshape(len(x), *val.shape)])
    if x.shape[1] > WIDTH:
        mix = torch.randn(x.shape[1], WIDTH, generator=torch.Generator().manual_seed(0)) / x.shape[1] ** 0.5
        x, moved = x @ mix, moved @ mix
    plain, turned = torch.cdist(x, x), torch.cdist(moved, x)
    for distances in (plain, turned):
        distances.fill_diagonal_(float("inf"))
    usual, there = (distances.topk(NEAR, largest=False) for distances in (plain, turned))
    alike = there.values.mean(1) / usual.values.mean(1).clamp_min(1e-12)
    targets = val.targets[:MOST]
    if val.classes is not None:
        return _of_classes(targets, usual.indices, there.indices, alike)
    return _of_numbers(targets.float().reshape(len(targets), -1), usual.indices, there.indices, alike)


def _of_classes(y: Tensor, usual: Tensor, there: Tensor, alike: Tensor) -> tuple[str, str] | None:
    for kind in y.unique().tolist():
        own = y == kind
        if int(own.sum()) < 15 or float(alike[own].median()) > BESIDE:
            continue
        said, told = (y[near[own]].mode(1).values for near in (usual, there))
        right, kept = float((said == kind).double().mean()), float((told == kind).double().mean())
        if right < TOLD or kept > LOST:
            continue
        other = int(told.mode().values)
        if float((told == other).double().mean()) < TOLD:
            continue
        share = float((told == other).double().mean())
        figures = f"{right:.0%} of class {kind}, of {kept:.0%} when moved, and class {other} of {share:.0%}"
        return f"class {kind} becomes class {other}", f"neighbours in val_set name the class of {figures}"
    return None


def _of_numbers(y: Tensor, usual: Tensor, there: Tensor, alike: Tensor) -> tuple[str, str] | None:
    if y.shape[1] > 16 or float(alike.median()) > BESIDE:
        return None
    whole = (y - y.mean(0)).square().sum(0).clamp_min(1e-12)
    told, moved = (1 - (y[near].mean(1) - y).square().sum(0) / whole for near in (usual, there))
    for column in range(y.shape[1]):
        if float(told[column]) > TOLD and float(moved[column]) < 0:
            figures = f"{float(told[column]):.0%} of its variance, and nothing of that of moved samples"
            return (
                f"number {column} of it (a coordinate, an angle) is another one afterwards",
                f"neighbours in val_set explain {figures}, which look like the others",
            )
    return None


def _moving(subject: Subject) -> Line | None:
    method = method_of(subject.train_set, "__getitem__")
    for node in walk(method.node) if method is not None else ():
        if isinstance(node, ast.Call) and any(word in called(node).lower() for word in MOVING) and method is not None:
            return method.line(node)
    if method is not None:
        return method.line(method.node)
    return made_at(subject, "train_set") if indexed(subject.train_set) else None


RULES = (targets_of_moved,)
