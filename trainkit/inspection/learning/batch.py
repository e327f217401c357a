"""One batch learned by heart: what keeps a training from it, and whether it takes the inputs for that."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.learning.lessons import STEPS, Lessons, lessons_of
from trainkit.inspection.learning.pupil import BARELY, Course, Level, Part, is_idle, parts_of
from trainkit.inspection.learning.rates import sweep_of
from trainkit.inspection.probes.tables import reads_targets
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line
from trainkit.inspection.step.written import setting_line
from trainkit.inspection.subject import Subject, found, unpacked

WELL = 0.3
"""Share of its size by which a loss has fallen for sure."""
LONGER = 3
"""Multiple of the steps in which it is seen that more of them would not help."""
SLOW = 0.2
"""Share of what is learned without a part from which on the part only makes it slower."""
USED = 0.03
"""Share of what is learned, or of the first loss, that inputs add where they are used."""
NEAR = 0.05
"""Share of the first loss within which a loss is that of one output for all samples."""
AMPLE = 10
"""Multiple of a batch's targets that a model has as weights if it is to know them by heart."""
FEW = 4
"""Samples that a batch needs for a constant to tell anything."""
FACTORS = (3.0, 10.0, 30.0, 0.1, 0.01)
"""Other rates that are tried, as parts of the training's own."""
HARDER: tuple[tuple[float, Part], ...] = ((1.0, ""), (10.0, ""), (30.0, ""), (1.0, "optimizer"), (10.0, "optimizer"))
"""Rates and optimizers with which inputs are given more time to be of use."""
WITHOUT: dict[Part, tuple[str, str, str]] = {
    "dropout": ("model: dropout", "drops so much", "Lower p; 0.1 to 0.5 is usual."),
    "weight decay": ("optimizer: weight_decay", "pulls so hard", "Use weight_decay=1e-4 (SGD) or 1e-2 (AdamW)."),
    "clipping": (
        "train_step: clipping",
        "cuts so much off gradients",
        "Clip at about the usual norm, such as 1.0.",
    ),
}


def by_heart(subject: Subject) -> Iterator[Finding]:
    """Let a copy learn one batch by heart; where it cannot, try what keeps it from that."""
    lessons = lessons_of(subject)
    course = lessons.course if lessons is not None and subject.runs else None
    if lessons is None or course is None or math.isnan(course.before):
        return
    constant = levelled(subject)
    if course.fell >= BARELY and (constant is None or not _as_well(course, constant)):
        return
    barely = (_without_a_part, _other_rate, _inputs, _other_optimizer, _model)
    for reason in barely if course.fell < BARELY else (_without_a_part, _inputs):
        told = list(reason(lessons, course))
        yield from told
        if told:
            return


def _without_a_part(lessons: Lessons, course: Course) -> Iterator[Finding]:
    """Name the part without which the batch is learned at the same rate, if more steps do not help."""
    for part in parts_of(lessons.subject):
        other = lessons.taught([lessons.one], STEPS, without=part)
        if other is None or other.fell < WELL:
            continue
        longer = lessons.taught([lessons.one], LONGER * STEPS)
        if (
            longer is None
            or other.before - longer.after > SLOW * (other.before - other.after)
            or (part == "clipping" and not is_idle(lessons.subject, course))
        ):
            continue
        place, does, fix = WITHOUT[part]
        yield _found(
            lessons,
            place,
            f"{does} that not even one batch can be learned: without {part} it can",
            at=setting_line(lessons.subject, "weight_decay") if part == "weight decay" else _of_step(lessons, part),
            evidence=f"{_told(longer, LONGER * STEPS)}; without {part} to {other.after:.3g} in {STEPS}",
            fix=fix,
        )
        return


def _other_rate(lessons: Lessons, course: Course) -> Iterator[Finding]:
    """Name the rate, if with another one the batch is learned and with this one never will be."""
    sweep = sweep_of(lessons.subject)
    rate = max((peak for peaks in lessons.peaks for peak in peaks), default=0.0)
    if rate <= 0:
        return
    factors = ((sweep.fastest / rate,) if sweep is not None else ()) + FACTORS
    for factor in factors:
        other = lessons.taught([lessons.one], STEPS, factor=factor)
        if other is None or other.fell < WELL:
            continue
        high = factor < 1
        longer = lessons.taught([lessons.one], LONGER * STEPS) if high and course.fell < -BARELY else None
        lost = longer is not None and longer.fell < -BARELY
        if lost or (not high and is_idle(lessons.subject, course)):
            yield _found(
                lessons,
                "optimizer: lr",
                f"is too {'large' if high else 'small'} to learn even one batch; with {rate * factor:.2g} it can",
                at=setting_line(lessons.subject, "lr"),
                evidence=f"{_told(course, STEPS)} with lr={rate:g}, to {other.after:.3g} with {rate * factor:.2g}",
                fix=f"Use a learning rate near {rate * factor:.1g}.",
            )
        return


def _other_optimizer(lessons: Lessons, course: Course) -> Iterator[Finding]:
    """Name the optimizer, if at no rate it learns what Adam does."""
    if lessons.subject.train_step is not None or not lessons.subject.optimizers:
        return
    other = lessons.taught([lessons.one], STEPS, without="optimizer")
    if other is None or other.fell < WELL or not is_idle(lessons.subject, course):
        return
    kind = type(lessons.subject.optimizers[0]).__name__
    yield _found(
        lessons,
        f"optimizer: {kind}",
        "learns not even one batch at any rate, where Adam over all of the model's parameters does",
        severity="warning",
        at=setting_line(lessons.subject, "params"),
        evidence=f"{_told(course, STEPS)}, no less at rates 30 times larger or smaller; to {other.after:.3g} with Adam",
        fix="Use torch.optim.AdamW(model.parameters(), lr=1e-3), or give the optimizer all parameters.",
    )


def _model(lessons: Lessons, course: Course) -> Iterator[Finding]:
    """Say that nothing helps, if the loss could fall with outputs in the very range of the model's."""
    start = lessons.taught([lessons.one], 1, factor=1e-6, reach=True)
    if start is None or not start.reachable < (1 - WELL) * start.before or start.before <= 0 or start.reachable < 0:
        return
    if not _is_large(lessons):
        return
    tried = [
        lessons.taught([lessons.one], LONGER * STEPS, without="optimizer", factor=factor) for factor in (1.0, 3.0, 10.0)
    ]
    longer = min((each for each in tried if each is not None), key=lambda each: each.after, default=None)
    if longer is None or None in tried or longer.before - longer.after > 0.1 * (start.before - start.reachable):
        return
    yield _found(
        lessons,
        "model",
        "cannot learn one batch by heart: no other rate or optimizer helps, nor less dropout or weight decay",
        severity="warning",
        at=lessons.subject.where_made(lessons.subject.model),
        evidence=f"{_told(course, STEPS)}; Adam in {LONGER * STEPS} steps to {longer.after:.3g}; other outputs in the "
        f"same range would have {start.reachable:.3g}",
        fix="See which layer gets no gradient or gives all samples the same, and what the loss is given.",
    )


def _is_large(lessons: Lessons) -> bool:
    """Say whether a model has so many more weights than a batch has targets that it can know them by heart."""
    targets = sum(each.numel() for each in flat(unpacked(lessons.one)[1]))
    weights = sum(each.numel() for each in lessons.subject.model.parameters() if each.requires_grad)
    return 0 < AMPLE * targets <= weights


def _found(
    lessons: Lessons, place: str, message: str, *, at: Line | None, evidence: str, fix: str, severity: str = "error"
) -> Finding:
    return found(
        "cannot-overfit-batch",
        place,
        message,
        severity="error" if severity == "error" else "warning",
        at=at,
        evidence=f"one batch of {lessons.count}: {evidence}",
        effect="what cannot learn one batch by heart learns nothing from many",
        fix=fix,
    )


def _told(course: Course, steps: int) -> str:
    return f"loss {course.before:.3g} to {course.after:.3g} in {steps} steps"


def _of_step(lessons: Lessons, part: Part) -> Line | None:
    subject = lessons.subject
    return subject.where_made(subject.train_step if part == "clipping" else subject.model)


def levelled(subject: Subject) -> Course | None:
    """Return what is learned of one batch if each sample has the same input; None if that cannot be tried."""
    return subject.once(_levelled)


def _levelled(subject: Subject) -> Course | None:
    lessons = lessons_of(subject)
    if lessons is None or not subject.runs or lessons.count < FEW or not _has_targets(subject):
        return None
    level = Level(lessons.count)
    course = lessons.taught([lessons.one], STEPS, level=level)
    return course if level.whole else None


def _has_targets(subject: Subject) -> bool:
    """Say whether the loss reads targets that a model cannot make of its inputs, constant ones too."""
    given = any(True for _ in flat(unpacked(subject.batch)[1]))
    return given and (subject.loss is not None or subject.objective is not None) and reads_targets(subject)


def _inputs(lessons: Lessons, course: Course) -> Iterator[Finding]:
    """See whether the batch is learned any better with its inputs than with a constant in their place."""
    subject, constant, unused = lessons.subject, levelled(lessons.subject), list[Course]()
    if constant is None or not _as_well(course, constant):
        return
    for factor, part in HARDER:
        real = lessons.taught([lessons.one], 2 * STEPS, factor=factor, without=part, reach=True)
        other = lessons.taught([lessons.one], 2 * STEPS, factor=factor, without=part, level=Level(lessons.count))
        if real is None or other is None or not _as_well(real, other):
            return
        if abs(real.after - real.floor) < NEAR * abs(real.before) and real.reachable >= 0:
            unused.append(real)
    best = min(unused, key=lambda each: each.reachable, default=None)
    if best is None or best.after - best.reachable < WELL * best.before:
        return
    yield found(
        "inputs-unused",
        "model: inputs",
        "are not used: a constant in their place lets it learn one batch as well",
        severity="warning",
        at=subject.where_made(subject.model),
        evidence=f"{_told(best, 2 * STEPS)}, which is what one output for all samples has ({best.floor:.3g}); the "
        f"same at rates 10 and 30 times larger, and with Adam; outputs that differ would have {best.reachable:.3g}",
        effect="the model learns the mean of the targets, and nothing that depends on the input",
        fix="Follow the inputs through forward: something scales them away, averages them, or reads another tensor.",
    )


def adds(real: Course, constant: Course) -> bool:
    """Say whether real inputs made more of it than constant ones."""
    return constant.after - real.after > USED * max(real.before - real.after, 1e-8)


def _as_well(real: Course, constant: Course) -> bool:
    """Say whether constant inputs made the same of it; one that learns otherwise with them uses them too."""
    return abs(constant.after - real.after) <= USED * abs(real.before)


RULES = (by_heart,)
