"""Normalisation layers: what they average, what they forget, and what they take away again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Op
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.view import PASSING, SHAPING, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

BATCH = nn.modules.batchnorm._BatchNorm
DAMPING = 0.5
"""Share of a variance that eps may be before the norm is called none."""
JUDGES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
APART = 0.5
"""Distance of the targets' mean and deviation from 0 and 1, in deviations, from which a norm cannot give them."""


def still_statistics(subject: Subject) -> Iterator[Finding]:
    """Find batch norms that train and whose running statistics stay what they were: momentum=0."""
    view = seen(subject)
    for call in view.recording.calls if view is not None else ():
        module = call.module
        if not isinstance(module, BATCH) or not call.training or not module.track_running_stats:
            continue
        if module.momentum != 0 or int(module.num_batches_tracked or 0) > 1 or not _is_fresh(module):
            continue
        kind = type(module).__name__
        yield found(
            "norm-momentum",
            f"{call.path} ({kind}): momentum",
            f"momentum=0 keeps the running statistics of {kind} as they are: running_mean stays 0 and running_var 1, "
            "never updated",
            at=subject.where_built(call.path),
            evidence="in PyTorch momentum is the share of the new batch; 0 of it",
            effect="training normalises by the batch, eval() by 0 and 1: evaluation is of another model",
            fix=f"{kind}({module.num_features}), whose momentum is 0.1",
        )
        return


def _is_fresh(module: BATCH) -> bool:
    mean, variance = module.running_mean, module.running_var
    return mean is not None and variance is not None and not bool(mean.any()) and bool((variance == 1).all())


def damped(subject: Subject) -> Iterator[Finding]:
    """Find norms whose eps is larger than what they divide by."""
    view = seen(subject)
    for call in view.recording.calls if view is not None else ():
        eps = getattr(call.module, "eps", None)
        norm = isinstance(call.module, BATCH | nn.LayerNorm | nn.GroupNorm | nn.modules.instancenorm._InstanceNorm)
        values = tensor_of(call.inputs[0]) if norm and call.inputs else None
        if not isinstance(eps, float) or eps < 1e-2 or values is None or values.dim() < 2:
            continue
        variance = _variance(call)
        if eps < DAMPING * variance:
            continue
        kind = type(call.module).__name__
        yield found(
            "norm-damped",
            f"{call.path} ({kind}): eps",
            f"eps={eps:g} is larger than the variance that {kind} divides by: it no longer normalises",
            severity="warning",
            at=subject.where_built(call.path),
            evidence=f"variance of its input {variance:.3g}, epsilon {eps:g}: outputs have a deviation of "
            f"{math.sqrt(variance / (variance + eps)):.2g} instead of 1",
            effect="activations are scaled down layer by layer; eps is to guard against 0 only",
            fix=f"Leave eps at 1e-5; the second argument of {kind} is eps, not momentum",
        )
        return


def _variance(call: Call) -> float:
    tensor = tensor_of(call.inputs[0])
    assert tensor is not None
    if isinstance(call.module, nn.LayerNorm):
        return float(tensor.flatten(-len(call.module.normalized_shape)).var(-1, unbiased=False).mean())
    return float(tensor.transpose(0, 1).flatten(1).var(1, unbiased=False).mean())


def of_few(subject: Subject) -> Iterator[Finding]:
    """Find norms over one value, which give 0, and over two, which leave their order alone: -1 and 1."""
    view = seen(subject)
    for call in view.recording.calls if view is not None else ():
        count = _averaged(call)
        if count not in (1, 2) or not call.outputs:
            continue
        kind = type(call.module).__name__
        one = "one value a group: it minus its own mean is 0, a constant"
        two = (
            "groups of two values: whatever they are, -1 and 1 come out, and only the sign of their difference is left"
        )
        yield found(
            "norm-of-few",
            f"{call.path} ({kind})",
            f"{kind} normalises {one if count == 1 else two}",
            severity="error" if count == 1 else "warning",
            at=subject.where_built(call.path),
            evidence=f"input {tuple(call.inputs[0].shape)}, {count} value{'s' * (count > 1)} a group",
            effect="nothing of the input goes through"
            if count == 1
            else "all but one bit of each group is lost, and its gradient is close to 0",
            fix=f"Let {kind} normalise over more values: fewer groups, or a wider layer",
        )
        return


def _averaged(call: Call) -> int:
    """Return how many values a norm without statistics of its own averages; 0 for what is no such norm."""
    module, shape = call.module, call.inputs[0].shape if call.inputs else ()
    if isinstance(module, nn.LayerNorm):
        return math.prod(module.normalized_shape)
    if isinstance(module, nn.GroupNorm) and len(shape) > 1:
        return module.num_channels // module.num_groups * math.prod(shape[2:])
    if isinstance(module, nn.modules.instancenorm._InstanceNorm) and not module.track_running_stats:
        return math.prod(shape[2:]) if len(shape) > 2 else 0
    return 0


def vain_biases(subject: Subject) -> Iterator[Finding]:
    """Tell of biases right before a batch norm, which takes them away."""
    view = seen(subject)
    calls = [call for call in view.recording.calls if isinstance(call.module, BATCH)] if view is not None else []
    told: list[tuple[str, str]] = []
    for call in calls:
        if view is None or not call.training or not call.inputs:
            continue
        made = source(call.inputs[0], SHAPING)[0]
        bias = _bias(made)
        if made is None or not bias or not made.module or _read_elsewhere(view, made):
            continue
        told.append((bias, call.path))
    if not told:
        return
    bias, norm = told[0]
    owner = bias.rpartition(".")[0]
    kind = type(subject.model.get_submodule(owner)).__name__
    yield found(
        "bias-before-norm",
        f"{owner} ({kind}): bias",
        f"has a bias right before {norm} ({type(subject.model.get_submodule(norm)).__name__}), which subtracts the "
        "mean: the bias is redundant and has no effect",
        severity="info",
        at=subject.where_built(owner),
        evidence=f"{len(told)} such biases, such as {bias}, whose gradient is 0 but for rounding",
        effect="parameters that do nothing",
        fix=f"{kind}(..., bias=False); the norm has a bias of its own",
    )


def _bias(op: Op | None) -> str:
    """Return the name of the bias of a linear layer."""
    fact = op.setting("bias", 2) if op is not None and op.name in LINEAR else None
    name = getattr(fact, "name", "")
    return name if isinstance(name, str) and getattr(fact, "requires_grad", False) else ""


def _read_elsewhere(view: View, op: Op) -> bool:
    return len([reader for reader in view.readers.get(op.outputs[0].number, []) if reader.name != "dim"]) > 1


def normed_answer(subject: Subject) -> Iterator[Finding]:
    """Find outputs that a norm without weights brings to mean 0 and deviation 1, unlike their targets."""
    view = seen(subject)
    if view is None or view.size < 8:
        return
    for op in view.sinks(*JUDGES):
        made = source(op.inputs[0], PASSING)[0]
        if made is None or made.name not in ("batch_norm", "layer_norm", "instance_norm") or not made.module:
            continue
        module = view.model.get_submodule(made.module)
        if made.own or any(True for _ in module.parameters(recurse=False)):
            continue
        target = tensor_of(op.inputs[1])
        if target is None or target.numel() < 8:
            continue
        mean, deviation = float(target.mean()), float(target.std())
        if abs(mean) < APART * max(deviation, 1.0) and abs(math.log(max(deviation, 1e-6))) < APART:
            continue
        kind = type(module).__name__
        yield found(
            "normed-answer",
            f"{made.module} ({kind})",
            f"is the last operation: {kind} without weights gives outputs of mean 0 and unit variance, and the targets "
            "are on another scale",
            severity="warning",
            at=subject.where_built(made.module),
            evidence=f"targets have mean {mean:.3g} and standard deviation {deviation:.3g}",
            effect="the targets are out of reach whatever is learnt, and an output depends on its batch",
            fix="Let the last Linear give the answer, or standardise the targets",
        )
        return


def shared_statistics(subject: Subject) -> Iterator[Finding]:
    """Find one batch norm behind several layers: its running statistics are a mixture that fits none of them."""
    view = seen(subject)
    makers: dict[str, dict[str, Call]] = {}
    for call in view.recording.calls if view is not None else ():
        if not isinstance(call.module, BATCH) or not call.training or not call.inputs:
            continue
        made = source(call.inputs[0], SHAPING)[0]
        weight = made.inputs[1].name if made is not None and made.name in LINEAR and len(made.inputs) > 1 else ""
        if weight:
            makers.setdefault(call.path, {})[weight] = call
    for path, calls in makers.items():
        if len(calls) < 2:
            continue
        kind = type(subject.model.get_submodule(path)).__name__
        yield found(
            "norm-shared",
            f"{path} ({kind})",
            f"is one {kind} that is used behind {len(calls)} layers ({', '.join(list(calls)[:3])}): its running "
            "statistics (running_mean, running_var) are shared by all of them, a mixture that fits none",
            severity="warning",
            at=subject.where_built(path) or list(calls.values())[-1].line,
            evidence=f"called {len(calls)} times in a step, behind different weights",
            effect="training normalises each by its own batch, evaluation all by the same mixture: eval() is worse",
            fix=f"Make one {kind} for each layer: self.bn1, self.bn2",
        )
        return


RULES = (shared_statistics, still_statistics, damped, of_few, vain_biases, normed_answer)
