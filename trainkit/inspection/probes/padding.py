"""Padding: neither an output nor the loss may hang on how much of it a batch happens to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.probes.outputs import PROBED, distance, in_eval
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, code_of
from trainkit.inspection.subject import Subject, found, unpacked

MOVED = 0.05
"""Change of an output, relative to the largest one, from which padding is not a matter of taste."""


def padded(subject: Subject) -> Iterator[Finding]:
    """Evaluate a short sample alone, and in a batch with a longer one."""
    if not subject.runs or subject.collate is None:
        return
    samples = subject.samples(4 * PROBED)
    lengths = [_length(sample) for sample in samples]
    if None in lengths or len(set(lengths)) < 2:
        return
    order = sorted(range(len(samples)), key=lambda index: lengths[index] or 0)
    short, long = samples[order[0]], samples[order[-1]]
    alone, both = subject.collated([short]), subject.collated([short, long])
    if _width(alone) == _width(both):
        return
    with subject.scratch() as scratch, torch.no_grad():
        model = in_eval(scratch.model)
        one, two = subject.forward(model, alone), subject.forward(model, both)
    a, b = next(flat(one), None), next(flat(two), None)
    if a is None or b is None or a.dim() == 0 or a.dim() != b.dim() or a.shape[0] != 1 or b.shape[0] != 2:
        return
    part = b[:1]
    for axis in range(1, a.dim()):
        part = part.narrow(axis, 0, min(part.shape[axis], a.shape[axis]))
    apart = distance(a, part)
    if apart is None or apart <= MOVED:
        return
    yield found(
        "padding-counts",
        "model: padding",
        "the output of a sample changes with the padding of its batch: no mask keeps the padded positions out",
        at=_reader(subject),
        evidence=f"a sample of length {lengths[order[0]]} padded to {lengths[order[-1]]} moves by {apart:.0%}",
        effect="what is learned and measured depends on which samples share a batch",
        fix="Mask padded positions (key_padding_mask, packed sequences, a mean over the true length)",
    )


def loss_on_padding(subject: Subject) -> Iterator[Finding]:
    """See whether the loss has a gradient at outputs that belong to padding."""
    if not subject.runs or subject.collate is None:
        return
    samples = subject.samples(4 * PROBED)
    lengths = [_length(sample, -1) for sample in samples]
    if None in lengths or len(set(lengths)) < 2:
        return
    batch = subject.collated(samples)
    _, target = unpacked(batch)
    sizes = [length or 0 for length in lengths]
    if not isinstance(target, Tensor) or target.dim() < 2 or target.shape[:2] != (len(samples), max(sizes)):
        return
    with subject.scratch() as scratch:
        ran = subject.run(in_eval(scratch.model), scratch.loss, batch)
        outputs = next(flat(ran.outputs), None)
        if outputs is None or ran.loss is None or outputs.dim() < 2 or outputs.shape[:2] != target.shape[:2]:
            return
        if not outputs.requires_grad:
            return
        (gradient,) = torch.autograd.grad(ran.loss, outputs, allow_unused=True)
    if gradient is None:
        return
    size = gradient.flatten(2).abs().sum(-1) if gradient.dim() > 2 else gradient.abs()
    beyond = torch.arange(size.shape[1]) >= torch.tensor(sizes)[:, None]
    share = size[beyond].sum() / size.sum().clamp_min(1e-30)
    if share < 1e-3:
        return
    values = target[beyond].unique().tolist()[:3]
    yield found(
        "loss-on-padding",
        "loss: padding",
        f"counts padded targets too: nothing such as ignore_index leaves out the padding ({values})",
        at=subject.where_made(subject.loss) or subject.where_made(subject.collate),
        evidence=f"{float(share):.0%} of the loss's gradient is at padding",
        effect="the model learns to predict padding, and the loss looks lower than it is",
        fix="Pad targets with -100, or give ignore_index=PAD to the loss",
    )


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
    sequence = (nn.RNNBase, nn.TransformerEncoder, nn.MultiheadAttention, nn.TransformerEncoderLayer)
    for layer in subject.trace.recording.calls:
        if isinstance(layer.module, sequence) and layer.line is not None:
            return layer.line
    forward = code.methods().get("forward")
    return None if forward is None else forward.line(forward.node)


RULES = (padded, loss_on_padding)
