"""Two networks against each other: what each is told about the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Fact
from trainkit.inspection.source import Line
from trainkit.inspection.step.bounds import activation, bounds
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.step.view import View
from trainkit.inspection.subject import Subject, found

LIKE = 0.05
"""Relative difference up to which two losses ask for the same."""


@dataclass(slots=True)
class Verdict:
    """What a critic said of some samples, and which way its answers are pushed."""

    scores: Tensor
    slopes: Tensor
    made: bool
    """Whether the other network made the samples."""
    through: bool
    """Whether the gradient goes on into the network that made them."""
    line: Line | None
    fact: Fact


def labels(subject: Subject) -> Iterator[Finding]:
    """Compare how a critic's scores are pushed: of real samples, of made ones, and by the network that makes them."""
    if subject.train_step is None or len(subject.optimizers) != 2 or subject.train_set is None:
        return
    held = [{id(p) for group in o.param_groups for p in group["params"]} for o in subject.optimizers]
    if held[0] & held[1]:
        return
    seen = sloped(subject)
    names = [{name for name, p in subject.model.named_parameters() if id(p) in own} for own in held]
    for critic, maker in ((names[0], names[1]), (names[1], names[0])):
        verdicts = [] if seen is None else list(_verdicts(*seen, critic, maker))
        told = [v for v in verdicts if v.made and not v.through]
        fooled = [v for v in verdicts if v.made and v.through]
        real = [v for v in verdicts if not v.made]
        if len(told) != 1:
            continue
        as_fooled = len(fooled) == 1 and _asks_alike(told[0], fooled[0])
        one_way = len(real) == 1 and as_fooled and _one_way(told[0], real[0])
        if one_way or (len(real) == 1 and _asks_alike(told[0], real[0])):
            yield _finding("is taught the same of real samples and of generated (fake) ones", told[0])
        elif as_fooled:
            yield _finding(
                "is what the generator is trained for: to be told as fake, not to be taken for real", fooled[0]
            )


def _verdicts(view: View, slopes: dict[int, Tensor], critic: set[str], maker: set[str]) -> Iterator[Verdict]:
    for call in view.recording.calls:
        if not call.path or not call.inputs or len(call.outputs) != 1 or not _is_all_of(view, call, critic):
            continue
        if (made := call.inputs[0].maker) is not None and made.name == "requires_grad":
            continue  # asked for its gradient, as a gradient penalty does
        scores, slope = call.outputs[0].tensor, slopes.get(call.outputs[0].number)
        if scores is None or slope is None or scores.shape != slope.shape or not slope.any():
            continue
        came = {fact.name for op in view.recording.ancestors(call.inputs[0]) for fact in op.inputs}
        readers = view.readers.get(call.outputs[0].number, [])
        line = readers[0].line if readers else call.line
        yield Verdict(scores, slope, bool(came & maker), call.inputs[0].requires_grad, line, call.outputs[0])


def _is_all_of(view: View, call: Call, names: set[str]) -> bool:
    return bool(names) and {f"{call.path}.{name}" for name, _ in call.module.named_parameters()} == names


def _one_way(one: Verdict, other: Verdict) -> bool:
    ways = torch.cat([one.slopes.flatten(), other.slopes.flatten()])
    return bool((ways >= 0).all() or (ways <= 0).all())


def _asks_alike(one: Verdict, other: Verdict) -> bool:
    """Say whether two gradients are one function of the scores."""
    if one.scores.shape != other.scores.shape:
        return False
    x, g = one.scores.double().flatten(), one.slopes.double().flatten()
    z, h = other.scores.double().flatten(), other.slopes.double().flatten()
    if len(x) < 8:
        return False
    if float(g.std() + h.std()) < 1e-6 * float(g.abs().mean()):
        return bool(torch.allclose(g.mean(), h.mean(), rtol=LIKE))  # the scores themselves, as Wasserstein's
    powers = torch.stack([x**0, x, x**2, x**3], 1)
    curve = torch.linalg.lstsq(powers, g[:, None]).solution
    size = float(g.norm())
    if float((powers @ curve - g[:, None]).norm()) > LIKE * size:
        return False
    near = (z >= x.min() - 0.1) & (z <= x.max() + 0.1)
    if float(near.double().mean()) < 0.5:
        return False
    z, h = z[near], h[near]
    expected = (torch.stack([z**0, z, z**2, z**3], 1) @ curve)[:, 0]
    return float((expected - h).norm()) <= LIKE * float(expected.norm()) and float(expected.norm()) > 0


def _finding(what: str, verdict: Verdict) -> Finding:
    place = "train_step: labels"
    is_real = not verdict.through
    return found(
        "adversarial-labels",
        place,
        f"the discriminator {what}: the labels (ones and zeros, or the sign) of one side are swapped"
        if is_real
        else f"the discriminator's verdict {what}: its label (one or zero, or the sign) is that of the discriminator",
        at=verdict.line,
        evidence="the gradients of both losses are one function of the scores: both pull the same way",
        effect="there is no contest: real and fake are not told apart"
        if is_real
        else "the generator learns to be found out",
        fix="D: loss(D(real), ones) + loss(D(fake.detach()), zeros); G: loss(D(fake), ones)",
    )


def bounded_critic(subject: Subject) -> Iterator[Finding]:
    """Find a critic whose mean scores are compared as a Wasserstein distance, and that ends in a bounded activation."""
    if subject.train_step is None or len(subject.optimizers) != 2 or subject.train_set is None:
        return
    seen = sloped(subject)
    held = [{id(p) for group in o.param_groups for p in group["params"]} for o in subject.optimizers]
    names = [{name for name, p in subject.model.named_parameters() if id(p) in own} for own in held]
    for critic, maker in ((names[0], names[1]), (names[1], names[0])) if seen is not None else ():
        assert seen is not None
        verdicts = [v for v in _verdicts(*seen, critic, maker) if not v.through]
        told, real = ([v for v in verdicts if v.made is made] for made in (True, False))
        if len(told) != 1 or len(real) != 1 or not _is_flat(told[0].slopes) or not _is_flat(real[0].slopes):
            continue
        low, high = bounds(seen[0], told[0].fact)
        bend = activation(seen[0], told[0].fact)
        if float(told[0].slopes.mean()) * float(real[0].slopes.mean()) >= 0 or bend is None or high - low > 4:
            continue
        place, line = seen[0].place(bend)
        yield found(
            "critic-bounded",
            place,
            f"ends the critic of a Wasserstein GAN (WGAN) in {bend.name}: its mean scores are compared as they are, "
            "and must be unbounded",
            severity="warning",
            at=line,
            evidence=f"scores within {low:g}..{high:g}; the loss is linear in them",
            effect="the critic saturates, and the generator gets hardly any gradient",
            fix=f"Leave {bend.name} out, or use the binary cross entropy of a plain GAN.",
        )
        return


def _is_flat(slopes: Tensor) -> bool:
    return bool((slopes - slopes.flatten()[0]).abs().max() < 1e-4 * slopes.abs().max())


RULES = (labels, bounded_critic)
