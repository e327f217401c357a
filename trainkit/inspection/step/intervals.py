"""Losses of quantiles, boxes and variances: whether they ask for what they name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line, called, code_of
from trainkit.inspection.step.axioms import Judge, at_loss, slope, tried, worth
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, WEIGHT, View
from trainkit.inspection.subject import Subject, found

CORNERS = frozenset(["max", "min", "maximum", "minimum"])
FAR = (20.0, 40.0)
"""Sizes of an output at which a loss is looked at."""


def quantiles(subject: Subject) -> Iterator[Finding]:
    """Find a quantile loss whose outputs become the opposite quantiles: the error is taken with the wrong sign."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    if not 1 <= outputs.dim() <= 2 or not target.is_floating_point() or not outputs.is_floating_point():
        return
    count = outputs.shape[1] if outputs.dim() == 2 else 1
    wide = target.reshape(-1, 1) if target.numel() == len(outputs) else target
    if count > 16 or wide.dim() != 2 or len(wide) != len(outputs) or wide.shape[1] not in (1, count):
        return
    levels = _levels(judge, wide.expand(len(outputs), count).reshape(outputs.shape), target)
    if levels is None or bool(((levels - 0.5).abs() < 1e-2).all()):
        return
    for meant in _declared(subject, count):
        if torch.allclose(levels, meant, atol=1e-2):
            return
        if torch.allclose(levels, 1 - meant, atol=1e-2):
            names = ", ".join(f"{float(level):g}" for level in meant)
            place, line = at_loss(view, "quantile", "sub", "rsub")
            yield found(
                "quantiles-mirrored",
                place,
                f"is a quantile (pinball) loss with the wrong sign of the error: the output for {names} learns the "
                "opposite quantile (1 - q), upper and lower bounds are swapped",
                at=_difference(view) or line,
                evidence=f"slopes above and below the target ask for "
                f"{', '.join(f'{float(level):.2g}' for level in levels)}, and the levels are {names}",
                effect="intervals are mirrored: what is called the upper quantile is the lower one",
                fix="error = target - prediction; torch.max(q * error, (q - 1) * error)",
            )
            return


def _difference(view: View) -> Line | None:
    """Return the line that takes the error of a prediction."""
    for op in view.path:
        if op.module is None and op.name in ("sub", "rsub") and len(op.inputs) == 2:
            came = [view.came(fact) for fact in op.inputs]
            if TARGET in came[0] | came[1] and WEIGHT in came[0] | came[1]:
                return op.line
    return None


def _levels(judge: Judge, exact: Tensor, target: Tensor) -> Tensor | None:
    """Return the quantiles that a piecewise linear loss asks for; None of any other loss."""
    slopes = [slope(judge, exact + step, target) for step in (1.0, 2.0, -1.0, -2.0)]
    if any(item is None for item in slopes):
        return None
    above, more, below, less = (item.reshape(len(exact), -1).mean(0) for item in slopes if item is not None)
    if not torch.allclose(above, more, rtol=1e-3) or not torch.allclose(below, less, rtol=1e-3):
        return None
    if bool((above <= 0).any()) or bool((below >= 0).any()):
        return None
    return -below / (above - below)


def _declared(subject: Subject, count: int) -> Iterator[Tensor]:
    """Yield the sequences of as many numbers within 0..1 that the loss or the model knows by name."""
    code = getattr(subject.loss, "__code__", None)
    known = dict(vars(subject.loss)) if hasattr(subject.loss, "__dict__") else {}
    known |= dict(vars(subject.model))
    known |= dict(enumerate(getattr(subject.loss, "__defaults__", None) or ()))
    scope = getattr(subject.loss, "__globals__", None) or getattr(
        getattr(type(subject.loss), "forward", None), "__globals__", {}
    )
    names = code.co_names if code is not None else [name for name, value in scope.items() if not callable(value)]
    known |= {name: scope[name] for name in names if name in scope}
    known |= dict(getattr(subject.loss, "_buffers", None) or {})
    constants = [item for item in code.co_consts if isinstance(item, float | tuple)] if code is not None else []
    for value in [*known.values(), *constants]:
        if isinstance(value, float) and count == 1:
            value = [value]
        if isinstance(value, list | tuple | Tensor) and len(value) == count if _is_sized(value) else False:
            try:
                levels = torch.as_tensor(value, dtype=torch.float32).flatten()
            except (TypeError, ValueError, RuntimeError):
                continue
            if len(levels) == count and bool(((levels > 0) & (levels < 1)).all()):
                yield levels


def _is_sized(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.dim() > 0


def perfect_boxes(subject: Subject) -> Iterator[Finding]:
    """Find a loss of the overlap of boxes in which a box does not cover itself: it is in another format."""
    case = tried(subject)
    if case is None or not isinstance(case[2], Tensor) or not isinstance(case[3], Tensor):
        return
    view, judge, outputs, target = case
    if outputs.shape != target.shape or outputs.shape[-1:] != (4,) or not target.is_floating_point():
        return
    overlaps = [op for op in view.path if op.module is None and op.name in CORNERS and len(op.inputs) == 2]
    boxes = target.reshape(-1, 4)
    turned = float(((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])).float().mean())
    itself, now = worth(judge, target, target), worth(judge, outputs, target)
    if not overlaps or turned < 0.05 or not itself > 0.05 or not math.isfinite(now):
        return
    op = overlaps[0]
    place, line = _called(subject, op) or where(view, op, f"{op.name} of corners")
    yield found(
        "box-format",
        place,
        "takes boxes as corners (x1, y1, x2, y2; xyxy), and is given another format, such as centre, width and height "
        "(cxcywh) or xywh: they are not converted before their IoU",
        at=line or view.loss_line,
        evidence=f"in {turned:.0%} of the target boxes x2 <= x1 or y2 <= y1; "
        f"a prediction that equals its target has a loss of {itself:.3g} (now {now:.3g})",
        effect="overlaps are not those of the boxes, and a perfect prediction is punished",
        fix="Convert both: torchvision.ops.box_convert(boxes, 'cxcywh', 'xyxy'), then the IoU.",
    )


def _called(subject: Subject, op: Op) -> tuple[str, Line] | None:
    """Return where the loss calls the function that an operation runs in, if that is another one."""
    code = code_of(subject.loss)
    for call in code.calls() if code is not None and op.function else ():
        if code is not None and called(call).rpartition(".")[2] == op.function:
            name = getattr(subject.loss, "__name__", type(subject.loss).__name__)
            return f"loss: {name}: {op.function}", code.line(call)
    return None


def escapes(subject: Subject) -> Iterator[Finding]:
    """Find an output that makes the loss 0 when it grows, whatever the others predict: a variance for free."""
    case = tried(subject)
    if case is None or not isinstance(case[3], Tensor) or not case[3].is_floating_point():
        return
    view, judge, outputs, target = case
    if not isinstance(outputs, tuple) or not 2 <= len(outputs) <= 4 or bool((target == target.flatten()[:1]).all()):
        return
    if not any(TARGET in view.came(loss) for loss in view.losses):
        return
    now = worth(judge, outputs, target)
    for number, tensor in enumerate(outputs):
        others = [item.numel() for at, item in enumerate(outputs) if at != number]
        if (
            target.numel() not in others
            or tensor.dim() < 1
            or tensor.shape[0] != len(target)
            or not tensor.is_floating_point()
            or not now > 1e-3
        ):
            continue
        for way in (1.0, -1.0):
            values = [
                worth(judge, _replaced(outputs, number, way * size, factor), target)
                for size in FAR
                for factor in (1.0, 5.0)
            ]
            if all(-1e-6 < value < 1e-4 * now for value in values):
                place, line = at_loss(view, "log of the variance", "div", "truediv", "mul")
                yield found(
                    "variance-for-free",
                    place,
                    f"goes to 0 when output {number + 1} of the model (a variance) grows, whatever is predicted: the "
                    "normalising term of the likelihood, log(variance), is missing",
                    at=line,
                    evidence=f"loss {now:.3g} now, {values[0]:.3g} with output {number + 1} at {way * FAR[0]:g}",
                    effect="the variance runs to infinity, and predictions need not be right",
                    fix="loss = 0.5 * (logvar + (target - mu) ** 2 / logvar.exp())",
                )
                return


def _replaced(outputs: tuple[Tensor, ...], number: int, value: float, factor: float) -> tuple[Tensor, ...]:
    return tuple(
        torch.full_like(tensor, value) if at == number else tensor * factor for at, tensor in enumerate(outputs)
    )


RULES = (quantiles, perfect_boxes, escapes)
