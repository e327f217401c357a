"""Numbers that break: log, sqrt and division at 0, exp that overflows, constants that half precision cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op, flat
from trainkit.inspection.step.bounds import bounds
from trainkit.inspection.step.view import WEIGHT, View, seen, source
from trainkit.inspection.subject import Subject, found

MASKING = frozenset(
    [
        "masked_fill",
        "full",
        "full_like",
        "where",
        "triu",
        "tril",
        "zeros",
        "fill",
        "tensor",
        "masked_scatter",
        "fill_diagonal",
    ]
)
LOGS = frozenset(["log", "log2", "log10", "log1p"])
LOUD, SOON, LATE = {"sigmoid": 40.0, "exp": 180.0, "softmax": 120.0}, 4.0, 100.0
"""Scores that a trained model may well reach, at which a form breaks in float32."""
TINY = {torch.float16: 2.98e-8, torch.bfloat16: 4.6e-41}
"""Half of the least number of a type: what lies below becomes 0."""
CAUSES: dict[str, tuple[str, str]] = {
    "log": ("the logarithm of 0 or less", "Use log_softmax / logsigmoid of the raw scores, or x.clamp(min=1e-6).log()"),
    "sqrt": ("the square root of 0 or less", "Use torch.sqrt(x.clamp(min=0) + 1e-8): at 0 its derivative is infinite"),
    "rsqrt": ("1 / sqrt of 0 or less", "Use torch.rsqrt(x + 1e-8)"),
    "div": ("a division by 0", "Add a small number to the divisor: x / (y + 1e-8), or clamp it"),
    "reciprocal": ("a division by 0", "Add a small number first"),
    "exp": ("an overflow of exp", "Subtract the maximum first, or use softmax / logsumexp"),
    "pow": ("a power of 0 or of a negative number", "Clamp the base: x.clamp(min=1e-8)"),
    "norm": ("the norm of 0", "Use torch.sqrt((x ** 2).sum(-1) + 1e-8)"),
    "std": ("the deviation of one value, or of equal ones", "Use std(unbiased=False) of several values, plus 1e-8"),
    "var": ("the variance of one value", "Use var(unbiased=False)"),
    "acos": ("acos at -1 or 1", "Clamp to -1 + 1e-6 .. 1 - 1e-6"),
    "asin": ("asin at -1 or 1", "Clamp to -1 + 1e-6 .. 1 - 1e-6"),
    "softmax": ("a softmax of which all scores are -inf (all masked)", "Leave at least one key unmasked in each row"),
    "mean": ("the mean of nothing", "Skip empty selections"),
    "logit": ("the logit of 0 or 1", "Use torch.logit(x, eps=1e-6)"),
}
ALIASES = {"log2": "log", "log10": "log", "true_divide": "div", "truediv": "div", "rdiv": "div", "rtruediv": "div"}
ALIASES |= {"rpow": "pow", "vector_norm": "norm", "log1p": "log", "linalg_norm": "norm", "log_softmax": "softmax"}
ALIASES |= {"linalg_vector_norm": "norm", "idiv": "div", "arccos": "acos", "cdist": "norm", "dist": "norm"}


def breaks_forward(subject: Subject) -> Iterator[Finding]:
    """Name the first operation that gives NaN or infinity on the way to the loss."""
    view = seen(subject)
    if view is None or any(not fact.finite for fact in view.inputs + view.targets):
        return
    if all(loss.finite for loss in view.losses) or not all(
        bool(torch.isfinite(parameter).all()) for parameter in subject.model.parameters()
    ):
        return
    culprit = _first_broken(view)
    if culprit is None:
        return
    name = ALIASES.get(culprit.name, culprit.name)
    cause, cure = CAUSES.get(name, (f"{culprit.name} beyond the range of its type", "Scale its inputs down"))
    half = culprit.outputs[0].dtype in (torch.float16, torch.bfloat16)
    if half:
        cause = f"{culprit.name} beyond the range of {str(culprit.outputs[0].dtype).removeprefix('torch.')}"
        cure = "Compute it in float32: x.float()"
    yield _broken(view, culprit, f"gives {_shown(culprit.outputs[0])}: {cause}", cure)


def _first_broken(view: View) -> Op | None:
    made = [op for op in view.path if any(not fact.finite for fact in op.outputs)]
    for op in made:
        if op.name not in MASKING and all(fact.finite for fact in op.inputs) and op.inputs:
            return op
    for op in made:
        nan = any(fact.low != fact.low for fact in op.outputs if fact.low is not None)
        if nan and all(fact.low == fact.low for fact in op.inputs if fact.low is not None):
            return op
    return None


def _shown(fact: Fact) -> str:
    if fact.low is not None and fact.low != fact.low:
        return "NaN"
    return "infinity" if fact.high == float("inf") else "minus infinity"


def _broken(view: View, op: Op, message: str, cure: str) -> Finding:
    plain = ALIASES.get(op.name, op.name)
    place, line = view.place(op, f"torch.{op.name}" if op.own and plain in CAUSES else op.name)
    ranges = ", ".join(
        f"{fact.low:.3g}..{fact.high:.3g}" for fact in op.inputs if fact.low is not None and fact.high is not None
    )
    return found(
        "numbers-break",
        place,
        message,
        at=line or view.loss_line,
        evidence=f"{op.name} of values in {ranges}" if ranges else op.name,
        effect="the loss or its gradients become NaN or infinite (nan, inf), and then all weights",
        fix=f"{cure}.",
    )


def breaks_backward(subject: Subject) -> Iterator[Finding]:
    """Name the operation whose derivative is NaN or infinite although the loss is finite."""
    view = seen(subject)
    if view is None or not all(loss.finite for loss in view.losses):
        return
    bad = [name for name, slope in view.slopes.items() if not slope < float("inf")]
    if not bad:
        return
    culprits = [op for op in reversed(view.path) if _starts_it(view, op, bad)]
    for op in sorted(culprits, key=lambda op: ALIASES.get(op.name, op.name) not in CAUSES):
        name = ALIASES.get(op.name, op.name)
        cause, cure = CAUSES.get(name, (f"the derivative of {op.name}", "Keep its inputs away from its edge"))
        yield _broken(view, op, f"has a derivative that is NaN or infinite here: {cause}", cure)
        return


def _starts_it(view: View, op: Op, bad: list[str]) -> bool:
    """Say whether an operation got finite gradients and gave others."""
    outputs = [fact for fact in op.outputs if fact.grad_finite is not None]
    if not outputs or not all(fact.grad_finite for fact in outputs):
        return False
    reached = [fact for fact in op.inputs if fact.grad_finite is False or (fact.name in bad and fact.maker is None)]
    return any(not _is_told_by_others(view, op, fact) for fact in reached)


def _is_told_by_others(view: View, op: Op, fact: Fact) -> bool:
    """Say whether another reader brought the bad gradient to a tensor."""
    others = (other for other in view.readers.get(fact.number, []) if other is not op)
    return any(made.grad_finite is False for other in others for made in other.outputs)


class Louder(TorchFunctionMode):
    """Multiplies the input of the n-th call of a function."""

    def __init__(self, name: str, number: int, factor: float) -> None:
        super().__init__()
        self._name, self._left, self._factor = name, number, factor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "").strip("_") == self._name and args and isinstance(args[0], Tensor):
            if self._left == 0:
                args = (args[0] * self._factor, *args[1:])
            self._left -= 1
        return func(*args, **(kwargs or {}))


def unstable_forms(subject: Subject) -> Iterator[Finding]:
    """Find logarithms of softmax or sigmoid, and exp divided by its sum, that break when scores grow."""
    view = seen(subject)
    if view is None or subject.train_step is not None or not all(loss.finite for loss in view.losses):
        return
    for op in view.path:
        inner = _unstable(view, op)
        if inner is None:
            continue
        number = sum(1 for other in view.recording.ops[: inner.number] if other.name == inner.name)
        score = LOUD[inner.name]
        low, high = inner.inputs[0].low or 0.0, inner.inputs[0].high or 0.0
        factor = score / max(high, 1e-3 if high > 0 else -low, 1e-3)
        if factor < 1 or not _fails(view, inner.name, number, factor):
            continue
        place, line = view.place(op, f"torch.{op.name}" if op.own else op.name)
        cure = "F.log_softmax" if inner.name == "softmax" else "F.binary_cross_entropy_with_logits or F.logsigmoid"
        if inner.name == "exp":
            cure = "torch.logsumexp, F.softmax or F.cross_entropy"
        yield found(
            "unstable-form",
            place,
            f"is {op.name} of {inner.name} without a safeguard: it breaks when the scores grow",
            severity="error" if factor < SOON else "warning" if factor < LATE else "info",
            at=line or view.loss_line,
            evidence=f"scores up to {high:.3g} now; with scores up to {score:g} the loss is NaN or infinite",
            effect="training ends in nan or inf as soon as the model is sure of something",
            fix=f"Use {cure}, which is exact for any score, or add a small eps inside the log.",
        )
        return


def _unstable(view: View, op: Op) -> Op | None:
    """Return the softmax, sigmoid or exp whose result an operation takes the logarithm of, or normalises by hand."""
    if not op.inputs or WEIGHT not in view.came(op.inputs[0]):
        return None
    if op.name in LOGS:
        made, _ = source(op.inputs[0])
        if made is not None and made.name in ("rsub", "sub") and made.inputs:
            made, _ = source(made.inputs[-1])
        if made is not None and made.name == "sum" and made.inputs:
            inner, _ = source(made.inputs[0])
            return inner if inner is not None and inner.name == "exp" else None
        if made is not None and made.name in ("div", "true_divide", "truediv"):
            return _normalised(made)
        return made if made is not None and made.name in ("softmax", "sigmoid") else None
    if op.name in ("div", "true_divide", "truediv") and op.module is not None:
        one = _normalised(op)
        safe = one is not None and (bounds(view, one.inputs[0])[1] <= 0 or (one.inputs[0].high or 0.0) <= 0)
        return one if not safe else None
    return None


def _normalised(op: Op) -> Op | None:
    """Return the exp that a division divides by its sum: the same one, or another of the same scores."""
    if len(op.inputs) < 2:
        return None
    one, two = source(op.inputs[0])[0], source(op.inputs[1])[0]
    if one is None or two is None or one.name != "exp" or two.name != "sum":
        return None
    summed = source(two.inputs[0])[0]
    alike = summed is one or (summed is not None and summed.name == "exp" and summed.inputs[0] is one.inputs[0])
    return one if alike else None


def _fails(view: View, name: str, number: int, factor: float) -> bool:
    subject = view.subject
    with subject.scratch() as scratch:
        try:
            scratch.model.train()
            with Louder(name, number, factor):
                ran = subject.run(scratch.model, scratch.loss, subject.batch)
        except Exception:  # noqa: BLE001 - what fails otherwise says nothing
            return False
        return any(not bool(torch.isfinite(value).all()) for value in flat(ran.loss))


def lost_constants(subject: Subject) -> Iterator[Finding]:
    """Find a safeguard such as 1e-8 that the type of its tensor cannot hold."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("add", "clamp", "clip", "clamp_min", "clamp_max", "radd") or not op.outputs:
            continue
        kind = op.outputs[0].dtype
        if not kind.is_floating_point or not any(WEIGHT in view.came(fact) for fact in op.inputs):
            continue
        numbers = [item for item in (*op.args, *op.kwargs.values()) if isinstance(item, float)]
        lost = [item for item in numbers if 0 < abs(item) < TINY.get(kind, 0.0)]
        ceilings = [item for item in numbers if 0.999 < item < 1 and float(torch.tensor(item, dtype=kind)) == 1.0]
        if not lost and not (ceilings and op.name != "add"):
            continue
        place, line = view.place(op)
        name = str(kind).removeprefix("torch.")
        what = f"{lost[0]:g} is 0 in {name}" if lost else f"{ceilings[0]!r} is 1 in {name}"
        yield found(
            "safeguard-lost",
            place,
            f"guards with a number that {name} cannot hold: {what}",
            severity="error" if lost else "warning",
            at=line or view.loss_line,
            evidence=what,
            effect="the safeguard is none: the next log or division can reach 0",
            fix="Use a larger number (1e-6; in float16 1e-4), or compute in float32.",
        )


RULES = (breaks_forward, breaks_backward, unstable_forms, lost_constants)
