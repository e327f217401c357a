"""Gradients that fade on their way back, and updates that are lost or lost in rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from trainkit.findings import Finding
from trainkit.inspection.recording import Op
from trainkit.inspection.step.initial import gain
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.trial import trained
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.step.written import filling, setting_line
from trainkit.inspection.subject import Subject, found

FLAT = ("sigmoid", "tanh", "softsign", "hardsigmoid")
FADED, LOST = 1e-4, 1e-5
"""First layer's gradient against the largest layer's."""
MOST, MANY = 0.3, 0.7
"""Share of the weights with a gradient that a step changes, below which most, and many, of its updates are lost."""
STACK = 6
"""Flat functions behind each other from which a gradient that has faded will not come back."""


def vanishing(subject: Subject) -> Iterator[Finding]:
    """Find a first layer whose gradient is a tiny part of the later ones'."""
    view = seen(subject)
    if view is None:
        return
    layers = [op for op in view.path if op.name in LINEAR and len(op.inputs) > 1 and _slope(view, op) is not None]
    layers = [op for op in layers if op is layers[0] or layers[0] in view.recording.ancestors(op.inputs[0])]
    if len(layers) < 3:
        return
    slopes = [_slope(view, op) or 0.0 for op in layers]
    if slopes[0] == 0 or max(slopes) == 0:
        return
    ratio = slopes[0] / max(slopes)
    if ratio > FADED or max(slopes[: (len(layers) + 1) // 2]) > 0.05 * max(slopes):
        return
    if any(op.name == "mul" and _gate(op) for op in view.path):
        return  # residual branches that start almost closed, by design
    first = layers[0]
    between = [op for op in view.path if op.name in FLAT and op.module is not None]
    small = [op for op in layers if gain(op) < 0.1]
    named = len(small) > len(layers) / 2 or len(between) >= 4
    if len(small) > len(layers) / 2:
        name = small[0].inputs[1].name
        place, line = filling(subject, name, constant=None) or (
            f"{name}: init",
            subject.where_built(name.rpartition(".")[0]),
        )
        cause, cure = f"the weights start too small ({name})", "Use nn.init.kaiming_normal_ or xavier_uniform_."
    elif len(between) >= 4:
        place, line = view.place(between[0])
        cause = f"{len(between)} {between[0].name}s, each of which passes a small part of it"
        cure = "Use nn.ReLU() or GELU, norms between the layers, and residual connections."
    else:
        place, line = view.place(first)
        cause, cure = "the layers in between", "Use norms between the layers and residual connections."
    yield found(
        "vanishing-gradient",
        place,
        f"lets the gradient vanish before it reaches {first.inputs[1].name or first.module}: {cause}",
        severity="info" if not named else "error" if ratio < LOST or len(between) >= STACK else "warning",
        at=line,
        evidence=f"gradient of the first of {len(layers)} layers is {slopes[0]:.1e}, of the largest {max(slopes):.1e}",
        effect="the first layers hardly learn",
        fix=cure,
    )


def _gate(op: Op) -> bool:
    return any(item.name and max(abs(item.low or 0), abs(item.high or 0)) < 0.01 for item in op.inputs)


def _slope(view: View, op: Op) -> float | None:
    """Return the typical gradient of a layer's weight, if it is trained."""
    weight = op.inputs[1]
    slope = view.slopes.get(weight.name) if weight.name else None
    if slope is None or not slope < math.inf:
        return None
    return slope / math.sqrt(math.prod(weight.shape))


def lost_in_rounding(subject: Subject) -> Iterator[Finding]:
    """Find weights in half precision that a step does not change although their gradient is not 0."""
    half = {name: p for name, p in subject.model.named_parameters() if p.dtype in (torch.bfloat16, torch.float16)}
    view = seen(subject) if half and subject.optimizers else None
    if view is None:
        return
    trial = trained(subject, 1)
    if trial is None or not trial.losses:
        return
    if not trial.finite:
        yield from _broken_half(subject, half)
        return
    after = dict(trial.model.named_parameters())
    asked = changed = 0
    for name, parameter in half.items():
        gradient = view.gradients.get(name)
        if gradient is None or parameter.dim() < 2:
            continue
        live = gradient != 0
        asked += int(live.sum())
        changed += int(((after[name] != parameter) & live).sum())
    gathers = any(group.get("momentum") for optimizer in subject.optimizers for group in optimizer.param_groups)
    share = changed / max(asked, 1)
    if asked < 32 or share > (MOST if gathers else MANY):  # momentum makes later steps larger than the first
        return
    kind = str(next(iter(half.values())).dtype).removeprefix("torch.")
    line = setting_line(subject, "lr")
    yield found(
        "update-lost-in-rounding",
        f"optimizer: {kind} weights",
        f"updates weights that are kept in {kind}: {'most' if share <= MOST else 'many'} updates are smaller than its "
        "rounding and are lost",
        severity="error" if share <= MOST else "warning",
        at=line,
        evidence=f"{share:.0%} of {asked} weights with a gradient changed in a step",
        effect="training stalls although the gradients are right",
        fix="Keep the weights in float32 and compute under torch.autocast(dtype=torch.bfloat16).",
    )


def _broken_half(subject: Subject, half: dict[str, torch.nn.Parameter]) -> Iterator[Finding]:
    eps = [group["eps"] for optimizer in subject.optimizers for group in optimizer.param_groups if "eps" in group]
    if not any(p.dtype == torch.float16 for p in half.values()) or not eps or min(eps) > 6e-8:
        return
    yield found(
        "safeguard-lost",
        "optimizer: eps",
        f"guards a division by eps={min(eps):g}, which is 0 in the float16 of the weights",
        at=setting_line(subject, "eps"),
        evidence="weights are NaN after one step on a copy",
        effect="all weights become NaN",
        fix="Keep the weights in float32 and use torch.autocast with a GradScaler, or eps=1e-4.",
    )


RULES = (vanishing, lost_in_rounding)
