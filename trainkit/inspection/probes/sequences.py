"""Sequences: an output may not see what it is to predict, nor hang on how much padding its batch happens to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.probes.outputs import NEAR, PROBED, distance, probed
from trainkit.inspection.recording import Call, Recording, flat, recorded
from trainkit.inspection.source import Line, code_of
from trainkit.inspection.subject import Subject, found, unpacked

SHIFTED = 0.95
"""Share of targets that are the next input, from which a model is taken to predict what comes next."""
MOVED = 0.05
"""Change of an output, relative to the largest one, from which padding is not a matter of taste."""


def causal(subject: Subject) -> Iterator[Finding]:
    """Change the inputs behind a position, where the target is the next input, and look at the outputs before it."""
    if not subject.runs:
        return
    batch = probed(subject)
    inputs, target = unpacked(batch)
    series = next((x for x in flat(inputs) if is_next(x, target)), None)
    if series is None:
        return
    length = series.shape[1]
    start = max(length // 2, 1)
    changed = series.clone()
    changed[:, start:] = changed[:, start:].flip(0) if not _same(changed) else changed[:, start:].roll(1, 1)
    if torch.equal(changed, series):
        return
    other = _replaced(batch, series, changed)
    with subject.scratch() as scratch, torch.no_grad():
        model = scratch.model.eval()
        before, one, error = recorded(model, lambda: subject.forward(model, batch), gradients=False)
        after, two, failed = recorded(model, lambda: subject.forward(model, other), gradients=False)
    if error is not None or failed is not None:
        return
    outputs, changed_outputs = next(flat(one), None), next(flat(two), None)
    if outputs is None or changed_outputs is None or outputs.dim() < 2:
        return
    axis = _time_axis(outputs, length)
    if axis is None:
        return
    early = distance(outputs.narrow(axis, 0, start), changed_outputs.narrow(axis, 0, start))
    if early is None or early <= NEAR:
        return
    call = _first_that_looks_ahead(subject, before, after, start, length)
    path = "model" if call is None or not call.path else call.path
    name = type(subject.model if call is None else call.module).__name__
    yield found(
        "sees-future",
        f"{path}: mask",
        f"{name} has no causal mask: outputs see future inputs, among them the token that they have to predict",
        at=None if call is None else call.line,
        evidence=f"changing the inputs from position {start} on moves the outputs before it by {early:.0%}",
        effect="the loss falls to what copying gives, and generation is useless",
        fix="Pass mask=nn.Transformer.generate_square_subsequent_mask(length), or is_causal=True",
    )


def shifted(subject: Subject) -> Iterator[Finding]:
    """Hold the tokens that a causal model is to predict against those that it reads at the same position."""
    if not subject.runs:
        return
    batch = probed(subject)
    inputs, target = unpacked(batch)
    tokens = next((x for x in flat(inputs)), None)
    if not isinstance(target, Tensor) or tokens is None or tokens.is_floating_point() or tokens.dim() != 2:
        return
    if tokens.shape != target.shape or not torch.equal(tokens, target) or tokens.shape[1] < 3:
        return
    start = tokens.shape[1] // 2
    changed = tokens.clone()
    changed[:, start:] = changed[:, start:].flip(0)
    with subject.scratch() as scratch, torch.no_grad():
        model = scratch.model.eval()
        one = next(flat(subject.forward(model, batch)), None)
        two = next(flat(subject.forward(model, _replaced(batch, tokens, changed))), None)
    axis = None if one is None else _time_axis(one, tokens.shape[1])
    if one is None or two is None or axis is None:
        return
    early = distance(one.narrow(axis, 0, start), two.narrow(axis, 0, start))
    if early is not None and early <= NEAR:  # it is causal, so each position could only copy
        yield found(
            "target-not-shifted",
            "train_set: target",
            "is the input itself, not shifted by one: a causal model has to give back the token that it reads",
            at=subject.where_made(subject.train_set),
            evidence=f"{tokens.numel()} of {tokens.numel()} targets equal the input at their position",
            effect="the model learns to copy and the loss falls to 0",
            fix="inputs, target = tokens[:, :-1], tokens[:, 1:]",
        )


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
        model = scratch.model.eval()
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
        ran = subject.run(scratch.model.eval(), scratch.loss, batch)
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


def is_next(series: Tensor, target: Any) -> bool:
    """Say whether a target is its input one step later, over most positions."""
    if not isinstance(target, Tensor) or series.dim() < 2 or target.dim() < 2:
        return False
    if series.shape[:2] != target.shape[:2] or series.shape[1] < 3 or series.dtype != target.dtype:
        return False
    if series.shape != target.shape:
        return False
    return bool((series[:, 1:] == target[:, :-1]).float().mean() >= SHIFTED)


def _first_that_looks_ahead(
    subject: Subject, before: Recording, after: Recording, start: int, length: int
) -> Call | None:
    """Return the outermost call of a module that reads the same up to a position and gives other values before it."""
    blamed: Call | None = None
    for one, other in zip(before.calls, after.calls, strict=False):
        if not one.inputs or not one.outputs or one.path != other.path or not one.path:
            continue
        same = all(_agree(a.tensor, b.tensor, start, length) for a, b in zip(one.inputs, other.inputs, strict=False))
        apart = not all(
            _agree(a.tensor, b.tensor, start, length) for a, b in zip(one.outputs, other.outputs, strict=False)
        )
        if same and apart:
            own = code_of(type(one.module)) is not None
            if blamed is None or (own and one.path.startswith(f"{blamed.path}.")):
                blamed = one
    return blamed


def _agree(one: Tensor | None, other: Tensor | None, start: int, length: int) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return True
    axis = _time_axis(one, length)
    if axis is None:
        return True
    return (distance(one.narrow(axis, 0, start), other.narrow(axis, 0, start)) or 0.0) <= NEAR


def _time_axis(tensor: Tensor, length: int) -> int | None:
    if tensor.dim() < 2 or tensor.shape[0] == length:
        return 0 if tensor.dim() >= 2 and tensor.shape[1] == PROBED else None
    return next((axis for axis in range(1, tensor.dim()) if tensor.shape[axis] == length), None)


def _same(series: Tensor) -> bool:
    return bool((series == series[:1]).all())


def _replaced(thing: Any, old: Tensor, new: Tensor) -> Any:
    if thing is old:
        return new
    if type(thing) in (list, tuple):
        return type(thing)(_replaced(item, old, new) for item in thing)
    if isinstance(thing, dict):
        return {name: _replaced(value, old, new) for name, value in thing.items()}
    return thing


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


RULES = (causal, shifted, padded, loss_on_padding)
