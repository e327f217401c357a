"""Samples that were not learned: whether a short training does better on them than one with shuffled labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from trainkit.findings import Finding
from trainkit.inspection.learning.lessons import ROUNDS, lessons_of, shuffled
from trainkit.inspection.learning.pupil import Course
from trainkit.inspection.learning.rates import sweep_of
from trainkit.inspection.probes.tables import reads_targets
from trainkit.inspection.subject import Subject, found

BETTER = 0.02
"""Share of the first loss by which it is less on held-out samples if labels say anything."""
APART = 0.3
"""Share of the first loss by which learned and held-out samples are apart if they were learned by heart."""


@dataclass(frozen=True)
class Compared:
    """Two short trainings on the same batches.

    Attributes:
        real, mixed: With the labels as they are, and with those of other samples.
        source: Data set that the held-out samples are from.
        samples: How many are held out.
        steps: Of each training.
    """

    real: Course
    mixed: Course
    source: str
    samples: int
    steps: int

    @property
    def generalises(self) -> bool:
        """Whether the real labels made the held-out samples' loss less than it was, and than shuffled ones did."""
        others = self.mixed.held if self.read else self.real.unheld
        return min(others, self.real.unheld) - self.real.held > BETTER * abs(self.real.unheld)

    @property
    def read(self) -> bool:
        """Whether the labels make a difference; a student may listen to its teacher alone."""
        return self.real.losses != self.mixed.losses

    @property
    def by_heart(self) -> bool:
        """Whether the learned samples' loss is far less than the held-out ones', and these gained nothing."""
        gap = self.real.held - self.real.after
        return not self.generalises and gap > APART * abs(self.real.before)


def compared(subject: Subject) -> Compared | None:
    """Return what real and shuffled labels do to held-out samples; None if there are none, or no time."""
    return subject.once(_compared)


def _compared(subject: Subject) -> Compared | None:
    lessons = lessons_of(subject)
    if lessons is None or not subject.runs or not reads_targets(subject):
        return None
    batches = lessons.batches
    mixed = [shuffled(batch, seed) for seed, batch in enumerate(batches)]
    steps, (source, held) = ROUNDS * len(batches), lessons.held
    if len(batches) < 2 or not held or any(batch is None for batch in mixed):
        return None
    real, other = (lessons.taught(each, steps, held=held) for each in (batches, mixed))
    if real is None or other is None or not math.isfinite(real.held) or not math.isfinite(other.held):
        return None
    return Compared(real, other, source, len(held) * lessons.count, steps)


def by_chance(subject: Subject) -> Iterator[Finding]:
    """Tell where what was learned in a short training is of no use on other samples."""
    both = compared(subject)
    sweep = sweep_of(subject)
    if both is None or not both.by_heart or sweep is None or sweep.is_above:
        return
    yield found(
        "labels-by-chance",
        "train_set: target",
        "helps other samples no more than shuffled labels do: nothing that generalises was learnt",
        severity="info",
        evidence=f"{both.steps} steps; loss on {both.samples} held-out samples ({both.source}) "
        f"{both.real.unheld:.3g} to {both.real.held:.3g}, with shuffled labels to {both.mixed.held:.3g}; "
        f"on a learned batch {both.real.before:.3g} to {both.real.after:.3g}",
        effect="either it takes longer than this to be seen, or the labels have nothing to do with the inputs",
        fix="Look at some samples beside their labels; see that inputs and labels are in one order.",
    )


RULES = (by_chance,)
