"""Trainable weights that a step leaves without a gradient."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from trainkit.inspection.loop.watching import watched
from trainkit.inspection.passes import probed
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Stuck, Subject

FEWEST = 2
"""Samples that a norm over the batch can do with."""


def starved(subject: Subject) -> frozenset[str]:
    """Return the names of optimized weights that no loss gives a gradient other than zero.

    A gradient of exactly zero counts only if it stays so for other weights: behind a gate of 0 it does not.
    """
    return frozenset(subject.once(_starved))


def _starved(subject: Subject) -> set[str]:
    view = seen(subject)
    if view is None or not view.losses or not all(loss.finite for loss in view.losses):
        return set()
    if subject.train_step is not None:
        try:
            return watched(subject).starved
        except Stuck:
            return set()
    names = {name for name in _optimized(subject) if not _is_live(view.gradients.get(name))}
    zero = {name for name in names if view.gradients.get(name) is not None}
    return names - zero | (_still(view, zero) if zero else set())


def _still(view: View, zero: set[str]) -> set[str]:
    """Return those of some weights whose gradient is zero for other values of all weights too."""
    subject = view.subject
    if subject.is_slow:  # a few samples show most weights that have a gradient after all
        with suppress(Stuck):
            few = _elsewhere(view, probed(subject, FEWEST))
            zero = zero if few is None else zero & few
    return zero & (_elsewhere(view, subject.batch) or set()) if zero else zero


def _optimized(subject: Subject) -> list[str]:
    held = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    trained = ((name, p) for name, p in subject.model.named_parameters() if p.requires_grad)
    return [name for name, p in trained if not held or id(p) in held]


def _is_live(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _elsewhere(view: View, batch: Any) -> set[str] | None:
    """Return the weights whose gradient on a batch is zero for other values of all weights; None if none are known."""
    subject = view.subject
    with subject.scratch() as scratch:
        model = scratch.model
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad and parameter.is_floating_point():
                    spread = (0.1 * parameter).square_().add_(0.02**2).sqrt_()
                    parameter.add_(spread.mul_(torch.randn_like(parameter)))
        model.train()
        model.zero_grad()
        try:
            loss = subject.run(model, scratch.loss, batch).loss
            assert isinstance(loss, Tensor)
            loss.backward()
        except Exception:  # noqa: BLE001 - other weights may break the user's code
            return None
        if not bool(torch.isfinite(loss)):
            return None
        return {name for name, parameter in model.named_parameters() if not _is_live(parameter.grad)}
