"""Learning-rate schedules: torch's own, stepped at the right moments, with a warm-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainkit.errors import ConfigError
from trainkit.optim.options import options_of
from trainkit.state import field, kind, same

TOTALS = ("total_steps", "T_max", "total_iters")
ENDS = ("base_lr", "max_lr")
"""Options of cycles (Smith 2017) that torch gives to all groups alike, if they are one number."""
RATES = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr", "max_momentum", "base_momentum")
"""Options of a parameter group that schedulers set and go by."""
MOMENTA = ("momentum", "betas")
"""Options that some schedulers move along with the rate."""
MOVING = (
    *("last_epoch", "_step_count", "_last_lr", "_get_lr_called_within_step", "_is_initial", "T_cur", "T_i"),
    *("best", "num_bad_epochs", "cooldown_counter"),
)
"""Attributes of torch's schedulers that change as they advance."""


class Progress:
    """What a rate has seen of a run: from it, another curve can be taken up at the same place.

    Args:
        optimizer: With the options that the run starts with; None where there is nothing to put back.
    """

    on_plateau = False

    def __init__(self, optimizer: Optimizer | None) -> None:
        self.steps = 0
        self._epochs: list[list[int]] = []  # so many steps, and how many epochs in a row had them
        self._finished = 0
        self._optimizer = optimizer
        self._fresh = [] if optimizer is None else options_of(optimizer)
        self._initial: dict[str, Any] = {"options": [_scheduled(group) for group in self._fresh]}

    def step_end(self) -> None:
        """Advance after an optimizer step."""
        self.steps += 1

    def epoch_end(self) -> None:
        """Advance after an epoch."""
        length, self._finished = self.steps - self._finished, self.steps
        if self._epochs and self._epochs[-1][0] == length:
            self._epochs[-1][1] += 1
        else:
            self._epochs.append([length, 1])

    def validation_end(self, value: float | None, metric: str = "") -> None:
        """Advance after a validation, by the value of the monitored metric."""

    def state_dict(self) -> dict[str, Any]:
        """Return how far the run is, and how the rate was built."""
        epochs = [list(pair) for pair in self._epochs]
        return {"steps": self.steps, "epochs": epochs, "finished": self._finished, "initial": self._initial}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; a rate that is built otherwise by now goes on along its new curve.

        The new curve is where an unbroken run would be by now, had it been built so from the start. The state of the
        optimizer comes first, for this one then sets its rates.

        Raises:
            ValueError: If the new curve ends before the step that the run has reached.
        """
        steps, epochs = field(state_dict, "steps", int), field(state_dict, "epochs", list)
        finished = sum(length * times for length, times in epochs)
        if not 0 <= finished == field(state_dict, "finished", int) <= steps:
            raise ValueError(f"its epochs had {finished} steps, of {state_dict['finished']}, and {steps} in all")
        if self._is_built_as(state_dict["initial"], state_dict):
            self._restore(state_dict)
            self.steps, self._epochs, self._finished = steps, [list(pair) for pair in epochs], finished
        else:
            self._begin()
            self._replay(epochs, steps, state_dict)

    def _is_built_as(self, initial: dict[str, Any] | None, state_dict: dict[str, Any]) -> bool:
        """Say whether the rate was built as this one, so that its state may be taken as it is."""
        return "scheduler" not in state_dict if initial is None else same(initial, self._initial)

    def _restore(self, state_dict: dict[str, Any]) -> None:
        """Take over the rest of the state of a rate that was built as this one."""

    def _begin(self) -> None:
        """Go back to the start of the run."""
        self.steps, self._epochs, self._finished = 0, [], 0
        if self._optimizer is not None:
            for group, fresh in zip(self._optimizer.param_groups, self._fresh, strict=True):
                group.update(deepcopy({name: fresh[name] for name in (*RATES, *MOMENTA) if name in fresh}))

    def _replay(self, epochs: list[list[int]], steps: int, state_dict: dict[str, Any]) -> None:
        """Advance as often as the run did: a recursive formula gives the very bits only if it is walked."""
        for length, times in epochs:
            for _ in range(times):
                for _ in range(length):
                    self.step_end()
                self.epoch_end()
        for _ in range(steps - self.steps):
            self.step_end()


class Schedule(Progress):
    """A torch scheduler that advances per step, per epoch, or (``ReduceLROnPlateau``) per validation.

    Args:
        scheduler: Any of ``torch.optim.lr_scheduler``.
        interval: ``step`` or ``epoch``; a plateau scheduler goes by validations whatever this says.
        warmup: Optimizer steps over which each group's rate climbs in a straight line to where the scheduler
            starts (Goyal et al. 2017, "Accurate, Large Minibatch SGD"); only then the scheduler begins to advance.
    """

    def __init__(self, scheduler: LRScheduler, interval: str = "step", warmup: int = 0) -> None:
        if interval not in ("step", "epoch"):
            raise ConfigError(f"schedule.interval={interval}: must be step or epoch")
        self.scheduler, self.warmup, self.steps = scheduler, warmup, 0
        self.on_plateau = isinstance(scheduler, ReduceLROnPlateau)
        self._per_step = interval == "step" and not self.on_plateau
        self._targets = [float(group["lr"]) for group in scheduler.optimizer.param_groups]
        self._metric = ""
        self._climb()
        super().__init__(scheduler.optimizer)
        self._initial |= {
            "class": type(scheduler).__qualname__,
            "per_step": self._per_step,
            "warmup": warmup,
            "targets": self._targets,
            "scheduler": self._scheduler_state(),
        }

    @property
    def targets(self) -> list[float]:
        """The rates that the warm-up climbs to, a group each."""
        return list(self._targets)

    @property
    def per_step(self) -> bool:
        """Whether it advances after each optimizer step."""
        return self._per_step

    def step_end(self) -> None:
        """Advance after an optimizer step."""
        self.steps += 1
        if self.steps <= self.warmup:
            self._climb()
        elif self._per_step:
            self.scheduler.step()

    def epoch_end(self) -> None:
        """Advance after an epoch."""
        super().epoch_end()
        if not self._per_step and not self.on_plateau and self.steps >= self.warmup:
            self.scheduler.step()

    def validation_end(self, value: float | None, metric: str = "") -> None:
        """Advance a plateau scheduler by the monitored metric; with another ``metric`` its best value starts anew."""
        if self.on_plateau and value is not None and self.steps >= self.warmup:
            if self._metric not in ("", metric):
                self.scheduler._reset()  # type: ignore[attr-defined]
            self._metric = metric
            self.scheduler.step(value)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """Return how far the run is, how the rate was built, and the state of the scheduler."""
        return {**super().state_dict(), "metric": self._metric, "scheduler": self._scheduler_state()}

    def _climb(self) -> None:
        if self.warmup and self.steps <= self.warmup:
            share = min(1.0, (self.steps + 1) / (self.warmup + 1))
            for group, target in zip(self.scheduler.optimizer.param_groups, self._targets, strict=True):
                _set_rate(group, target * share)

    def _scheduler_state(self) -> dict[str, Any]:
        return deepcopy({k: v for k, v in self.scheduler.state_dict().items() if not callable(v)})

    def _load_scheduler(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(deepcopy(state))
        # torch would warn of a scheduler that advances first: the optimizer's steps were in another process
        self.scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]

    def _is_built_as(self, initial: dict[str, Any] | None, state_dict: dict[str, Any]) -> bool:
        if _has_function(self.scheduler):  # which a checkpoint cannot hold, so it may be another one by now
            return False
        if initial is not None:
            return super()._is_built_as(initial, state_dict)
        # from a time when a checkpoint did not say how its schedule was built: what never moves in it does
        before = (_fixed(state_dict.get("scheduler")), state_dict.get("targets"))
        return same(before, (_fixed(self._initial["scheduler"]), self._targets))

    def _restore(self, state_dict: dict[str, Any]) -> None:
        saved = field(state_dict, "scheduler", dict)
        if (lost := _lost(saved, self._initial["scheduler"])) is not None:
            raise KeyError(f"scheduler{lost}")
        self._metric = field(state_dict, "metric", str)
        self._load_scheduler(saved)

    def _begin(self) -> None:
        super()._begin()
        self._metric = ""
        self._load_scheduler(self._initial["scheduler"])

    def _replay(self, epochs: list[list[int]], steps: int, state_dict: dict[str, Any]) -> None:
        try:
            super()._replay(epochs, steps, state_dict)
        except ValueError as error:
            raise ValueError(f"the run is at step {steps}, where the schedule has ended by now: {error}") from error
        if self.on_plateau and self.steps >= self.warmup and "num_bad_epochs" in state_dict.get("scheduler", {}):
            self._keep_reductions(state_dict["scheduler"], (state_dict["initial"] or state_dict)["targets"])
            self._metric = field(state_dict, "metric", str)

    def _keep_reductions(self, saved: dict[str, Any], targets: list[float]) -> None:
        """Go on from another plateau scheduler: what the validations led to cannot be computed again."""
        scheduler: Any = self.scheduler
        groups = scheduler.optimizer.param_groups
        for group, before, rate, least in zip(groups, targets, saved["_last_lr"], scheduler.min_lrs, strict=True):
            if rate != before:
                reduced = rate if group["lr"] == before else group["lr"] * (rate / before)
                _set_rate(group, max(reduced, least))
        scheduler._last_lr = [group["lr"] for group in groups]
        if saved["mode"] == scheduler.mode:
            for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
                setattr(scheduler, name, saved[name])


class NoSchedule(Progress):
    """The constant rate."""

    def __init__(self, optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer)


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):  # one that a captured graph reads
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _scheduled(options: dict[str, Any]) -> dict[str, Any]:
    """Return those options of a parameter group that a scheduler goes by; momenta only where it moves them."""
    names = (*RATES, *MOMENTA) if "base_momentum" in options else RATES
    return {name: options[name] for name in names if name in options}


def _has_function(value: Any) -> bool:
    """Say whether a scheduler, or one inside it, goes by a function that it was given."""
    if isinstance(value, LRScheduler):
        return any(_has_function(inner) for name, inner in vars(value).items() if name != "optimizer")
    return any(map(_has_function, value)) if isinstance(value, list | tuple) else callable(value)


def _lost(state: Any, initial: Any, path: str = "") -> str | None:
    """Return the path of what a scheduler's state has lost, or holds another kind of value for, since it was built."""
    if isinstance(initial, dict) and isinstance(state, dict):
        found = (_lost(state[k], v, f"{path}.{k}") if k in state else f"{path}.{k}" for k, v in initial.items())
    elif isinstance(initial, list) and isinstance(state, list) and len(initial) <= len(state):
        found = (_lost(*pair, f"{path}.{n}") for n, pair in enumerate(zip(state, initial, strict=False)))
    else:
        return (
            path if isinstance(initial, dict | list) or (initial is not None and kind(state) != kind(initial)) else None
        )
    return next((lost for lost in found if lost is not None), None)


def _fixed(state: Any) -> Any:
    """Return the state of a scheduler without what moves as it advances."""
    if isinstance(state, dict):
        return {key: _fixed(value) for key, value in state.items() if key not in MOVING}
    return [_fixed(item) for item in state] if isinstance(state, list) else state


def make_schedule(
    scheduler: Callable[..., LRScheduler],
    optimizer: Optimizer,
    total: int | None,
    interval: str = "step",
    warmup: int = 0,
    **options: Any,
) -> Schedule:
    """Build a scheduler with the length of the run filled in.

    Args:
        scheduler: A class of ``torch.optim.lr_scheduler``.
        optimizer: The optimizer with its full rates.
        total: Length of the run in units of ``interval``, None if unknown.
        interval: ``step`` or ``epoch``.
        warmup: Optimizer steps of warm-up, taken off a total in steps.
        options: The scheduler's; its ``total_steps``, ``T_max`` or ``total_iters`` is filled in where it is None, or
            required and left out. One ``max_lr`` or ``base_lr`` is that of the optimizer's own rate; groups with other
            rates have them in proportion.

    Raises:
        ConfigError: If the scheduler needs the length of the run and it is not known.
    """
    parameters = inspect.signature(scheduler).parameters
    for name in TOTALS:
        if name in parameters and options.get("epochs") is None:
            if options.get(name, parameters[name].default) not in (None, inspect.Parameter.empty):
                continue
            if total is None:
                raise ConfigError(f"schedule.{name}: the length of the run is not known; set it, or trainer.max_steps")
            options[name] = max(1, total - warmup if interval == "step" else total)
    return Schedule(scheduler(optimizer, **_by_group(options, optimizer)), interval, warmup)


def _by_group(options: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return a scheduler's options in which the ends of a cycle are in proportion to the rate of each group.

    torch sets one ``max_lr`` as the rate of all groups, whatever theirs was.
    """
    usual, rates = optimizer.defaults.get("lr"), [group["lr"] for group in optimizer.param_groups]
    if not usual or all(rate == usual for rate in rates):
        return options
    ends = {name: options[name] for name in ENDS if isinstance(options.get(name), int | float)}
    return options | {name: [end * float(rate / usual) for rate in rates] for name, end in ends.items()}
