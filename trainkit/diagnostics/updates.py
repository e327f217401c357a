"""How much a step changes the weights, measured against the weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from trainkit.diagnostics.diagnostic import Sampled, layer_of
from trainkit.diagnostics.series import Series
from trainkit.diagnostics.symptoms import Symptom, offered, other_rate, rounded

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

HEALTHY = 1e-3
"""Karpathy, CS231n, "Neural Networks Part 3": the ratio of updates to weights should be around this."""
USUAL = ", where about 1e-3 is usual"
LARGE, SURELY_LARGE = 0.1, 0.5
"""Ratios that may harm, and that leave little of what was learned a few steps ago."""
FIRST = 0.1
"""What the first step of an Adam may be: its moments know one gradient, and the weights are small still."""
HARM = ("non-finite", "divergence", "gradients-exploding", "units-dead", "units-saturated", "unlearned", "plateau")
"""What tells that large steps did harm."""
SMALL, SURELY_SMALL = 1e-4, 1e-6
"""Ratios at which a thousand steps change a weight by a tenth and by a thousandth of itself."""
MOST_ELEMENTS = 1_000_000
"""Elements of a tensor that are compared; of a larger one every so-manieth, which changes no ratio much."""
FEWEST = 3
"""Samples that a symptom takes."""
GROWN = 10.0
"""How many times its first size the norm of the weights may reach where nothing else is wrong."""
SHRUNK = 0.1
"""What is left of the weights' first norm where their decay has taken over."""


class Updates(Sampled):
    """Compares the weights of each layer before and after a sampled step: ``|change| / |weights|``, in 2-norms.

    The numbers are exact, whatever the optimizer: the weights before the step are kept for as long as it takes. That is
    the memory of the trainable weights once more, at most a million numbers of each tensor.

    Args:
        every: Optimizer steps from one look to the next.
        layers: Patterns of layers with curves of their own.
    """

    name = "updates"

    def __init__(self, every: int = 50, layers: Sequence[str] = ()) -> None:
        super().__init__(every, layers)
        self._ratios, self._peak = Series(), (0, 0.0)
        self._norms = Series()
        self._names: list[str] = []
        self._now: list[Tensor] = []
        """Views of the weights, or of as many of them as are compared."""
        self._before: list[Tensor] = []

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Keep the weights as they are before the step."""
        named = [(name, some(p.detach())) for name, p in self._named if p.requires_grad and not is_lazy(p)]
        self._names = [name for name, _ in named]
        self._now = [weights for _, weights in named]
        self._before = [weights.clone() for weights in self._now]
        try:
            yield
        except BaseException:
            self._now, self._before = [], []
            raise

    @torch.no_grad()
    def take(self, trainer: Trainer) -> None:
        """Read the norms of the weights and of their changes, by layer."""
        before, now = self._before, self._now
        self._now, self._before = [], []
        if not before:
            return
        norms = torch._foreach_norm(before)
        torch._foreach_sub_(before, now)
        read = torch.stack([*norms, *torch._foreach_norm(before)]).tolist()  # host-device sync
        weights: dict[str, float] = defaultdict(float)
        changes: dict[str, float] = defaultdict(float)
        for name, weight, change in zip(self._names, read, read[len(before) :], strict=False):
            weights[layer_of(name)] += weight**2
            changes[layer_of(name)] += change**2
        ratios = {layer: sqrt(changes[layer] / weight) for layer, weight in weights.items() if weight}
        if not ratios:
            return
        values = self.curves("ratio", ratios, "median", "max")
        self._ratios.add(trainer.counters.step, values["ratio_median"])
        self._peak = max(self._peak, (trainer.counters.step, values["ratio_median"]), key=lambda peak: peak[1])
        norms_of, norm = {layer: sqrt(weight) for layer, weight in weights.items()}, sqrt(sum(weights.values()))
        self._norms.add(trainer.counters.step, norm)
        values |= self.curves("weight_norm", norms_of) | {"weight_norm": norm}
        self.log(trainer, values)

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say whether the steps are far too large or too small for the weights, or the weights shrink to nothing.

        Fine-tuning and the end of a schedule make small steps on purpose, and Adam's first one is large: so small steps
        must be small throughout but for the first, and large ones stay large.
        """
        found, values, (at, high) = self._shrinking(trainer), self._ratios.values, self._peak
        if not values:
            return found
        if found:  # next to nothing, any step is large
            norms = self._norms.values
            values = [ratio for ratio, norm in zip(values, norms, strict=True) if norm > norms[0] / 2]
            high = max(values)
            at = self._ratios.steps[values.index(high)]
        typical = sorted(values)[len(values) // 2]
        if high > SURELY_LARGE or typical > LARGE or max(self._norms.values) > GROWN * self._norms.values[0]:
            lasting = typical > SURELY_LARGE and len(values) >= FEWEST
            return [*found, self._large(trainer, (at, high), typical, () if lasting else HARM)]
        high = max(values[1:], default=high)
        if high < SMALL and len(values) >= FEWEST:
            told = f"|change| / |weights| was at most {high:.1e} in the median layer of {len(values) - 1} sampled steps"
            cure = other_rate(trainer, HEALTHY / high) if high else "optimizer.lr above 0"
            needs = () if high < SURELY_SMALL else ("unlearned", "plateau")
            found.append(
                Symptom("updates-small", 72, "The steps are too small for the weights", told + USUAL, cure, needs)
            )
        return found

    def _shrinking(self, trainer: Trainer) -> list[Symptom]:
        """Find weights that their decay, or a penalty, has nearly taken away; below a norm they may be as small."""
        norms, group = self._norms.values, trainer.optimizer.param_groups[0]
        if len(norms) < FEWEST or norms[-1] > SHRUNK * norms[0]:
            return []
        decay, told = float(group.get("weight_decay") or 0.0), f"their norm fell from {norms[0]:.3g} to {norms[-1]:.3g}"
        cure = offered(trainer, "penalty.l1=0.0", "penalty.l2=0.0") or "a look at the loss, which pulls them there"
        if decay and max(group["lr"], group.get("initial_lr", 0.0)) > 0:
            told += f", with optimizer.weight_decay={decay:g}"
            steps = float(group.get("initial_lr") or group["lr"]) * self._norms.steps[-1]
            less = rounded(SHRUNK * (1 - float(group.get("momentum") or 0.0)) / steps)
            cure = f"optimizer.weight_decay={less:g}, which takes about a tenth in as many steps"
        needs = ("unlearned", "plateau", "gradients-vanishing")
        return [Symptom("weights-shrinking", 86, "The weights shrink to nothing", told, cure, needs)]

    def _large(self, trainer: Trainer, peak: tuple[int, float], typical: float, needs: tuple[str, ...]) -> Symptom:
        at, high = peak
        told = f"|change| / |weights| was {high:.2g} in the median layer at step {at}, "
        told += f"and {typical:.2g} in the median of the sampled steps{USUAL}"
        if (grown := max(self._norms.values) / max(self._norms.values[0], 1e-12)) > GROWN:
            told += f"; the norm of all weights grew to {grown:.2g} times its first"
        factors = [FIRST / high if high else 1.0, 10 * HEALTHY / typical if typical else 1.0, 1 / grown, 0.3]
        cure = other_rate(trainer, min(factors))
        return Symptom("updates-large", 85, "The steps are too large for the weights", told, cure, needs)

    def state_dict(self) -> dict[str, Any]:
        return {"ratios": self._ratios.state_dict(), "peak": list(self._peak), "norms": self._norms.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._ratios.load_state_dict(state_dict["ratios"])
        self._norms.load_state_dict(state_dict["norms"])
        step, ratio = state_dict["peak"]
        self._peak = (step, ratio)


def some(parameter: Tensor) -> Tensor:
    """Return a view of a tensor, of evenly spaced ones of its elements where there are too many."""
    if parameter.numel() <= MOST_ELEMENTS:
        return parameter
    stride = -(-parameter.numel() // MOST_ELEMENTS)
    return parameter.view(-1)[::stride] if parameter.is_contiguous() else parameter[:: stride if parameter.ndim else 1]
