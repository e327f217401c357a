"""Short trainings on copies, for what one step cannot tell: bounded in steps and in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.findings import Finding
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.loop.copies import Copies, copies_with
from trainkit.inspection.subject import Scratch, Subject, found
from trainkit.inspection.untouched import kept_generators

SECONDS = 0.5
"""Time that one trial may take; ``deep`` gives ten times that."""
TOTAL = 1.5
"""Time that all trials of a subject may take together; ``deep`` gives ten times that."""
SLOW = 3.0
"""CPU seconds of the recorded step from which no other is taken that only looks at other samples."""
RECORDED = 10
"""Multiple of its limit from which a trial is not begun, by the time of the recorded step: a plain one takes less."""
BATCHES = 8
"""Different batches of a trial, which go round."""
Step = Callable[[Any, list[Optimizer], Any], float]
"""Takes a step of copies with their optimizers on a batch, and gives the loss."""


@dataclass(eq=False)
class Trial:
    """A short training.

    Attributes:
        losses: Of each step.
        before, after: Loss on the first batch at the start and at the end; NaN where it was not asked for.
        finite: Whether all losses and weights are.
        moved: By which share of their size the weights changed.
    """

    model: nn.Module
    losses: list[float]
    before: float
    after: float
    finite: bool
    moved: float

    @property
    def end(self) -> float:
        """The loss at the end: on the first batch or the mean of the last batches, whichever is less."""
        last = self.losses[-max(1, len(self.losses) // 4) :]
        mean = sum(last) / len(last)
        if not math.isfinite(self.after) or mean > 2 * abs(self.before):
            return mean
        if abs(self.after - self.before) < 0.005 * abs(self.before):
            return self.after  # other batches differ by chance
        return min(self.after, mean)


def batches(subject: Subject) -> list[Any]:
    """Return some training batches, fewer if they are slow to come."""
    return subject.once(_batches)


def _batches(subject: Subject) -> list[Any]:
    size, first = subject.batch_size, subject.batch
    if subject.reading * size * BATCHES > SECONDS:
        return [first]
    samples = subject.samples(size * BATCHES)
    chunks = [samples[at : at + size] for at in range(0, len(samples), size)]
    return [subject.collated(chunk) for chunk in chunks if len(chunk) == size] or [first]


def trained(subject: Subject, steps: int, *, factor: float = 1.0, quiet_mode: bool = False) -> Trial | None:
    """Train a copy for some steps; None if that fails or takes too long.

    Args:
        steps: How many.
        factor: By which the learning rates are multiplied.
        quiet_mode: Whether to train in ``eval()``, without noise.
    """
    more = 10 if subject.deep else 1
    limit, spent_before = SECONDS * more, subject.once(_spent)
    seems_long = subject.trace.seconds * steps > RECORDED * limit
    if sum(spent_before) > TOTAL * more or (seems_long and subject.once(_again) * steps > 2 * limit):
        subject.once(_left_out).append(f"of {steps} steps" if steps > 1 else "of one step")
        return None
    data = batches(subject)
    with _parts(subject) as (scratch, step):
        model, optimizers = scratch.model, scratch.optimizers or [torch.optim.Adam(scratch.model.parameters(), lr=1e-3)]
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["lr"] * factor
        before = _loss(subject, scratch.model, scratch.loss, data[0])
        losses: list[float] = []
        spent: list[float] = []
        try:
            for number in range(steps):
                model.train(not quiet_mode)
                start = cpu_seconds()
                losses.append(step(scratch, optimizers, data[number % len(data)]))
                spent.append(cpu_seconds() - start)
                if not math.isfinite(losses[-1]) or (number < 4 and min(spent) * steps > 2 * limit):
                    break
        except Exception:  # noqa: BLE001 - the user's own code; first_step tells what fails
            return None
        finally:
            spent_before += [min(spent, default=0.0)] * len(spent)  # an import is no step's own
        finite = all(math.isfinite(value) for value in losses) and _finite(model)
        if finite and len(losses) < steps:
            return None
        after = _loss(subject, model, scratch.loss, data[0])
        return Trial(model, losses, before, after, finite, _moved(subject.model, model))


def _again(subject: Subject) -> float:
    """Return the CPU seconds of one more step, not recorded: the first one may have waited for imports."""
    if subject.is_slow:
        return subject.trace.seconds
    with _parts(subject) as (scratch, step):
        optimizers = scratch.optimizers or [torch.optim.Adam(scratch.model.parameters(), lr=1e-3)]
        start = cpu_seconds()
        try:
            step(scratch, optimizers, subject.batch)
        except Exception:  # noqa: BLE001 - the user's own code; first_step tells what fails
            return math.inf
        return cpu_seconds() - start


def _spent(subject: Subject) -> list[float]:
    return []


def _left_out(subject: Subject) -> list[str]:
    return []


def untried(subject: Subject) -> Iterator[Finding]:
    """Tell of short trainings that would have taken too long; it must come after all who ask for them."""
    if subject.deep or not (left_out := subject.once(_left_out)):
        return
    yield found(
        "not-tried",
        "check: short trainings",
        f"{' and '.join(dict.fromkeys(left_out))} left out, as they would take too long",
        severity="info",
        evidence=f"the recorded step took {subject.trace.seconds:.2g} s",
        effect="whether the learning rate suits the model, and what such steps would show, is not known",
        fix="`--deep`, or trainkit.check(..., deep=True), gives them ten times the time.",
    )


@contextmanager
def _parts(subject: Subject) -> Iterator[tuple[Scratch | Copies, Step]]:
    """Give copies to train, and what takes a step of them: the user's own on copies of all that it holds."""
    if subject.train_step is None:
        with subject.scratch() as scratch:
            yield scratch, partial(_step, subject)
        return
    with copies_with(subject, subject.train_step) as copies:
        yield copies, partial(_own_step, copies.functions[0])


def _own_step(function: Callable[..., Any], copies: Scratch | Copies, optimizers: list[Optimizer], batch: Any) -> float:
    value = function(copies.model, batch, copies.loss, copies.optimizer)
    return float(value) if isinstance(value, Tensor | float | int) else 0.0


def _step(subject: Subject, scratch: Scratch | Copies, optimizers: list[Optimizer], batch: Any) -> float:
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = subject.run(scratch.model, scratch.loss, batch).loss
    assert isinstance(loss, Tensor)
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    if subject.interval == "step":
        for scheduler in scratch.schedulers:
            scheduler.step()
    return float(loss.detach())


def _loss(subject: Subject, model: nn.Module, loss: Any, batch: Any) -> float:
    if subject.train_step is not None:
        return math.nan
    with kept_generators(0):
        kept = {name: value.clone() for name, value in model.named_buffers()}
        model.train()
        value = subject.run(model, loss, batch).loss
        with torch.no_grad():
            for name, buffer in kept.items():
                model.get_buffer(name).copy_(buffer)
    return float(value.detach()) if isinstance(value, Tensor) and value.numel() == 1 else math.nan


def _moved(old: nn.Module, new: nn.Module) -> float:
    known = dict(old.named_parameters())  # forward may have made more
    pairs = [(known[name].detach(), two.detach()) for name, two in new.named_parameters() if name in known]
    change = sum(float((one - two).norm()) ** 2 for one, two in pairs)
    return math.sqrt(change / max(sum(float(one.norm()) ** 2 for one, _ in pairs), 1e-12))


def _finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def steps_ahead(subject: Subject) -> int:
    """Return how many steps the training is to take, 30 epochs if it is not said."""
    count = len(subject.train_set) if hasattr(subject.train_set, "__len__") else 1000 * subject.batch_size
    return max(1, count // max(1, subject.batch_size)) * (subject.epochs or 30)


def small(subject: Subject, steps: int) -> bool:
    """Say whether the model is small enough to train a copy for so many steps."""
    if subject.deep or sum(parameter.numel() for parameter in subject.model.parameters()) < 3_000_000:
        return True
    subject.once(_left_out).append(f"of {steps} steps" if steps > 1 else "of one step")
    return False


def worth_a_step(subject: Subject, what: str) -> bool:
    """Say whether one more step, on what is named, may be taken; if it is too slow, :func:`untried` tells of it."""
    if subject.deep or subject.trace.seconds < SLOW:
        return True
    subject.once(_left_out).append(f"of one step on {what}")
    return False


def settings(subject: Subject) -> Iterator[tuple[Optimizer, dict[str, Any]]]:
    """Yield the parameter groups of all optimizers."""
    for optimizer in subject.optimizers:
        for group in optimizer.param_groups:
            yield optimizer, group


RULES = (untried,)
