"""What a training run remembers: the Stateful protocol, the counters of the loop, and how each part gets its state."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from trainkit.errors import ConfigError, closest

log = logging.getLogger(__name__)

FIELDS = ("format", "about", "seed", "threads", "metrics", "parts")
"""What stands in a checkpoint beside the parts."""


@runtime_checkable
class Stateful(Protocol):
    """Anything that a checkpoint can hold: modules, optimizers, schedules, callbacks.

    ``load_state_dict`` may keep what it is given: it gets copies. One that copies by itself, as modules do, may say so
    by a class attribute ``copies_state = True`` and gets tensors that are still mapped from the file.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain Python types."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Restore what ``state_dict`` returned."""
        ...


@dataclass(slots=True)
class Counters:
    """Where a run stands. ``epoch`` and ``batch`` say what the next batch is; they key the randomness."""

    epoch: int = 0
    """Epochs finished."""
    batch: int = 0
    """Batches of the present epoch that were trained on."""
    step: int = 0
    """Optimizer steps taken; a step that the loss scaler skipped does not count."""
    samples: int = 0
    """Samples trained on, repeats included."""
    skipped: int = 0
    """Steps that the loss scaler skipped."""
    validated: int = -1
    """Batches trained on in all at the last finished validation; -1 before the first."""
    total_batches: int = 0
    """Batches trained on in all."""
    seconds: float = 0.0
    """Time spent in ``fit``, over all resumes."""
    nonfinite: int = 0
    """Steps left out because their loss or gradients were not finite."""
    nonfinite_in_a_row: int = 0
    """Those of them since the last good step."""
    logged_step: int = -1
    """The step at which something was logged last."""
    logged: int = 0
    """Records logged at that step; they are in the past of a checkpoint, later ones of the same step are not."""

    def note_record(self) -> None:
        """Count a record that is about to be logged."""
        self.logged = self.logged + 1 if self.logged_step == self.step else 1
        self.logged_step = self.step

    @property
    def epoch_number(self) -> int:
        """The epoch that the last batch belonged to, counted from 1; 0 before the first."""
        return self.epoch + (self.batch > 0)

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every counter; one that is missing, unknown, or no such number is an error."""
        known = {f.name: f.default for f in fields(self)}
        if unknown := sorted(state_dict.keys() - known.keys()):
            raise ValueError(f"there is no counter called {', '.join(unknown)}")
        values = {name: field(state_dict, name, *{type(least), int}) for name, least in known.items()}
        for name, value in values.items():
            if not value >= known[name]:
                raise ValueError(f"{name} is {value}, but at least {known[name]}")
        for name, value in values.items():
            setattr(self, name, value)


@dataclass(slots=True)
class Best:
    """The best value of the monitored metric so far, and where it was reached."""

    metric: str
    mode: str = "min"
    value: float | None = None
    epoch: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise ConfigError(f"monitor.mode={self.mode}: must be min or max")

    def improved(self, metrics: dict[str, float], counters: Counters) -> bool:
        """Take in the metrics of a validation and say whether they are the best so far; a non-finite value never is."""
        self.require(metrics)
        value = metrics[self.metric]
        if not isfinite(value) or (self.value is not None and not self._better(value, self.value)):
            return False
        self.value, self.epoch, self.step = value, counters.epoch_number, counters.step
        return True

    def require(self, metrics: dict[str, float]) -> None:
        """Raise a :class:`ConfigError` unless the monitored metric is among these."""
        if self.metric not in metrics:
            near = closest(self.metric, list(metrics))
            raise ConfigError(f"monitor.metric={self.metric}: the run logs {', '.join(sorted(metrics))}.{near}")

    def score(self, metrics: Mapping[str, float]) -> float | None:
        """Return the monitored value as a score, the higher the better; None without one that is finite."""
        value = metrics.get(self.metric)
        if value is None or not isfinite(value):
            return None
        return value if self.mode == "max" else -value

    def _better(self, value: float, than: float) -> bool:
        return value < than if self.mode == "min" else value > than

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record, unless the run now monitors another metric."""
        value = field(state_dict, "value", float, int, type(None))
        epoch, step = field(state_dict, "epoch", int), field(state_dict, "step", int)
        if (field(state_dict, "metric", str), field(state_dict, "mode", str)) == (self.metric, self.mode):
            self.value, self.epoch, self.step = value, epoch, step


def field(state: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """Return one field of a state.

    Raises:
        KeyError: If it is missing.
        TypeError: If it is of none of the ``kinds``; a bool is no int.
    """
    value = state[name]
    if kinds and type(value) not in kinds:
        wanted = " or ".join(sorted("None" if kind is type(None) else kind.__name__ for kind in kinds))
        raise TypeError(f"{name} is a {type(value).__name__}, not {wanted}")
    return value


def same(one: Any, other: Any) -> bool:
    """Say whether two states hold the same values; tuples are lists, and a NaN equals a NaN."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        both = isinstance(one, Tensor) and isinstance(other, Tensor)
        return both and one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (one != one and other != other))


def kind(value: Any) -> str:
    """Return what sort of value this is: numbers are one, lists and tuples are one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return "list" if isinstance(value, list | tuple) else type(value).__name__


def snapshot(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Return the state of each part by its name, and their names, by which a loss is noticed."""
    return {"parts": list(parts), **{name: part.state_dict() for name, part in parts.items()}}


def require_whole(state: Mapping[str, Any], parts: Iterable[str]) -> None:
    """Hold what a checkpoint has against what this run needs. New callbacks begin anew, former ones are forgotten.

    Raises:
        ConfigError: If a part or field is missing, or is one that this run does not have.
    """
    try:
        there = field(state, "parts", list)
        field(state, "seed", int)
        field(state, "threads", int)
        metrics = field(state, "metrics", dict)
        for name in metrics:
            field(metrics, name, float, int, bool, Tensor)
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the checkpoint is not whole: {_told(error)}") from None
    here = list(parts)
    if strange := [name for name in there if not isinstance(name, str)]:
        raise ConfigError(f"the checkpoint is not whole: {strange[0]!r} among its parts is no name")
    if lost := [name for name in there if name not in state]:
        raise ConfigError(f"the checkpoint is not whole: it has no {lost[0]!r}, though it had one when it was written")
    if foreign := sorted(state.keys() - {*there, *FIELDS}):
        raise ConfigError(f"the checkpoint is not whole: it has {foreign[0]!r}, which is not among its parts")
    for name in sorted({*there} ^ {*here}):
        if name.startswith("callbacks."):
            log.info("%s: %s", name, "begins anew" if name in here else "its state is left in the checkpoint")
        elif name in here:
            raise ConfigError(f"the checkpoint does not fit the {name} of this run: it has no {name!r}")
        else:
            raise ConfigError(f"the checkpoint is of another run: it has a part {name!r}, which this one has not")


def restore(parts: Mapping[str, Stateful], state: Mapping[str, Any]) -> None:
    """Give each part its state back; callbacks that the state does not know begin anew.

    No part holds on to a tensor of ``state``, whose memory may be mapped from a file.

    Raises:
        ConfigError: If a state is missing or does not fit its part.
    """
    for name, part in parts.items():
        if name not in state and name.startswith("callbacks."):
            continue
        try:
            part.load_state_dict(_owned(state[name], part))
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise ConfigError(f"the checkpoint does not fit the {name} of this run: {_told(error)}") from error


def _owned(saved: Any, part: Stateful) -> dict[str, Any]:
    """Return the state for ``part`` to keep, copied unless it copies by itself: twice would cost time and memory."""
    if not isinstance(saved, dict):
        raise TypeError(f"its state is a {type(saved).__name__}, not a dict")
    if isinstance(part, nn.Module):  # copies its weights, but keeps what its set_extra_state gets
        mine = copy(saved)  # with its _metadata, which says by what version of each module it was written
        mine.update({name: deepcopy(value) for name, value in saved.items() if name.endswith("_extra_state")})
        return mine
    return saved if getattr(part, "copies_state", False) else deepcopy(saved)


def _told(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
