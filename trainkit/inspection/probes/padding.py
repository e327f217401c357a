"""Padding: neither an output nor the loss may hang on how much of it a batch happens to have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import PROBED, distance, evaluated
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found, unpacked

READ = 128
"""Series that are looked at."""
MOVED = 0.05
"""Change of an output, relative to the largest one, from which padding is not a matter of taste."""


def padded(subject: Subject) -> Iterator[Finding]:
    """Evaluate a short sample alone, and with more padding: beside a longer one, or as the data set pads it."""
    if not subject.runs:
        return
    moved = _by_collate(subject) if subject.collate is not None else _by_data(subject) or _by_series(subject)
    if moved is None or moved.apart <= MOVED:
        return
    if moved.is_lost:
        yield _lost(subject, moved)
        return
    yield found(
        "padding-counts",
        "model: padding",
        f"in {type(subject.model).__name__}.forward the output of a sample changes with its padding: no mask or length "
        "keeps the padded positions out",
        severity="error" if moved.share > 0.5 else "warning",
        at=_reader(subject),
        evidence=f"a sample of length {moved.length} padded to {moved.padded} moves by {moved.apart:.0%}; "
        f"{moved.share:.0%} of all positions are padding",
        effect="what is learned and measured depends on how much padding a sample happens to have",
        fix="Mask padded positions (key_padding_mask, packed sequences, a mean over the true length)",
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """How far an output moves by padding: relative to the largest one, from which length to which, and how common."""

    apart: float
    length: int
    padded: int
    share: float
    is_lost: bool = False
    """Whether padded samples that differ give the same: what is taken is the padding."""


def _by_collate(subject: Subject) -> Moved | None:
    samples = subject.samples(4 * PROBED)
    lengths = [length for sample in samples if (length := _length(sample)) is not None]
    if len(lengths) < len(samples) or len(set(lengths)) < 2:
        return None
    order = sorted(range(len(samples)), key=lambda index: lengths[index])
    short, long = samples[order[0]], samples[order[-1]]
    alone, both = subject.collated([short]), subject.collated([short, long])
    if _width(alone) == _width(both):
        return None
    a, b = (next(flat(evaluated(subject, batch)[1]), None) for batch in (alone, both))
    if a is None or b is None or a.dim() == 0 or a.dim() != b.dim() or a.shape[0] != 1 or b.shape[0] != 2:
        return None
    apart = [_least(a, b[row : row + 1]) for row in range(2)]  # a collate may sort
    known = [value for value in apart if value is not None]
    share = 1 - sum(lengths) / (len(lengths) * max(lengths))
    other = samples[order[1]]
    is_lost = lengths[order[1]] < max(lengths) and _give_the_same(subject, short, other, long)
    return Moved(min(known), min(lengths), max(lengths), share, is_lost) if known else None


def _give_the_same(subject: Subject, one: Any, other: Any, long: Any) -> bool:
    """Say whether two samples give one output beside a longer one, and two alone."""
    pairs = [[one, other, long], [one], [other]]
    outputs = [next(flat(evaluated(subject, subject.collated(pair))[1]), None) for pair in pairs]
    if any(x is None or x.dim() == 0 for x in outputs) or len(outputs[0]) != 3:  # type: ignore[arg-type]
        return False
    together, a, b = (x for x in outputs if x is not None)
    if together[0].shape != a[0].shape or a.shape != b.shape or together[0].numel() > 64:
        return False
    return torch.equal(together[0], together[1]) and distance(a, b) not in (None, 0.0)


def _lost(subject: Subject, moved: Moved) -> Finding:
    return found(
        "padding-counts",
        "model: padding",
        f"in {type(subject.model).__name__}.forward the last position of the padded batch is taken: for all but the "
        "longest sample that is padding, and nothing of the sample is read",
        at=_reader(subject),
        evidence=f"two samples, the shorter of length {moved.length}, give one output beside a sample of length "
        f"{moved.padded}, and two alone",
        effect="shorter samples all get the same prediction",
        fix="Take the last true step: h_n[-1] of the packed layer, or out[torch.arange(n), lengths - 1]",
    )


def _least(alone: Tensor, padded: Tensor) -> float | None:
    """Return how far an output is from that with padding, which may stand behind or before it."""
    behind, before = padded, padded
    for axis in range(1, alone.dim()):
        size = min(padded.shape[axis], alone.shape[axis])
        behind, before = behind.narrow(axis, 0, size), before.narrow(axis, before.shape[axis] - size, size)
    known = [value for part in (behind, before) if (value := distance(alone, part)) is not None]
    return min(known) if known else None


def _by_data(subject: Subject) -> Moved | None:
    """Take away padding that the data set has put behind its tokens, as far as some samples have it in common."""
    rows = table(subject, "train_set")
    if rows is None or rows.raw is None or len(rows.shape) != 1 or not rows.alone or len(rows.samples) < 32:
        return None
    tokens = rows.raw
    lengths = _lengths(tokens)
    if lengths is None:
        return None
    width = tokens.shape[1]
    short = lengths.argsort()[:PROBED]
    size = int(lengths[short].max())
    if size >= width or size < 2 or rows.targets is None or rows.targets[0].numel() > 1:
        return None
    target = rows.targets[short]
    one, error = evaluated(subject, (tokens[short, :size], target))[1:]
    two, failed = evaluated(subject, (tokens[short], target))[1:]
    a, b = next(flat(one), None), next(flat(two), None)
    if error is not None or failed is not None or a is None or b is None or a.shape != b.shape:
        return None
    apart = distance(a, b)
    share = 1 - float(lengths.double().mean()) / width
    return None if apart is None else Moved(apart, size, width, share)


def _by_series(subject: Subject) -> Moved | None:
    """Take away zeros that the data set has put behind its series of numbers, as far as some have them in common."""
    samples = subject.samples(READ)
    read = [list(flat(unpacked(sample)[0])) for sample in samples]
    if not all(len(parts) > 1 for parts in read):
        return None  # nothing tells zeros that are padding from zeros that are data
    series = [parts[0] for parts in read]
    if len(series) < READ // 2 or not all(isinstance(x, Tensor) and x.dim() == 2 for x in series):
        return None
    if len({x.shape for x in series}) > 1 or not all(x.is_floating_point() for x in series):
        return None
    steps = torch.stack(series).abs().sum(2)
    lengths = _lengths((steps > 0).long())
    if lengths is None or not any(_tells(read, lengths, number) for number in range(1, len(read[0]))):
        return None
    order = lengths.argsort()[:PROBED]
    size, width = int(lengths[order].max()), steps.shape[1]
    inputs, target = unpacked(subject.collated([samples[int(index)] for index in order]))
    whole = next(flat(inputs), None)
    if size >= width or size < 2 or whole is None or whole.shape[1:] != series[0].shape:
        return None
    rest = list(inputs)[1:] if isinstance(inputs, tuple | list) else None
    outputs = []
    for given in (whole[:, :size], whole):
        _, output, error = evaluated(subject, (given if rest is None else (given, *rest), target))
        outputs.append(None if error is not None else next(flat(output), None))
    a, b = outputs
    if a is None or b is None or a.shape != b.shape:
        return None
    apart = distance(a, b)
    return None if apart is None else Moved(apart, size, width, 1 - float(lengths.double().mean()) / width)


def _tells(samples: list[list[Tensor]], lengths: Tensor, number: int) -> bool:
    """Say whether another input of each sample is its length, or a mask of as many steps."""
    parts = [parts[number] for parts in samples if number < len(parts)]
    told = [float(part.double().sum()) for part in parts]
    return len(told) == len(samples) and all(abs(a - b) < 0.5 for a, b in zip(told, lengths.tolist(), strict=True))


def _lengths(tokens: Tensor) -> Tensor | None:
    """Return how many tokens stand before a run of one token that ends many rows and stands nowhere else."""
    last, counts = tokens[:, -1].unique(return_counts=True)
    pad = last[counts.argmax()]
    content = tokens != pad
    lengths = content.shape[1] - content.flip(1).int().argmax(1)
    lengths = torch.where(content.any(1), lengths, 0)
    inner = (~content).sum(1) - (tokens.shape[1] - lengths)
    ends = float((lengths < tokens.shape[1]).double().mean())
    if ends < 0.3 or bool(inner.any()) or len(lengths.unique()) < 3:
        return None
    return lengths


def _length(sample: Any, position: int = 0) -> int | None:
    """Return the length of the first (or last) part of a sample that is a series."""
    if not isinstance(sample, list | tuple):
        return None
    part = sample[position]
    if isinstance(part, Tensor):
        return part.shape[0] if part.dim() else None
    return len(part) if isinstance(part, list) else None


def _width(batch: Any) -> int:
    inputs, _ = unpacked(batch)
    return max((tensor.shape[1] for tensor in flat(inputs) if tensor.dim() > 1), default=0)


def _reader(subject: Subject) -> Line | None:
    """Return the line that reads the last state, or pools, or attends, in the user's forward; else its first line."""
    code = code_of(type(subject.model))
    if code is None:
        return None
    for name in ("mean", "max", "sum", "amax"):
        for call in code.calls(name):
            return code.line(call)
    forward = code.methods().get("forward")
    for node in walk(forward.node) if forward is not None else ():
        if isinstance(node, ast.Subscript) and re.search(r"[,\[]\s*-1\s*[\]),]", f"[{unparse(node.slice)}]"):
            return code.line(node)  # the last position
    sequence = (nn.RNNBase, nn.TransformerEncoder, nn.MultiheadAttention, nn.TransformerEncoderLayer)
    for layer in subject.trace.recording.calls:
        if isinstance(layer.module, sequence) and layer.line is not None:
            return layer.line
    return None if forward is None else forward.line(forward.node)


RULES = (padded,)
