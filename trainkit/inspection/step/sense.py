"""What the loss rewards: its direction, whether it has a gradient, whether inputs and outputs matter at all."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import code_of, walk
from trainkit.inspection.step.bounds import bounds
from trainkit.inspection.step.view import TARGET, WEIGHT, View, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_loss, kept_generators, quiet

BREAKING = frozenset(
    [
        "argmax",
        "argmin",
        "round",
        "floor",
        "ceil",
        "sign",
        "trunc",
        "heaviside",
        "bool",
        "long",
        "int",
        "short",
        "byte",
        "eq",
        "ne",
        "gt",
        "lt",
        "ge",
        "le",
        "argsort",
        "bincount",
        "histc",
        "bernoulli",
        "multinomial",
        "one_hot",
    ]
)
"""Operations through which no gradient goes, or only zeros."""
LIKELIHOODS = frozenset(
    ["sigmoid", "logsigmoid", "softmax", "log_softmax", "softplus", "binary_cross_entropy_with_logits", "cross_entropy"]
)
"""Operations of a loss that read outputs as scores of the targets: the greater, the likelier."""
LEAST = 8
"""Samples from which the signs of gradients say something."""


def no_gradient(subject: Subject) -> Iterator[Finding]:
    """Find a loss that has no gradient, or only zeros, because of an operation with steps."""
    view = seen(subject)
    if view is None or not view.losses:
        return
    loss = view.losses[0]
    if not any(parameter.requires_grad for parameter in subject.model.parameters()):
        return
    flat = list(view.slopes.values())
    dead = not any(flat)
    if loss.requires_grad and not dead:
        return
    broken = [
        op
        for op in view.path
        if op.name in BREAKING and op.inputs and op.inputs[0].requires_grad and WEIGHT in view.came(op.inputs[0])
    ]
    if not broken or (loss.requires_grad and loss.grad_norm is None):
        return
    place, line = view.place(broken[-1])
    yield found(
        "loss-without-gradient",
        place,
        f"has no gradient ({broken[-1].name} is a step function), and the loss is computed from its result",
        at=line or view.loss_line,
        evidence="no parameter gets a gradient" if not flat else "all gradients are exactly 0",
        effect="nothing is learnt",
        fix="Compute the loss from the scores themselves (e.g. CrossEntropyLoss), and such numbers for display only.",
    )


def wrong_sign(subject: Subject) -> Iterator[Finding]:
    """Find a loss that falls when the outputs move away from their targets."""
    view = seen(subject)
    if view is None or subject.train_step is not None or subject.objective is not None:
        return
    target = unpacked(subject.batch)[1]
    output = view.outputs[0].tensor if len(view.outputs) == 1 else None
    if output is None or not isinstance(target, Tensor) or not output.is_floating_point() or subject.loss is None:
        return
    point = output.clone().requires_grad_()
    try:
        with kept_generators(), quiet():
            loss = copied_loss(subject.loss)(point, target)
            slope = torch.autograd.grad(loss, point, allow_unused=True)[0] if loss.numel() == 1 else None
    except Exception:  # noqa: BLE001 - a loss that takes more than an output: nothing to be said
        return
    climbing = any(group.get("maximize") for optimizer in subject.optimizers for group in optimizer.param_groups)
    if slope is None or not torch.isfinite(slope).all():
        return
    away = _away(point.detach(), target, slope)
    if away is None or away != (not climbing):
        return
    if not climbing and not _falls_for_ever(view, point.detach(), target, slope) and _codes_itself(view, target):
        return
    if climbing:
        place, line = "optimizer: maximize", subject.where_made(subject.make_optimizer)
        message, fix = "climbs: with maximize=True the optimizer makes the loss larger", "Leave maximize out."
    else:
        signs = [
            op for op in view.path if op.module is None and op.name in ("neg", "rsub", "mul", "log", "log_softmax")
        ]
        sums = [op for op in view.path if op.module is None]
        last = ([op for op in signs if op.name == "neg"] or signs or sums)[-1:]
        place, line = view.place(last[0], "sign") if last else ("loss: sign", None)
        message = "has the wrong sign: it falls when outputs move away from their targets"
        fix = "Turn the sign of the loss (a likelihood is maximised, so its negative is the loss)."
    yield found(
        "loss-with-wrong-sign",
        place,
        message,
        at=line or view.loss_line,
        evidence=f"at each of {len(point)} samples a step leads away from the target; loss {float(loss.detach()):.4g}",
        effect="training makes the model worse, without bound",
        fix=fix,
    )


def _away(point: Tensor, target: Tensor, slope: Tensor) -> bool | None:
    """Say whether descent leads away from the targets; None if the samples do not agree or it cannot be told."""
    labels = target.dtype in (torch.int64, torch.int32, torch.uint8) and target.dim() == 1 and point.dim() == 2
    if labels and len(target) == len(point) >= LEAST and point.shape[1] > 1:
        if int(target.min()) < 0 or int(target.max()) >= point.shape[1]:
            return None
        chosen = slope.gather(1, target.long()[:, None])
        others = slope.clone().scatter_(1, target.long()[:, None], 0.0)
        if bool((chosen > 0).all()) and bool((others <= 0).all()):
            return True
        return False if bool((chosen < 0).all()) and bool((others >= 0).all()) else None
    if target.shape == point.shape and target.is_floating_point() and target.numel() >= 2 * LEAST:
        gap = point - target
        used = slope != 0
        if int(used.sum()) < 2 * LEAST:
            return None
        two = bool(((target == 0) | (target == 1)).all()) and bool((target != target.flatten()[0]).any())
        agree = (slope * (1 - 2 * target if two else gap))[used]
        if bool((agree < 0).all()):
            return True
        return False if bool((agree > 0).all()) else None
    return None


def _falls_for_ever(view: View, point: Tensor, target: Tensor, slope: Tensor) -> bool:
    """Say whether the loss has no least value on the way down, among the outputs that the model can give."""
    low, high = bounds(view, view.outputs[0])
    far = (point - 1e4 * slope / slope.abs().max().clamp(min=1e-30)).clamp(low, high)
    try:
        with kept_generators(), quiet(), torch.no_grad():
            value = float(copied_loss(view.subject.loss)(far, target))
    except Exception:  # noqa: BLE001 - outputs out of the loss's range, such as probabilities above 1
        return False
    return value < -100


def _codes_itself(view: View, target: Tensor) -> bool:
    """Say whether outputs are no scores of the targets, but what the loss takes them for: distances, energies."""
    output = view.outputs[0]
    low, high = bounds(view, output)
    readers = view.readers.get(output.number, [])
    if (low >= 0 and high == math.inf) or any(op.name in ("neg", "rsub") for op in readers):
        return True
    if target.is_floating_point() and not bool(((target == 0) | (target == 1)).all()):
        return True
    after = [op for op in view.path if op.module is None]
    likely = bool(low >= 0 and high <= 1) or any(op.name in LIKELIHOODS for op in after)
    return not likely and target.is_floating_point()


def own_labels(subject: Subject) -> Iterator[Finding]:
    """Find a loss whose labels are the model's own answers."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy", "nll_loss"):
        labels = op.inputs[1]
        made, _ = source(labels)
        alone = not any(TARGET in view.came(loss) for loss in view.losses)
        chosen = made is not None and made.name in ("argmax", "max", "topk") and WEIGHT in view.came(labels)
        if (
            made is not None
            and chosen
            and alone
            and unpacked(subject.batch)[1] is not None
            and _shares(view, op.inputs[0], labels)
        ):
            place, line = view.place(op, op.name)
            yield found(
                "labels-from-outputs",
                place,
                "takes its labels from the model's own outputs, and the targets of the data are never used",
                at=line or view.loss_line,
                evidence=f"the target of {op.name} is an {made.name} of the output",
                effect="the model learns to be sure of what it says now",
                fix="Give the data's target to the loss.",
            )


def _shares(view: View, one: Fact, two: Fact) -> bool:
    first, second = view.recording.ancestors(one), view.recording.ancestors(two)
    return any(op in second and op.module is not None for op in first)


def cast_labels(subject: Subject) -> Iterator[Finding]:
    """Find targets with fractions that are cast to whole numbers before the loss."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if (
            op.name not in ("long", "int", "to", "type", "short", "bool")
            or not op.inputs
            or op.inputs[0].tensor is None
        ):
            continue
        fact, given = op.inputs[0], op.outputs[0]
        if view.came(fact) != {TARGET} or not fact.dtype.is_floating_point or given.dtype.is_floating_point:
            continue
        if source(fact)[0] is not None:
            continue  # scaled or rounded on purpose before
        values = tensor_of(fact)
        if values is None or bool((values == values.round()).all()):
            continue
        share = float((values != values.round()).float().mean())
        place, line = view.place(op, op.name)
        yield found(
            "labels-cast",
            place,
            "cuts the fractions of the targets off",
            at=line or view.loss_line,
            evidence=f"{share:.0%} of the targets have a fraction, such as {float(values.flatten()[0]):.3g}",
            effect="the model is trained on other targets than the data's",
            fix="Keep the targets as floats (target.float()).",
        )


COMPARING = frozenset(["ne", "eq", "gt", "lt", "ge", "le", "bool", "sign", "count_nonzero"])
"""Operations by which a model finds the padding in its input."""


def unused_result(subject: Subject) -> Iterator[Finding]:
    """Find inputs of several of which one is never read."""
    view = seen(subject)
    if view is None or len(view.inputs) < 2 or subject.train_step is not None:
        return
    for number, fact in enumerate(view.inputs):
        if view.readers.get(fact.number) or not fact.shape:
            continue
        if any(fact in call.inputs for call in view.recording.calls if call.path) or _is_made_anew(view, fact):
            continue
        if _is_asked(subject, number):
            continue
        code = subject.where_made(subject.model)
        yield found(
            "input-never-read",
            f"{type(subject.model).__name__}.forward: input {number + 1}",
            "is given to the model and never read (unused)",
            severity="error" if _measured(fact) else "warning",
            at=code,
            evidence=f"input {number + 1} of {len(view.inputs)}, shape {tuple(fact.shape)}",
            effect="what it says cannot be learnt",
            fix="Use it, or leave it out of the batch.",
        )


def _is_asked(subject: Subject, number: int) -> bool:
    """Say whether a condition of ``forward`` may read an input, though it did not in this batch."""
    code = code_of(type(subject.model).forward)
    args = getattr(code.node, "args", None) if code is not None else None
    if code is None or args is None or number + 1 >= len(args.args):
        return False
    kinds = (ast.If, ast.IfExp, ast.BoolOp, ast.While)
    inside = [item for node in walk(code.node) if isinstance(node, kinds) for item in walk(node)]
    return any(isinstance(item, ast.Name) and item.id == args.args[number + 1].arg for item in inside)


def _is_made_anew(view: View, fact: Fact) -> bool:
    """Say whether an input is a mask or the lengths of another one, in which the model finds the padding itself."""
    given = fact.tensor
    for other in view.inputs if given is not None else ():
        values = other.tensor
        if other is fact or values is None or values.dim() not in (2, 3) or given is None:
            continue
        real = values != 0 if values.dim() == 2 else (values != 0).any(-1)
        same = real.sum(1) if given.numel() == len(real) else real if given.shape == real.shape else None
        if same is None or not torch.equal(given.reshape(same.shape).long(), same.long()):
            continue
        if any(op.name in COMPARING for op in view.readers.get(other.number, [])):
            return True
    return False


def _measured(fact: Fact) -> bool:
    """Say whether an input holds measured values of each sample: no mask, number or length."""
    values = tensor_of(fact)
    if values is None or not fact.dtype.is_floating_point or len(fact.shape) < 2:
        return False
    return bool((values != values.round()).any())


def constant_result(subject: Subject) -> Iterator[Finding]:
    """Find an operation of the model that gives one value for everything."""
    view = seen(subject)
    if view is None or view.size < 2:
        return
    for op in view.path:
        if op.module is None or not op.inputs or op.name not in CONSTANT or len(op.outputs[0].shape) < 2:
            continue
        fact, given = op.inputs[0], op.outputs[0]
        if given.low is None or fact.low is None or given.high is None or fact.high is None:
            continue
        spread = given.high - given.low
        if spread > 1e-6 or fact.high - fact.low < 1e-6 or given.shape[0] < 2:
            continue
        if any(item.name.endswith("weight") and item.zeros == 1.0 for item in op.inputs[1:]):
            continue  # a gain that starts at 0
        place, line = view.place(op)
        yield found(
            "constant-activation",
            place,
            f"gives the same value everywhere: {_cause(op)}",
            at=line,
            evidence=f"input {tuple(fact.shape)} from {fact.low:.3g} to {fact.high:.3g}, output always {given.low:.3g}",
            effect="nothing of the input goes through",
            fix=CONSTANT[op.name],
        )
        return


CONSTANT = {
    "layer_norm": "Normalise over more than one element.",
    "group_norm": "Use fewer groups than channels, or a norm over more elements.",
    "instance_norm": "Use another norm: there is one element per channel.",
    "batch_norm": "Use a norm whose statistics hold more than one element.",
    "dropout": "Give the share that is dropped, such as p=0.1.",
    "feature_dropout": "Give the share that is dropped, such as p=0.1.",
    "normalize": "Normalise over the features (dim=-1).",
    "clamp": "Clamp to a range in which the values lie.",
    "round": "Leave the rounding out of the model.",
    "floor": "Leave the rounding out of the model.",
}
"""What may give a constant by mistake, with the cure."""


def _cause(op: Op) -> str:
    if "dropout" in op.name:
        return f"p={op.setting('p', 1)} drops all, not nothing"
    return f"{op.name} over {'one element' if 'norm' in op.name else 'a range without the values'}"


RULES = (no_gradient, wrong_sign, own_labels, cast_labels, unused_result, constant_result)
