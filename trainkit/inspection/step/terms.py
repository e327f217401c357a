"""The terms that a loss is the sum of: each needs a gradient, and a factor for each sample a loss of each sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line, file_of
from trainkit.inspection.step.sense import BREAKING
from trainkit.inspection.step.unreached import STEPPED
from trainkit.inspection.step.view import SINKS, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

SUMS = frozenset(["add", "radd", "sub", "rsub", "neg", "stack", "cat", "sum", "mean", "float", "to", "squeeze"])
"""Operations through which a sum of terms is followed to its terms."""
CUTS = frozenset(["detach", "data", "item", "numpy", "tolist"])
"""Ways to stop a gradient on purpose."""
FOLLOWED = frozenset(["neg", "exp", "pow", "rsub", "sub", "radd", "add", "mul", "rmul", "div", "clamp", "clamp_min"])
"""Operations on one number, by which a modulating factor is made of a loss."""


def where(view: View, op: Op, what: str) -> tuple[str, Line | None]:
    """Return the name and the line of an operation; one in a loss of the user's is named by class and function."""
    loss = view.subject.loss
    if op.module is None and view.subject.train_step is None and op.function and op.own:
        if file_of(type(loss)) is not None and hasattr(type(loss), op.function):
            return f"{type(loss).__name__}.{op.function}: {what}", op.line
        return f"loss: {op.function}: {what}" if op.function != "<lambda>" else f"loss: {what}", op.line
    return view.place(op, what)


def dead_terms(subject: Subject) -> Iterator[Finding]:
    """Find a term of the loss that hangs on the outputs only through a step function, beside one that trains."""
    view = seen(subject)
    if view is None:
        return
    for loss in view.losses:
        parts = [term for term in terms(loss) if WEIGHT in view.came(term)]
        dead = [(term, cut) for term in parts if (cut := _cut(view, term)) is not None]
        if not dead or len(dead) == len(parts):
            continue
        cut = dead[0][1]
        place, line = where(view, cut, cut.name)
        yield found(
            "term-without-gradient",
            place,
            f"is a step function ({cut.name}), and a term of the loss hangs on the outputs only through it: "
            "this term has no gradient, it is not differentiable",
            at=line or view.loss_line,
            evidence=f"{len(dead)} of {len(parts)} terms of the loss give no weight a gradient",
            effect="the term is added to the figure and trains nothing; only the other terms train",
            fix="Leave the threshold out of the loss and compute the term from the probabilities "
            "(a soft Dice takes torch.sigmoid(logits)); detach a term that is only to be shown.",
        )
        return


def terms(loss: Fact) -> list[Fact]:
    """Return what a loss is the sum of."""
    terms, waiting, seen_numbers = [], [loss], set[int]()
    while waiting:
        fact = waiting.pop()
        if fact.number in seen_numbers:
            continue
        seen_numbers.add(fact.number)
        made = fact.maker
        scaled = made is not None and made.name in ("mul", "rmul", "div", "truediv") and _scaled(made)
        if made is not None and scaled:
            waiting.append(made.inputs[0])
        elif made is not None and made.name in SUMS and made.inputs and (fact.requires_grad or len(made.inputs) > 1):
            waiting += made.inputs
        else:
            terms.append(fact)
    return terms


def _scaled(op: Op) -> bool:
    """Say whether an operation only multiplies a tensor by a number."""
    return len(op.inputs) == 1


def _cut(view: View, term: Fact) -> Op | None:
    """Return the step function by which a term has no gradient; None where it has one, or is cut on purpose."""
    steps: list[Op] = []
    waiting, known = [term], set[int]()
    while waiting:
        made = waiting.pop().maker
        if made is None or made.number in known:
            continue
        known.add(made.number)
        if not made.grad_enabled or made.name in CUTS:
            return None
        for fact in made.inputs:
            if WEIGHT not in view.came(fact):
                continue
            if fact.requires_grad and (made.name in BREAKING or made.name in STEPPED):
                steps.append(made)
            elif fact.requires_grad and made.outputs and made.outputs[0].requires_grad and fact.maker is None:
                return None  # weights themselves
            elif fact.requires_grad and (fact in view.outputs or made.module is not None):
                return None
            else:
                waiting.append(fact)
    return steps[0] if steps else None


def averaged_first(subject: Subject) -> Iterator[Finding]:
    """Find a factor that is meant for each sample, and is applied to the mean loss of the batch."""
    view = seen(subject)
    if view is None or view.size < 2:
        return
    for op in view.path:
        if op.name not in SINKS or not _is_mean(view, op):
            continue
        mean = op.outputs[0]
        focal = _modulated(view, mean)
        weighed = None if focal else _weighed(view, mean, op.inputs[1])
        if focal is None and weighed is None:
            continue
        place, line = where(view, op, "reduction")
        message = (
            "takes the mean over the batch first (reduction='mean'), and a modulating factor (as in the focal loss) "
            "of this one number: it is the same for all samples, not per sample"
            if focal
            else "takes the mean over the batch first (reduction='mean'), and multiplies this one number by a weight "
            "per sample: the weights of the samples change nothing but the size of the loss"
        )
        yield found(
            "mean-before-weights",
            place,
            message,
            severity="warning",
            at=line or view.loss_line,
            evidence=f"{op.name} gives one number for a batch of {view.size}",
            effect="hard samples are not favoured: the loss of a batch is no mean of its samples' losses",
            fix=f"Use {op.name}(..., reduction='none'), weigh each sample, and take the mean at the end.",
        )
        return


def _is_mean(view: View, op: Op) -> bool:
    """Say whether a loss is a mean over the samples of a batch of what the model gives."""
    fact = op.inputs[0]
    alone = bool(op.outputs) and op.outputs[0].shape == () and op.kwargs.get("reduction", "mean") == "mean"
    return alone and len(fact.shape) > 0 and fact.shape[0] >= view.size and WEIGHT in view.came(fact)


def _modulated(view: View, mean: Fact) -> Op | None:
    """Return the product of a mean loss and a factor made of it by an exponential or a power."""
    made = _of_one(view, mean)
    for fact, curved in list(made.values()):
        for reader in view.readers.get(fact.number, []):
            if reader.name not in ("mul", "rmul") or reader.number not in view.on_path or len(reader.inputs) != 2:
                continue
            one, two = reader.inputs
            if one is not two and {one.number, two.number} <= set(made) and (curved or made[one.number][1]):
                return reader
    return None


def _of_one(view: View, mean: Fact) -> dict[int, tuple[Fact, bool]]:
    """Return the numbers that are made of one number alone, and whether an exponential is among the steps."""
    made = {mean.number: (mean, False)}
    waiting = [mean]
    while waiting:
        fact = waiting.pop()
        for op in view.readers.get(fact.number, []):
            alone = all(item.number in made or not view.came(item) for item in op.inputs)
            if op.name not in FOLLOWED or not op.outputs or op.outputs[0].shape != () or not alone:
                continue
            bent = made[fact.number][1] or op.name == "exp"
            if op.outputs[0].number not in made:
                made[op.outputs[0].number] = (op.outputs[0], bent)
                waiting.append(op.outputs[0])
    return made


def _weighed(view: View, mean: Fact, judged: Fact) -> Op | None:
    """Return the product of a mean loss and a weight for each sample that is not the same for all."""
    for fact, _ in _of_one(view, mean).values():
        for op in view.readers.get(fact.number, []):
            if op.name not in ("mul", "rmul") or len(op.inputs) != 2 or op.number not in view.on_path:
                continue
            other = op.inputs[1] if op.inputs[0] is fact else op.inputs[0]
            varies = other.low is not None and other.high is not None and other.low < other.high
            each = other.shape == (view.size,) or (other.shape and math.prod(other.shape) == math.prod(judged.shape))
            if each and other.shape[0] > 1 and varies and view.came(other):
                return op
    return None


RULES = (dead_terms, averaged_first)
