"""The schedule over the run that is planned: its unit, its length, and where it leaves the rate."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from trainkit.findings import Finding
from trainkit.inspection.source import Line, called, code_of, tree
from trainkit.inspection.subject import Subject, found

MOST = 20_000
"""Steps that are simulated."""
NOTHING = 1e-4
"""Share of the highest rate below which nothing is learned any more."""


def planned(subject: Subject) -> Iterator[Finding]:
    """Step each schedule through the run on a copy, and look at its rates."""
    if subject.train_set is None or not hasattr(subject.train_set, "__len__"):
        return
    per_epoch = math.ceil(len(subject.train_set) / max(subject.batch_size, 1))
    for number, scheduler in enumerate(subject.schedulers):
        if isinstance(scheduler, ReduceLROnPlateau) or not isinstance(scheduler, LRScheduler):
            continue
        yield from _run(subject, number, scheduler, per_epoch)


def _run(subject: Subject, number: int, scheduler: LRScheduler, per_epoch: int) -> Iterator[Finding]:
    epochs = subject.epochs
    unit = "step" if subject.interval == "step" else "epoch"
    place, at = f"scheduler: {type(scheduler).__name__}", _where(subject, scheduler)
    stated = _stated(scheduler)
    if epochs is None and stated is None:
        return
    moments = (epochs or 0) * (per_epoch if unit == "step" else 1) or 0
    if epochs is None or moments > MOST or moments == 0:
        return
    rates, error = _rates(subject, number, moments)
    other = epochs if unit == "step" else epochs * per_epoch
    swapped = stated is not None and abs(stated - other) <= 0.1 * other and not abs(stated - moments) <= 0.1 * moments
    evidence = (
        f"the run has {epochs} epochs of {per_epoch} steps; the schedule is for {stated} and steps once an {unit}"
    )
    evidence = evidence.replace("an step", "a step")
    if error is not None:
        yield found(
            "schedule-length",
            place,
            f"ends before the run: {error}",
            at=at,
            evidence=evidence,
            effect="the run fails in the middle",
            fix=f"Plan it for {moments} {unit}s",
        )
        return
    top = max(rates)
    if swapped:
        kind = "steps" if unit == "epoch" else "epochs"
        yield found(
            "schedule-unit",
            place,
            f"is planned in {kind}, but steps once {'an epoch' if unit == 'epoch' else 'a step'}: the wrong interval",
            at=at,
            evidence=f"{evidence}; rates {rates[0]:.3g} at first, {top:.3g} at most, {rates[-1]:.3g} at the end",
            effect="the rate never leaves the beginning of its curve"
            if unit == "epoch"
            else "the rate has run through its curve in the first epochs",
            fix=f"Plan it for {moments} {unit}s, or step it once {'a step' if unit == 'epoch' else 'an epoch'}",
        )
        return
    dead = sum(rate <= NOTHING * top for rate in rates) / len(rates)
    if top > 0 and dead > 0.5 and len(rates) >= 4:
        yield found(
            "schedule-dies",
            place,
            f"lets the learning rate fall to nothing in the first {1 - dead:.0%} of the run",
            at=at,
            evidence=f"{evidence}; {rates[0]:.3g} at first, {rates[len(rates) // 2]:.3g} halfway",
            effect="the rest of the run trains nothing",
            fix=f"Let it fall over {moments} {unit}s" + (", or step it once an epoch" if unit == "step" else ""),
        )
    elif isinstance(scheduler, CosineAnnealingLR) and stated is not None and moments > 1.2 * stated:
        yield found(
            "schedule-length",
            place,
            f"is half a cosine of {stated}, and then rises again: the run has {moments} {unit}s",
            severity="warning",
            at=at,
            evidence=f"{evidence}; {rates[-1]:.3g} at the end, {min(rates):.3g} at the lowest",
            effect="the run ends at a high rate",
            fix=f"T_max={moments}",
        )


def _rates(subject: Subject, number: int, moments: int) -> tuple[list[float], Exception | None]:
    with subject.scratch() as scratch:
        scheduler = scratch.schedulers[number]
        optimizer = scheduler.optimizer
        rates = []
        for _ in range(moments):
            rates.append(max(float(group["lr"]) for group in optimizer.param_groups))
            try:
                scheduler.step()
            except ValueError as error:
                if len(rates) < moments:
                    return rates, error
        return rates, None


def _stated(scheduler: Any) -> int | None:
    """Return for how many of its steps a schedule was planned, None where it has no end."""
    if isinstance(scheduler, OneCycleLR):
        return int(scheduler.total_steps)
    for name in ("T_max", "total_iters", "T_0"):
        if hasattr(scheduler, name):
            return int(getattr(scheduler, name))
    return None


def plateau(subject: Subject) -> Iterator[Finding]:
    """Look at a plateau schedule's mode."""
    for scheduler in subject.schedulers:
        if isinstance(scheduler, ReduceLROnPlateau) and subject.interval == "step":
            yield found(
                "schedule-unit",
                "scheduler: ReduceLROnPlateau",
                "looks for a plateau, and steps once a step: the loss of one batch is no plateau",
                severity="warning",
                at=_where(subject, scheduler),
                evidence=f"patience={scheduler.patience} steps",
                effect="noise lowers the rate within the first epochs",
                fix="Step it once an epoch, with the validation loss",
            )


def _where(subject: Subject, scheduler: Any) -> Line | None:
    name = type(scheduler).__name__
    code = code_of(subject.make_scheduler) if subject.make_scheduler is not None else None
    if code is not None:
        made = next(code.calls(name), None)
        return code.line(made if made is not None else code.node)
    for file in subject.files:
        whole = tree(file)
        for node in ast.walk(whole) if whole is not None else ():
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] == name:
                return Line(file, node.lineno)
    return None


RULES = (planned, plateau)
