"""Schedules that only rise: a warm-up that the run does not outlast, and a rate that climbs to the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainkit.findings import Finding
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.schedules import Plan

REACHED = 0.5
"""Share of the set rate that a warm-up reaches in a run for which it is not too long."""


def _only_rises(rates: list[float]) -> bool:
    return len(rates) > 3 and rates[-1] > rates[0] and all(two >= one for one, two in itertools.pairwise(rates))


def _set_rate(plan: Plan) -> float:
    groups = plan.scheduler.optimizer.param_groups
    return max(float(group.get("initial_lr", group["lr"])) for group in groups)


def warming(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of a warm-up that is not over when the run ends."""
    whole = _set_rate(plan)
    if not plan.known or not _only_rises(rates) or not 2 * rates[0] < rates[-1] < REACHED * whole:
        return
    yield found(
        "warm-up-too-long",
        plan.place,
        f"still warms up when the run ends: the rate never gets above {rates[-1] / whole:.1%} of lr={whole:g}",
        severity="warning",
        at=plan.at,
        evidence=f"{plan.told}; rates {rates[0]:.3g} at first, {rates[-1]:.3g} at the end",
        effect="the whole run trains with a rate far below the one that is set",
        fix=f"Warm up over a few hundred steps, a small part of {plan.moments} {plan.unit}s",
    )


def climbing(plan: Plan, rates: list[float]) -> Iterator[Finding]:
    """Tell of a rate that climbs above the one that is set, to the end."""
    whole = _set_rate(plan)
    if not plan.known or whole <= 0 or not _only_rises(rates) or rates[-1] < 3 * whole:
        return
    yield found(
        "schedule-grows",
        plan.place,
        f"raises the learning rate to the end: {rates[-1] / whole:.3g} times lr={whole:g} "
        "(gamma above 1, or eta_min above the rate)",
        severity="warning",
        at=plan.at,
        evidence=f"{plan.told}; rates {rates[0]:.3g} at first, {rates[-1]:.3g} at the end",
        effect="the steps are largest when they should be smallest",
        fix="Let it fall: gamma below 1, eta_min below lr",
    )
