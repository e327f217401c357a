"""Optimizers in a checkpoint: moments go on bit for bit, and options that were changed since are the new ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.state import Stateful, field, kind, same

log = logging.getLogger(__name__)

NO_OPTIONS = ("params", "param_names")
"""What a parameter group holds besides its options."""


class ResumableOptimizer:
    """An optimizer as a checkpoint holds it: its own state, and beside it how it was built.

    The state dict of a torch optimizer carries the learning rate, the weight decay and all other options as they were,
    and loading it puts them back. Here they are compared as they were *built*: one that is built as it was goes on
    from where a schedule had taken it, one that is built otherwise by now is the new one. The moments go on in both.

    Args:
        optimizer: As it was built, before its first step and after its schedule was.
        model: Knows the names of the parameters, by which groups that hold others are told apart.
    """

    copies_state = True

    def __init__(self, optimizer: Optimizer, model: nn.Module) -> None:
        self.optimizer = optimizer
        self._initial = options_of(optimizer)
        names = {id(p): name.replace("_orig_mod.", "") for name, p in model.named_parameters()}
        self._parameters = [
            [names.get(id(p), f"one of shape {list(p.shape)}") for p in group["params"]]
            for group in optimizer.param_groups
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's own state, and under ``built`` its class, initial options and parameters."""
        state = self.optimizer.state_dict()
        slots: dict[str, list[int]] = {}
        for index, moments in state["state"].items():
            for slot, moment in moments.items():
                if moment is not None:
                    slots.setdefault(slot, []).append(index)
        built = {
            "class": type(self.optimizer).__qualname__,
            "options": self._initial,
            "parameters": self._parameters,
            "slots": slots,
        }
        return {**state, "built": built}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore moments, and the options that are built as they were.

        Raises:
            ValueError: If it is the state of another class of optimizer, or of other parameters.
        """
        state = {name: value for name, value in state_dict.items() if name != "built"}
        groups, moments, built = field(state, "param_groups", list), field(state, "state", dict), state_dict["built"]
        order = [index for group in groups for index in field(group, "params", list)]
        if order != list(range(len(order))):  # torch would leave the moments of the others behind
            raise ValueError(f"its groups hold the parameters {order}, not 0 to {len(order) - 1}")
        if built is None:  # from a time when a checkpoint did not say how its optimizer was built
            self._require_options(groups)
            log.warning("the checkpoint does not say what options its optimizer was built with: they stay as they were")
        else:
            self._require_alike(built, moments)
            groups = self._merged(groups, field(built, "options", list))
        self.optimizer.load_state_dict({**state, "param_groups": groups})
        self._own(moments)

    def _require_options(self, groups: list[dict[str, Any]]) -> None:
        """Refuse the groups of another class: torch takes them, and fails or goes astray in the next step."""
        for group in groups:
            if missing := sorted(self.optimizer.defaults.keys() - group.keys()):
                raise ValueError(f"it is of another optimizer, without {', '.join(missing)}")

    def _require_alike(self, built: Mapping[str, Any], moments: Mapping[Any, Any]) -> None:
        """Refuse the state of another class or of other parameters, and one that lost some of its moments."""
        name, there = type(self.optimizer).__qualname__, field(built, "class", str)
        if there != name:
            raise ValueError(f"it is the state of {there}, whose moments mean nothing to {name}")
        parameters = field(built, "parameters", list)
        if len(parameters) != len(self._parameters):
            raise ValueError(f"it has {_count(len(parameters))}, this run {_count(len(self._parameters))}")
        for number, (before, now) in enumerate(zip(parameters, self._parameters, strict=True)):
            pairs = enumerate(zip_longest(before, now, fillvalue="none"))
            if other := next(((place, *pair) for place, pair in pairs if pair[0] != pair[1]), None):
                raise ValueError(
                    "parameter {} of its group {} is {}, in this run {}".format(other[0], number, *other[1:])
                )
        for slot, indices in field(built, "slots", dict).items():
            for index in indices:
                if index not in moments or moments[index].get(slot) is None:
                    raise KeyError(f"state.{index}.{slot}")

    def _merged(self, groups: list[dict[str, Any]], initial: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the checkpoint's groups with the options that were changed since they were built."""
        merged = []
        for number, (group, before, now) in enumerate(zip(groups, initial, self._initial, strict=True)):
            unsaid = sorted(before.keys() - group.keys())  # either lost, or one that only this release knows
            if unsaid or (unsaid := sorted((group.keys() & now.keys()) - before.keys())):
                raise KeyError(f"option {unsaid[0]!r} of group {number}")
            for key, value in before.items():
                if kind(value) != kind(group[key]):
                    raise TypeError(f"option {key!r} of group {number} is {group[key]!r}, it was built with {value!r}")
            options = {key: value for key, value in group.items() if key in now or key not in before}
            for key, value in now.items():
                if key not in before or not same(before[key], value):
                    options[key] = value.clone() if isinstance(value, Tensor) else value
                    if key in self.optimizer.defaults:
                        was = before.get(key, "unknown")
                        log.info("optimizer: %s of group %d is %s now, it was built with %s", key, number, value, was)
            merged.append(options)
        return merged

    def _own(self, moments: Mapping[Any, Any]) -> None:
        """Copy the moments that torch kept as they were given, for their memory may be mapped from a file."""
        given = {tensor.untyped_storage().data_ptr() for tensor in _tensors(moments)}

        def owned(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.clone() if value.untyped_storage().data_ptr() in given else value
            if isinstance(value, dict):
                return {key: owned(item) for key, item in value.items()}
            return type(value)(map(owned, value)) if type(value) in (list, tuple) else value

        for key, state in self.optimizer.state.items():
            self.optimizer.state[key] = owned(state)


def resumable(parts: Mapping[str, Any], model: nn.Module, known: dict[str, ResumableOptimizer]) -> dict[str, Stateful]:
    """Return the parts of a run, each torch optimizer as a :class:`ResumableOptimizer`.

    Args:
        parts: By their names in a checkpoint.
        model: Knows the names of the parameters.
        known: The optimizers met before, by name; a new one is taken to be as it was built, and is added.
    """
    found: dict[str, Stateful] = dict(parts)
    for name, part in parts.items():
        if isinstance(part, Optimizer):
            if name not in known or known[name].optimizer is not part:
                known[name] = ResumableOptimizer(part, model)
            found[name] = known[name]
    return found


def options_of(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return a copy of the options of each parameter group."""
    return [
        {
            key: value.clone() if isinstance(value, Tensor) else value
            for key, value in group.items()
            if key not in NO_OPTIONS
        }
        for group in optimizer.param_groups
    ]


def _tensors(nested: Any) -> list[Tensor]:
    if isinstance(nested, Tensor):
        return [nested]
    items = nested.values() if isinstance(nested, dict) else nested if isinstance(nested, list | tuple) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def _count(groups: int) -> str:
    return f"{groups} parameter group{'s' * (groups != 1)}"
