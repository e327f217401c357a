"""What a loss does when outputs grow, when they are right, and when the batch is larger: measured on the loss alone."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op, flat
from trainkit.inspection.source import Line, called, code_of, unparse, walk
from trainkit.inspection.step.terms import terms
from trainkit.inspection.step.view import TARGET, View, seen
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import copied_loss, kept_generators, quiet

FAR = (1e2, 1e3, 1e4)
"""Sizes of outputs at which a loss is looked at."""
SUPER = 30.0
"""Growth over a tenfold size from which a fall is more than linear."""
CLOSE, APART = 0.02, 0.2
"""Relative error of a scale that counts as 1, and gap between two scales."""


def judged(view: View) -> Callable[[Any, Any], Tensor] | None:
    """Return the user's loss of outputs and target, on a copy; None where it takes more than these."""
    subject = view.subject
    if subject.train_step is not None or subject.objective is not None or subject.loss is None:
        return None
    judge = copied_loss(subject.loss)

    def loss(outputs: Any, target: Any) -> Tensor:
        with kept_generators(), quiet():
            value = judge(outputs, target)
        assert isinstance(value, Tensor)
        return value

    return loss


def outputs_of(view: View) -> Any:
    """Return the model's outputs in the form in which it gave them, without their graph."""
    facts = [fact.tensor for fact in view.outputs]
    if not facts or any(tensor is None for tensor in facts):
        return None
    tensors = [tensor.detach().clone() for tensor in facts if tensor is not None]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def _with(outputs: Any, number: int, value: Tensor) -> Any:
    if isinstance(outputs, Tensor):
        return value
    return tuple(value if at == number else item for at, item in enumerate(outputs))


def unbounded(subject: Subject) -> Iterator[Finding]:
    """Find a loss that falls faster than linearly when an output grows: a penalty that is taken off."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    outputs = outputs_of(view) if view is not None else None
    if view is None or judge is None or outputs is None:
        return
    target = unpacked(subject.batch)[1]
    for number, tensor in enumerate(flat(outputs)):
        if not tensor.is_floating_point() or tensor.dim() < 2:
            continue
        try:
            way = torch.where(tensor < 0, -1.0, 1.0)
            values = [float(judge(_with(outputs, number, way * size), target)) for size in FAR]
            up = [float(judge(_with(outputs, number, torch.full_like(tensor, size)), target)) for size in (10, 20, 40)]
        except Exception:  # noqa: BLE001 - a loss may take its outputs in a form of its own
            return
        squares = values[0] < 0 and values[2] < SUPER * values[1] and values[1] < SUPER * values[0]
        powers = up[0] < 0 and up[1] < 1e3 * up[0] and up[2] < 1e6 * up[1]
        if (all(map(math.isfinite, values)) and squares) or powers:
            yield _falls(view, number, values if squares else up)
            return


def _falls(view: View, number: int, values: list[float]) -> Finding:
    term = _term(view, number)
    place, line = view.place(term, "sign") if term is not None else ("loss: sign", view.loss_line)
    return found(
        "loss-with-wrong-sign",
        place,
        f"has a term of the wrong sign: the loss falls without bound when output {number + 1} of the model grows",
        at=line or view.loss_line,
        evidence=f"loss {', '.join(f'{value:.3g}' for value in values)} at ever larger outputs",
        effect="training drives this output to infinity instead of holding it small",
        fix="Turn the sign of this term (a penalty such as a KL divergence is added, and is never below 0).",
    )


def _term(view: View, number: int) -> Op | None:
    """Return the last operation of the term that an output alone is in."""
    fact = view.outputs[number]
    for op in view.path:
        if op.module is None and fact in op.inputs and op.name in ("pow", "square", "mul", "exp"):
            return op
    return None


def right_answers(subject: Subject) -> Iterator[Finding]:
    """Find a loss that is higher for outputs that equal their targets than for their opposites."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    outputs = outputs_of(view) if view is not None else None
    target = unpacked(subject.batch)[1] if view is not None else None
    if view is None or judge is None or not isinstance(outputs, Tensor) or not isinstance(target, Tensor):
        return
    if outputs.shape != target.shape or not target.is_floating_point() or target.numel() < 16:
        return
    if bool(((target == 0) | (target == 1)).all()) or float(target.std()) < 1e-6:
        return
    try:
        steps = [float(judge((1 - part) * outputs + part * target, target)) for part in (0.0, 0.5, 0.9, 1.0)]
        other = float(judge(-target, target))
    except Exception:  # noqa: BLE001 - a loss that takes more than an output: nothing to be said
        return
    climbs = all(two > one + 1e-6 * abs(one) for one, two in itertools.pairwise(steps))
    if not climbs or other > steps[0]:
        return
    last = [op for op in view.path if op.module is None][-1:]
    place, line = view.place(last[0], "sign") if last else ("loss: sign", None)
    yield found(
        "loss-with-wrong-sign",
        place,
        "has the wrong sign: it is highest for outputs that equal their targets",
        at=line or view.loss_line,
        evidence=f"loss {steps[0]:.4g} now, {steps[-1]:.4g} for the targets, {other:.4g} for their opposites",
        effect="training makes the model worse",
        fix="Turn the sign: a similarity is maximised, so the loss is 1 - similarity.",
    )


def reductions(subject: Subject) -> Iterator[Finding]:
    """Double the batch: find a loss of which one term is a sum over the samples and another their mean."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    outputs = outputs_of(view) if view is not None else None
    target = unpacked(subject.batch)[1] if view is not None else None
    if view is None or judge is None or not isinstance(outputs, tuple) or not isinstance(target, Tensor):
        return
    if any(tensor.dim() < 1 or tensor.shape[0] != view.size for tensor in outputs):
        return
    try:
        one = _slopes(judge, outputs, target)
        two = _slopes(judge, tuple(torch.cat([tensor, tensor]) for tensor in outputs), torch.cat([target, target]))
    except Exception:  # noqa: BLE001 - a loss may need its batch as it is
        return
    scales = [
        _scale(a, b[: len(a)]) if a is not None and b is not None else None for a, b in zip(one, two, strict=True)
    ]
    sums = [number for number, scale in enumerate(scales) if scale is not None and abs(scale - 1) < CLOSE]
    means = [number for number, scale in enumerate(scales) if scale is not None and abs(scale - 0.5) < CLOSE]
    if not sums or not means or len(sums) + len(means) < sum(slope is not None for slope in one):
        return
    term = _term(view, sums[0])
    place, line = view.place(term, "reduction") if term is not None else ("loss: reduction", view.loss_line)
    yield found(
        "reductions-mixed",
        place,
        f"adds a sum over the batch (of output {sums[0] + 1}) to a mean over it (of output {means[0] + 1}): "
        "two reductions",
        severity="warning",
        at=line or view.loss_line,
        evidence=f"with the batch doubled the gradient at output {means[0] + 1} halves (mean), "
        f"and at output {sums[0] + 1} it stays (sum)",
        effect="one term outweighs the other, and by how much depends on the batch size; "
        "in a VAE the latents collapse to the prior",
        fix="Reduce both alike: sum both over all but the batch, then mean over the batch.",
    )


def _slopes(judge: Callable[[Any, Any], Tensor], outputs: tuple[Tensor, ...], target: Tensor) -> list[Tensor | None]:
    points = tuple(t.detach().clone().requires_grad_(t.is_floating_point()) for t in outputs)
    wanted = [point for point in points if point.requires_grad]
    slopes = iter(torch.autograd.grad(judge(points, target), wanted, allow_unused=True))
    return [next(slopes) if point.requires_grad else None for point in points]


def _scale(one: Tensor, two: Tensor) -> float | None:
    """Return the factor between two gradients; None if there is no single one."""
    length = float(one.double().square().sum())
    if length == 0 or not math.isfinite(length):
        return None
    scale = float((one.double() * two.double()).sum()) / length
    rest = float((two.double() - scale * one.double()).norm()) / math.sqrt(length)
    return scale if rest < 1e-3 else None


def temperature(subject: Subject) -> Iterator[Finding]:
    """Find a distillation loss whose softened part is not multiplied by the square of its temperature."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("kl_div"):
        if op.line is None or len(op.inputs) < 2 or not (sharp := _divisor(op)):
            continue
        if op.outputs and op.outputs[0].shape == () and (op.outputs[0].grad_norm or 0.0) > 1:
            continue  # it is multiplied with more than the share of a term
        if all(len(terms(loss)) == 1 for loss in view.losses):
            continue  # no other term is larger than it
        code = code_of(subject.train_step or subject.loss)
        if code is None or _is_squared(code.node, sharp):
            continue
        place, line = view.place(op, "kl_div")
        yield found(
            "temperature-not-squared",
            place,
            f"softens both sides by the temperature {sharp:g}, and the term is not multiplied by its square",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"log_softmax(scores / {sharp:g}): its gradient is {sharp * sharp:g} times smaller "
            "than that of the loss on hard labels",
            effect="the teacher is hardly heard, and less the higher the temperature",
            fix="soft = F.kl_div(...) * T * T",
        )
        return


def _divisor(op: Op) -> float | None:
    """Return the number above 1 by which both sides of a divergence were divided before their softmax."""
    found_numbers: list[float] = []
    for fact in op.inputs[:2]:
        made = fact.maker
        scaled = made.inputs[0].maker if made is not None and "softmax" in made.name and made.inputs else None
        number = scaled.args[1] if scaled is not None and scaled.name in ("div", "truediv") else None
        if not isinstance(number, int | float) or number < 1.5:
            return None
        found_numbers.append(float(number))
    return found_numbers[0] if len(set(found_numbers)) == 1 else None


def _is_squared(node: ast.AST, sharp: float) -> bool:
    for item in walk(node):
        if isinstance(item, ast.Call) and called(item).rpartition(".")[2] in ("pow", "square"):
            return True
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Pow):
            return True
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Mult):
            factors = [unparse(part) for part in _factors(item)]
            if len(factors) != len(set(factors)) or any(_is_number(factor, sharp * sharp) for factor in factors):
                return True
    return False


def _factors(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


def _is_number(text: str, number: float) -> bool:
    try:
        return abs(float(text) - number) < 1e-6
    except ValueError:
        return False


def targets_unread(subject: Subject) -> Iterator[Finding]:
    """Find a loss that is the same whatever the targets are, although the model gives one output per target."""
    view = seen(subject)
    judge = judged(view) if view is not None else None
    target = unpacked(subject.batch)[1] if view is not None else None
    if view is None or judge is None or not isinstance(target, Tensor) or len(view.outputs) != 1 or view.size < 4:
        return
    fact = view.outputs[0]
    if any(TARGET in view.came(loss) for loss in view.losses) or bool((target == target.flatten()[:1]).all()):
        return  # targets that are all the same are given for form's sake
    classes = not target.is_floating_point() and target.dim() == 1 and len(fact.shape) == 2
    fits = classes and 1 < int(target.max()) + 1 == fact.shape[1]
    outputs = outputs_of(view)
    if (not fits and tuple(target.shape) != tuple(fact.shape)) or outputs is None:
        return
    try:
        values = [float(judge(outputs, other)) for other in (target, target.flip(0), torch.zeros_like(target))]
    except Exception:  # noqa: BLE001 - a loss that takes more than an output: nothing to be said
        return
    if len(set(values)) > 1 or torch.equal(target, target.flip(0)):
        return
    line: Line | None = view.loss_line
    ends = [op for op in view.path if op.module is None]
    place = view.place(ends[-1], "target")[0] if ends else "loss: target"
    yield found(
        "target-never-read",
        place,
        "does not read the targets of the data: the loss is the same whatever they are",
        at=(ends[-1].line if ends else None) or line,
        evidence=f"no operation on the way to the loss reads target {tuple(target.shape)}",
        effect="the model learns something else than the labels",
        fix="Hold the output against the target: loss(output, target).",
    )


RULES = (unbounded, right_answers, reductions, temperature, targets_unread)
