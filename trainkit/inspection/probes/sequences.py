"""Sequences: an output may not see what it is to predict."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import NEAR, PROBED, distance, evaluated, in_eval, probed
from trainkit.inspection.probes.origins import made_at, method_of
from trainkit.inspection.recording import Call, Recording, flat, mapped
from trainkit.inspection.source import Line, code_of, walk
from trainkit.inspection.subject import Subject, found, unpacked

SHIFTED = 0.95
"""Share of targets that are the next input, from which a model is taken to predict what comes next."""
ATTENTIVE = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.TransformerDecoder)
"""Modules that are given a mask."""


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
    other = replaced(batch, series, changed)
    before, one, error = evaluated(subject, batch)
    after, two, failed = evaluated(subject, other)
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
    place, message, at, fix = _explained(subject, before, after, call, start, length)
    yield found(
        "sees-future",
        place,
        f"{message}: outputs see future inputs, among them the token that they have to predict (a leak)",
        at=at,
        evidence=f"changing the inputs from position {start} on moves the outputs before it by {early:.0%}",
        effect="the loss falls to what copying gives, and generation is useless",
        fix=fix,
    )


def _explained(
    subject: Subject, before: Recording, after: Recording, call: Call | None, start: int, length: int
) -> tuple[str, str, Line | None, str]:
    """Return place, message, line and cure for a module that looks ahead."""
    mask = "Pass mask=nn.Transformer.generate_square_subsequent_mask(length), or is_causal=True"
    if call is None or not call.path:
        at = _own_line(before, after, "", start, length) or (_mask_line(type(subject.model)) if call else None)
        place = f"{type(subject.model).__name__}.forward: mask"
        return place, "the model has no causal mask, or a wrong one", at or _mask_line(type(subject.model)), mask
    module, name = call.module, type(call.module).__name__
    built = subject.where_built(call.path)
    if isinstance(module, nn.RNNBase) and module.bidirectional:
        return f"{call.path}: bidirectional", f"{name} is bidirectional, so not causal", built, "bidirectional=False"
    if isinstance(module, nn.modules.conv._ConvNd):
        fix = "Pad on the left only: F.pad(x, (dilation * (kernel_size - 1), 0)), and padding=0"
        return f"{call.path}: padding", f"{name} is padded on both sides, so not causal", built, fix
    if code_of(type(module)) is not None:
        at = _mask_line(type(module)) or _making_line(before, call.path)
        at = at or _own_line(before, after, call.path, start, length) or call.line
        return f"{call.path}: mask", f"{name}.forward has no causal mask, or a wrong one", at, mask
    given = len(call.inputs) > 1 and isinstance(module, ATTENTIVE)
    if given:
        at = _mask_line(type(subject.model)) or call.line
        return f"{call.path}: mask", f"the mask that {name} gets is not causal (wrong way round or shifted)", at, mask
    return f"{call.path}: mask", f"{name} has no causal mask", call.line, mask


def _mask_line(cls: type) -> Line | None:
    """Return the line that makes or applies a mask in a class of the user's."""
    code = code_of(cls)
    for names in (("tril", "triu", "generate_square_subsequent_mask"), ("masked_fill", "masked_fill_", "where")):
        call = next(code.calls(*names), None) if code is not None else None
        if code is not None and call is not None:
            return code.line(call)
    return None


def _making_line(before: Recording, path: str) -> Line | None:
    """Return the line of a function of the user's that makes the mask which a module applies."""
    makers = [op for op in before.ops if op.module == path and op.name in ("tril", "triu") and op.line is not None]
    return makers[0].line if makers else None


def _own_line(before: Recording, after: Recording, path: str, start: int, length: int) -> Line | None:
    """Return the line of the first operation in a module that reads the same up to a position and gives others."""
    for one, other in zip(before.ops, after.ops, strict=False):
        if one.module != path or not one.own or one.name != other.name:
            continue
        same = all(_agree(a.tensor, b.tensor, start, length) for a, b in zip(one.inputs, other.inputs, strict=False))
        results = zip(one.outputs, other.outputs, strict=False)
        if same and not all(_agree(a.tensor, b.tensor, start, length) for a, b in results):
            return one.line
    return None


def shifted(subject: Subject) -> Iterator[Finding]:
    """Hold the tokens that a causal model is to predict against those that it reads at the same position."""
    if not subject.runs:
        return
    batch = probed(subject)
    inputs, target = unpacked(batch)
    tokens = next((x for x in flat(inputs) if _is_given(x, target)), None)
    if not isinstance(target, Tensor) or tokens is None or tokens.is_floating_point() or tokens.dim() != 2:
        return
    if tokens.shape != target.shape or not torch.equal(tokens, target) or tokens.shape[1] < 3:
        return
    start = tokens.shape[1] // 2
    changed = tokens.clone()
    changed[:, start:] = changed[:, start:].flip(0)
    one = next(flat(evaluated(subject, batch)[1]), None)
    two = next(flat(evaluated(subject, replaced(batch, tokens, changed))[1]), None)
    axis = None if one is None else _time_axis(one, tokens.shape[1])
    if one is None or two is None or axis is None:
        return
    early = distance(one.narrow(axis, 0, start), two.narrow(axis, 0, start))
    if early is None or early > NEAR or _shifts_itself(subject, batch, tokens, one, axis):
        return
    if not _last_is_ignored(subject, batch, tokens.shape[1]):
        yield found(
            "target-not-shifted",
            "train_set: target",
            "is the input itself, not shifted by one: a causal model has to give back the token that it reads",
            at=_returning(subject),
            evidence=f"{tokens.numel()} of {tokens.numel()} targets equal the input at their position",
            effect="the model learns to copy and the loss falls to 0",
            fix="inputs, target = tokens[:, :-1], tokens[:, 1:]",
        )


def _shifts_itself(subject: Subject, batch: Any, tokens: Tensor, outputs: Tensor, axis: int) -> bool:
    """Say whether an output does not hang on the token at its own position: then the model reads the one before."""
    here = tokens.shape[1] // 2
    changed = tokens.clone()
    changed[:, here] = changed[:, here].roll(1, 0)
    moved = next(flat(evaluated(subject, replaced(batch, tokens, changed))[1]), None)
    if moved is None or torch.equal(changed, tokens):
        return False
    apart = distance(outputs.narrow(axis, here, 1), moved.narrow(axis, here, 1))
    return apart is not None and apart <= NEAR / 10


def _is_given(series: Tensor, target: Any) -> bool:
    """Say whether an input is the target itself."""
    same = isinstance(target, Tensor) and series.dtype == target.dtype and series.shape == target.shape
    return same and torch.equal(series, target)


def shifted_twice(subject: Subject) -> Iterator[Finding]:
    """See whether a loss leaves out the last position of targets that are shifted already, or they go back in time."""
    if not subject.runs:
        return
    batch = probed(subject)
    inputs, target = unpacked(batch)
    tokens = next((x for x in flat(inputs)), None)
    if tokens is None or tokens.is_floating_point() or tokens.dim() != 2 or not isinstance(target, Tensor):
        return
    if tokens.shape != target.shape or tokens.shape[1] < 4 or len(tokens.unique()) < 4:
        return
    if is_next(tokens, target) and bool((target[:, -1] >= 0).all()):
        special = target[:, -1].unique()
        if len(special) > 2 and _last_is_ignored(subject, batch, tokens.shape[1]):
            yield found(
                "target-shifted-twice",
                "loss: shift",
                "shifts the targets once more: they are the next token already, so the model learns the one after it",
                at=subject.where_made(subject.loss),
                evidence="targets equal the next input, and the loss has no gradient at the last position",
                effect="generation skips every other token",
                fix="Shift once: in the data set, or logits[:, :-1] against tokens[:, 1:] in the loss",
            )
    elif bool((tokens[:, :-1] == target[:, 1:]).all()) and not torch.equal(tokens, target):
        yield found(
            "target-not-shifted",
            "train_set: target",
            "is the input before, not the next one: shifted the wrong way, so it stands in what the model reads",
            at=_returning(subject),
            evidence=f"target[t] equals input[t - 1] at all {target[:, 1:].numel()} positions",
            effect="the model learns to copy and the loss falls to 0",
            fix="inputs, target = tokens[:, :-1], tokens[:, 1:]",
        )


def _returning(subject: Subject) -> Line | None:
    """Return the line that gives input and target: the return of ``__getitem__``, else where the set is made."""
    method = method_of(subject.train_set, "__getitem__")
    last = [node for node in walk(method.node) if isinstance(node, ast.Return)] if method is not None else []
    return method.line(last[-1]) if method is not None and last else made_at(subject, "train_set")


def _last_is_ignored(subject: Subject, batch: Any, length: int) -> bool:
    """Say whether the loss has no gradient at the last position: then it shifts by itself."""
    with subject.scratch() as scratch:
        ran = subject.run(in_eval(scratch.model), scratch.loss, batch)
        outputs = next(flat(ran.outputs), None)
        axis = None if outputs is None else _time_axis(outputs, length)
        if outputs is None or axis is None or ran.loss is None or not outputs.requires_grad:
            return False
        (gradient,) = torch.autograd.grad(ran.loss, outputs, allow_unused=True)
    return gradient is not None and not bool(gradient.narrow(axis, length - 1, 1).any())


def is_next(series: Tensor, target: Any) -> bool:
    """Say whether a target is its input one step later, over most positions."""
    if not isinstance(target, Tensor) or series.dim() < 2 or target.dim() < 2:
        return False
    if series.shape[:2] != target.shape[:2] or series.shape[1] < 3 or series.dtype != target.dtype:
        return False
    if series.shape != target.shape:
        return False
    said = target[:, :-1] >= 0 if not target.is_floating_point() else torch.ones_like(target[:, :-1], dtype=torch.bool)
    if not bool(said.any()):
        return False
    equal = (series[:, 1:] == target[:, :-1])[said].float().mean() >= SHIFTED
    return bool(equal) and not torch.equal(series, target)


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
    if tensor.dim() < 2 or (tensor.shape[0] == length != PROBED):
        return 0 if tensor.dim() >= 2 and tensor.shape[1] == PROBED else None
    return next((axis for axis in range(1, tensor.dim()) if tensor.shape[axis] == length), None)


def _same(series: Tensor) -> bool:
    return bool((series == series[:1]).all())


def replaced(thing: Any, old: Tensor, new: Tensor) -> Any:
    """Return a batch with one of its tensors replaced."""
    return new if thing is old else mapped(thing, lambda item: replaced(item, old, new))


RULES = (causal, shifted, shifted_twice)
