"""How a loss reads its target: whether each part of it counts, on which side it stands, and in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, flat
from trainkit.inspection.source import Line
from trainkit.inspection.step.axioms import Judge, at_loss, slope, tried, worth
from trainkit.inspection.step.sampling import latent
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import TARGET, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

ONE_SIDED = frozenset(
    ["binary_cross_entropy_with_logits", "binary_cross_entropy", "cross_entropy", "poisson_nll_loss", "kl_div"]
)
"""Losses in which prediction and target are not alike."""
CHAINED = frozenset(["cumsum", "logcumsumexp", "logsumexp"])
"""Operations by which a partial likelihood sums over those at risk."""


def sides(subject: Subject) -> Iterator[Finding]:
    """Find a loss that is given the target for the prediction, and the prediction for the target."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ONE_SIDED or len(op.inputs) < 2:
            continue
        one, two = op.inputs[:2]
        if view.came(one) != {TARGET} or WEIGHT not in view.came(two) or not two.requires_grad or one.requires_grad:
            continue
        place, line = where(view, op, op.name)
        yield found(
            "arguments-swapped",
            place,
            "is given the target in place of the prediction, and the prediction in place of the target: "
            "its arguments are swapped, the first one is the prediction (input)",
            at=line or view.loss_line,
            evidence=f"its first argument is the data's target, its second {tuple(two.shape)} comes from the model",
            effect="the loss is another function of the output, without a least value at the target",
            fix=f"{op.name}(prediction, target)",
        )
        return


def risk_sets(subject: Subject) -> Iterator[Finding]:
    """Find a partial likelihood (Cox) of times to an event that gives the highest risk to those who live longest."""
    case = tried(subject)
    parts = _survival(case[3]) if case is not None else None
    if case is None or parts is None or not isinstance(case[2], Tensor) or case[2].numel() != len(parts[0]):
        return
    view, judge, outputs, target = case
    time, event = parts
    chains = [op for op in view.path if op.module is None and op.name in CHAINED]
    ranks = (time.argsort().argsort().double() / len(time) - 0.5).to(outputs).reshape(outputs.shape)
    now, moved = worth(judge, outputs, target), worth(judge, outputs + 1.7, target)
    early, late = worth(judge, -4 * ranks, target), worth(judge, 4 * ranks, target)
    if not all(map(math.isfinite, (now, moved, early, late))):
        return
    if chains and abs(now - moved) < 1e-4 * max(abs(now), 1.0) and late < early - 0.05 * abs(early):
        place, line = where(view, chains[-1], "risk set")
        sorts = [op for op in view.path if op.name in ("argsort", "sort")]
        sorts += [op for op in view.recording.ops if op.name in ("argsort", "sort") and op.module is None]
        yield found(
            "risk-set-reversed",
            place,
            "sums over those whose time is up (sorted ascending) where the risk set of the Cox partial likelihood "
            "holds those still at risk: sort by time in descending order",
            at=(sorts[0].line if sorts else None) or line or view.loss_line,
            evidence=f"loss {late:.3g} if risk rises with survival time, {early:.3g} if it falls",
            effect="the model learns the opposite: low risk for those who have the event first",
            fix="order = torch.argsort(time, descending=True), then log_risk = torch.logcumsumexp(score[order], 0)",
        )
        return
    flipped = _with_event(target, 1 - event)
    if worth(judge, outputs, flipped) == now and worth(judge, 2 * outputs + ranks, flipped) == worth(
        judge, 2 * outputs + ranks, target
    ):
        place, line = at_loss(view, "event")
        yield found(
            "censoring-ignored",
            place,
            "never reads the event indicator: censored samples count as if the event had been observed",
            severity="warning",
            at=line,
            evidence=f"the loss is the same with all indicators exchanged; {float(1 - event.mean()):.0%} are censored",
            effect="times of censoring are learnt as times of the event: risks are biased",
            fix="Sum over observed events only: -((score - log_risk) * event).sum() / event.sum()",
        )


def _survival(target: object) -> tuple[Tensor, Tensor] | None:
    """Return time and event of a target that holds both for each sample."""
    columns = list(flat(target))
    if len(columns) == 1 and columns[0].dim() == 2 and columns[0].shape[1] == 2:
        columns = list(columns[0].unbind(1))
    if len(columns) != 2 or any(column.dim() != 1 or len(column) < 8 for column in columns):
        return None
    flags = [bool(((column == 0) | (column == 1)).all()) for column in columns]
    if sorted(flags) != [False, True]:
        return None
    time, event = (columns[flags.index(kind)].double() for kind in (False, True))
    varied = len(time.unique()) > len(time) // 2 and 0 < float(event.mean()) < 1
    return (time, event) if varied and bool((time >= 0).all()) else None


def _with_event(target: object, event: Tensor) -> object:
    if isinstance(target, Tensor):
        flags = [bool(((column == 0) | (column == 1)).all()) for column in target.unbind(1)]
        columns = [event.to(target) if flag else col for flag, col in zip(flags, target.unbind(1), strict=True)]
        return torch.stack(columns, 1)
    assert isinstance(target, list | tuple)
    return type(target)(
        event.to(column) if bool(((column == 0) | (column == 1)).all()) else column for column in target
    )


def _latent_tried(subject: Subject) -> tuple[View, Judge, tuple[Any, ...], Any, tuple[int, int, Fact]] | None:
    """Return what ``tried`` does for a model with a latent, and where its mean and scale are among the outputs."""
    case = tried(subject)
    if case is None or not isinstance(case[2], tuple):
        return None
    view, judge, outputs, target = case
    held = next((item for op in view.path if (item := latent(view, op)) is not None), None)
    return None if held is None else (view, judge, outputs, target, held)


def centred_divergence(subject: Subject) -> Iterator[Finding]:
    """Find a divergence of a latent from its prior that is not least at a mean of 0."""
    case = _latent_tried(subject)
    if case is None:
        return
    view, judge, outputs, target, held = case
    mean = outputs[held[0]]

    def at(value: Tensor) -> Tensor | None:
        return slope(lambda point, goal: judge(_put(outputs, held[0], point), goal), value, target)

    ahead, behind = at(torch.ones_like(mean)), at(-torch.ones_like(mean))
    if ahead is None or behind is None or not bool(ahead.any()):
        return
    if bool((ahead * behind > 0).all()):
        place, line = at_loss(view, "KL divergence", "mul", "rmul", "sum")
        yield found(
            "divergence-not-centred",
            place,
            "has a KL divergence that is not least at mu = 0: mu is not squared (mu ** 2, mu.pow(2)) or has the wrong "
            "sign, and the term falls without bound",
            at=_line_of(view, held[0]) or line,
            evidence=f"its slope in mu has one sign on both sides of 0 ({float(ahead.flatten()[0]):.3g} at 1, "
            f"{float(behind.flatten()[0]):.3g} at -1)",
            effect="the means of the latents run away from the prior",
            fix="kl = -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum(1).mean()",
        )


def prior_first(subject: Subject) -> Iterator[Finding]:
    """Find the divergence of the prior from the posterior where that of the posterior from the prior is meant."""
    case = _latent_tried(subject)
    if case is None:
        return
    view, judge, outputs, target, held = case
    mean, scale = outputs[held[0]], outputs[held[1]]

    def pull(size: float, spread: float) -> float | None:
        others = _put(outputs, held[1], torch.full_like(scale, spread))
        point = slope(lambda at, goal: judge(_put(others, held[0], at), goal), torch.full_like(mean, size), target)
        return None if point is None or float(point.std()) > 1e-4 * float(point.abs().mean()) else float(point.mean())

    one, two, wide, wider = pull(1.0, 0.5), pull(2.0, 0.5), pull(1.0, 1.0), pull(1.0, 2.0)
    if one is None or two is None or wide is None or wider is None or one <= 0 or abs(two - 2 * one) > 1e-3 * two:
        return
    falls = one / wide, wide / wider
    if not (1.2 < falls[0] < 8 and 1.2 < falls[1] < 8):
        return
    place, line = at_loss(view, "KL divergence", "mul", "div", "sum")
    yield found(
        "kl-div-reversed",
        place,
        "takes the KL divergence the wrong way round: of the prior from the posterior, KL(p || q); the order is "
        "swapped (reversed); the bound on the likelihood (ELBO) holds KL(q || p)",
        severity="warning",
        at=_line_of(view, held[0]) or line,
        evidence=f"its pull on mu falls with the variance ({one:.3g}, {wide:.3g}, {wider:.3g}); that of KL(q || p) "
        "does not depend on it",
        effect="the loss is no bound on the likelihood, and small variances cost far too much",
        fix="kl_divergence(posterior, prior): Normal(mu, std) first, Normal(0, 1) second",
    )


def _put(outputs: tuple[Tensor, ...], number: int, value: Tensor) -> tuple[Tensor, ...]:
    return tuple(value if at == number else item for at, item in enumerate(outputs))


def _line_of(view: View, number: int) -> Line | None:
    """Return the line of the loss that reads an output."""
    readers = view.readers.get(view.outputs[number].number, [])
    return next((op.line for op in readers if op.module is None and op.number in view.on_path), None)


RULES = (sides, risk_sets, centred_divergence, prior_first)
