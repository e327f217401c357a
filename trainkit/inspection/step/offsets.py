"""The bias of the last layer: where the first answers start, held against the same without it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.view import View, seen, source, tensor_of
from trainkit.inspection.step.written import filling
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_loss, kept_generators, quiet

WORSE = {"binary_cross_entropy_with_logits": 2.5, "cross_entropy": 3.0}
"""Factor by which a loss is larger with the bias than without, from which the bias is told; of a square 30."""
SQUARED = 30.0
PLAIN = 0.5
"""Largest bias of a layer as PyTorch initialises it, and more."""


def far_off(subject: Subject) -> Iterator[Finding]:
    """Find a last layer whose bias starts the answers far from their targets."""
    view = seen(subject)
    if view is None or subject.train_step is not None or len(view.outputs) != 1 or subject.objective is not None:
        return
    op = source(view.outputs[0])[0]
    if op is None or op.name not in LINEAR or len(op.inputs) < 3 or not op.inputs[2].name or "conv_t" in op.name:
        return
    bias = tensor_of(op.inputs[2])
    if bias is None or float(bias.abs().max()) < PLAIN or not op.inputs[2].requires_grad:
        return
    losses = _losses(view, op, bias)
    if losses is None:
        return
    given, without = losses
    judge = next((item.name for item in view.sinks()), "")
    if given < WORSE.get(judge, SQUARED) * without or given <= without:
        return
    name = op.inputs[2].name
    value = float(bias.flatten()[0])
    same = bool((bias == bias.flatten()[0]).all())
    place, line = filling(subject, name, constant=value if same else None) or (
        f"{name}: init",
        subject.where_built(name.rpartition(".")[0]),
    )
    shown = f"{value:.4g}" if same else f"{float(bias.min()):.3g}..{float(bias.max()):.3g}"
    yield found(
        "bias-far-off",
        f"{place} ({name})",
        f"starts the bias of the output layer at {shown}: the first predictions are far from the targets (a prior of "
        "the wrong sign, or an offset in another unit)",
        severity="warning",
        at=line,
        evidence=f"initial loss {given:.4g}, and {without:.4g} with a bias of 0",
        effect="the first epochs go into unlearning the bias, with gradients that are all alike",
        fix="Start at 0, at the mean of the targets, or for a rare class at -log((1 - p) / p)",
    )


def _losses(view: View, op: Op, bias: Tensor) -> tuple[float, float] | None:
    """Return the loss of the recorded outputs, and of the same without the bias."""
    output = tensor_of(view.outputs[0])
    target = unpacked(view.subject.batch)[1]
    layer = tensor_of(op.outputs[0])
    if output is None or layer is None or output.numel() != layer.numel() or view.subject.loss is None:
        return None
    spread = bias if op.name == "linear" else bias.view(1, -1, *[1] * (layer.dim() - 2))
    bare = (layer - spread).reshape(layer.shape)
    if output.shape != layer.shape:
        if output.flatten().sub(layer.flatten()).any():
            return None
        bare = bare.reshape(output.shape)
    try:
        with torch.no_grad(), kept_generators(), quiet():
            loss = copied_loss(view.subject.loss)
            given, without = float(loss(output, target)), float(loss(bare, target))
    except Exception:  # noqa: BLE001 - a loss that takes more than an output: nothing to be said
        return None
    return (given, without) if without > 0 and given < float("inf") else None


RULES = (far_off,)
