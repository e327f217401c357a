"""Learning-rate schedules: torch's own, stepped at the right moments, with a warm-up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainkit.errors import ConfigError

TOTALS = ("total_steps", "T_max", "total_iters")


class Schedule:
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
        self._targets = [group["lr"] for group in scheduler.optimizer.param_groups]
        self._climb()

    def step_end(self) -> None:
        """Advance after an optimizer step."""
        self.steps += 1
        if self.steps <= self.warmup:
            self._climb()
        elif self._per_step:
            self.scheduler.step()

    def epoch_end(self) -> None:
        """Advance after an epoch."""
        if not self._per_step and not self.on_plateau and self.steps >= self.warmup:
            self.scheduler.step()

    def validation_end(self, value: float | None) -> None:
        """Advance a plateau scheduler by the monitored metric."""
        if self.on_plateau and value is not None and self.steps >= self.warmup:
            self.scheduler.step(value)  # type: ignore[arg-type]

    def _climb(self) -> None:
        if self.warmup and self.steps <= self.warmup:
            share = min(1.0, (self.steps + 1) / (self.warmup + 1))
            for group, target in zip(self.scheduler.optimizer.param_groups, self._targets, strict=True):
                group["lr"] = target * share

    def state_dict(self) -> dict[str, Any]:
        state = {k: v for k, v in self.scheduler.state_dict().items() if not callable(v)}
        return {"scheduler": state, "steps": self.steps, "targets": self._targets}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; where the run is of another length now, go on along the new curve."""
        self.steps, self._targets = state_dict["steps"], list(state_dict["targets"])
        saved, scheduler = state_dict["scheduler"], self.scheduler
        stretched = any(saved[name] != getattr(scheduler, name, saved[name]) for name in TOTALS if name in saved)
        kept = {k: v for k, v in saved.items() if not (stretched and k in (*TOTALS, "_schedule_phases"))}
        scheduler.load_state_dict(kept)
        closed_form = getattr(scheduler, "_get_closed_form_lr", None)  # others compute each rate from the step anyhow
        if stretched and closed_form is not None and self.steps >= self.warmup:
            for group, rate in zip(scheduler.optimizer.param_groups, closed_form(), strict=True):
                group["lr"] = rate
        if self.steps:  # torch would warn of a scheduler that advances first: the steps were in another process
            self.scheduler.optimizer._opt_called = True  # type: ignore[attr-defined]


class NoSchedule:
    """The constant rate."""

    on_plateau = False

    def step_end(self) -> None:
        """Keep the rate."""

    def epoch_end(self) -> None:
        """Keep the rate."""

    def validation_end(self, value: float | None) -> None:
        """Keep the rate."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have nothing to restore."""


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
            required and left out.

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
    return Schedule(scheduler(optimizer, **options), interval, warmup)
