"""Random draws on the way to the loss: samples that carry no gradient, targets that nobody can know, wrong scales."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.objectives import judged, outputs_of
from trainkit.inspection.step.slopes import behind
from trainkit.inspection.step.view import WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found, unpacked

DRAWS = frozenset(["randn", "randn_like", "normal", "rand", "rand_like"])
LINEAR = frozenset(["linear", "matmul", "mm", "addmm", "bmm", "conv1d", "conv2d", "conv_transpose2d"])
APART = 0.1
"""Relative difference from which a gradient is not the one of the divergence."""


def not_reparameterised(subject: Subject) -> Iterator[Finding]:
    """Find a normal sample that goes on into layers, and whose mean and deviation get no gradient through it."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name != "normal" or op.grad_enabled or op.line is None or not op.inputs or not op.outputs:
            continue
        mean, _ = behind(op.inputs[0])
        learnt = mean.maker is not None and mean.maker.grad_enabled and WEIGHT in view.came(mean) and mean.requires_grad
        if not learnt or not _goes_into_layers(view, op) or _is_scored(view, op, mean):
            continue
        place, line = view.place(op, "sample")
        yield found(
            "gradient-cut",
            place,
            "draws with Normal.sample(), which runs without gradient (no_grad): what made its mean and deviation is "
            "not trained through the sample (no reparameterisation)",
            at=line,
            evidence=f"sample of shape {tuple(op.outputs[0].shape)} on the way to the loss, requires_grad is False",
            effect="the encoder learns nothing from the reconstruction",
            fix="Use rsample(): z = Normal(mu, std).rsample()",
        )
        return


def _goes_into_layers(view: View, draw: Op) -> bool:
    reached = {fact.number for fact in draw.outputs}
    for op in view.path:
        if op.number > draw.number and any(fact.number in reached for fact in op.inputs):
            if op.name in LINEAR:
                return True
            reached |= {fact.number for fact in op.outputs}
    return False


def _is_scored(view: View, draw: Op, mean: Fact) -> bool:
    """Say whether the density of the sample is taken too, as for a policy."""
    for op in view.recording.ops:
        if op.number > draw.number and op.name in ("sub", "rsub") and len(op.inputs) == 2:
            pair = {behind(fact)[0].number for fact in op.inputs}
            if pair == {mean.number, draw.outputs[0].number}:
                return True
    return False


def target_drawn(subject: Subject) -> Iterator[Finding]:
    """Find a residual loss against noise that no layer has seen: drawn for the loss alone."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks(*RESIDUALS):
        prediction, target = op.inputs[:2]
        draw = behind(target)[0].maker
        if draw is None or draw.name not in ("randn", "randn_like") or prediction.shape != target.shape:
            continue
        if target.shape[-1:] == (1,) or len(target.shape) < 2 or draw in view.recording.ancestors(prediction):
            continue
        place, line = view.place(op, "target")
        yield found(
            "target-random",
            place,
            "is noise drawn anew for the loss: the model never saw it, so it cannot be predicted",
            at=draw.line or line or view.loss_line,
            evidence=f"{draw.name} of shape {tuple(target.shape)} is read by the loss, and by nothing that leads to "
            "the prediction",
            effect="the best answer is 0 everywhere, and that is what is learnt",
            fix="Keep the noise that was added to the input, and give that as the target.",
        )
        return


def divergence(subject: Subject) -> Iterator[Finding]:
    """Hold the scale of a latent's noise against the divergence that the loss takes of it."""
    view = seen(subject)
    judge, outputs = (judged(view), outputs_of(view)) if view is not None else (None, None)
    if view is None or judge is None or not isinstance(outputs, tuple):
        return
    for op in view.path:
        drawn = latent(view, op)
        if drawn is None:
            continue
        mean, scale, sigma = drawn
        g = torch.Generator().manual_seed(0)
        parts = list(outputs)
        for at in (mean, scale):
            parts[at] = (torch.rand(parts[at].shape, generator=g) * 1.2 + 0.2).to(parts[at]).requires_grad_()
        try:
            value = judge(tuple(parts), unpacked(subject.batch)[1])
            slopes = torch.autograd.grad(value, [parts[mean], parts[scale]], allow_unused=True)
        except Exception:  # noqa: BLE001 - a loss may take its outputs in a form of its own
            return
        finding = _held(view, op, (parts[mean], parts[scale]), slopes, (view.outputs[scale].tensor, sigma.tensor))
        if finding is not None:
            yield finding
        return


def latent(view: View, op: Op) -> tuple[int, int, Fact] | None:
    """Return which outputs are mean and scale of a latent that is mean + deviation * noise, and its deviation."""
    if op.name not in ("mul", "rmul") or len(op.inputs) != 2 or op.inputs[0].shape != op.inputs[1].shape:
        return None
    noise = [fact for fact in op.inputs if (maker := behind(fact)[0].maker) is not None and maker.name in DRAWS]
    if len(noise) != 1:
        return None
    sigma = next(fact for fact in op.inputs if fact is not noise[0])
    numbers = [behind(fact, frozenset())[0].number for fact in view.outputs]
    came = {fact.number for made in view.recording.ancestors(sigma) for fact in made.inputs} | {sigma.number}
    scales = [at for at, number in enumerate(numbers) if number in came and view.outputs[at].shape == sigma.shape]
    for reader in view.readers.get(op.outputs[0].number, []):
        means = [at for at, number in enumerate(numbers) if number in {fact.number for fact in reader.inputs}]
        if reader.name in ("add", "radd") and len(means) == 1 and len(scales) == 1 and means != scales:
            return means[0], scales[0], sigma
    return None


def _held(
    view: View,
    op: Op,
    points: tuple[Tensor, Tensor],
    slopes: tuple[Tensor | None, ...],
    known: tuple[Tensor | None, Tensor | None],
) -> Finding | None:
    """Return what is wrong if the divergence is of another deviation than that of the noise."""
    mean, scale = (point.detach().double() for point in points)
    if slopes[0] is None or slopes[1] is None or known[0] is None or known[1] is None:
        return None
    of_mean, of_scale = (slope.double() for slope in slopes if slope is not None)
    weight = float((of_mean * mean).sum() / mean.square().sum())
    if weight <= 0 or float((of_mean - weight * mean).norm()) > 1e-3 * float(of_mean.norm()) or not of_scale.any():
        return None  # no divergence from a standard normal
    raw, sigma = known[0].double().flatten(), known[1].double().flatten()
    if torch.allclose(raw, sigma):
        wanted, how = weight * (scale - 1 / scale), "itself"
    elif bool((sigma > 0).all()) and float(raw.std()) > 1e-6:
        power = float((sigma.log() * raw).sum() / raw.square().sum())
        if float((sigma.log() - power * raw).norm()) > 1e-3 * float(sigma.log().norm()):
            return None
        wanted, how = weight * power * ((2 * power * scale).exp() - 1), f"exp({power:.3g} * it)"
    else:
        return None
    gap = float((wanted - of_scale).norm()) / float(wanted.norm())
    if gap < APART or not math.isfinite(gap):
        return None
    place, line = view.place(op, "std")
    return found(
        "deviation-unlike-divergence",
        place,
        f"multiplies the noise with {how} as deviation (std), and the KL divergence of the loss takes the same output "
        "for another: logvar, log of std and std are mixed up, or the formula is not that of two Gaussians",
        at=line,
        evidence=f"the gradient of the KL term in this output differs by {gap:.0%} from that of the deviation in use",
        effect="the latents that are drawn are not those that the divergence holds near the prior",
        fix="std = (0.5 * logvar).exp(), and -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()",
    )


RULES = (not_reparameterised, target_drawn, divergence)
