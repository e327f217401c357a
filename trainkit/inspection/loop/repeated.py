"""What a step does once more than it should, or by an amount that is no longer the gradient's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.loop.around import ADAPTIVE
from trainkit.inspection.loop.watching import Event
from trainkit.inspection.source import Line
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

FAR_BELOW = 100.0
"""How many times the norm of every gradient exceeds a limit that sets the step."""


def twice(step: Step) -> Iterator[Finding]:
    """Tell of an optimizer that steps twice along the same gradients, in each of the steps."""
    seen: list[Event] = []
    for events in step.seen.steps:
        pairs = [
            later
            for number, event in enumerate(events)
            if event.kind == "step" and event.norm > 0
            for later in _again(events[number + 1 :], event)
        ]
        if not pairs:
            return
        seen += pairs[:1]
    if len(seen) < 3 or any(isinstance(item, torch.optim.LBFGS) for item in step.subject.optimizers):
        return
    yield found(
        "stepped-twice",
        f"{step.place}: step",
        "calls optimizer.step() twice for one backward(): the second moves the weights again along the same gradients",
        severity="warning",
        at=seen[0].line or step.at,
        evidence=f"in {len(seen)} steps, with the same gradient norm ({seen[0].norm:.3g} in the first)",
        effect="each update is made twice: the rate is not the one that is set",
        fix="One optimizer.step() after each backward()",
    )


def _again(events: list[Event], first: Event) -> Iterator[Event]:
    """Yield the step that follows with nothing between that makes or clears gradients."""
    for event in events:
        if event.kind in ("backward", "zero_grad", "forward", "clip"):
            return
        if event.kind == "step" and event.which == first.which and abs(event.norm - first.norm) < 1e-6 * first.norm:
            yield event
            return


def clipped_to(step: Step) -> Iterator[Finding]:
    """Tell of a limit of the norm that every gradient exceeds by far."""
    events = [event for event in step.seen.events("clip") if event.value is not None and not event.disjoint]
    lines = {event.line for event in events}
    by_norm = any(event.line is not None and "clip_grad_norm" in event.line.text for event in events)
    scaled = bool(step.seen.events("scale"))
    if len(events) < 3 or len(lines) != 1 or not by_norm or scaled or len(step.subject.optimizers) != 1:
        return
    limit = events[0].value or 0.0
    least = min(event.norm for event in events)
    if limit <= 0 or any(event.value != limit for event in events) or least < FAR_BELOW * limit:
        return
    yield _sets_step(
        step,
        events[0].line,
        f"the gradient norm to {limit:g}, far below every norm: clipping sets the step, not the gradient",
        f"norms from {least:.3g} to {max(event.norm for event in events):.3g} before clipping",
        f"steps are at least {least / limit:.0f} times smaller than the learning rate says",
        "hardly minds, but the limit is of no use",
    )


def clipped_values(step: Step) -> Iterator[Finding]:
    """Tell of a limit of each gradient's values that they exceed by far."""
    events = [event for event in step.seen.events("clip") if event.value is not None and not event.disjoint]
    clips = [clip for each in (step.seen.moves.clips if step.seen.moves is not None else []) for clip in each]
    scaled = bool(step.seen.events("scale"))
    if len(events) < 3 or len(clips) != len(events) or scaled or len(step.subject.optimizers) != 1:
        return
    limit = events[0].value or 0.0
    if any(clip.function != "clip_grad_value_" for clip in clips) or any(event.value != limit for event in events):
        return
    least = min(clip.largest for clip in clips)
    if limit <= 0 or least < FAR_BELOW * limit:
        return
    yield _sets_step(
        step,
        clips[0].line,
        f"each value of the gradients to {limit:g} (clip_value), far too small: only their signs are left",
        f"the largest value is {least:.3g} or more in each of {len(clips)} steps",
        f"steps are about {least / limit:.0f} times smaller than the learning rate says: hardly anything moves",
        "goes on with the signs of the gradients",
    )


def _sets_step(step: Step, line: Line | None, limited: str, evidence: str, effect: str, adapted: str) -> Finding:
    """Return the finding of a limit so low that it, and not the gradient, sets the step; Adam and its like adapt."""
    name = type(step.subject.optimizers[0]).__name__
    adaptive = any(word in name.lower() for word in ADAPTIVE)
    return found(
        "clip-sets-step",
        f"{step.place}: clip",
        f"limits {limited}",
        severity="info" if adaptive else "warning",
        at=line or step.at,
        evidence=evidence,
        effect=f"{name} {adapted}" if adaptive else effect,
        fix="clip_grad_norm_(model.parameters(), 1.0), or a limit near what is usual",
    )


def clipped_part(step: Step) -> Iterator[Finding]:
    """Tell of a limit that leaves out the larger part of the gradient, or all recurrent weights."""
    moves = step.seen.moves
    if moves is None or len(step.subject.optimizers) != 1 or step.seen.events("scale") or len(moves.clips) < 3:
        return
    if any(len(each) != 1 or not each[0].held for each in moves.clips):
        return
    clips = [each[0] for each in moves.clips]
    limits = [event.value or 0.0 for event in step.seen.events("clip")]
    model = step.subject.model
    left = [name for name, p in model.named_parameters() if p.requires_grad and name not in clips[0].held]
    recurrent = [
        name for path, m in model.named_modules() if isinstance(m, nn.RNNBase) for name in left if name.startswith(path)
    ]
    above = all(clip.rest > limit for clip, limit in zip(clips, limits, strict=False))
    beyond = recurrent and not any(name.rpartition(".")[2].startswith("weight_hh") for name in clips[0].held)
    if not left or not (above or beyond) or any(clip.rest == 0 for clip in clips):
        return
    yield found(
        "clips-a-part",
        f"{step.place}: clip",
        f"clips the gradients of a part of the model only: {', '.join(left[:3])} are not clipped",
        severity="warning",
        at=clips[0].line or step.at,
        evidence=f"norm of the gradients that stay unclipped: {min(clip.rest for clip in clips):.3g} or more"
        + (", recurrent weights among them" if beyond else f", the limit is {limits[0]:g}"),
        effect="where gradients explode, nothing holds them",
        fix="clip_grad_norm_(model.parameters(), max_norm)",
    )


RULES = (twice, clipped_to, clipped_values, clipped_part)
