"""What a training run remembers: the Stateful protocol and the counters of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Protocol, runtime_checkable

from trainkit.errors import ConfigError, closest


@runtime_checkable
class Stateful(Protocol):
    """Anything that a checkpoint can hold: modules, optimizers, schedules, callbacks."""

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
        for name, value in state_dict.items():
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

    def _better(self, value: float, than: float) -> bool:
        return value < than if self.mode == "min" else value > than

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record, unless the run now monitors another metric."""
        if (state_dict["metric"], state_dict["mode"]) == (self.metric, self.mode):
            self.value, self.epoch, self.step = state_dict["value"], state_dict["epoch"], state_dict["step"]


def snapshot(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Return the state of each part by its name."""
    return {name: part.state_dict() for name, part in parts.items()}


def restore(parts: Mapping[str, Stateful], state: Mapping[str, Any]) -> None:
    """Give each part its state back; callbacks that the state does not know begin anew.

    Raises:
        ConfigError: If a state is missing or does not fit its part.
    """
    for name, part in parts.items():
        if name not in state and name.startswith("callbacks."):
            continue
        try:
            _require_same_options(part, state[name])
            part.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else error
            raise ConfigError(f"the checkpoint does not fit the {name} of this run: {what}") from error


def _require_same_options(part: Stateful, state: Mapping[str, Any]) -> None:
    """Refuse the state of an optimizer of another class: torch takes it, and fails or goes astray in the next step."""
    defaults = getattr(part, "defaults", None)
    if not isinstance(defaults, dict):
        return
    for group in state["param_groups"]:
        if missing := sorted(defaults.keys() - group.keys()):
            raise ValueError(f"it is of another optimizer, without {', '.join(missing)}")
