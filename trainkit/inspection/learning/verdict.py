"""The verdict in words: can it learn, from its inputs, something that holds for other samples, and at which rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trainkit.findings import VERDICT, Finding
from trainkit.inspection.learning.batch import WELL, adds, levelled
from trainkit.inspection.learning.held_out import compared
from trainkit.inspection.learning.lessons import STEPS, lessons_of
from trainkit.inspection.learning.pupil import BARELY
from trainkit.inspection.learning.rates import sweep_of
from trainkit.inspection.subject import Subject, found

NEAR = 10.0
"""Multiple of a rate at which the loss falls in a few steps: at the rate itself it falls in more of them."""


def verdict(subject: Subject) -> Iterator[Finding]:
    """Say what the short trainings showed."""
    if not subject.deep:
        return
    sentences = [text for part in (_heart, _inputs, _others, _rate) if (text := part(subject))]
    lessons = lessons_of(subject)
    if lessons is not None and lessons.late:
        sentences.append(f"There was no time for more: a step takes {lessons.each:.2g} s.")
    if not sentences:
        sentences = ["it was not tried: no step can be taken on a copy."]
    yield found("learnability", VERDICT, " ".join(sentences), severity="info")


def _heart(subject: Subject) -> str:
    lessons = lessons_of(subject)
    course = lessons.course if lessons is not None else None
    if lessons is None or course is None:
        return ""
    went = f"from {course.before:.3g} to {course.after:.3g} in {STEPS} steps"
    if not subject.runs:
        return f"not judged but by what train_step returns: it goes {went} on one batch of {lessons.count}."
    if not math.isfinite(course.after):
        return f"one batch is not learned: its loss ({lessons.count} samples) does not stay finite for {STEPS} steps."
    if course.fell < -BARELY:
        return f"the loss rises at first: on one batch of {lessons.count} samples {went}."
    how = "learned" if course.fell >= WELL else "learned slowly" if course.fell >= BARELY else "barely learned at first"
    return f"one batch is {how}: its loss ({lessons.count} samples) goes {went}."


def _inputs(subject: Subject) -> str:
    lessons, constant = lessons_of(subject), levelled(subject)
    course = lessons.course if lessons is not None else None
    if course is None or constant is None or course.fell < BARELY:
        return ""
    if adds(course, constant):
        return f"It uses its inputs: with the same input for each sample it gets to {constant.after:.3g} only."
    return f"That is without its inputs so far: with the same input for each sample it gets to {constant.after:.3g}."


def _others(subject: Subject) -> str:
    both = compared(subject)
    if both is None:
        return ""
    what = f"{both.samples} samples that it has not seen ({both.source})"
    mixed = f"{both.mixed.held:.3g} with shuffled labels" if both.read else "whatever the labels are"
    numbers = f"{both.real.held:.3g}, {mixed}, and was {both.real.unheld:.3g}"
    if both.generalises:
        return f"What it learns holds for others: after {both.steps} steps the loss on {what} is {numbers}."
    if both.by_heart:
        return f"What it learns does not hold for others yet: after {both.steps} steps the loss on {what} is {numbers}."
    return f"Whether it holds for others, {both.steps} steps do not tell: the loss on {what} is {numbers}."


def _rate(subject: Subject) -> str:
    sweep = sweep_of(subject)
    if sweep is None:
        return ""
    end = (
        f"blows up from {sweep.blows:.2g} on"
        if sweep.blows is not None
        else f"does not blow up below {sweep.tried:.2g}"
    )
    where = "above that range" if sweep.is_above else "within" if sweep.rate >= sweep.starts / NEAR else "far below"
    return (
        f"In a learning-rate range test the loss falls from {sweep.starts:.2g} on, fastest near {sweep.fastest:.2g}, "
        f"and {end}; lr={sweep.rate:g} lies {where}."
    )


RULES = (verdict,)
