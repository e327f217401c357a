"""Which way a loss is meant to go: optimizers with ``maximize=True`` climb it."""

from __future__ import annotations

from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact
from trainkit.inspection.step.sense import wrong_sign
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.step.trial import settings
from trainkit.inspection.step.view import PASSING, SINKS, WEIGHT, View, seen
from trainkit.inspection.step.written import setting_line
from trainkit.inspection.subject import Subject, found

SCALED = PASSING | {"mean", "sum", "mul", "rmul", "div"}
"""Operations through which a loss keeps its direction."""


def climbs(subject: Subject) -> bool:
    """Say whether an optimizer makes its objective larger."""
    return any(group.get("maximize") for _, group in settings(subject))


def minimised(subject: Subject) -> bool:
    """Say whether what goes backward is a sum of torch's own losses, which are to fall."""
    both = sloped(subject)
    if both is None:
        return False
    view, slopes = both
    judged = [op for op in view.path if op.name in SINKS and op.inputs and WEIGHT in view.came(op.inputs[0])]
    given = [slopes.get(op.outputs[0].number) for op in judged if op.outputs]
    return bool(given) and all(slope is not None and bool((slope >= 0).all() and slope.any()) for slope in given)


def _negated(view: View, loss: Fact) -> bool:
    """Say whether a loss is something with its sign turned, by a minus of the user's."""
    fact = loss
    while fact.maker is not None and fact.maker.inputs:
        op = fact.maker
        if op.name in ("neg", "negative"):
            return op.module is None
        if op.name not in SCALED:
            return False
        weighty = [item for item in op.inputs if WEIGHT in view.came(item)]
        turned = [item for item in weighty if item.maker is not None and item.maker.name == "neg"]
        if not weighty or any(isinstance(value, int | float) and value < 0 for value in op.args):
            return False
        fact = (turned or weighty)[0]
    return False


def maximized(subject: Subject) -> Iterator[Finding]:
    """Find ``maximize=True`` where the objective is a loss, or has its minus already."""
    if not subject.optimizers or not all(group.get("maximize") for _, group in settings(subject)):
        return
    view = seen(subject)
    if view is None or not view.losses or any(wrong_sign(subject)):
        return
    loss = minimised(subject)
    if not loss and not all(_negated(view, fact) for fact in view.losses):
        return
    why = (
        "the objective is a loss, which is to be minimised"
        if loss
        else "the objective is negated already (a minus before it), and what is to be maximised, such as a reward, is "
        "minimised: the two signs cancel"
    )
    yield found(
        "climbs-the-loss",
        "optimizer: maximize",
        f"maximize=True makes the optimizer climb (gradient ascent), and {why}",
        at=setting_line(subject, "maximize"),
        evidence=f"the loss is {view.losses[0].low or 0.0:.4g} and grows with each step",
        effect="training makes the model worse, step by step",
        fix="Leave maximize=True out" + ("" if loss else ", or the minus sign"),
    )


RULES = (maximized,)
