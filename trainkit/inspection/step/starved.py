"""Trainable weights that a step leaves without a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from trainkit.inspection.loop.watching import watched
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Stuck, Subject


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
    return names - zero | (zero & _elsewhere(view) if zero else set())


def _optimized(subject: Subject) -> list[str]:
    held = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    trained = ((name, p) for name, p in subject.model.named_parameters() if p.requires_grad)
    return [name for name, p in trained if not held or id(p) in held]


def _is_live(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _elsewhere(view: View) -> set[str]:
    """Return the weights whose gradient is zero for other values of all weights too."""
    subject = view.subject
    with subject.scratch() as scratch:
        model = scratch.model
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad and parameter.is_floating_point():
                    parameter.add_(0.02 * torch.randn_like(parameter) + 0.1 * parameter * torch.randn_like(parameter))
        model.train()
        model.zero_grad()
        try:
            loss = subject.run(model, scratch.loss, subject.batch).loss
            assert isinstance(loss, Tensor)
            loss.backward()
        except Exception:  # noqa: BLE001 - other weights may break the user's code: nothing is known then
            return set()
        if not bool(torch.isfinite(loss)):
            return set()
        return {name for name, parameter in model.named_parameters() if not _is_live(parameter.grad)}
