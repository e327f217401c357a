"""What a training step does around the gradients: scaling, accumulation, schedules, averages of the weights."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainkit.findings import Finding
from trainkit.inspection.loop.following import functions
from trainkit.inspection.loop.watching import STRAY
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

ADAPTIVE = ("adam", "rms", "adagrad", "adadelta", "lion", "lamb", "adafactor", "rprop")
NOTHING = 0.1
"""Share of itself that a moving average keeps in a step, below which it is none."""
"""Words in the names of optimizers for which the size of a gradient hardly matters."""


def scaler(step: Step) -> Iterator[Finding]:
    """Look at the order of a gradient scaler's calls."""
    for events in step.seen.steps:
        kinds = [event.kind for event in events]
        if "scale" not in kinds and "scaled_step" not in kinds:
            continue
        clips = [number for number, kind in enumerate(kinds) if kind == "clip"]
        steps = [number for number, kind in enumerate(kinds) if kind == "step"]
        scaled = [number for number, kind in enumerate(kinds) if kind == "scaled_step"]
        for clip in clips:
            if "unscale" not in kinds[:clip] and any(number > clip for number in steps):
                yield found(
                    "clips-scaled-gradients",
                    f"{step.place}: clip",
                    "clips gradients that the GradScaler has not unscaled: the limit is 65536 times too small",
                    at=events[clip].line or step.at,
                    evidence=f"order: {', '.join(kind for kind in kinds if kind != 'forward')}",
                    effect="nearly every step is clipped, and by another amount whenever the scale changes",
                    fix="scaler.unscale_(optimizer) before clip_grad_norm_",
                )
                return
        if "scale" in kinds and steps and not scaled:
            yield found(
                "scaler-bypassed",
                f"{step.place}: step",
                "scales the loss, and calls optimizer.step() itself: the steps use scaled gradients",
                at=events[steps[0]].line or step.at,
                evidence="scaler.scale() without scaler.step()",
                effect="updates are 65536 times too large, and infinite gradients are not skipped",
                fix="scaler.step(optimizer); scaler.update()",
            )
            return
        scales = [event.value for event in events if event.kind == "scale"]
        graded = [event for event in events if event.kind == "backward"]
        value = graded[0].value if graded else None
        if scaled and value and scales and not any(scale is None or _same(value, scale) for scale in scales):
            yield found(
                "scaler-bypassed",
                f"{step.place}: backward",
                "calls backward() on the loss itself, and not on what scaler.scale(loss) gives: scaler.step() divides "
                "the gradients by a scale that they never had",
                at=graded[0].line or step.at,
                evidence=f"backward of {value:.3g}, scaled loss {scales[0]:.3g}",
                effect="updates are 65536 times too small",
                fix="scaler.scale(loss).backward()",
            )
            return
        if scaled and "update" not in {event.kind for event in step.seen.events("update")}:
            yield found(
                "scaler-not-updated",
                f"{step.place}: update",
                "never calls scaler.update(): the scale stays, and the scaler fails at the next step",
                at=events[scaled[0]].line or step.at,
                effect="training ends at the second step, or with infinite gradients for ever",
                fix="scaler.update() after scaler.step(optimizer)",
            )
        return


def accumulated(step: Step) -> Iterator[Finding]:
    """Compare what goes into backward with the loss, where several backward passes make one step."""
    counts, values = [], []
    count = 0
    for events, losses in zip(step.seen.steps, step.seen.losses, strict=True):
        for event in events:
            if event.kind == "backward":
                count += 1
                values.append((event.value, losses))
            elif event.kind == "step":
                counts.append(count)
            if event.kind in ("step", "zero_grad"):
                count = 0
    if len(step.subject.optimizers) != 1 or not counts or min(counts) < 2:
        return
    if any(event.carried for event in step.seen.events("step")) or any(e.wasted for e in step.seen.events("zero_grad")):
        return
    moves = step.seen.moves.steps if step.seen.moves is not None else []
    if any(move.factor is None or not _same(move.factor, 1.0) for move in moves if move.used is not None):
        return  # divided, or limited, by hand
    undivided = [value for value, losses in values if value is not None and any(_same(value, loss) for loss in losses)]
    if len(undivided) < len(values):
        return
    name = type(step.subject.optimizers[0]).__name__
    adaptive = any(word in name.lower() for word in ADAPTIVE)
    lines = [event.line for event in step.seen.events("backward") if event.line is not None]
    yield found(
        "accumulates-undivided",
        f"{step.place}: backward",
        f"adds up the gradients of {min(counts)} small batches without dividing the loss by {min(counts)}",
        severity="info" if adaptive else "warning",
        at=lines[0] if lines else step.at,
        evidence=f"{min(counts)} backward passes a step, each of the whole loss ({undivided[0]:.3g})",
        effect=f"the gradient, and with {name} the rate, is {min(counts)} times that of one large batch"
        + ("; Adam and its like hardly mind, clipping does" if adaptive else ""),
        fix=f"(loss / {min(counts)}).backward()",
    )


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-5 * max(abs(one), abs(other), 1e-12)


def made_anew(step: Step) -> Iterator[Finding]:
    """Tell of an optimizer that each step makes."""
    made = step.seen.events("made")
    if len(made) < len(step.seen.steps) or len(step.seen.steps) < 2:
        return
    if any(event.which != STRAY for event in step.seen.events("step")):
        return  # those that are made serve another network, such as the copy of an inner loop
    yield found(
        "optimizer-made-in-step",
        f"{step.place}: optimizer",
        "makes a new optimizer at every step: its state (momentum, Adam's averages) is lost each time",
        at=made[0].line or step.at,
        evidence=f"{len(made)} made in {len(step.seen.steps)} steps",
        effect="every step is a first step; a schedule acts on an optimizer that is gone",
        fix="Make it once, before training",
    )


def scheduled(step: Step) -> Iterator[Finding]:
    """Tell of a schedule that steps before the optimizer, or both here and in the loop."""
    events = step.seen.events("schedule")
    if not events:
        return
    fed = [event for event in events if event.value is not None and not float(event.value).is_integer()]
    if fed:
        yield found(
            "schedule-given-a-figure",
            f"{step.place}: scheduler.step",
            f"scheduler.step({fed[0].value:.4g}) gives a figure to a schedule that takes none: it is read as the "
            "number of the epoch",
            at=fed[0].line or step.at,
            evidence=f"{len(fed)} calls with a value such as {fed[0].value:.4g}; only ReduceLROnPlateau takes a loss",
            effect="the schedule jumps to epoch 0 or 1, and the rate never follows it",
            fix="scheduler.step() with no argument",
        )
        return
    first = next(events for events in step.seen.steps if any(event.kind == "schedule" for event in events))
    kinds = [event.kind for event in first]
    if "step" in kinds and kinds.index("schedule") < kinds.index("step"):
        yield found(
            "schedule-before-step",
            f"{step.place}: scheduler.step",
            "scheduler.step() comes before optimizer.step(): the first rate of the schedule is never used",
            severity="warning",
            at=next(event.line for event in first if event.kind == "schedule") or step.at,
            evidence=f"order: {', '.join(kind for kind in kinds if kind != 'forward')}",
            effect="all rates come one step early",
            fix="optimizer.step(), then scheduler.step()",
        )


def averaged(step: Step) -> Iterator[Finding]:
    """Look at how much of itself an average of the weights keeps in a step."""
    for name, key, kept in step.seen.averages:
        if not 0.0005 < kept < 0.2 or any(True for code in functions(step) for _ in code.calls("min")):
            continue  # min(decay, (1 + t) / (10 + t)) begins low
        yield found(
            "average-forgets",
            f"{step.place}: {name}",
            f"the moving average (EMA) keeps {kept:.3g} of itself and takes {1 - kept:.3g} of the new weights: "
            "decay the wrong way round?",
            severity="error" if kept < NOTHING else "warning",
            at=_averaging(step),
            evidence=f"{name}.{key} over one step",
            effect="the average is the last weights, with all their noise",
            fix=f"average.mul_({1 - kept:.3g}).add_(weight, alpha={kept:.3g})",
        )
        return


def _averaging(step: Step) -> Line | None:
    """Return the line that moves the average, in the step or in a function that it calls."""
    if step.code is None:
        return None
    whole = tree(step.code.file)
    names = {called(call) for call in step.code.calls()}
    functions = (
        [node for node in walk(whole) if isinstance(node, ast.FunctionDef) and node.name in names]
        if whole is not None
        else []
    )
    for part in (step.code.node, *functions):
        for node in walk(part):
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ("lerp_", "mul_", "copy_", "lerp"):
                return Line(step.code.file, node.lineno)
    return step.at


RULES = (scaler, accumulated, made_anew, scheduled, averaged)
