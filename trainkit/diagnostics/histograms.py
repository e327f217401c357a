"""How the weights of each layer, their gradients and its outputs are spread, as histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainkit.diagnostics.activations import tensor_in, visible
from trainkit.diagnostics.diagnostic import Sampled
from trainkit.diagnostics.updates import some
from trainkit.errors import ConfigError

if TYPE_CHECKING:
    from trainkit.trainer import Trainer


class Histograms(Sampled):
    """Draws histograms of weights, gradients and outputs in a sampled step, for loggers that take them (TensorBoard).

    They are counted on the device and read once. Of a tensor of more than a million numbers every so-manieth counts;
    numbers that are not finite are left out. Gradients are the true ones, before clipping; outputs are those of the
    first forward pass. What runs compiled has weights and gradients only.

    Args:
        every: Optimizer steps from one look to the next.
        layers: Patterns of the parameters and modules that are drawn.
        bins: Parts of the range from the least to the largest number.
    """

    name = "histograms"

    def __init__(self, every: int = 100, layers: Sequence[str] = ("*",), bins: int = 32) -> None:
        super().__init__(every, layers)
        if type(bins) is not int or bins < 2:
            raise ConfigError(f"diagnostics.histograms.bins={bins}: must be a whole number, at least 2")
        self.bins = bins
        self._seen: dict[str, Tensor] = {}
        self._modules: list[tuple[str, nn.Module]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find the layers."""
        super().on_fit_start(trainer)
        self._modules = [(n, m) for n, m, has_weights in visible(trainer.model) if has_weights and self._is_wanted(n)]

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Count the outputs of the layers as they come, and the gradients."""
        self._seen = {}
        handles = [module.register_forward_hook(partial(self._at_layer, name)) for name, module in self._modules]
        try:
            with trainer.hooks.gradients.also(self._count_gradients):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _count_gradients(self, trainer: Trainer) -> None:
        for name, parameter in self._named:
            if parameter.grad is not None and not parameter.grad.is_sparse and self._is_wanted(name):
                self._count(f"gradients/{name}", parameter.grad)

    def take(self, trainer: Trainer) -> None:
        """Count the weights, read all and send it off."""
        for name, parameter in self._named:
            if parameter.requires_grad and not nn.parameter.is_lazy(parameter) and self._is_wanted(name):
                self._count(f"weights/{name}", parameter)
        seen, self._seen = self._seen, {}
        if not seen:
            return
        device = next(iter(seen.values())).device
        read = torch.stack([counted.to(device) for counted in seen.values()]).tolist()  # host-device sync
        for name, (low, high, *counts) in zip(seen, read, strict=True):
            if isfinite(low) and isfinite(high):
                trainer.loggers.histogram(f"{self.name}/{name}", low, max(high, low + 1e-12), counts, trainer.counters)

    def _at_layer(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        made = tensor_in(output)
        if made is not None and f"outputs/{name}" not in self._seen:
            self._count(f"outputs/{name}", made)

    def _is_wanted(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.layers)

    @torch.no_grad()
    def _count(self, name: str, values: Tensor) -> None:
        """Note least, largest and how many numbers are in each part of the range; all stays on the device."""
        values = some(values.detach()).flatten()
        if values.is_complex() or not values.numel():
            return
        values = values.float()
        low, high = values.nan_to_num(0.0, 0.0, 0.0).aminmax()
        counts = torch.histc((values - low) / (high - low).clamp(min=1e-12), self.bins, 0.0, 1.0)
        self._seen[name] = torch.cat([torch.stack([low, high]), counts])
