"""The learning-rate range test: at which rates the loss falls, and from which on it blows up.

Smith 2017, "Cyclical learning rates for training neural networks": the rate climbs exponentially in one training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trainkit.findings import Finding
from trainkit.inspection.learning.lessons import STEPS, Lessons, lessons_of
from trainkit.inspection.learning.pupil import Course, Rates, pupil
from trainkit.inspection.step.written import setting_line
from trainkit.inspection.subject import Subject, found

BELOW, ABOVE, PER_DECADE = 3, 5, 10
"""Decades below and above the highest rate of the training, and steps in each; it ends where the loss blows up."""
WINDOW = 3
"""Steps over which a slope is taken."""
SMOOTHING = 0.7
"""Share of itself that the mean of the losses keeps in a step."""
FALLS, BLOWS, LOST = 0.03, 0.25, 20.0
"""Share of the first loss by which it has fallen, has blown up after that, and is lost although it never fell."""
LEARNS = 0.3
"""Share of the first loss by which a better rate must lower it."""


@dataclass(frozen=True)
class Sweep:
    """What a training in which the rate climbs did.

    Attributes:
        rate: The training's own, the highest of its schedule.
        starts: Rate from which on the loss falls.
        fastest: Rate at which it falls fastest.
        blows: Rate at which it is far above the first one, or not finite; None if it never is.
        tried: The highest rate that was tried.
    """

    rate: float
    starts: float
    fastest: float
    blows: float | None
    tried: float

    @property
    def is_above(self) -> bool:
        """Whether the training's rate is one at which it blows up."""
        return self.blows is not None and self.rate > self.blows


def sweep_of(subject: Subject) -> Sweep | None:
    """Return the range test of a subject; None without an optimizer, without time, or if the loss falls at no rate."""
    return subject.once(_swept)


def _swept(subject: Subject) -> Sweep | None:
    lessons = lessons_of(subject)
    if lessons is None or not subject.runs:
        return None
    rate = max((peak for peaks in lessons.peaks for peak in peaks), default=0.0)
    if rate <= 0:
        return None
    for start in (-BELOW, ABOVE):
        curve = _curve(lessons, [10 ** (start + n / PER_DECADE) for n in range((BELOW + ABOVE) * PER_DECADE + 1)])
        sweep = None if curve is None else _read(curve, rate)
        if sweep is not None:
            return sweep
    return None


def _curve(lessons: Lessons, factors: Sequence[float]) -> list[tuple[float, float]] | None:
    """Return how far the loss is above the first one, as a share of it, by factor; each batch has a first one."""
    if not lessons.allows(len(factors)):
        return None
    batches, curve, smooth, weight = lessons.batches, list[tuple[float, float]](), 0.0, 0.0
    with suppress(Exception), lessons.counted(), pupil(lessons.subject) as learner:
        first = [learner.loss(batch) for batch in batches]
        scale = max(sum(map(abs, first)) / len(first), 1e-8)
        rates = Rates(learner, lessons.peaks)
        for number, factor in enumerate(factors):
            which = number % len(batches)
            rates.factor = factor
            value = (learner.step(batches[which]) - first[which]) / scale
            smooth = SMOOTHING * smooth + (1 - SMOOTHING) * value
            weight = SMOOTHING * weight + 1 - SMOOTHING
            curve.append((factor, smooth / weight))
            if not math.isfinite(value):
                curve[-1] = (factor, math.inf)
            fell = min(level for _, level in curve) < -2 * FALLS
            if not curve[-1][1] <= (BLOWS if fell else LOST):
                break
    return curve or None


def _read(curve: Sequence[tuple[float, float]], rate: float) -> Sweep | None:
    """Return where a curve falls and blows up; None if it does not fall."""
    finite = [(factor, value) for factor, value in curve if math.isfinite(value)]
    lowest = min(range(len(finite)), key=lambda n: finite[n][1], default=0)
    if not finite or finite[lowest][1] > -2 * FALLS:
        return None
    start = 1 + max((n for n in range(lowest) if finite[n][1] >= -FALLS), default=-1)
    steepest = min(range(start, lowest + 1), key=lambda n: finite[n][1] - finite[max(n - WINDOW, 0)][1])
    starts, fastest = finite[start][0], finite[steepest][0]
    blows = next((factor for factor, value in curve[lowest:] if value > BLOWS), None)
    return Sweep(rate, starts * rate, fastest * rate, None if blows is None else blows * rate, curve[-1][0] * rate)


def in_range(subject: Subject) -> Iterator[Finding]:
    """Find a rate above the range in which the loss falls, where a short training at that rate confirms it."""
    lessons, sweep = lessons_of(subject), sweep_of(subject)
    if lessons is None or sweep is None or not sweep.is_above:
        return
    steps = STEPS // len(lessons.batches) * len(lessons.batches)
    own = lessons.taught(lessons.batches, steps)
    better = lessons.taught(lessons.batches, steps, factor=sweep.fastest / sweep.rate)
    if own is None or better is None or better.fell < LEARNS or not _is_lost(own, better):
        return
    yield found(
        "learning-rate-out-of-range",
        "optimizer: lr",
        f"is above the range in which the loss falls: with lr={sweep.rate:g} it does not come back from its jumps",
        severity="warning",
        at=setting_line(subject, "lr"),
        evidence=f"in a range test it falls fastest near {sweep.fastest:.2g}, blows up from {sweep.blows:.2g} on; "
        f"at {sweep.rate:g} the last of {steps} steps have {own.late:.3g}, at {sweep.fastest:.2g} {better.late:.3g}",
        effect="the loss stays above that of the untrained model",
        fix=f"Use a learning rate near {sweep.fastest:.1g}.",
    )


def _is_lost(own: Course, better: Course) -> bool:
    """Say whether a training ended above where it began, and another one well below."""
    return not math.isfinite(own.late) or own.late > own.before > 2 * better.late


RULES = (in_range,)
