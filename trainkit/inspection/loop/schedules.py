"""The schedule over the run that is planned: its unit, its length, and where it leaves the rate."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from trainkit.findings import Finding
from trainkit.inspection.loop import cycles, rising
from trainkit.inspection.loop.cycles import where
from trainkit.inspection.loop.watching import watched
from trainkit.inspection.source import Line, called, code_of, walk
from trainkit.inspection.subject import Stuck, Subject, found

MOST = 20_000
"""Steps that are simulated."""
NOTHING = 1e-4
"""Share of the highest rate below which nothing is learned any more."""
FEW_STEPS = 5
"""Steps of an epoch below which it makes little difference to count epochs."""
UNKNOWN = 3
"""Epochs that are looked at if it is not told how long training lasts."""


@dataclass(frozen=True)
class Plan:
    """A schedule, and the run that it is for.

    Attributes:
        unit: Of the schedule's steps: ``step`` or ``epoch``.
        moments: How many of them the run has.
        other: How many it had in the other unit.
        known: Whether it is told how long the run lasts.
    """

    subject: Subject
    number: int
    scheduler: LRScheduler
    unit: str
    moments: int
    other: int
    per_epoch: int
    known: bool

    @property
    def place(self) -> str:
        """What findings name."""
        return f"scheduler: {type(self.scheduler).__name__}"

    @property
    def at(self) -> Line | None:
        """The line that makes the schedule."""
        return where(self.subject, self.scheduler)

    @property
    def told(self) -> str:
        """The run in numbers."""
        epochs = self.subject.epochs
        length = f"{epochs} epochs of {self.per_epoch} steps" if epochs is not None else f"epochs of {self.per_epoch}"
        stated = _stated(self.scheduler)
        plan = f"is for {stated} and " if stated is not None else ""
        return f"the run has {length}; the schedule {plan}steps once {'a step' if self.unit == 'step' else 'an epoch'}"


def planned(subject: Subject) -> Iterator[Finding]:
    """Step each schedule through the run on a copy, and look at its rates."""
    if subject.train_set is None or not hasattr(subject.train_set, "__len__") or subject.batch_size < 1:
        return
    total = len(subject.train_set)
    per_epoch = total // subject.batch_size if subject.drop_last else math.ceil(total / subject.batch_size)
    in_step = _in_step(subject)
    epochs = subject.epochs or UNKNOWN
    for number, scheduler in enumerate(subject.schedulers):
        if isinstance(scheduler, ReduceLROnPlateau) or not isinstance(scheduler, LRScheduler) or not per_epoch:
            continue
        unit = "step" if subject.interval == "step" or in_step else "epoch"
        counts = (epochs * per_epoch, epochs) if unit == "step" else (epochs, epochs * per_epoch)
        plan = Plan(subject, number, scheduler, unit, *counts, per_epoch, subject.epochs is not None)
        if plan.moments <= MOST:
            yield from _looked_at(plan)


def _in_step(subject: Subject) -> bool:
    """Say whether the user's own step steps the schedule."""
    if subject.train_step is None or subject.train_set is None:
        return False
    try:
        seen = watched(subject)
    except Stuck:
        return False
    return bool(seen.events("schedule"))


def _looked_at(plan: Plan) -> Iterator[Finding]:
    rates, error = _rates(plan)
    if not rates:
        return
    stated = _stated(plan.scheduler)
    swapped = _is_swapped(plan, stated) if stated is not None else _are_epochs(plan)
    if plan.known and error is None and swapped:
        yield _swapped(plan, rates)
        return
    if error is not None and plan.known:
        swapped = stated is not None and abs(stated - plan.other) <= 0.1 * plan.other
        yield _swapped(plan, rates) if swapped else _too_short(plan, error)
        return
    for rule in (cycles.restarting, _factor, rising.warming, _dying, _never, _rising_again, rising.climbing):
        findings = list(rule(plan, rates))
        yield from findings
        if findings:
            return


def _is_swapped(plan: Plan, stated: int) -> bool:
    """Say whether a schedule's length is that of the run in the other unit."""
    if abs(stated - plan.moments) <= 0.1 * plan.moments or plan.per_epoch < 2:
        return False
    if abs(stated - plan.other) <= 0.1 * plan.other:
        return True
    return plan.unit == "epoch" and stated > 5 * plan.moments and stated % plan.per_epoch == 0


def _are_epochs(plan: Plan) -> bool:
    """Say whether all milestones lie within the first steps of the run, and would be spread over its epochs."""
    milestones = list(getattr(plan.scheduler, "milestones", ())) if isinstance(plan.scheduler, MultiStepLR) else []
    last = max(milestones, default=0)
    return plan.unit == "step" and plan.per_epoch >= FEW_STEPS and plan.other / 3 <= last <= plan.other


def _swapped(plan: Plan, rates: list[float]) -> Finding:
    by_epoch = plan.unit == "epoch"
    kind, unit = ("steps", "an epoch") if by_epoch else ("epochs", "a step")
    effect = "never leaves the beginning of its curve" if by_epoch else "has run through its curve in the first epochs"
    return found(
        "schedule-unit",
        plan.place,
        f"is planned in {kind}, but steps once {unit}: the wrong interval (scheduler_interval)",
        at=plan.at,
        evidence=f"{plan.told}; rates {rates[0]:.3g} at first, {max(rates):.3g} at most, {rates[-1]:.3g} at the end",
        effect=f"the rate {effect}",
        fix=f"Plan it for {plan.moments} {plan.unit}s, or step it once {'a step' if by_epoch else 'an epoch'}",
    )


def _too_short(plan: Plan, error: Exception) -> Finding:
    return found(
        "schedule-length",
        plan.place,
        f"ends before the run: {' '.join(str(error).split())[:160]}",
        at=plan.at,
        evidence=plan.told,
        effect="the run fails in the middle",
        fix=f"Plan it for {plan.moments} {plan.unit}s",
    )


def _factor(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Look at schedules of the user's own formula: it gives a factor, and the rate is its product with the set one."""
    if not isinstance(plan.scheduler, LambdaLR | MultiplicativeLR):
        return
    base = max((float(rate) for rate in plan.scheduler.base_lrs), default=0.0)
    top = max(rates)
    if base <= 0:
        return
    factor = top / base
    if top == 0:
        yield found(
            "schedule-zero",
            plan.place,
            "gives a learning rate of 0 for the whole run",
            at=plan.at,
            evidence=f"{len(rates)} {plan.unit}s; lr={base:g} in the optimizer",
            effect="nothing is trained",
            fix="lr_lambda gives a factor: 1 for the rate of the optimizer",
        )
    elif isinstance(plan.scheduler, LambdaLR) and factor <= 0.05 and base <= 0.1 and plan.known and _never_whole(plan):
        yield found(
            "schedule-gives-rate",
            plan.place,
            f"lr_lambda returns a learning rate, not a factor: the rate is lr={base:g} times {factor:.3g}",
            at=_formula(plan) or plan.at,
            evidence=f"the rate is {top:.3g} at most in {len(rates)} {plan.unit}s",
            effect=f"the rate is {1 / factor:.3g} times smaller than that of the optimizer",
            fix="Return the factor alone (1 for the optimizer's rate), or give the optimizer lr=1.0",
        )
    elif factor > 10 and top > 0.01 and rates[-1] >= 0.5 * top:
        yield found(
            "schedule-grows",
            plan.place,
            f"raises the learning rate to {factor:.3g} times that of the optimizer, and leaves it there",
            severity="warning",
            at=_formula(plan) or plan.at,
            evidence=f"{rates[0]:.3g} at first, {rates[-1]:.3g} at the end",
            effect="steps grow until training diverges",
            fix="lr_lambda gives a factor: at most 1",
        )


def _never_whole(plan: Plan) -> bool:
    """Say whether a formula stays small however long the run is, unlike a long warm-up."""
    with plan.subject.scratch() as scratch:
        try:
            formulas = scratch.schedulers[plan.number].lr_lambdas
            return all(float(formula(2**power)) <= 0.05 for formula in formulas for power in range(21))
        except Exception:  # noqa: BLE001 - a formula of the user's that knows no such step
            return True


def _dying(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of a rate that is gone long before the end."""
    top = max(rates)
    if top <= 0 or len(rates) < 4:
        return
    dead = sum(rate <= NOTHING * top for rate in rates) / len(rates)
    used = sum(rates) / (top * len(rates))
    falls = rates[-1] <= NOTHING * top
    if not (dead > 0.5 or (falls and used < 0.12)) or (not plan.known and plan.unit == "epoch"):
        return
    gone = next(number for number, rate in enumerate(rates) if rate <= NOTHING * top) if falls else len(rates) // 2
    yield found(
        "schedule-dies",
        plan.place,
        f"lets the learning rate fall to nothing: {plan.unit} {gone} of {len(rates)} has {NOTHING:g} of the highest "
        f"one (scheduler_interval={plan.unit})",
        severity="error" if dead > 0.4 or used < 0.1 else "warning",
        at=plan.at,
        evidence=f"{plan.told}; rates {rates[0]:.3g}, {rates[len(rates) // 2]:.3g} halfway, {rates[-1]:.3g} at the end",
        effect="the rest of the run trains nothing",
        fix=f"Let it fall over {plan.moments} {plan.unit}s" + (", or step it once an epoch" * (plan.unit == "step")),
    )


def _never(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of milestones in steps for a schedule that counts epochs."""
    if not isinstance(plan.scheduler, StepLR | MultiStepLR) or len(set(rates)) > 1 or plan.unit != "epoch":
        return
    first = getattr(plan.scheduler, "step_size", None) or min(getattr(plan.scheduler, "milestones", {0: 1}))
    if not plan.known or not plan.moments < first <= plan.other:
        return
    yield found(
        "schedule-unit",
        plan.place,
        f"first changes the rate at {first}, and the run has {plan.moments} epochs: planned in steps, wrong interval?",
        severity="warning",
        at=plan.at,
        evidence=plan.told,
        effect="the rate never falls",
        fix=f"Count in epochs, or step it once a step; a run has {plan.moments} epochs",
    )


def _rising_again(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of half a cosine that is over before the run."""
    stated = _stated(plan.scheduler)
    if not isinstance(plan.scheduler, CosineAnnealingLR) or stated is None:
        return
    if not plan.known:
        if plan.unit == "step" and stated < plan.per_epoch:
            yield _swapped(plan, rates)
        return
    if plan.moments > 1.2 * stated:
        yield found(
            "schedule-length",
            plan.place,
            f"is half a cosine of {stated}, and then rises again: the run has {plan.moments} {plan.unit}s",
            severity="warning",
            at=plan.at,
            evidence=f"{plan.told}; {rates[-1]:.3g} at the end, {min(rates):.3g} at the lowest",
            effect="the rate swings up again, and the run ends wherever it is",
            fix=f"T_max={plan.moments}",
        )


def _rates(plan: Plan) -> tuple[list[float], Exception | None]:
    with plan.subject.scratch() as scratch:
        scheduler = scratch.schedulers[plan.number]
        rates: list[float] = []
        for _ in range(plan.moments):
            rates.append(max(float(group["lr"]) for group in scheduler.optimizer.param_groups))
            try:
                scheduler.step()
            except ValueError as error:
                if len(rates) < plan.moments:
                    return rates, error
        return rates, None


def _stated(scheduler: Any) -> int | None:
    """Return for how many of its steps a schedule was planned, None where it has no end or only warms up."""
    if isinstance(scheduler, OneCycleLR):
        return int(scheduler.total_steps)
    if isinstance(scheduler, SequentialLR):
        last = _stated(scheduler._schedulers[-1])
        return None if last is None else last + int(scheduler._milestones[-1])
    if getattr(scheduler, "start_factor", 2.0) < getattr(scheduler, "end_factor", 1.0):
        return None
    for name in ("T_max", "total_iters"):
        if hasattr(scheduler, name) and type(scheduler).__name__ != "ConstantLR":
            return int(getattr(scheduler, name))
    return None


def owned(subject: Subject) -> Iterator[Finding]:
    """Tell of a schedule over an optimizer that is none of the training's, or that is stepped twice."""
    for scheduler in subject.schedulers:
        optimizer = getattr(scheduler, "optimizer", None)
        made = subject.make_optimizer is not None and subject.make_scheduler is None
        if optimizer is None or made or not subject.optimizers or any(optimizer is own for own in subject.optimizers):
            continue
        yield found(
            "schedule-of-another-optimizer",
            f"scheduler: {type(scheduler).__name__}",
            "sets the rate of another optimizer than the one that trains",
            at=where(subject, scheduler),
            evidence=f"its optimizer is a {type(optimizer).__name__} that is not given as optimizer",
            effect="the rate of the training never changes",
            fix="Make the schedule of this optimizer, after it is made for the last time",
        )
    if subject.schedulers and _in_step(subject):
        step = code_of(subject.train_step)
        call = next(step.calls("step"), None) if step is not None else None
        for node in step.calls("step") if step is not None else ():
            call = node if "sched" in called(node).lower() else call
        yield found(
            "schedule-stepped-twice",
            "train_step: scheduler.step",
            "steps the schedule that the loop steps too: it runs faster than planned",
            severity="info",
            at=step.line(call) if step is not None and call is not None else None,
            evidence=f"scheduler.step() in the step, and once {subject.interval} by scheduler_interval",
            fix="Step it in one of the two",
        )


def _formula(plan: Plan) -> Line | None:
    """Return the line of the user's formula: its return, or the lambda."""
    for formula in getattr(plan.scheduler, "lr_lambdas", ()):
        code = code_of(formula)
        if code is not None:
            last = [node for node in walk(code.node) if isinstance(node, ast.Return)]
            return code.line(last[-1] if last else code.node)
    return None


RULES = (planned, cycles.plateau, owned)
