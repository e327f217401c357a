"""Noise of a batch: whether each sample has its own, and whether its levels are those of the whole schedule."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainkit.findings import Finding
from trainkit.inspection.recording import LEAVES, Fact, Op
from trainkit.inspection.source import Line
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.slopes import behind
from trainkit.inspection.step.view import INPUT, WEIGHT, View, seen
from trainkit.inspection.subject import Subject, found

NORMAL = ("randn", "randn_like", "normal")
PRODUCTS, SUMS = ("mul", "rmul"), ("add", "radd")
DRAWN = ("randint", "randint_like", "rand", "random", "multinomial")
HALF = 0.5
"""Share of the data in the noisiest input of a batch from which its schedule never gets to noise."""
MANY = 24
"""Samples of a batch from which its noise levels tell those of the schedule."""


def shared(subject: Subject) -> Iterator[Finding]:
    """Find a latent whose noise is drawn once for the whole batch."""
    view = seen(subject)
    if view is None or view.size < 2:
        return
    for op in view.path:
        if op.name not in PRODUCTS or len(op.inputs) != 2:
            continue
        for noise, scale in (op.inputs, op.inputs[::-1]):
            draw = behind(noise)[0].maker
            if draw is None or draw.name not in NORMAL or not noise.shape or not _is_shared(noise, scale, view.size):
                continue
            if not view.came(scale) >= {INPUT, WEIGHT} or not scale.requires_grad or not _is_shifted(view, op):
                continue
            place, line = view.place(draw, "noise")
            yield found(
                "noise-shared-by-batch",
                place,
                "draws one noise (eps) for the whole batch: all samples get the same noise, which broadcasts over the "
                "batch, and not one each (per sample)",
                severity="warning",
                at=draw.line or line,
                evidence=f"noise {tuple(noise.shape)} times {tuple(scale.shape)}",
                effect="the estimate over a batch is one draw: gradients are far noisier than the batch size says",
                fix="eps = torch.randn_like(std)",
            )
            return


def _is_shared(noise: Fact, scale: Fact, size: int) -> bool:
    """Say whether noise has no dimension for the samples that a scale has."""
    if not scale.shape or scale.shape[0] != size or len(scale.shape) < 2:
        return False
    lacking = len(noise.shape) < len(scale.shape) or noise.shape[0] == 1
    return lacking and noise.shape[-1] == scale.shape[-1] and noise.shape != scale.shape


def _is_shifted(view: View, op: Op) -> bool:
    """Say whether noise times deviation is added to a mean."""
    shape = op.outputs[0].shape
    readers = view.readers.get(op.outputs[0].number, [])
    return any(item.name in SUMS and all(fact.shape == shape for fact in item.inputs) for item in readers)


def levels(subject: Subject) -> Iterator[Finding]:
    """Look at inputs made as a * data + b * noise to predict that noise: which levels a batch holds."""
    view = seen(subject)
    if view is None or view.size < 4:
        return
    for op in view.path:
        mixed = _mixed(view, op)
        if mixed is None or not _is_predicted(view, mixed[2], op):
            continue
        clean, dirty, _ = mixed
        drawn = _drawn(view, clean)
        place, line = view.place(op, "timestep")
        squares = clean.tensor, dirty.tensor
        if squares[0] is None or squares[1] is None:
            continue
        data, rest = squares[0].double().flatten(), squares[1].double().flatten()
        one = len(data) == 1 or bool((data == data[0]).all())
        if one and drawn is not None and drawn.outputs[0].shape in ((), (1,), (1, 1)):
            yield found(
                "timestep-shared",
                place,
                "draws one timestep t for the whole batch: every sample of a batch has the same noise level, "
                "instead of one per sample",
                severity="warning",
                at=drawn.line or line,
                evidence=f"{drawn.name} of shape {tuple(drawn.outputs[0].shape)} for a batch of {view.size}",
                effect="the loss of a batch is that of one level: gradients are far noisier than they need be",
                fix="t = torch.randint(0, T, (x.shape[0],), device=x.device)",
            )
            return
        power = data.square() / (data.square() + rest.square()).clamp(min=1e-12)
        if not one and len(data) >= MANY and _stays_clean(clean) and float(power.min()) > HALF:
            yield found(
                "schedule-never-noise",
                place,
                "never gets to noise: the noise level of a timestep is taken from alpha or beta itself, and not from "
                "their cumulative product alpha_bar (torch.cumprod)",
                at=_table_line(clean) or line,
                evidence=f"the noisiest of {len(data)} inputs still holds {float(power.min()):.0%} of the data",
                effect="sampling starts from pure noise, which the model has never seen",
                fix="alpha_bar = torch.cumprod(1 - betas, dim=0); noisy = alpha_bar[t].sqrt() * x + "
                "(1 - alpha_bar[t]).sqrt() * noise",
            )
            return
        finding = _blind(view, op, clean) if not one else None
        if finding is not None:
            yield finding
            return


def _blind(view: View, op: Op, clean: Fact) -> Finding | None:
    """Tell that the network does not see which noise level its input has."""
    varied = any(fact.low != fact.high for made in _random(view, clean) for fact in made.outputs)
    calls = [call for call in view.recording.calls if any(fact is op.outputs[0] for fact in call.inputs)]
    if not varied or not calls:
        return None
    beside = [fact for fact in calls[0].inputs if fact is not op.outputs[0]]
    if not beside or any(fact.low is None or fact.low != fact.high for fact in beside):
        return None
    return found(
        "timestep-not-given",
        view.place(op, "timestep")[0],
        "gives the network a constant for the timestep: it is not told the noise level t that the input was made with",
        at=calls[0].line,
        evidence=f"its second input is {beside[0].low:g} for all samples, and t was drawn",
        effect="the network can only learn the average over all noise levels",
        fix="model(noisy, t) with the t that the noise was scaled by",
    )


def _random(view: View, fact: Fact) -> list[Op]:
    return [made for made in view.recording.ancestors(fact) if made.name in DRAWN]


def _drawn(view: View, fact: Fact) -> Op | None:
    """Return the operation that drew the time that a coefficient is of, perhaps as a plain number."""
    numbers = [
        op
        for op in view.recording.ops
        if op.name == "randint"
        and op.outputs
        and torch.Size(op.outputs[0].shape).numel() == 1
        and any(item.name in LEAVES for item in view.readers.get(op.outputs[0].number, []))
    ]
    return next(iter([*_random(view, fact), *numbers]), None)


def _is_predicted(view: View, noise: Fact, op: Op) -> bool:
    """Say whether a residual loss holds the network's answer to a noisy input against the noise in it."""
    for sink in view.sinks(*RESIDUALS):
        sides = [behind(fact)[0] for fact in sink.inputs[:2]]
        if noise in sides and any(op in view.recording.ancestors(fact) for fact in sink.inputs[:2]):
            return True
    for item in view.path:
        held = item.name in ("sub", "rsub") and len(item.inputs) == 2 and item.module is None
        if (
            held
            and noise in [behind(fact)[0] for fact in item.inputs]
            and op in view.recording.ancestors(item.outputs[0])
        ):
            return True
    return False


def _mixed(view: View, op: Op) -> tuple[Fact, Fact, Fact] | None:
    """Return the coefficients of data and of noise, and the noise."""
    if op.name not in SUMS or len(op.inputs) != 2:
        return None
    first, second = _term(op.inputs[0]), _term(op.inputs[1])
    if first is None or second is None:
        return None
    (one, data), (two, noise) = first, second
    if data.maker is not None and data.maker.name in NORMAL:
        (one, data), (two, noise) = (two, noise), (one, data)
    fits = noise.maker is not None and noise.maker.name in NORMAL and behind(data)[0] in (*view.inputs, *view.targets)
    return (one, two, noise) if fits and noise.shape == data.shape else None


def _term(fact: Fact) -> tuple[Fact, Fact] | None:
    """Return coefficient and tensor of their product."""
    op = fact.maker
    if op is None or op.name not in PRODUCTS or len(op.inputs) != 2:
        return None
    small, large = sorted(op.inputs, key=lambda item: torch.Size(item.shape).numel())
    rows = large.shape[0] if large.shape else 0
    return (small, large) if torch.Size(small.shape).numel() in (1, rows) else None


def _stays_clean(fact: Fact) -> bool:
    """Say whether a coefficient is of a table that holds no small one, whichever of its steps were drawn."""
    made = _table(fact)
    return made is not None and made.inputs[0].low is not None and made.inputs[0].low > HALF


def _table(fact: Fact) -> Op | None:
    """Return the operation that looks a coefficient up in a table of many steps."""
    made = fact.maker
    while made is not None and made.inputs:
        source = made.inputs[0]
        if made.name in ("getitem", "gather", "index_select", "take") and source.maker is None and source.shape:
            return made if source.shape[0] >= 8 else None
        made = source.maker
    return None


def _table_line(fact: Fact) -> Line | None:
    made = _table(fact)
    return made.line if made is not None else None


def velocity(subject: Subject) -> Iterator[Finding]:
    """Find a flow that is to predict the velocity of its path, and whose target points the other way."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        mixed = _mixed(view, op)
        if mixed is None or mixed[0].tensor is None or mixed[1].tensor is None:
            continue
        data, rest = mixed[0].tensor.double().flatten(), mixed[1].tensor.double().flatten()
        if len(data) < 4 or not torch.allclose(data + rest, torch.ones_like(data), atol=1e-5):
            continue
        for sink in view.sinks(*RESIDUALS):
            made = behind(sink.inputs[1])[0].maker
            if made is None or made.name != "sub" or len(made.inputs) != 2:
                continue
            ends = [behind(fact)[0] for fact in made.inputs]
            if mixed[2] not in ends or not any(fact in (*view.inputs, *view.targets) for fact in ends):
                continue
            rises = _rises(view, mixed[0], op)
            if rises is None or rises is (ends[1] is mixed[2]):
                continue
            place, line = view.place(made, "velocity")
            yield found(
                "velocity-turned",
                place,
                "is the target of flow matching with the wrong sign: the velocity is the derivative of x_t in t, and "
                "this points back along the path",
                at=made.line or line,
                evidence="x_t moves from noise to data as t grows, and the target is noise - data"
                if rises
                else "x_t moves from data to noise as t grows, and the target is data - noise",
                effect="integrating the model leads away from the data",
                fix="x_t = (1 - t) * x0 + t * x1; target = x1 - x0",
            )
            return


def _rises(view: View, clean: Fact, op: Op) -> bool | None:
    """Say whether the data's share is the time that the network is given; None if it is neither it nor 1 - it."""
    calls = [call for call in view.recording.calls if any(fact is op.outputs[0] for fact in call.inputs)]
    share = clean.tensor.flatten() if clean.tensor is not None else None
    for fact in calls[0].inputs if calls else ():
        time = fact.tensor.flatten() if fact.tensor is not None else None
        if time is None or share is None or time.shape != share.shape or not time.is_floating_point():
            continue
        if torch.allclose(time, share, atol=1e-6):
            return True
        if torch.allclose(1 - time, share, atol=1e-6):
            return False
    return None


RULES = (shared, levels, velocity)
