"""The gradient of each layer, and how it flows from head to stem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import isfinite, log, sqrt
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainkit.diagnostics.diagnostic import Sampled, layer_of
from trainkit.diagnostics.series import Series, ends
from trainkit.diagnostics.symptoms import Symptom, offered, other_rate

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

VANISHED, EXPLODED = 1e-3, 1e3
"""Bounds of the flow, in the first or last third of the samples. Networks that train have it near 1; one that must grow
out of a vanishing gradient first has lost the time."""
GROWN = 100.0
"""How many times its first size the gradient's norm may reach."""
FEWEST_LAYERS, FEWEST = 4, 6
"""Layers that have a flow, and samples that a symptom takes."""


class Gradients(Sampled):
    """Measures the true gradient of each layer in a sampled step: unscaled, averaged, before clipping.

    ``norm`` is its 2-norm. ``flow`` compares stem and head on their own scales: a layer's pull is ``|gradient| *
    |weights|``, by how much the loss would change if the weights changed by their own size along the gradient, and the
    flow is the pull of the first third of the layers over that of the last, by medians. A layer can be scaled at will
    where a norm or a ReLU follows, and its gradient's norm with it, but not its pull. Weight matrices count, biases and
    norms do not; the layers are taken in the order in which the model has them.

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks"; Pascanu et al.
    2013, "On the difficulty of training recurrent neural networks"; for scales of their own Philipp et al. 2018, "The
    exploding gradient problem demystified".

    Args:
        every: Optimizer steps from one look to the next.
        layers: Patterns of layers with curves of their own.
    """

    name = "gradients"

    def __init__(self, every: int = 50, layers: Sequence[str] = ()) -> None:
        super().__init__(every, layers)
        self._norms, self._flows = Series(), Series()
        self._seen: dict[str, tuple[int, Tensor, Tensor]] = {}
        self._pulls: dict[str, float] = {}
        """The pull of each layer, in the sample in which their flow was furthest from 1."""

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Look at each gradient as it comes, where a ``train_step`` of one's own may never tell of them."""
        self._seen = {}
        with trainer.hooks.gradients.also(self._take_norms), ExitStack() as stack:
            if type(trainer).train_step.__module__ != "trainkit.trainer":
                for name, parameter in self._named:
                    if parameter.requires_grad and not is_lazy(parameter):
                        self._look_at(name, parameter, stack)
            yield

    def _take_norms(self, trainer: Trainer) -> None:
        """Take the norms of the whole gradient; they stay on the device until the step is over."""
        named = ((name, p, p.grad) for name, p in self._named)
        dense = [(n, g, p.detach()) for n, p, g in named if g is not None and not g.is_sparse]
        if not dense:
            return
        norms = torch._foreach_norm([t for pair in dense for t in pair[1:]])
        both = zip(dense, norms[::2], norms[1::2], strict=True)
        self._seen = {name: (p.ndim, gradient, weights) for (name, _, p), gradient, weights in both}

    def take(self, trainer: Trainer) -> None:
        """Read the norms, by layer."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        read = torch.stack([norm for _, *both in seen.values() for norm in both]).tolist()  # host-device sync
        squares: dict[str, float] = defaultdict(float)
        pulls: dict[str, float] = defaultdict(float)
        for number, (name, (dimensions, *_)) in enumerate(seen.items()):
            gradient, weight = read[2 * number : 2 * number + 2]
            squares[layer_of(name)] += gradient**2
            if dimensions > 1:
                pulls[layer_of(name)] += gradient * weight
        norms = {layer: sqrt(square) for layer, square in squares.items()}
        values = self.curves("norm", norms, "min", "max")
        self._norms.add(trainer.counters.step, sqrt(sum(squares.values())))
        flow = flow_of(list(pulls.values()))
        if flow is not None:
            values["flow"] = flow
            self._flows.add(trainer.counters.step, flow)
            if flow and abs(log(flow)) > abs(log(flow_of(list(self._pulls.values())) or 1.0)):
                self._pulls = dict(pulls)
        self.log(trainer, values)

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say whether the gradient vanishes on its way, explodes on it, or has grown out of bounds."""
        found, flows, norms = [], [v for v in self._flows.values if isfinite(v)], self._norms.values
        if len(flows) >= FEWEST:
            flow = sorted(ends(flows))
            if flow[0] < VANISHED:
                found.append(self._vanishing(trainer, flow[0]))
            elif flow[1] > EXPLODED:
                found.append(self._exploding(flow[1]))
        if len(norms) >= FEWEST and not any(symptom.rule == "gradients-exploding" for symptom in found):
            first, last = ends(norms)
            if last > GROWN * first:
                told = f"its norm went from {first:.2g} to {last:.2g}, by medians of the first and last third"
                cure = f"trainer.gradient_clip_val={max(first, 1e-3):.1g} or {other_rate(trainer, 0.1)}"
                found.append(Symptom("gradients-exploding", 80, "The gradient explodes", told, cure, NOT_ALONE))
        return found

    def _vanishing(self, trainer: Trainer, flow: float) -> Symptom:
        activation = offered(trainer, "model.activation=ReLU") or "ReLU or GELU in place of what saturates"
        return Symptom(
            "gradients-vanishing",
            75,
            "The gradient vanishes on its way to the stem",
            f"of the pull |gradient| * |weights| of the last layers the first ones get {flow:.1e}{self._examples()}",
            ", ".join(filter(None, [activation, "a norm between the layers, or residuals"])),
        )

    def _exploding(self, flow: float) -> Symptom:
        return Symptom(
            "gradients-exploding",
            80,
            "The gradient explodes on its way to the stem",
            f"the pull |gradient| * |weights| of the first layers is {flow:.1e} times that of the last"
            f"{self._examples()}",
            "trainer.gradient_clip_val=1.0, smaller initial weights, or a norm between the layers",
        )

    def _examples(self) -> str:
        if not self._pulls:
            return ""
        (stem, low), *_, (head, high) = self._pulls.items()
        return f" ({high:.1e} at {head}, {low:.1e} at {stem})"

    def _look_at(self, name: str, parameter: nn.Parameter, stack: ExitStack) -> None:
        def accumulated(parameter: Tensor) -> None:
            if parameter.grad is not None and not parameter.grad.is_sparse:
                norms = [parameter.grad.detach().norm(), parameter.detach().norm()]
                self._seen[name] = (parameter.ndim, *norms)

        stack.callback(parameter.register_post_accumulate_grad_hook(accumulated).remove)

    def state_dict(self) -> dict[str, Any]:
        return {"norms": self._norms.state_dict(), "flows": self._flows.state_dict(), "pulls": self._pulls}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._norms.load_state_dict(state_dict["norms"])
        self._flows.load_state_dict(state_dict["flows"])
        self._pulls = dict(state_dict["pulls"])


NOT_ALONE = ("divergence", "non-finite", "unlearned", "plateau")


def flow_of(pulls: Sequence[float]) -> float | None:
    """Return the median pull of the first third of the layers over that of the last; None for a few or idle ones."""
    if len(pulls) < FEWEST_LAYERS:
        return None
    third = max(len(pulls) // 3, 1)
    stem, head = median(pulls[:third]), median(pulls[-third:])
    return stem / head if head > 0 else None
