"""Inputs beside their targets, read more than once: one input has one target, and what moves one moves the other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import made_at, method_of
from trainkit.inspection.probes.overlap import continuous
from trainkit.inspection.probes.tables import Sample, affordable, digest, sample_of, table
from trainkit.inspection.source import Line, called, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

AGAIN = 64
"""Samples that are read a second time."""
SEVERAL = 32
"""Targets of one sample that a data set may keep."""
TIMES, PICTURES = 8, 3
"""Readings of one picture with a picture as its target, and how many of them are tried."""
SURE, CLEARER = 0.6, 0.2
"""Correlation of one reading with another, moved, from which it was moved; and how much better than unmoved."""
MOTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "mirrored": lambda x: x.flip(-1),
    "upside down": lambda x: x.flip(-2),
    "turned by 180 degrees": lambda x: x.flip(-1, -2),
}
MOVING = ("flip", "crop", "rotat", "affine", "rot90", "roll", "transpose", "perspective")
"""Words in the names of operations that move a picture."""


def one_target(subject: Subject) -> Iterator[Finding]:
    """Look for inputs that come with one target now and with another then."""
    rows = table(subject, "train_set")
    if rows is None or rows.targets is None or rows.whole is None or not affordable(subject, AGAIN):
        return
    if not rows.whole.is_floating_point() or not continuous(rows.whole):
        return
    seen: dict[bytes, list[Tensor]] = defaultdict(list)
    places: dict[bytes, int] = {}
    for sample in (*rows.samples, *_again(subject, [s.index for s in rows.samples], AGAIN)):
        code = digest(sample.inputs)
        if code and sample.target is not None:
            seen[code].append(sample.target)
            places[code] = sample.index
    twice = [targets for targets in seen.values() if len(targets) > 1]
    apart = {code: t for code, t in seen.items() if any(not _same(t[0], other) for other in t[1:])}
    torn = [targets for code, targets in apart.items() if not _are_stored(subject.train_set, places[code], targets)]
    if len(torn) < 5 or len(torn) < 0.2 * len(twice):
        return
    first = next(other for other in torn[0] if not _same(torn[0][0], other))
    yield found(
        "target-random",
        "train_set: target",
        "is random: one input comes with different targets (labels)",
        severity="warning",
        at=_drawing(subject),
        evidence=f"{len(torn)} of {len(twice)} inputs that were read twice: {_short(torn[0][0])} and {_short(first)}",
        effect="targets are noise to their inputs, as far as they are drawn",
        fix="Index inputs and targets alike, and draw no random numbers for one of them alone",
    )


def _are_stored(data: Any, index: int, targets: list[Tensor]) -> bool:
    """Say whether a data set keeps several targets for a sample, as of several people, of which it gives one."""
    while isinstance(data, Subset):
        data, index = data.dataset, int(data.indices[index])
    for value in vars(data).values() if hasattr(data, "__dict__") else ():
        if not isinstance(value, Tensor | np.ndarray | list | tuple) or _is_one(value) or len(value) <= index:
            continue
        kept = value[index]
        if not isinstance(kept, Tensor | np.ndarray | list | tuple) or _is_one(kept):
            continue
        try:
            rows = [torch.as_tensor(row).flatten() for row in kept] if len(kept) <= SEVERAL else []
        except (TypeError, ValueError, RuntimeError):  # one number, or words
            continue
        if len(rows) > 1 and all(any(_same(target.flatten(), row) for row in rows) for target in targets):
            return True
    return False


def _is_one(value: Any) -> bool:
    """Say whether a tensor or array is a single number, without a length."""
    return getattr(value, "ndim", 1) == 0


def _again(subject: Subject, indices: list[int], count: int) -> list[Sample]:
    """Read some samples once more, under another seed."""
    step = max(len(indices) // count, 1)
    with kept_generators(1), quiet():
        held = copied_data(subject.train_set)
        return [Sample(index, *sample_of(subject, held[index]), 0.0) for index in indices[::step][:count]]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.double(), other.double(), equal_nan=True)


def _short(target: Tensor) -> str:
    return str([round(float(value), 4) for value in target.flatten()[:3]])


def _drawing(subject: Subject) -> Line | None:
    """Return the line of ``__getitem__`` that draws at random, else that which returns, else where the set is made."""
    method = method_of(subject.train_set, "__getitem__")
    if method is None:
        return made_at(subject, "train_set")
    for node in walk(method.node):
        name = called(node).lower() if isinstance(node, ast.Call) else ""
        if any(word in name for word in ("rand", "shuffle", "choice", "integers", "sample", "normal")):
            return method.line(node)
    return next((method.line(node) for node in walk(method.node) if isinstance(node, ast.Return)), None)


def moved_together(subject: Subject) -> Iterator[Finding]:
    """Read pictures with pictures as targets several times: where the input was moved, the target must be too."""
    for name in ("train_set", "val_set"):
        rows = table(subject, name)
        if rows is None or not affordable(subject, TIMES * PICTURES):
            continue
        for sample in rows.samples[:: max(len(rows.samples) // PICTURES, 1)][:PICTURES]:
            motion = _apart(subject, name, sample)
            if motion is None:
                continue
            which, how = motion
            other = "target" if which == "input" else "input"
            yield found(
                "target-not-moved",
                f"{name}: {other}",
                f"stays as it is when the {which} is {how} at random: the augmentation reaches the {which} alone, so "
                "input and target (mask) are misaligned",
                at=_moving(subject, name),
                evidence=f"two readings of {name}[{sample.index}]: one {which} is the other {how}, with one {other}",
                effect="each pixel stands beside another one's label",
                fix="Draw the motion once, and apply it to both",
            )
            return


def _apart(subject: Subject, name: str, sample: Sample) -> tuple[str, str] | None:
    """Return which of input and target was moved alone, and how."""
    x, y = sample.inputs[0], sample.target
    if y is None or x.dim() not in (2, 3) or y.dim() not in (2, 3) or x.shape[-2:] != y.shape[-2:]:
        return None
    if min(x.shape[-2:]) < 8:
        return None
    with kept_generators(2), quiet():
        held = copied_data(getattr(subject, name))
        for _ in range(TIMES):
            inputs, target = sample_of(subject, held[sample.index])
            if target is None or target.shape != y.shape or inputs[0].shape != x.shape:
                return None
            for which, one, other, still, kept in (
                ("input", x, inputs[0], y, target),
                ("target", y, target, x, inputs[0]),
            ):
                motion = None if torch.equal(one, other) else _motion(one, other)
                if motion is not None and torch.equal(still, kept) and _motion(still, motion[1](still)) is not None:
                    return which, motion[0]
    return None


def _motion(one: Tensor, other: Tensor) -> tuple[str, Callable[[Tensor], Tensor]] | None:
    """Return how one picture was mirrored, turned or shifted to give another; None if it was not, or is unknown."""
    flat, moved = _centred(one), _centred(other)
    size = float(flat.norm() * moved.norm())
    if size == 0:
        return None
    unmoved = float((flat * moved).sum()) / size
    best, how, shift = unmoved, "", (0, 0)
    for name, motion in MOTIONS.items():
        product = torch.fft.ifft2(torch.fft.fft2(moved) * torch.fft.fft2(motion(flat)).conj()).real / size
        peak = int(product.argmax())
        value = float(product.flatten()[peak])
        if value > best + 1e-6:
            best, how, shift = value, name, (peak // flat.shape[1], peak % flat.shape[1])
    if not how or best < SURE or best < unmoved + CLEARER:
        return None
    motion = MOTIONS[how]
    told = how if shift == (0, 0) else "shifted" if how == "as it is" else f"{how} and shifted"
    return told, lambda picture: motion(picture).roll(shift, (-2, -1))


def _centred(picture: Tensor) -> Tensor:
    wide = picture.double()
    wide = wide.mean(0) if wide.dim() == 3 else wide
    return wide - wide.mean()


def _moving(subject: Subject, name: str) -> Line | None:
    """Return the line that moves pictures in ``__getitem__``, else its first, else where the set is made."""
    method = method_of(getattr(subject, name), "__getitem__")
    if method is None:
        return made_at(subject, name)
    for node in walk(method.node):
        if isinstance(node, ast.Call) and any(word in called(node).lower() for word in MOVING):
            return method.line(node)
    return method.line(method.node)


RULES = (one_target, moved_together)
