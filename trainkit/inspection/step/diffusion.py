"""Noise added by a schedule: the two coefficients, and what the model is told to predict."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.slopes import behind
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

NORMAL, UNIFORM = ("randn", "randn_like"), ("rand", "rand_like")
NEAR = 1e-3
"""Error up to which two coefficients are said to add up to 1."""


def schedule(subject: Subject) -> Iterator[Finding]:
    """Look at inputs that are made as a * data + b * noise with a and b out of a table, to predict that noise."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        mixed = _mixed(view, op)
        if mixed is None:
            continue
        (one, two, noise) = mixed
        target = _target(view)
        if target is None or behind(target)[0] not in (noise, op.outputs[0]):
            continue
        place, line = view.place(op, "noise")
        squares, plain = one**2 + two**2, one + two
        if behind(target)[0] is op.outputs[0]:
            what, fix = "is also the target: the model is told to give back the noisy input that it reads", "noise"
            evidence = "input and target are one tensor"
        elif noise.maker is not None and noise.maker.name in UNIFORM and bool(((squares - 1).abs() < NEAR).all()):
            what = "adds noise that is uniform (rand), where the schedule is made for normal noise"
            evidence, fix = f"{noise.maker.name}: values in 0..1, of mean 0.5", "noise = torch.randn_like(x)"
            line = noise.maker.line or line
        elif bool(((plain - 1).abs() < NEAR).all()) and _is_table(one):
            what = "mixes data and noise with alpha_bar and 1 - alpha_bar: their square roots (sqrt) are missing"
            evidence = f"a + b = 1 for all samples, and a**2 + b**2 goes down to {float(squares.min()):.3g}"
            fix = "noisy = abar.sqrt() * x + (1 - abar).sqrt() * noise"
        else:
            continue
        yield found(
            "noise-schedule",
            place,
            what,
            at=line or view.loss_line,
            evidence=evidence,
            effect="the model learns other noise levels than those that sampling goes through",
            fix=fix if fix != "noise" else "loss = F.mse_loss(model(noisy, t), noise)",
        )
        return


def _target(view: View) -> Fact | None:
    sinks = view.sinks(*RESIDUALS)
    return sinks[0].inputs[1] if len(sinks) == 1 else None


def _mixed(view: View, op: Op) -> tuple[Tensor, Tensor, Fact] | None:
    """Return the coefficients of data and of noise, of each sample, and the noise."""
    if op.name not in ("add", "radd") or len(op.inputs) != 2:
        return None
    terms = [_term(fact) for fact in op.inputs]
    if any(term is None for term in terms):
        return None
    (a, data), (b, noise) = [term for term in terms if term is not None]
    if data.maker is not None and data.maker.name in (*NORMAL, *UNIFORM):
        (a, data), (b, noise) = (b, noise), (a, data)
    drawn = noise.maker is not None and noise.maker.name in (*NORMAL, *UNIFORM)
    one, two = a.tensor, b.tensor
    if not drawn or behind(data)[0] not in (*view.inputs, *view.targets) or one is None or two is None:
        return None
    if one.shape != two.shape or one.numel() != op.outputs[0].shape[0] or one.numel() < 8:
        return None
    return one.double().flatten(), two.double().flatten(), noise


def _term(fact: Fact) -> tuple[Fact, Fact] | None:
    """Return coefficient and tensor of a product of one number for each sample with a tensor."""
    op = fact.maker
    if op is None or op.name not in ("mul", "rmul") or len(op.inputs) != 2:
        return None
    small, large = sorted(op.inputs, key=lambda item: torch.Size(item.shape).numel())
    per_sample = large.shape[0] == small.shape[0] if large.shape and small.shape else False
    return (small, large) if per_sample and torch.Size(small.shape).numel() == small.shape[0] else None


def _is_table(values: Tensor) -> bool:
    """Say whether coefficients lie on no straight line of equal steps, as those of a product of many factors do."""
    points = values.unique()
    if len(points) < 6:
        return False
    gaps = points.diff()
    units = gaps / gaps.min().clamp(min=1e-12)
    return bool(((units - units.round()).abs() > 0.05).double().mean() > 0.3)


RULES = (schedule,)
