"""Weights that start at zero together: each one's gradient is a multiple of the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.step.initial import equal_units
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.step.written import filling
from trainkit.inspection.subject import Subject, found

MOST = 6
"""Weights that are tried."""


def both_zero(subject: Subject) -> Iterator[Finding]:
    """Find factors of one product, such as LoRA's A and B, that are both zero: moving one feeds the other."""
    view = seen(subject)
    if view is None or subject.train_step is not None or not any(view.slopes.values()):
        return
    zero = [
        name
        for name, p in subject.model.named_parameters()
        if p.requires_grad and p.dim() > 1 and p.numel() > 1 and not bool(p.any()) and view.slopes.get(name) == 0.0
    ]
    if len(zero) < 2 or any(equal_units(subject)):
        return
    for name in zero[:MOST]:
        fed = sorted(_fed_by(view, name) & set(zero))
        if not fed:
            continue
        owner, other = name.rpartition(".")[0], fed[0]
        place, line = filling(subject, name, constant=0.0) or (name, subject.where_built(owner))
        yield found(
            "factors-both-zero",
            f"{name} and {other}",
            "are factors of one product (LoRA's A and B, an adapter) and both initialised to zero: the gradient of "
            f"each is a multiple of the other ({place})",
            at=line,
            evidence=f"both gradients are exactly 0; with random {name} there is one for {other}",
            effect="neither ever moves: the adapter is never trained",
            fix="Start one at random (nn.init.kaiming_uniform_(A)), the other at zero",
        )
        return


def _fed_by(view: View, name: str) -> set[str]:
    """Return the weights that get a gradient other than zero once a weight is random, and got none before."""
    subject = view.subject
    with subject.scratch() as scratch:
        model = scratch.model
        model.train()
        model.zero_grad()
        with torch.no_grad():
            weight = dict(model.named_parameters())[name]
            weight.copy_(0.1 * torch.randn_like(weight))
        try:
            loss = subject.run(model, scratch.loss, subject.batch).loss
            assert isinstance(loss, Tensor)
            loss.backward()
        except Exception:  # noqa: BLE001 - other weights may break the user's code: nothing is known then
            return set()
        return {
            other
            for other, p in model.named_parameters()
            if other != name and p.grad is not None and bool(p.grad.any()) and view.slopes.get(other) == 0.0
        }


RULES = (both_zero,)
