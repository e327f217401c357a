"""The short trainings that the rules of learning share, each made once and within one budget of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from time import thread_time
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.inspection.learning.pupil import Course, Level, Part, Pupil, Rates, peaks_of, pupil
from trainkit.inspection.learning.reach import reach_of
from trainkit.inspection.subject import Stuck, Subject, unpacked
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

SECONDS = 30.0
"""Time that all short trainings of a subject may take: this thread's, so that a busy machine changes no finding."""
READING = 1.0
"""Seconds after which no more batches are read."""
STEPS, ROUNDS, BATCHES, HELD = 40, 6, 8, 4
"""Steps on one batch; times that the batches go round; batches, and batches that are held out."""
SAME = 0.9
"""Share of equal targets above which a batch with shuffled ones is the same batch."""
LARGE, LITTLE = 32, 8
"""Samples of a batch, and of one where steps are slow."""


class Lessons:
    """Short trainings of one subject.

    Attributes:
        left: Seconds that are left for them.
        each: Seconds that a step takes.
        late: Whether something was left out for want of time.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject, self.left, self.each, self.late = subject, SECONDS, 0.0, False
        self.count = min(subject.batch_size, LARGE)
        self.peaks = peaks_of(subject)
        self._time_one()

    def _time_one(self) -> None:
        """See how long a step takes, and take smaller batches where it is long."""
        for count in (self.count, min(self.count, LITTLE)):
            self.count, start = count, thread_time()
            with pupil(self.subject) as learner:
                learner.step(self.one)
                copied = thread_time()
                learner.step(self.one)
            self.each = thread_time() - copied
            self.left -= thread_time() - start
            if self.each * STEPS * 6 < SECONDS or count <= LITTLE:
                return
            del self.one

    @cached_property
    def one(self) -> Any:
        """The batch that is to be learned by heart."""
        return self.subject.collated(self.subject.samples(self.count))

    @cached_property
    def batches(self) -> list[Any]:
        """Some training batches, fewer where samples are slow to come."""
        return self._batches(BATCHES, 0)

    @cached_property
    def held(self) -> tuple[str, list[Any]]:
        """Batches of the validation set if they fit, else of further training samples; and which of the two."""
        with suppress(Exception):  # a validation set may be of another kind, or only for the user's own evaluate
            samples = self._validation(HELD * self.count)
            batches = [
                self.subject.collated(samples[at : at + self.count]) for at in range(0, len(samples), self.count)
            ]
            if batches and self._fits(batches[0]):
                return "val_set", batches
        return "train_set", self._batches(HELD, len(self.batches) * self.count)

    def _batches(self, number: int, start: int) -> list[Any]:
        taken: list[Any] = []
        begun = thread_time()
        with suppress(Exception):  # a data set may be shorter than it says
            while len(taken) < number and (not taken or thread_time() - begun < READING):
                samples = self.subject.samples(self.count, start + len(taken) * self.count)
                if len(samples) < self.count:
                    break
                taken.append(self.subject.collated(samples))
        return taken

    def _validation(self, count: int) -> list[Any]:
        data = self.subject.val_set
        if data is None or isinstance(data, IterableDataset):
            return []
        with kept_generators(), quiet():
            held = copied_data(data)
            count = min(count, len(held)) // self.count * self.count
            return [held[index * len(held) // count] for index in range(count)]

    def _fits(self, batch: Any) -> bool:
        with pupil(self.subject) as learner:
            return math.isfinite(learner.loss(batch, training=False))

    # -------------------------------------------------------------------- trainings

    @cached_property
    def course(self) -> Course | None:
        """The batch, learned as the training is set."""
        return self.taught([self.one], STEPS)

    def taught(
        self,
        batches: Sequence[Any],
        steps: int,
        *,
        factor: float = 1.0,
        without: Part = "",
        level: Level | None = None,
        held: Sequence[Any] = (),
        reach: bool = False,
    ) -> Course | None:
        """Train a copy for some steps; None if that fails or there is no time for it.

        Args:
            batches: They go round.
            steps: How many.
            factor: By which the highest learning rates are multiplied.
            without: The part that is left out.
            level: What makes the inputs the same for each sample.
            held: Batches on which it is judged at the end.
            reach: Whether to see which loss other outputs could have.
        """
        if not batches or not self.allows(steps):
            return None
        with suppress(Exception), self.counted(), pupil(self.subject, without, level=level) as learner:
            Rates(learner, self.peaks if without != "optimizer" else [], factor)
            return self._course(learner, batches, steps, held, reach)
        return None  # the user's own code failed, in settings that are not the user's

    def allows(self, steps: int) -> bool:
        """Say whether there is time for so many steps."""
        self.late |= self.each * steps > self.left
        return self.each * steps <= self.left

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Take the time of what runs inside off the budget."""
        start = thread_time()
        try:
            yield
        finally:
            self.left -= thread_time() - start

    def _course(
        self, learner: Pupil, batches: Sequence[Any], steps: int, held: Sequence[Any], reach: bool
    ) -> Course | None:
        first = batches[0]
        starts = [learner.loss(first, training=mode) for mode in (True, False)] if self.subject.runs else []
        unheld = _mean([learner.loss(batch, training=False) for batch in held])
        losses: list[float] = []
        for number in range(steps):
            losses.append(learner.step(batches[number % len(batches)]))
            if not math.isfinite(losses[-1]):
                break
        if not starts:
            return Course(losses[0], _mean(losses[-3:]), tuple(losses))
        ends = [learner.loss(first, training=mode) for mode in (True, False)]
        if not math.isfinite(losses[-1]):
            ends = [math.inf, math.inf]
        usable = [pair for pair in zip(starts, ends, strict=True) if math.isfinite(pair[0]) and not math.isnan(pair[1])]
        before, after = min(usable, key=lambda pair: pair[1], default=(math.nan, math.inf))
        others = _mean([learner.loss(batch, training=False) for batch in held])
        course = Course(before, after, tuple(losses), unheld, others)
        if not reach:
            return course
        reachable, floor = reach_of(self.subject, learner, first, self.count)
        return replace(course, reachable=reachable, floor=floor)


def lessons_of(subject: Subject) -> Lessons | None:
    """Return the short trainings of a subject that is inspected deeply; None if it cannot be trained."""
    return subject.once(_begun)


def _begun(subject: Subject) -> Lessons | None:
    if not subject.deep or subject.train_set is None or (subject.train_step is None and not _has_loss(subject)):
        return None
    try:
        return Lessons(subject)
    except Stuck:
        raise
    except Exception:  # noqa: BLE001 - the user's own code; first_step and the rules over train_step tell what fails
        return None


def _has_loss(subject: Subject) -> bool:
    return subject.runs and subject.trace.loss is not None and subject.trace.loss.requires_grad


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses) if losses else math.nan


def shuffled(batch: Any, seed: int) -> Any | None:
    """Return a batch whose targets belong to other samples; None if it has none, or hardly any that differ."""
    _, target = unpacked(batch)
    if not isinstance(target, Tensor) or target.dim() == 0 or len(target) < 2:
        return None
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))
    mixed = target[order]
    if float((mixed == target).float().mean()) > SAME:
        return None
    if isinstance(batch, dict):
        return {name: mixed if value is target else value for name, value in batch.items()}
    return (*batch[:-1], mixed) if isinstance(batch, list | tuple) and len(batch) > 1 else None
