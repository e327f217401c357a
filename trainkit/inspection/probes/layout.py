"""Samples whose memory was given another shape where their dimensions had to change places."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import method_of, origin
from trainkit.inspection.probes.tables import table
from trainkit.inspection.source import Line, called, walk
from trainkit.inspection.subject import Subject, found

RESHAPES = ("view", "reshape", "resize", "resize_", "view_as", "reshape_as")
FEWEST, MOST = 16, 256
"""Samples that are looked at."""
SMOOTHER = 0.9
"""Variation of the other reading, relative to that of the sample as it is, below which the other one is right."""
SURE = 6.0
"""Mean difference of the two over its standard error."""


def scrambled(subject: Subject) -> Iterator[Finding]:
    """Hold how smooth (channel, ...) samples are against the same memory read as (..., channel)."""
    rows = table(subject, "train_set")
    if rows is None or len(rows.samples) < FEWEST or not _is_convolved(subject, rows.shape):
        return
    firsts = [sample.inputs[0] for sample in rows.samples[:: max(len(rows.samples) // MOST, 1)]]
    if any(sample.shape != firsts[0].shape or sample.is_complex() for sample in firsts):
        return
    at = _reshaping(subject)
    if at is None:
        return
    given = torch.stack(firsts).double()
    other = given.reshape(len(given), *given.shape[2:], given.shape[1]).movedim(-1, 1)
    mine, theirs = _variation(given), _variation(other)
    gains = mine - theirs
    if not bool(gains.isfinite().all()) or not float(gains.std()) > 0:
        return
    sure = float(gains.mean() / gains.std() * len(gains) ** 0.5)
    if float(theirs.mean()) > SMOOTHER * float(mine.mean()) or sure < SURE:
        return
    shape = tuple(given.shape[1:])
    line, place = at
    axes = ", ".join(map(str, (len(shape) - 1, *range(len(shape) - 1))))
    yield found(
        "layout-scrambled",
        place,
        f"gives {(*shape[1:], shape[0])} memory (channel last, HWC) the shape {shape} by a view or reshape: the pixels "
        "are scrambled where a permute was meant",
        at=line,
        evidence=f"neighbours differ by {float(mine.mean()):.3g} of the variance, and by {float(theirs.mean()):.3g} "
        f"where the same memory is read with the channel last; {len(given)} samples",
        effect="each channel holds a part of the picture with all colours mixed, and convolutions see no shapes",
        fix=f"x.permute({axes}), which moves the dimensions (transpose for two)",
    )


def _is_convolved(subject: Subject, shape: tuple[int, ...]) -> bool:
    """Say whether a convolution reads samples of a shape, channels first, as they come."""
    if len(shape) not in (2, 3) or not 2 <= shape[0] < min(shape[1:]) or not subject.runs:
        return False
    name = "conv1d" if len(shape) == 2 else "conv2d"
    op = next((op for op in subject.trace.recording.of("conv1d", "conv2d", "linear", "conv3d")), None)
    return op is not None and op.name == name and op.inputs[0].shape[1:] == shape


def _variation(samples: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours of each sample, relative to its variance.

    Args:
        samples: Of shape (samples, channels, ...).
    """
    steps = [samples.diff(dim=dim).square().flatten(1).mean(1) for dim in range(2, samples.dim())]
    return torch.stack(steps).mean(0) / samples.flatten(1).var(1).clamp(min=1e-12)


def _reshaping(subject: Subject) -> tuple[Line, str] | None:
    """Return the line that reshapes samples, and its place: in ``__getitem__``, else where the set is made."""
    method = method_of(subject.train_set, "__getitem__")
    if method is not None:
        line = _first(method.file, method.node)
        if line is not None:
            return line, f"{type(subject.train_set).__name__}.__getitem__"
    made = origin(subject, "train_set")
    for part in made.parts if made is not None else ():
        line = _first(made.file, part) if made is not None else None
        if line is not None:
            name = getattr(part, "name", None)
            return line, name or "train_set: layout"
    return None


def _first(file: str, part: ast.AST) -> Line | None:
    for node in walk(part):
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in RESHAPES:
            return Line(file, node.end_lineno or node.lineno)
    return None


RULES = (scrambled,)
