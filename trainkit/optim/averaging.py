"""Averages of the weights over the steps, used for validation and the best checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trainkit.errors import ConfigError
from trainkit.timing import Duration, duration


class WeightAverage:
    """A running average of a model's weights and buffers, by ``torch.optim.swa_utils``.

    ``ema`` is the exponential moving average (Polyak and Juditsky 1992); its n-th update keeps at most
    (1 + n) / (10 + n) of the old average, as TensorFlow's ``ExponentialMovingAverage`` does, so that the first weights
    are soon forgotten.
    ``swa`` is the equal average of stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights Leads to Wider
    Optima"). Buffers, such as the statistics of batch norm, are averaged along.

    Args:
        kind: ``ema`` or ``swa``.
        decay: Share of the old average that an EMA update keeps.
        start: Training before it begins, such as ``"2ep"`` or ``"500st"``; until then the model itself is used.
        every: Optimizer steps between two updates.
    """

    copies_state = True

    def __init__(self, kind: str = "ema", *, decay: float = 0.999, start: str | None = None, every: int = 1) -> None:
        if kind not in ("ema", "swa"):
            raise ConfigError(f"averaging.kind={kind}: must be ema or swa")
        if not 0 <= decay < 1:
            raise ConfigError(f"averaging.decay={decay}: must be at least 0 and less than 1")
        if every < 1:
            raise ConfigError(f"averaging.every={every}: must be at least 1 step")
        self.kind, self.decay, self.every = kind, decay, every
        self._start: Duration | None = duration(start) if start else None
        self._start_step = 0
        self._updates = 0
        self._averaged: AveragedModel | None = None

    def attach(self, model: nn.Module, steps_per_epoch: int | None) -> None:
        """Begin with the weights that ``model`` has, at the start of a fit."""
        self._start_step = self._start.steps(steps_per_epoch) if self._start else 0
        self._averaged = AveragedModel(
            model, multi_avg_fn=self._blend if self.kind == "ema" else None, use_buffers=True
        )

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step ``step``, counted from 1."""
        if step > self._start_step and step % self.every == 0:
            self.averaged.update_parameters(model)
            self._updates += 1

    def _blend(self, averages: Any, weights: Any, count: Any) -> None:
        keep = min(self.decay, (1 + self._updates) / (10 + self._updates))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - keep)
        else:  # such as the number of batches that a batch norm has seen
            torch._foreach_copy_(averages, weights)

    @property
    def averaged(self) -> AveragedModel:
        if self._averaged is None:
            raise RuntimeError("a WeightAverage has no weights before attach()")
        return self._averaged

    def weights(self, model: nn.Module) -> nn.Module:
        """Return the module to evaluate: the average, or ``model`` itself as long as nothing was averaged."""
        if self._averaged is None or not self._averaged.n_averaged:
            return model
        return self._averaged.module

    def state_dict(self) -> dict[str, Any]:
        return self.averaged.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the average; from a run without one there is none yet, and the next update begins it."""
        if state_dict:
            self.averaged.load_state_dict(state_dict)
        else:
            self.averaged.n_averaged.zero_()
        self._updates = int(self.averaged.n_averaged)


class NoAverage:
    """The model itself."""

    copies_state = True

    def attach(self, model: nn.Module, steps_per_epoch: int | None) -> None:
        """Keep nothing."""

    def update(self, model: nn.Module, step: int) -> None:
        """Keep nothing."""

    def weights(self, model: nn.Module) -> nn.Module:
        """Return ``model``."""
        return model

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have nothing to restore."""
