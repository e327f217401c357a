"""What the layers give: its mean and spread, zeros and saturation, and units that are dead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainkit.diagnostics.diagnostic import Sampled, largest, layer_of
from trainkit.diagnostics.nonlinear import (
    Kind,
    is_hidden_from_hooks,
    kind_before,
    kind_of,
    layer_behind,
    unit_dimension,
)
from trainkit.diagnostics.symptoms import Symptom, other_rate
from trainkit.errors import ConfigError

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

Row = NDArray[Any]

SHARE = 0.5
"""Share of a layer's units that may be stuck. CS231n, "Neural Networks Part 1": as much as 40 % of a network can be
dead if the rate is too high."""
FEWEST = 3
"""Samples in a row for which a unit must be stuck."""
STILL_LIVE = 0.25
"""Share of its values that a saturated unit may have in the bend all the same."""


class Site(NamedTuple):
    """A nonlinearity that was seen in a sampled step."""

    kind: Kind
    live: Tensor
    """For each unit, how many of its values are neither zero nor saturated."""
    units: int
    values: int
    """How many values each unit has."""


class Stuck:
    """For how long each unit of each layer has been stuck; all units stand in one row, so a sample costs little."""

    def __init__(self) -> None:
        self.layers: dict[str, tuple[str, int]] = {}
        """The kind and the number of units of each layer, in the order of the row."""
        self._row = np.zeros((2, 0), np.float32)  # values, and samples, in a row; one type throughout is fastest
        self._sizes: list[int] = []
        self._starts: list[int] = []
        self._added: Row = np.zeros(0)
        """What a sample adds to the row."""
        self._borne: Row = np.zeros(0)
        """How many values of a unit may be live all the same."""

    def add(self, sites: dict[str, Site], live: Row, window: int) -> tuple[dict[str, float], dict[str, float]]:
        """Take in a sample: how many of each unit's values were live.

        Returns:
            The share of each layer's values that were not live, and of its units that are dead: stuck for at least
            ``window`` values and a few samples.
        """
        sizes = [site.values for site in sites.values()]
        layers = {name: (site.kind.what, site.units) for name, site in sites.items()}
        if sizes != self._sizes or layers != self.layers:
            self._lay_out(layers, sizes)
        self._row += self._added
        np.copyto(self._row, 0, where=~(live <= self._borne))  # NaN is not stuck
        alive = np.add.reduceat(live, self._starts).tolist()
        seen = zip(layers.items(), alive, sizes, strict=True)
        idle = {name: max(0.0, 1.0 - count / (units * size)) for (name, (_, units)), count, size in seen}
        return idle, self.dead(window)

    def dead(self, window: int) -> dict[str, float]:
        """Return the share of each layer's units that are dead."""
        longest = self._row[0].max() if self.layers else 0
        if longest < window:
            return dict.fromkeys(self.layers, 0.0)
        stuck = (self._row[0] >= window) & (self._row[1] >= FEWEST)
        dead = np.add.reduceat(stuck.astype(np.float32), self._starts).tolist()
        return {name: count / units for (name, (_, units)), count in zip(self.layers.items(), dead, strict=True)}

    def _lay_out(self, layers: dict[str, tuple[str, int]], sizes: list[int]) -> None:
        if layers != self.layers:
            self._row = np.concatenate([self._known(name, layer) for name, layer in layers.items()], 1)
        units = [units for _, units in layers.values()]
        values = np.repeat(np.array(sizes, np.float32), units)
        borne = np.repeat([np.float32(STILL_LIVE * (kind == "saturated")) for kind, _ in layers.values()], units)
        self.layers, self._sizes, self._starts = layers, sizes, _starts(units)
        self._added, self._borne = np.stack([values, np.ones_like(values)]), values * borne

    def _known(self, name: str, layer: tuple[str, int]) -> Row:
        if self.layers.get(name) != layer:
            return np.zeros((2, layer[1]), np.float32)
        start = sum(units for _, units in list(self.layers.values())[: list(self.layers).index(name)])
        return self._row[:, start : start + layer[1]]

    def state_dict(self) -> dict[str, Any]:
        """Return the row, and what stands in it."""
        layers = {name: list(layer) for name, layer in self.layers.items()}
        return {"layers": layers, "row": torch.from_numpy(self._row).clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.layers = {name: (kind, units) for name, (kind, units) in state_dict["layers"].items()}
        self._starts = _starts([units for _, units in self.layers.values()])
        self._row, self._sizes = state_dict["row"].numpy().astype(np.float32), []


def _starts(units: Sequence[int]) -> list[int]:
    """Return where the units of each layer begin in a row of all."""
    return [0, *accumulate(units)][:-1]


class Activations(Sampled):
    """Looks at the outputs of the layers, and at the nonlinearities between them, in a sampled step.

    ``mean`` and ``std`` are of a layer's output. ``zeros`` (ReLU and its like) and ``saturated`` (tanh, sigmoid...) are
    the share of such values behind a layer, whether a module or a function in ``forward`` makes them: autograd's graph
    tells. A unit, which is a channel or a feature, is ``dead`` once none of its last ``window`` values was live. An
    activation at the very end, which no layer takes in, is left alone: there saturation is certainty.

    Of a window of batches the first is looked at. What runs compiled, and layers that autograd does not follow because
    all below is frozen, cannot be seen.

    Args:
        every: Optimizer steps from one look to the next; it costs as much as all other diagnostics together.
        layers: Patterns of layers with curves of their own.
        window: Values in a row, samples and positions, for which a unit must be stuck to be called dead.
    """

    name = "activations"

    def __init__(self, every: int = 100, layers: Sequence[str] = (), window: int = 200) -> None:
        super().__init__(every, layers)
        if type(window) is not int or window < 1:
            raise ConfigError(f"diagnostics.activations.window={window}: must be a whole number, at least 1")
        self.window = window
        self._stuck = Stuck()
        self._look = Look({})
        self._names: dict[int, str] = {}
        self._modules: list[tuple[str, nn.Module, bool]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find the layers, and say so if there are none to be seen."""
        super().on_fit_start(trainer)
        self._names = {id(parameter): layer_of(name) for name, parameter in self._named}
        self._modules = list(visible(trainer.model))
        if not self._modules:
            log.info("diagnostics.activations: the model runs compiled, which hides its layers; nothing is sampled")

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Hook into the layers for the first forward pass of the model in this step."""
        model, look = trainer.model, Look(self._names)
        handles: list[Any] = []
        self._look = look

        def let_go(*_: Any) -> None:
            while handles:
                handles.pop().remove()

        for name, module, has_weights in self._modules:
            handles.append(module.register_forward_hook(look.at_layer(name) if has_weights else look.at_function))
        if self._modules:
            handles.append(model.register_forward_hook(let_go))
        try:
            yield
        finally:
            let_go()
            look.forget()

    def take(self, trainer: Trainer) -> None:
        """Read all that was seen."""
        look, self._look = self._look, Look({})
        if not look.outputs:
            return
        sites, outputs = look.hidden, [t for norm, mean, _ in look.outputs.values() for t in (norm, mean)]
        live = [site.live.to(outputs[0].device) for site in sites.values()]
        read = torch.cat([torch.stack(outputs), *live]).cpu().numpy()  # host-device sync
        moments_read = read[: len(outputs)].tolist()
        norm, mean = moments_read[::2], moments_read[1::2]
        seen = zip(look.outputs.items(), norm, mean, strict=True)
        spreads = {name: sqrt(max(n**2 / size - m**2, 0.0)) for (name, (*_, size)), n, m in seen}
        values = self.curves("std", spreads, "median")
        if self.layers:
            values |= self.curves("mean", dict(zip(look.outputs, mean, strict=True)))
        if sites:
            idle, dead = self._stuck.add(sites, read[len(outputs) :], self.window)
            for what in ("zeros", "saturated"):
                shares = {name: share for name, share in idle.items() if sites[name].kind.what == what}
                values |= self.curves(what, shares, "median")
            values |= self.curves("dead", dead, "max")
        self.log(trainer, values)

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say whether half of a layer's units are dead, or saturated for good."""
        found = []
        for what in ("zeros", "saturated"):
            dead, kinds = self._stuck.dead(self.window), self._stuck.layers
            shares = {name: share for name, share in dead.items() if kinds[name][0] == what}
            if not shares or (worst := largest(shares.items()))[1] < SHARE:
                continue
            layer, share = worst
            units = kinds[layer][1]
            others = sum(share >= SHARE for share in shares.values()) - 1
            evidence = f"{round(share * units)} of {units} units behind {layer} " + (
                f"gave nothing but zeros for {self.window} values or more"
                if what == "zeros"
                else f"kept to the flat ends of their range for {self.window} values or more"
            )
            evidence += f", and half or more behind {others} other layers" if others else ""
            found.append(self._symptom(what, evidence, trainer))
        return found

    @staticmethod
    def _symptom(what: str, evidence: str, trainer: Trainer) -> Symptom:
        rate = other_rate(trainer, 0.1)
        if what == "zeros":
            return Symptom(
                "units-dead", 65, "Units are dead", evidence, f"{rate}, or LeakyReLU or GELU in place of ReLU"
            )
        cure = f"{rate}, smaller initial weights or inputs, or a norm before the activation"
        return Symptom("units-saturated", 76, "Units are saturated", evidence, cure)

    def state_dict(self) -> dict[str, Any]:
        return self._stuck.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stuck.load_state_dict(state_dict)


class Look:
    """What the hooks of one forward pass see. All numbers stay on the device.

    Args:
        names: The layer of each parameter, by its id.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self.outputs: dict[str, tuple[Tensor, Tensor, int]] = {}
        """Norm, mean and number of the values of the output of each layer."""
        self._sites: dict[str, Site] = {}
        self._made: dict[Any, str] = {}
        """The site of each node of autograd's graph that a module made."""
        self._taken_in: set[str] = set()

    @property
    def hidden(self) -> dict[str, Site]:
        """The nonlinearities whose values another layer takes in."""
        return {name: site for name, site in self._sites.items() if name in self._taken_in}

    def forget(self) -> None:
        """Let go of autograd's graph."""
        self._made.clear()

    def at_layer(self, name: str) -> Callable[..., None]:
        """Return the hook of a layer with weights."""

        def seen(module: nn.Module, args: Any, output: Any) -> None:
            made = tensor_in(output)
            if name not in self.outputs and made is not None and made.numel() > 1:
                self.outputs[name] = (*moments(made.detach()), made.numel())
            taken = tensor_in(args)
            if taken is None or taken.grad_fn is None:
                return
            node, kind = kind_before(taken.grad_fn, self._made)
            if node is not None and node in self._made:
                self._taken_in.add(self._made[node])
            elif kind is not None:
                behind = layer_behind(node, self._names) or f"{name}.input"
                self._note(behind, kind, taken, unit_dimension(taken, taken.grad_fn))
                self._taken_in.add(behind)
                self._made[node] = behind

        return seen

    def at_function(self, module: nn.Module, args: Any, output: Any) -> None:
        """Look at a module without weights, which may be a nonlinearity."""
        if isinstance(output, Tensor) and output.grad_fn is not None and (kind := kind_of(output.grad_fn)) is not None:
            name = layer_behind(output.grad_fn, self._names)
            if name is not None:
                self._note(name, kind, output, unit_dimension(output, output.grad_fn))
                self._made[output.grad_fn] = name

    def _note(self, name: str, kind: Kind, values: Tensor, unit: int) -> None:
        if name in self._sites or values.ndim < 2 or not values.numel():
            return
        live, others = kind.live(values.detach()), [d for d in range(values.ndim) if d != unit]
        units = values.shape[unit]
        self._sites[name] = Site(kind, live.sum(others, dtype=torch.float32), units, values.numel() // units)


def visible(model: nn.Module) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield the modules to hook into by name, and whether they have weights of their own; others are leaves.

    What runs compiled calls no hooks, and is left out with all that is within.
    """

    def below(name: str, module: nn.Module, seen: set[int]) -> Iterator[tuple[str, nn.Module, bool]]:
        if id(module) in seen or is_hidden_from_hooks(module):
            return
        seen.add(id(module))
        has_weights = any(True for _ in module.parameters(recurse=False))
        is_leaf = next(module.children(), None) is None
        if is_leaf or (has_weights and name):
            yield name or "model", module, has_weights
        for inner, child in module.named_children():
            yield from below(f"{name}.{inner}" if name else inner, child, seen)

    yield from below("", model, set())


def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 2-norm and the mean: ``torch.var_mean`` takes a hundred times as long on a CPU."""
    values = values if values.dtype == torch.float32 else values.float()
    return torch.linalg.vector_norm(values), values.mean()


def tensor_in(value: Any) -> Tensor | None:
    """Return the first tensor of floating-point numbers in what a module took or gave."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, tuple | list):
        return next((found for item in value if (found := tensor_in(item)) is not None), None)
    if isinstance(value, dict):
        return tensor_in(tuple(value.values()))
    return None
