"""Which loss other outputs could have: tells a loss that has nowhere to fall from a model that cannot follow it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.inspection.learning.pupil import Pupil
from trainkit.inspection.subject import Subject
from trainkit.inspection.untouched import kept_generators

STEPS = 60
"""Steps in which the outputs look for it."""


class Answers(nn.Module):
    """Gives the same outputs whatever it is asked: parameters in the shape of a model's outputs.

    Args:
        outputs: A tensor, or tuples, lists and dictionaries of tensors.
        alike: Samples in the batch if all are to have one output: those along each dimension of that size. None: each
            has its own.

    Raises:
        TypeError: If they are anything else.
        ValueError: If they are to be alike, and one of them has no dimension for samples.
    """

    def __init__(self, outputs: Any, alike: int | None = None) -> None:
        super().__init__()
        self.alike, self.free = alike, nn.ParameterList()
        self.ranges: list[tuple[float, float]] = []
        self.sizes: list[torch.Size] = []
        self.shape = self._freed(outputs)

    def _freed(self, thing: Any) -> Any:
        if isinstance(thing, Tensor):
            if not thing.is_floating_point() or not thing.requires_grad:
                return thing.detach()
            value = thing.detach().clone()
            self.ranges.append((float(value.min()), float(value.max())))
            self.sizes.append(value.shape)
            if self.alike is not None:
                value = value.mean(value.shape.index(self.alike), keepdim=True)
            self.free.append(nn.Parameter(value))
            return len(self.free) - 1
        if type(thing) in (list, tuple):
            return type(thing)(self._freed(item) for item in thing)
        if type(thing) is dict:
            return {name: self._freed(item) for name, item in thing.items()}
        raise TypeError(f"outputs of type {type(thing).__name__}")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs, whatever is given."""
        return self._filled(self.shape)

    def _filled(self, thing: Any) -> Any:
        if isinstance(thing, int):
            return self.free[thing].expand(self.sizes[thing])
        if isinstance(thing, Tensor):
            return thing
        if isinstance(thing, dict):
            return {name: self._filled(item) for name, item in thing.items()}
        return type(thing)(self._filled(item) for item in thing)

    def confine(self) -> None:
        """Put the outputs back into the range that they had."""
        with torch.no_grad():
            for parameter, (low, high) in zip(self.free, self.ranges, strict=True):
                parameter.clamp_(low, high)

    def rates(self) -> Iterator[dict[str, Any]]:
        """Yield parameter groups whose rate follows the range."""
        for parameter, (low, high) in zip(self.free, self.ranges, strict=True):
            yield {"params": [parameter], "lr": (high - low) / 20}


def reach_of(subject: Subject, learner: Pupil, batch: Any, count: int) -> tuple[float, float]:
    """Return the losses that a batch could have with other outputs than the model's: each its own, or all one.

    Only what the loss makes of the outputs is asked. Those that each sample has for itself stay in the range of the
    model's, which keeps log-probabilities below 0 and probabilities between 0 and 1. NaN where it is not known, as of a
    loss that needs more of the model than its outputs.
    """
    reachable = floor = math.nan
    with suppress(Exception), kept_generators():
        learner.model.train()
        outputs = subject.forward(learner.model, batch)
        reachable = _followed(subject, learner, batch, Answers(outputs))
        floor = _settled(subject, learner, batch, Answers(outputs, count))
    return reachable, floor


def _followed(subject: Subject, learner: Pupil, batch: Any, answers: Answers) -> float:
    optimizer = torch.optim.Adam(list(answers.rates()))
    for _ in range(STEPS):
        optimizer.zero_grad()
        _loss(subject, learner, batch, answers).backward()
        optimizer.step()
        answers.confine()
    return float(_loss(subject, learner, batch, answers).detach())


def _settled(subject: Subject, learner: Pupil, batch: Any, answers: Answers) -> float:
    optimizer = torch.optim.LBFGS(answers.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = _loss(subject, learner, batch, answers)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(_loss(subject, learner, batch, answers).detach())


def _loss(subject: Subject, learner: Pupil, batch: Any, answers: Answers) -> Tensor:
    loss = subject.run(answers, learner.copies.loss, batch).loss
    assert isinstance(loss, Tensor)
    return loss
