"""Schedules that come back: cosines that restart, and plateaus that a figure is watched for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, ReduceLROnPlateau

from trainkit.findings import Finding
from trainkit.inspection.source import Line, called, code_of, tree, walk
from trainkit.inspection.subject import Subject, found

if TYPE_CHECKING:
    from trainkit.inspection.loop.schedules import Plan

LOSSES = ("cross_entropy", "mse_loss", "l1_loss", "loss", "criterion", "nll_loss", "binary_cross_entropy_with_logits")
"""Calls by which an evaluation gives a loss."""
OFTEN = 20
"""Restarts in a run from which a cycle is taken to be counted in the wrong unit."""


def restarting(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of cycles that are planned in epochs and run in steps, or the other way round."""
    scheduler: Any = plan.scheduler
    if not plan.known or plan.subject.epochs is None:
        return
    if isinstance(scheduler, CosineAnnealingWarmRestarts):
        length, name = int(scheduler.T_0), "T_0"
        if scheduler.T_mult != 1 and not (plan.unit == "epoch" and length > plan.moments):
            return
    elif isinstance(scheduler, CyclicLR):
        length, name = int(scheduler.total_size), "step_size_up"
    else:
        return
    epochs, often = plan.subject.epochs, plan.moments / max(length, 1)
    short = plan.unit == "step" and length <= epochs and length < plan.per_epoch and often >= OFTEN
    long = plan.unit == "epoch" and length > 2 * plan.moments and length <= plan.other and plan.per_epoch > 1
    if not short and not long:
        return
    yield found(
        "schedule-unit",
        plan.place,
        f"restarts every {length} {plan.unit}s ({name}): it looks planned in {'epochs' if short else 'steps'}, and "
        f"steps once {'a step (batch)' if short else 'an epoch'}: the wrong interval (scheduler_interval)",
        at=plan.at,
        evidence=f"{plan.told}; {often:.0f} cycles in the run"
        if short
        else f"{plan.told}; rates {rates[0]:.3g} at first, {rates[-1]:.3g} at the end",
        effect=f"the rate jumps up {often:.0f} times, {plan.per_epoch / length:.0f} times in each epoch"
        if short
        else "the rate never gets to the end of its first cycle",
        fix=f"{name}={length * plan.per_epoch}, or step it once an epoch"
        if short
        else "Count in epochs, or step it once a step",
    )


def plateau(subject: Subject) -> Iterator[Finding]:
    """Look at a plateau schedule's unit and mode."""
    for scheduler in subject.schedulers:
        if not isinstance(scheduler, ReduceLROnPlateau):
            continue
        at = where(subject, scheduler)
        if subject.interval == "step":
            yield found(
                "schedule-unit",
                "scheduler: ReduceLROnPlateau",
                "looks for a plateau, and steps once a step: the loss of one batch is no plateau (scheduler_interval)",
                severity="warning",
                at=at,
                evidence=f"patience={scheduler.patience} steps",
                effect="noise lowers the rate within the first epochs",
                fix="Step it once an epoch, with the validation loss",
            )
        elif scheduler.mode == "min" and _is_accuracy(subject):
            yield found(
                "plateau-mode",
                "scheduler: ReduceLROnPlateau",
                "has mode='min', and the evaluation gives an accuracy, which is to rise",
                severity="warning",
                at=at,
                evidence=f"{getattr(subject.evaluate, '__name__', 'evaluate')} counts right answers",
                effect="the rate falls whenever the model gets better",
                fix="ReduceLROnPlateau(optimizer, mode='max')",
            )

        elif scheduler.mode == "max" and _is_loss(subject):
            yield found(
                "plateau-mode",
                "scheduler: ReduceLROnPlateau",
                "has mode='max', and the evaluation gives a loss, which is to fall",
                severity="warning",
                at=at,
                evidence=f"{getattr(subject.evaluate, '__name__', 'evaluate')} returns a loss",
                effect="the rate falls the more the better the model gets: no new maximum ever comes",
                fix="ReduceLROnPlateau(optimizer, mode='min')",
            )


def _is_loss(subject: Subject) -> bool:
    code = code_of(subject.evaluate) if subject.evaluate is not None else None
    if code is None or not any(True for _ in code.calls(*LOSSES)):
        return False
    odd = (ast.Compare, ast.USub)
    if any(_turns(node) for node in walk(code.node)):
        return False
    return not any(isinstance(node, odd) for node in walk(code.node)) and not any(True for _ in code.calls("argmax"))


def _is_accuracy(subject: Subject) -> bool:
    code = code_of(subject.evaluate) if subject.evaluate is not None else None
    if code is None or any(True for _ in code.calls("cross_entropy", "mse_loss", "loss", "criterion")):
        return False
    if any(_turns(node) for node in walk(code.node)):
        return False
    compares = any(
        isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq) and not isinstance(node.left, ast.Constant)
        for node in walk(code.node)
    )
    return compares and any(True for _ in code.calls("argmax", "max"))


def _turns(node: ast.AST) -> bool:
    """Say whether an expression turns what is to rise into what is to fall, or back: ``1 - accuracy``."""
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant)
    turning = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div)
    return turning and isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant)


def where(subject: Subject, scheduler: Any) -> Line | None:
    """Return the line that makes a schedule."""
    name = type(scheduler).__name__
    code = code_of(subject.make_scheduler) if subject.make_scheduler is not None else None
    if code is not None:
        made = next(code.calls(name), None)
        return code.line(made if made is not None else code.node)
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] == name:
                return Line(file, node.lineno)
    return None
