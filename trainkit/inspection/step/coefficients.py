"""Numbers and directions in a loss: weights of terms, widths, divisors, and which side of a divergence learns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.first_step import raised_at
from trainkit.inspection.recording import Fact, Op, Recording, facts_of
from trainkit.inspection.source import Line
from trainkit.inspection.step.bounds import bounds
from trainkit.inspection.step.terms import SUMS, where
from trainkit.inspection.step.view import SHAPING, TARGET, WEIGHT, seen, source, tensor_of
from trainkit.inspection.subject import Subject, found

DIVISIONS = ("div", "truediv", "true_divide")
LARGE, SMALL = 999.0, 1.1e-4
"""Weights of a term that call for a look at its gradient."""
OUTWEIGHS = 3e3
"""Ratio of two terms' gradients from which one of them does not count."""
FAR = (0.0, -20.0, -40.0, -80.0)
"""Values of a learnt weight of terms at which the loss is looked at."""


def divergence_direction(subject: Subject) -> Iterator[Finding]:
    """Find a divergence between a model that learns and one that does not, taken the wrong way round."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name != "kl_div" or len(op.inputs) < 2:
            continue
        fixed, learnt = op.inputs[:2]
        if fixed.requires_grad or not learnt.requires_grad or not view.came(fixed) & {WEIGHT, TARGET}:
            continue
        place, line = where(view, op, "kl_div")
        yield found(
            "kl-div-reversed",
            place,
            "takes the KL divergence the wrong way round: F.kl_div(input, target) takes the log-probabilities of the "
            "student, which learns, first, and the teacher's probabilities as target; here they are swapped",
            severity="info" if op.kwargs.get("log_target") else "warning",  # KL(policy || reference) is written so
            at=line or view.loss_line,
            evidence="its input has no gradient (it is the teacher's, or the data's), its target has one",
            effect="this is the reversed divergence: the student picks one mode of the teacher and drops the rest",
            fix="F.kl_div(student_logits.log_softmax(-1), teacher_logits.softmax(-1), reduction='batchmean')",
        )
        return


def variances(subject: Subject) -> Iterator[Finding]:
    """Find a Gaussian likelihood that is given what may be negative for its variance."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if view is None or op.name != "gaussian_nll_loss" or len(op.inputs) < 3:
            continue
        spread = op.inputs[2]
        joined = any(made.name in ("cat", "stack") for made in view.recording.ancestors(spread)[:4])
        if bounds(view, spread)[0] < 0 and WEIGHT in view.came(spread) and not (joined and (spread.low or 0.0) > 0):
            place, line = where(view, op, "variance")
            yield _negative(place, line or view.loss_line, f"it goes from {spread.low:.3g} to {spread.high:.3g} now")
            return
    error = None if view is not None or subject.train_set is None or subject.train_step else subject.trace.error
    if error is not None and "var has negative" in str(error):
        yield _negative("loss: gaussian_nll_loss: variance", raised_at(error), "it raises: var has negative entries")


def _negative(place: str, line: Line | None, evidence: str) -> Finding:
    return found(
        "variance-negative",
        place,
        "is gaussian_nll_loss on a raw output (a log-variance, logvar?) in place of the variance (var), which must be "
        "positive: exp is missing",
        at=line,
        evidence=f"{evidence}; nothing keeps it above 0",
        effect="the loss fails at the first negative entry, or is that of another variance",
        fix="F.gaussian_nll_loss(mu, target, logvar.exp())",
    )


def widths(subject: Subject) -> Iterator[Finding]:
    """Find a Huber loss whose width is far below all errors, or is divided away."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("huber_loss"):
        width = op.setting("delta", 3, 1.0)
        one, two = (tensor_of(fact) for fact in op.inputs[:2])
        if not isinstance(width, int | float) or one is None or two is None or one.shape != two.shape:
            continue
        middle = float((one - two).abs().median())
        if not 0 < width < 1e-3 * middle:
            continue
        place, line = where(view, op, "delta")
        yield found(
            "huber-delta",
            place,
            f"is a Huber loss with delta={width:g}, far below all errors: its gradient is at most delta",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"the median error is {middle:.3g}",
            effect="gradients are as small as delta, and the loss hardly counts beside another term or a weight decay",
            fix="nn.HuberLoss(delta=1.0), or nn.SmoothL1Loss(beta=...), whose slope stays 1",
        )
        return


def relative_errors(subject: Subject) -> Iterator[Finding]:
    """Find errors that are divided by targets of which some are near 0."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in DIVISIONS or len(op.inputs) != 2 or op.module is not None:
            continue
        error, divisor = op.inputs
        values = tensor_of(divisor)
        if view.came(divisor) != {TARGET} or not view.came(error) >= {TARGET, WEIGHT} or values is None:
            continue
        sizes = values.abs().flatten()
        least, middle = float(sizes.min()), float(sizes.median())
        signs = bool((values > 0).any()) and bool((values < 0).any())
        if len(sizes) < 16 or (not signs and 100 * least > middle) or not _is_plain(divisor):
            continue
        if not signs and least * float(sizes.max()) > 0.1 * middle**2:
            continue  # of many orders of magnitude, for which errors are to be relative
        place, line = where(view, op, "percentage error")
        yield found(
            "divided-by-target",
            place,
            "divides the error by the target (a percentage error, MAPE), and some targets are near 0 (zero): their "
            "errors explode",
            severity="warning",
            at=line or view.loss_line,
            evidence=f"|target| goes down to {least:.2g} with a median of {middle:.2g}",
            effect="a few samples with small targets make up the whole loss and its gradient",
            fix="Divide by target.abs().clamp(min=1.0), or use the absolute error of log1p(target)",
        )
        return


def _is_plain(fact: Fact) -> bool:
    """Say whether a divisor is the target itself or its size, without a safeguard."""
    made = source(fact, SHAPING)[0]
    return made is None or made.name == "abs"


def weights(subject: Subject) -> Iterator[Finding]:
    """Find a term whose weight makes it outweigh all others, or leaves it without a share."""
    view = seen(subject)
    if view is None:
        return
    found_terms = {op.number: number for loss in view.losses for op, number in _weighted(loss)}
    odd = {n: w for n, w in found_terms.items() if abs(w) > LARGE or 0 < abs(w) < SMALL}
    if not odd or subject.train_step is not None:
        return
    with subject.scratch() as scratch:
        scratch.model.train()
        recording, ran, error = subject.rerun(scratch, subject.batch)
        loss_fact = recording.fact(ran.loss) if error is None else None
        terms = _weighted(loss_fact, every=True) if loss_fact is not None else []
        ends = [fact for fact in facts_of(recording, ran.outputs) if fact.requires_grad] if terms else []
        norms = [_push(recording, op, ends) for op, _ in terms]
    for (op, weight), norm in zip(terms, norms, strict=True):
        rest = max((other for item, other in zip(terms, norms, strict=True) if item[0] is not op), default=0.0)
        large = weight > LARGE and norm > OUTWEIGHS * rest > 0
        small = 0 < weight < SMALL and rest > OUTWEIGHS * norm > 0
        if not large and not small:
            continue
        place, line = where(view, op, "weight of a term")
        yield found(
            "term-outweighs",
            place,
            f"weighs one term of the loss by {weight:g}: it outweighs (dominates) all others"
            if large
            else f"weighs one term of the loss by {weight:g}: it has no share beside the others, which dominate it",
            severity="warning" if large else "info",  # tiny weights are common: of a latent's divergence, of a z-loss
            at=op.line or line,
            evidence=f"its gradient at the model's outputs is {norm:.3g}, that of the others at most {rest:.3g}",
            effect="the other terms are not learnt" if large else "this term has no effect",
            fix="Choose weights with which the gradients of the terms are of one order of magnitude.",
        )
        return


def _weighted(loss: Fact, every: bool = False) -> list[tuple[Op, float]]:
    """Return the products with a number among what a loss is the sum of; with ``every`` also terms that have none."""
    found_terms: list[tuple[Op, float]] = []
    waiting, known = [loss], set[int]()
    while waiting:
        fact = waiting.pop()
        op = fact.maker
        if op is None or op.number in known or not fact.requires_grad:
            continue
        known.add(op.number)
        if op.name in ("mul", "rmul", "div", "truediv") and len(op.inputs) == 1:
            number = next((item for item in op.args if isinstance(item, int | float)), 1.0)
            found_terms.append((op, float(number) if "mul" in op.name or not number else 1 / float(number)))
        elif op.name in SUMS and fact.shape == () and all(item.shape == () for item in op.inputs):
            waiting += op.inputs
        elif every:
            found_terms.append((op, 1.0))
    return found_terms


def _push(recording: Recording, op: Op, ends: list[Fact]) -> float:
    """Return how strongly a term pulls: the gradient that it sends to the model's outputs."""
    term, outputs = recording.keep[op.outputs[0].number], [recording.keep[fact.number] for fact in ends]
    try:
        slopes = torch.autograd.grad(term, outputs, retain_graph=True, allow_unused=True)
    except RuntimeError:
        return 0.0
    return sum(float(slope.norm()) for slope in slopes if slope is not None)


def learnt_weights(subject: Subject) -> Iterator[Finding]:
    """Find learnt weights of tasks (uncertainties) that make the loss fall without bound."""
    view = seen(subject)
    if view is None or subject.train_step is not None:
        return
    names = {
        fact.name
        for op in view.path
        if op.name == "exp"
        for fact in _leaves(op.inputs[0])
        if fact.name and torch.Size(fact.shape).numel() <= 16 and fact.requires_grad
    }
    for name in sorted(names):
        values = [_at(subject, name, value) for value in FAR]
        if any(value is None for value in values):
            continue
        steps = [two - one for one, two in pairwise(values) if one is not None and two is not None]
        if not all(step < -5 for step in steps) or abs(steps[2] - 2 * steps[1]) > 0.05 * abs(steps[2]):
            continue
        op = next(op for op in view.path if op.name == "exp" and any(f.name == name for f in _leaves(op.inputs[0])))
        place, line = where(view, op, name)
        yield found(
            "uncertainty-unbounded",
            place,
            f"weighs a term by exp({name}) and adds {name}: the sign is wrong, the loss falls without bound as {name} "
            "falls; the uncertainty (log variance) of a task weighs it by exp(-s)",
            at=line or view.loss_line,
            evidence=", ".join(f"loss {v:.3g} at {x:g}" for x, v in zip(FAR, values, strict=True) if v is not None),
            effect="all terms are weighed down to 0, and nothing is learnt",
            fix="loss = torch.exp(-s) * term + s",
        )
        return


def _leaves(fact: Fact) -> list[Fact]:
    """Return what a number is looked up in or scaled from."""
    while (
        fact.maker is not None
        and len(fact.maker.inputs) == 1
        and fact.maker.name in (*SHAPING, "getitem", "neg", "unbind")
    ):
        fact = fact.maker.inputs[0]
    return [fact]


def _at(subject: Subject, name: str, value: float) -> float | None:
    with subject.scratch() as scratch, torch.no_grad():
        parameter = dict(scratch.model.named_parameters()).get(name)
        if parameter is None:
            return None
        parameter.fill_(value)
        scratch.model.train()
        try:
            loss = subject.run(scratch.model, scratch.loss, subject.batch).loss
        except Exception:  # noqa: BLE001 - the user's code may not take such values
            return None
    number = float(loss) if isinstance(loss, Tensor) and loss.numel() == 1 else None
    return number if number is not None and abs(number) < float("inf") else None


RULES = (divergence_direction, variances, widths, relative_errors, weights, learnt_weights)
