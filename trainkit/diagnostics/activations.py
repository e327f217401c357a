"""What the layers give: its mean and spread, zeros and saturation, and units that are dead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
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


class Run(NamedTuple):
    """For how long a unit has been stuck."""

    values: float
    samples: float

    def longer(self, values: int) -> Run:
        """Return the run with one more sample of so many values."""
        return Run(self.values + values, self.samples + 1)

    def reaches(self, window: int) -> bool:
        """Say whether a unit that is stuck for so long is dead."""
        return self.values >= window and self.samples >= FEWEST


NONE = Run(0.0, 0.0)


class Stuck:
    """For how long the units of each layer have been stuck. Those that are not, and that is nearly all, take no room.

    A sample is taken in as plain numbers, for it is small: cold operations on arrays would take several times as long.
    """

    def __init__(self) -> None:
        self.layers: dict[str, tuple[str, int]] = {}
        """The kind and the number of units of each layer."""
        self._runs: dict[str, dict[int, Run]] = {}
        """The units of each layer that are stuck."""

    def add(self, sites: dict[str, Site], live: list[float], window: int) -> tuple[dict[str, float], dict[str, float]]:
        """Take in a sample: how many of each unit's values were live, one layer after the other.

        Returns:
            The share of each layer's values that were not live, and of its units that are dead: stuck for at least
            ``window`` values and a few samples.
        """
        idle, runs, end = {}, {}, 0
        for name, (kind, _, units, values) in sites.items():
            start, end = end, end + units
            counts = live[start:end]
            borne = STILL_LIVE * values if kind.what == "saturated" else 0.0
            stuck = [unit for unit, count in enumerate(counts) if count <= borne]  # NaN is not stuck
            before = self._runs.get(name, {}) if self.layers.get(name) == (kind.what, units) else {}
            runs[name] = {unit: before.get(unit, NONE).longer(values) for unit in stuck}
            idle[name] = max(0.0, 1.0 - sum(counts) / (units * values))
        self.layers = {name: (kind.what, units) for name, (kind, _, units, _) in sites.items()}
        self._runs = runs
        return idle, self.dead(window)

    def dead(self, window: int) -> dict[str, float]:
        """Return the share of each layer's units that are dead."""
        dead = {name: sum(run.reaches(window) for run in runs.values()) for name, runs in self._runs.items()}
        return {name: dead[name] / units for name, (_, units) in self.layers.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the values in a row of all units, and below them the samples, and which layers they are of."""
        rows = [torch.zeros(units, 2, dtype=torch.float64) for _, units in self.layers.values()]
        for row, runs in zip(rows, self._runs.values(), strict=True):
            if runs:
                row[list(runs)] = torch.tensor(list(runs.values()), dtype=torch.float64)
        layers = {name: list(layer) for name, layer in self.layers.items()}
        return {"layers": layers, "row": torch.cat([torch.zeros(0, 2, dtype=torch.float64), *rows]).T.contiguous()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.layers = {name: (kind, units) for name, (kind, units) in state_dict["layers"].items()}
        runs = iter(state_dict["row"].T.tolist())
        rows = {name: [Run(*next(runs)) for _ in range(units)] for name, (_, units) in self.layers.items()}
        self._runs = {name: {unit: run for unit, run in enumerate(row) if run.values} for name, row in rows.items()}


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
        sites, outputs = look.hidden, [t for norm, total, _ in look.outputs.values() for t in (norm, total)]
        live = [site.live.to(outputs[0].device) for site in sites.values()]
        read = torch.cat([torch.stack(outputs), *live]).tolist()  # host-device sync
        seen = zip(look.outputs.items(), read[0 : len(outputs) : 2], read[1 : len(outputs) : 2], strict=True)
        moments = {name: (norm**2 / size, total / size) for (name, (*_, size)), norm, total in seen}
        values = self.curves(
            "std", {n: sqrt(max(square - mean**2, 0.0)) for n, (square, mean) in moments.items()}, "median"
        )
        values |= self.curves("mean", {name: mean for name, (_, mean) in moments.items()})
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
        """2-norm, sum and number of each output's values: ``torch.var_mean`` takes a hundred times as long on a CPU."""
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
                values = made.detach()
                values = values if values.dtype == torch.float32 else values.float()
                self.outputs[name] = torch.linalg.vector_norm(values), values.sum(), made.numel()
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


def tensor_in(value: Any) -> Tensor | None:
    """Return the first tensor of floating-point numbers in what a module took or gave."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, tuple | list):
        return next((found for item in value if (found := tensor_in(item)) is not None), None)
    if isinstance(value, dict):
        return tensor_in(tuple(value.values()))
    return None
